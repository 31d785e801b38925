from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cli.conftest import FIXED, OUTDATED, Run

BROKEN = {
    "syntax.py": (b"import jax\njax.tree_map(\n", "syntax error"),
    "nul.py": (b"import jax; jax.tree_map\0\n", "NUL"),
    "bytes.py": (b"import jax\njax.tree_map('\xff')\n", "0xff"),
    "coding.py": (b"# coding: klingon\nimport jax; jax.tree_map\n", "klingon"),
    "deep.py": (b"import jax; jax.tree_map\nx = " + b"(" * 5000 + b")" * 5000, "nested|syntax"),
    "notebook.ipynb": (b'{"cells": [', "not valid JSON"),
}


def test_clean(project: Path, run: Run) -> None:
    (project / "a.py").write_text(FIXED)
    result = run("check")
    assert result.exit_code == 0
    assert "nothing outdated in 1 file" in result.output


def test_no_files(project: Path, run: Run) -> None:
    (project / "notes.txt").write_text(OUTDATED)
    result = run("check")
    assert result.exit_code == 0
    assert "No Python files or notebooks there." in result.output


def test_not_all_is_good_where_a_file_could_not_be_checked(project: Path, run: Run) -> None:
    (project / "b.py").write_text("import jax\njax.tree_map(\n")
    result = run("check")
    assert result.exit_code == 2
    assert "Nothing outdated in 1 file. 1 could not be checked." in result.output


def test_findings(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    result = run("check", ".")
    assert result.exit_code == 1
    assert "a.py:5:12: jax-tree [*]" in result.output
    assert "5 |     return jax.tree_map(" in result.output
    assert "  |            ^^^^^^^^^^^^" in result.output
    assert run("check", "--exit-zero").exit_code == 0


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cant_be_read_is_reported_and_the_run_goes_on(project: Path, run: Run, name: str) -> None:
    data, message = BROKEN[name]
    (project / name).write_bytes(data)
    (project / "z.py").write_text(OUTDATED)
    result = run("check", "--output-format", "concise")
    assert result.exit_code == 2
    assert "z.py:5:12: jax-tree" in result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith(name)]
    assert any(word in line for word in message.split("|"))
    assert (project / name).read_bytes() == data


def test_dangling_symlinks_and_long_sums(project: Path, run: Run) -> None:
    (project / "link.py").symlink_to(project / "nowhere.py")
    (project / "sum.py").write_text("import jax\njax.tree_map\nx = " + " + ".join(["1"] * 3000) + "\n")
    (project / "z.py").write_text(OUTDATED)
    result = run("check", "--output-format", "concise")
    assert "z.py:5:12: jax-tree" in result.output
    assert "link.py" in result.output
    assert result.exit_code == 2


def test_statistics(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED + "jax.tree_leaves(1)\njax.host_id()\n")
    result = run("check", "--statistics")
    assert [line.split() for line in result.output.splitlines() if "jax-tree" in line] == [
        ["2", "[*]", "jax-tree"]
    ]
    rows = json.loads(run("check", "--statistics", "--output-format", "json", "-q").output)
    assert {row["rule"]: row["count"] for row in rows}["jax-tree"] == 2


