from __future__ import annotations

import codecs
import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import FIXED, OUTDATED, Run


def git(*args: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *args], check=True, capture_output=True)


def test_fix(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    result = run("fix")
    assert result.exit_code == 0
    assert (project / "a.py").read_text() == FIXED
    assert "Fixed 1 finding in 1 file" in result.output
    assert "Nothing to fix" in run("fix").output


def test_findings_that_remain_are_shown_with_their_reason(project: Path, run: Run) -> None:
    (project / "a.py").write_text("from jax import *\n\ny = tree_map(f, x)\n")
    result = run("fix")
    assert result.exit_code == 1
    assert "(star-import)" in result.output
    assert "to do by hand" in result.output
    assert (project / "a.py").read_text() == "from jax import *\n\ny = tree_map(f, x)\n"


def test_diff_writes_nothing(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    result = run("fix", "--diff")
    assert result.exit_code == 1
    assert "-    return jax.tree_map(" in result.output
    assert "+    return jax.tree.map(" in result.output
    assert (project / "a.py").read_text() == OUTDATED
    (project / "a.py").write_text(FIXED)
    assert run("fix", "--diff").exit_code == 0


def test_a_diff_tells_what_stays_and_why(project: Path, run: Run) -> None:
    (project / "pyproject.toml").touch()
    (project / "net.py").write_text(LINEN)
    (project / "train.py").write_text("from net import Net\n\nmodel = Net()\n")
    result = run("fix", "--diff", "net.py")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "`train.py:1` uses it and is not among the given files" in result.stderr
    assert "Nothing to fix. 1 left to do by hand." in result.stderr
    assert "Nothing to fix" not in run("fix", "--diff", "--quiet", "net.py").output
    whole = run("fix", "--diff", ".")
    assert whole.exit_code == 1
    assert whole.stdout.startswith("--- a/net.py")
    assert "Would fix 1 finding in 2 files" in whole.stderr
    assert (project / "net.py").read_text() == LINEN


@pytest.mark.parametrize(
    ("encode", "mode"),
    [
        (lambda t: t.replace("\n", "\r\n").encode(), 0o644),
        (lambda t: codecs.BOM_UTF8 + t.encode(), 0o755),
        (lambda t: b"# coding: latin-1\ns = '\xe9'\n" + t.encode(), 0o600),
        (lambda t: t.rstrip("\n").encode(), 0o644),
        (lambda t: b"\x0c\n" + t.encode(), 0o644),
    ],
)
def test_everything_else_about_a_file_stays(project: Path, run: Run, encode, mode: int) -> None:
    path = project / "a.py"
    path.write_bytes(encode(OUTDATED))
    path.chmod(mode)
    assert run("fix").exit_code == 0
    assert path.read_bytes() == encode(FIXED)
    assert path.stat().st_mode & 0o777 == mode


def test_a_dirty_tree_is_refused(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    git("init", "-q")
    git("add", "a.py")
    result = run("fix")
    assert result.exit_code == 2
    assert "uncommitted changes" in result.output
    assert (project / "a.py").read_text() == OUTDATED
    git("commit", "-qm", "first")
    assert run("fix").exit_code == 0
    assert (project / "a.py").read_text() == FIXED
    (project / "a.py").write_text(OUTDATED + "# more\n")
    assert run("fix", "--allow-dirty").exit_code == 0


def test_one_broken_file_stops_nothing_and_stays(project: Path, run: Run) -> None:
    (project / "broken.py").write_text("import jax\njax.tree_map(\n")
    (project / "a.py").write_text(OUTDATED)
    result = run("fix")
    assert result.exit_code == 2
    assert "broken.py:2" in result.output
    assert (project / "a.py").read_text() == FIXED
    assert (project / "broken.py").read_text() == "import jax\njax.tree_map(\n"


def test_a_file_that_cant_be_written_is_reported(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.py", "b.py"):
        (project / name).write_text(OUTDATED)
    replace = Path.replace

    def refused(path: Path, target: Path) -> Path:
        if target.name == "a.py":  # as in a folder without permission, which does not hold root back
            raise PermissionError(13, "Permission denied", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refused)
    result = run("fix")
    assert result.exit_code == 2
    assert "a.py:1:1: error: can't be written" in result.output
    assert (project / "a.py").read_text() == OUTDATED
    assert (project / "b.py").read_text() == FIXED
    assert sorted(path.name for path in project.iterdir()) == ["a.py", "b.py"]


def test_stdin_to_stdout(project: Path, run: Run) -> None:
    assert run("fix", "-", stdin=OUTDATED).output == FIXED
    assert run("fix", "-", stdin=FIXED).output == FIXED


def test_interactive(project: Path, run: Run) -> None:
    (project / "a.py").write_text("import jax\njax.tree_map(f, 1)\njax.tree_map(f, 2)\njax.tree_map(f, 3)\n")
    result = run("fix", "-i", stdin="y\nn\nq\n")
    assert "-jax.tree_map(f, 1)" in result.output
    assert "2 left, 2 of them fixable, but declined." in result.output
    assert (
        project / "a.py"
    ).read_text() == "import jax\njax.tree.map(f, 1)\njax.tree_map(f, 2)\njax.tree_map(f, 3)\n"
    run("fix", "-i", stdin="a\n")
    assert "tree_map" not in (project / "a.py").read_text()


def test_notebooks_change_only_in_the_fixed_cell(project: Path, run: Run) -> None:
    sources = [["import jax\n", "%time 1"], ["x = 1\n", "jax.tree_map(f, x)"], ["!ls"]]
    cells = [{"cell_type": "code", "source": s, "metadata": {}, "outputs": []} for s in sources]
    raw = json.dumps({"cells": cells, "nbformat": 4}, indent=1)
    (project / "n.ipynb").write_text(raw)
    assert run("fix").exit_code == 0
    assert (project / "n.ipynb").read_text() == raw.replace("jax.tree_map", "jax.tree.map")


def test_rule_option_limits_the_fix(project: Path, run: Run) -> None:
    (project / "a.py").write_text("import jax\nimport optax\njax.tree_map(f, x)\noptax.global_norm(x)\n")
    assert run("fix", "--rule", "optax-moved").exit_code == 0
    assert (
        project / "a.py"
    ).read_text() == "import jax\nimport optax\njax.tree_map(f, x)\noptax.tree.norm(x)\n"


def test_a_symlinked_file_is_written_through(project: Path, run: Run) -> None:
    (project / "real").mkdir()
    (project / "real" / "a.py").write_text(OUTDATED)
    (project / "a.py").symlink_to(project / "real" / "a.py")
    assert run("fix", "a.py").exit_code == 0
    assert (project / "a.py").is_symlink()
    assert (project / "real" / "a.py").read_text() == FIXED


LINEN = """import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)
"""


@pytest.mark.parametrize("command", ["check", "fix"])
def test_a_pin_that_forbids_nnx_is_named(project: Path, run: Run, command: str) -> None:
    (project / "requirements.txt").write_text("flax==0.6.1\n")
    (project / "net.py").write_text(LINEN)
    result = run(command, "--no-cache", "--select", "linen-module,nnx-value-v012", ".")
    assert result.exit_code == 1
    assert "`Net` is a Linen module" in result.output
    assert "Pinned: flax==0.6.1 (requirements.txt). Left out: rule nnx-value-v012" in result.output
    assert (project / "net.py").read_text() == LINEN
    if command == "check":
        assert "`nnx-migrate fix --diff` finds out" in result.output
    else:
        assert "requirements.txt pins flax==0.6.1 (pinned-release)" in result.output
        assert "fixes of 1 finding of linen-module; --target-flax 0.12.8 includes them" in result.output


def test_a_target_overrules_the_pin(project: Path, run: Run) -> None:
    (project / "requirements.txt").write_text("flax==0.6.1\n")
    (project / "net.py").write_text(LINEN)
    result = run("fix", "--no-cache", "--select", "linen-module", "--target-flax", "0.12.8", ".")
    assert "class Net(nnx.Module)" in (project / "net.py").read_text()
    assert "Pinned" not in result.output


def test_classes_that_wait_for_another_say_for_which(project: Path, run: Run) -> None:
    whole = """

class Whole(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Net()(x) + nn.Dense(3)(undocumented(x))
"""
    (project / "net.py").write_text(LINEN + whole)
    result = run("fix", "--no-cache", "--select", "linen-module", ".")
    (line,) = [line for line in result.output.splitlines() if "`Net` is a Linen module" in line]
    assert "it moves with `Whole`, and there " in line
    assert "net.py:13" in line.partition("and there")[2]


def test_what_is_left_in_other_formats(project: Path, run: Run) -> None:
    (project / "a.py").write_text("from jax import *\n\ny = tree_map(f, x)\nz = tree_map(f, y)\n")
    rows = json.loads(run("fix", "--statistics", "--output-format", "json", "-q").output)
    assert [(row["reason"], row["count"]) for row in rows] == [("star-import", 2)]
    assert "2  [ ] jax-tree (star-import)" in run("fix", "--statistics").output
    findings = json.loads(run("fix", "--output-format", "json", "-q").output)
    assert len(findings["findings"] if isinstance(findings, dict) else findings) == 2


MOVED_AXIS = """\
import jax.numpy as jnp
from flax import linen as nn


class Mixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(8)(jnp.moveaxis(x, 1, -1))


class Net(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.dim)(Mixer()(x))
"""


def test_a_trace_tells_the_ranks_of_inputs(project: Path, run: Run) -> None:
    (project / "net.py").write_text(MOVED_AXIS)
    table = '[[tool.nnx-migrate.verify]]\nmodel = "net:{}"\nargs = "5"\ninputs = ["f32[2,3,4]"]\n'
    (project / "pyproject.toml").write_text(table.format("Net") + table.format("Gone"))
    assert "class Mixer(nnx.Module)" not in run("fix", "--diff").output
    result = run("fix", "--trace")
    assert "Traced 1 model(s), 2 class(es) in them." in result.output
    assert "not traced: net:Gone: " in result.output
    assert "self.dense = nnx.Linear(in_length, 8, rngs=rngs)" in (project / "net.py").read_text()


def test_a_trace_replaces_packages_that_are_not_installed(project: Path, run: Run) -> None:
    (project / "net.py").write_text("import nowhere_to_be_found\n" + MOVED_AXIS)
    table = '[[tool.nnx-migrate.verify]]\nmodel = "net:Net"\nargs = "5"\ninputs = ["f32[2,3,4]"]\n'
    (project / "pyproject.toml").write_text(table)
    result = run("fix", "--trace", "--diff")
    assert "not traced: net:Net: ModuleNotFoundError" in result.output
    assert "--stub NAME" in result.output
    result = run("fix", "--trace", "--stub", "nowhere_to_be_found")
    assert "Traced 1 model(s), 2 class(es) in them." in result.output
    assert "class Mixer(nnx.Module)" in (project / "net.py").read_text()


def test_a_trace_of_nothing_says_how_to_list_models(project: Path, run: Run) -> None:
    (project / "net.py").write_text(MOVED_AXIS)
    result = run("fix", "--trace", "--diff")
    assert "Traced 0 model(s)" in result.output
    assert "[[tool.nnx-migrate.verify]]" in result.output


def test_what_is_left_once_inputs_are_given(project: Path, run: Run) -> None:
    text = MOVED_AXIS.replace(
        "nn.Dense(8)(jnp.moveaxis(x, 1, -1))", "nn.Dense(len(name))(jnp.moveaxis(x, 1, -1))"
    )
    (project / "net.py").write_text(text.replace("self, x", "self, x, name", 1))
    assert "axis 1 of an array of unknown rank" in run("fix").output
    (project / "pyproject.toml").write_text('[tool.nnx-migrate.inputs]\n"net:Mixer" = ["f32[2,3,4]"]\n')
    result = run("fix")
    assert "axis 1 of an array of unknown rank" not in result.output
    assert "a length that isn't known" in result.output