def test_select_ignore_and_unknown_rules(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    assert run("check", "--select", "optax").exit_code == 0
    assert run("check", "--ignore", "jax-tree").exit_code == 0
    assert run("check", "--select", "jax-tree,optax").exit_code == 1
    result = run("check", "--select", "jax-tre")
    assert result.exit_code == 2
    assert "did you mean jax-tree" in result.output


def test_stdin(project: Path, run: Run) -> None:
    result = run("check", "-", "--output-format", "concise", stdin=OUTDATED)
    assert "stdin.py:5:12: jax-tree" in result.output
    assert (
        "pkg/a.py:5"
        in run("check", "--stdin-filename", "pkg/a.py", "--output-format", "concise", stdin=OUTDATED).output
    )


def test_json(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    data = json.loads(run("check", "--output-format", "json").output)
    (finding,) = data["findings"]
    assert (finding["rule"], finding["path"], finding["line"], finding["column"]) == (
        "jax-tree",
        "a.py",
        5,
        12,
    )
    assert finding["fix"] == "safe"


def test_sarif(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    (project / "b.py").write_text("import jax\njax.tree_map(\n")
    (sarif,) = json.loads(run("check", "--output-format", "sarif").output)["runs"]
    (result,) = sarif["results"]
    rule = sarif["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "jax-tree"
    assert rule["fullDescription"]["text"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 5
    assert sarif["invocations"][0]["executionSuccessful"] is False


def test_github(project: Path, run: Run) -> None:
    (project / "a,b.py").write_text(OUTDATED)
    (line,) = run("check", "--output-format", "github").output.splitlines()
    assert line.startswith("::warning title=nnx-migrate (jax-tree),file=a%2Cb.py,line=5,col=12,")


def test_gitlab_fingerprints_survive_moves(project: Path, run: Run) -> None:
    def fingerprints() -> set[str]:
        return {row["fingerprint"] for row in json.loads(run("check", "--output-format", "gitlab").output)}

    (project / "a.py").write_text(OUTDATED + "jax.tree_map(1, 2)\n")
    before = fingerprints()
    (project / "a.py").write_text("\n\n" + OUTDATED + "jax.tree_map(1, 2)\n")
    assert len(before) == 2
    assert fingerprints() == before


def test_junit(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    suites = ElementTree.fromstring(run("check", "--output-format", "junit").output)
    assert suites.get("failures") == "1"
    assert suites.find(".//failure") is not None


def test_output_file(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    result = run("check", "--output-format", "json", "-o", "report.json")
    assert result.exit_code == 1
    assert json.loads((project / "report.json").read_text())["findings"]


def test_notebooks_count_lines_by_cell(project: Path, run: Run) -> None:
    cells = [
        {"cell_type": "code", "source": s, "metadata": {}, "outputs": []}
        for s in ("import jax\n%time 1", "x = 1\njax.tree_map(f, x)")
    ]
    (project / "n.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert "n.ipynb:cell 2:2:1: jax-tree" in run("check", "--output-format", "concise").output


def test_the_second_run_comes_from_the_cache_and_says_the_same(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    (project / "b.py").write_text("import jax\njax.tree_map(\n")
    first = run("check", "--output-format", "concise")
    assert (project / ".nnx-migrate-cache").is_dir()
    assert run("check", "--output-format", "concise").output == first.output
    (project / "a.py").write_text(FIXED)
    assert "jax-tree" not in run("check", "--output-format", "concise").output


def test_a_damaged_cache_is_no_cache(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    first = run("check", "--output-format", "concise")
    (cache,) = (project / ".nnx-migrate-cache").glob("*.json")
    cache.write_text("{broken")
    assert run("check", "--output-format", "concise").output == first.output


def test_several_processes_find_what_one_finds(project: Path) -> None:
    for i in range(150):
        (project / f"m{i}.py").write_text(OUTDATED if i % 3 else FIXED)
    # of their own: this one runs JAX's threads, and then nothing is forked
    command = [sys.executable, "-m", "nnx_migrate", "check", "--no-cache", "--output-format", "concise"]
    one, two = (
        subprocess.run([*command, "-j", jobs], capture_output=True, text=True, timeout=120)
        for jobs in ("1", "2")
    )
    assert one.stdout.count("jax-tree") == 100
    assert two.stdout == one.stdout
    assert two.stderr == one.stderr


def test_baseline_is_a_ratchet(project: Path, run: Run) -> None:
    file, line = project / "a.py", "jax.tree_map(f, 1)\n"
    file.write_text(f"import jax\n{line}{line}")
    written = run("baseline")
    assert written.exit_code == 0
    assert "check --baseline .nnx-migrate-baseline.json" in written.output
    check = ("check", "--baseline", ".nnx-migrate-baseline.json", "--output-format", "concise")
    assert run(*check).exit_code == 0
    file.write_text(f"import jax\n\n{line}{line}")  # moved: still known
    assert run(*check).exit_code == 0
    file.write_text(f"import jax\n{line}{line}{line}")  # one more of the same is new
    assert run(*check).exit_code == 1
    file.write_text(f"import jax\n{line}")  # one is gone, for good
    assert run(*check).exit_code == 0
    file.write_text(f"import jax\n{line}{line}")
    assert run(*check).exit_code == 1


def test_a_broken_baseline_is_an_error(project: Path, run: Run) -> None:
    (project / "base.json").write_text("[]")
    result = run("check", "--baseline", "base.json")
    assert result.exit_code == 2
    assert "not a baseline file" in result.output


def test_add_ignores(project: Path, run: Run) -> None:
    (project / "a.py").write_text(OUTDATED)
    assert run("check", "--add-ignores").exit_code == 0
    assert (
        "jax.tree_map(lambda y: 2 * y, x)  # nnx-migrate: ignore[jax-tree]\n"
        in (project / "a.py").read_text()
    )
    assert run("check").exit_code == 0


CONFIGS = [
    ("selct = ['ALL']", ":2: unknown setting 'selct'"),
    ("select = 'ALL'", ":2: select must be a list of strings"),
    ("numerics = 'fast'", ":2: numerics must be one of exact, native"),
    ("select = [", "not valid TOML"),
    ("rules = ['nowhere.py']", "doesn't exist"),
]


@pytest.mark.parametrize(("line", "message"), CONFIGS)
def test_bad_configuration_names_file_and_line(project: Path, run: Run, line: str, message: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.nnx-migrate]\n{line}\n")
    (project / "a.py").write_text(OUTDATED)
    result = run("check")
    assert result.exit_code == 2
    assert message in result.output


def test_configuration(project: Path, run: Run) -> None:
    (project / "old").mkdir()
    for name in ("a.py", "old/b.py", "c.py"):
        (project / name).write_text(OUTDATED)
    (project / "pyproject.toml").write_text(
        "[tool.nnx-migrate]\nexclude = ['c.py']\n[tool.nnx-migrate.per-file-ignores]\n'old/*' = ['jax']\n"
    )
    output = run("check", "--output-format", "concise").output
    assert "a.py:5" in output
    assert "b.py" not in output
    assert "c.py" not in output


def test_local_rules(project: Path, run: Run) -> None:
    assert (
        run(
            "new-rule", "house-style", "--old", "jax.device_count", "--new", "jax.local_device_count"
        ).exit_code
        == 0
    )
    (project / "pyproject.toml").write_text("[tool.nnx-migrate]\nrules = ['house_style.py']\n")
    (project / "a.py").write_text("import jax\nn = jax.device_count()\n")
    assert "a.py:2:5: house-style [*]" in run("check", "--output-format", "concise").output
    assert run("fix", "--select", "house-style").exit_code == 0
    assert (project / "a.py").read_text() == "import jax\nn = jax.local_device_count()\n"
    assert "What it finds" in run("explain", "house-style").output


def test_pins_silence_rules_and_the_command_line_beats_them(project: Path, run: Run) -> None:
    (project / "requirements.txt").write_text("jax==0.4.13\n")
    (project / "a.py").write_text("import jax\njax.tree_map(f, x)\n")
    assert run("check").exit_code == 0
    assert run("check", "--target-flax", "0.12.8").exit_code == 1


def test_explain_and_rules(project: Path, run: Run) -> None:
    listed = json.loads(run("rules", "--output-format", "json").output)
    assert {row["id"] for row in listed} >= {"jax-tree", "optimizer-v011"}
    for row in listed:
        result = run("explain", row["id"])
        assert result.exit_code == 0
        assert "Fix safety" in result.output
    result = run("explain", "optimizer-v01")
    assert result.exit_code == 2
    assert "did you mean optimizer-v011" in result.output


def test_missing_paths_and_commands(project: Path, run: Run) -> None:
    assert run("check", "nowhere.py").exit_code == 2
    result = run("chek")
    assert result.exit_code == 2
    assert "Did you mean check?" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str) -> None:
    assert "_NNX_MIGRATE_COMPLETE" in run("completion", shell).output


def test_the_syntax_error_of_a_named_file_is_told_whatever_it_uses(project: Path, run: Run) -> None:
    (project / "broken.py").write_text("def f(:\n    pass\n")
    result = run("check", "--no-cache", "broken.py")
    assert result.exit_code == 2
    assert "broken.py:1:7: error: syntax error" in result.output
    assert run("check", "--stdin-filename", "x.py", "-", stdin="def f(:\n").exit_code == 2
