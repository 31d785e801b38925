"""`verify` on projects that can't be compared: what is wrong, on which side, what to do; and no traceback."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from tests.cli.conftest import Run

MODEL = """
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
{head}


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(self.width)(x)
        return {result}
"""
FINE = MODEL.format(head="", result="x")
QUICK = ("--steps", "0", "--no-eager", "--timeout", "60")


def model(head: str = "", result: str = "x") -> str:
    return MODEL.format(head=head, result=result)


@pytest.fixture
def verify(tmp_path: Path, run: Run):
    """Runs `verify` on two versions of a module, the model listed."""

    def call(old: str, new: str, *options: str, args: str = "", inputs: str = '"f32[2,3]"'):
        for side, text in (("old", old), ("new", new)):
            (tmp_path / side).mkdir()
            (tmp_path / side / "models.py").write_text(text)
        table = f"[[verify]]\nmodel = 'models:Net'\nargs = '{args}'\ninputs = [{inputs}]\n"
        (tmp_path / "new" / "nnx-migrate.toml").write_text(table)
        old_folder = str(tmp_path / "old")
        return run("verify", str(tmp_path / "new"), "--before", old_folder, *QUICK, *options)

    return call


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        pytest.param(
            FINE, "class Net(\n", ["after the migration: SyntaxError: ", "mend the file"], id="syntax error"
        ),
        pytest.param(
            model("import absent_one\nimport absent_two"), FINE,
            ["before the migration: ModuleNotFoundError: No module named 'absent_one' (models.py:5, in <module>)",
             "install absent_one, absent_two, or do without it: --stub absent_one --stub absent_two"],
            id="not installed",
        ),
        pytest.param(
            FINE, model("from flax.nnx import NoSuchThing"),
            ["after the migration: ImportError: cannot import name 'NoSuchThing'",
             f"both sides run on flax {metadata.version('flax')}, jax {metadata.version('jax')}"],
            id="another release",
        ),
        pytest.param(
            model("raise SystemExit('usage: train.py --data DIR')"), FINE,
            ["before the migration: SystemExit: usage: train.py --data DIR (models.py:5, in <module>)",
             "if __name__ == '__main__':"],
            id="a program",
        ),
        pytest.param(
            FINE, model(result="x + np.ones((10**7, 10**7))"),
            ["after the migration: MemoryError: Unable to allocate", "smaller `args` or `inputs`"],
            id="out of memory",
        ),
        pytest.param(
            model(result="x + __import__('os').kill(__import__('os').getpid(), 9)"), FINE,
            ["before the migration: was killed, as happens when memory runs out", "smaller `args`"],
            id="killed",
        ),
        pytest.param(
            model(result="x * jnp.nan"), model(result="x * jnp.nan"),
            ["NaN or infinite on both sides", "other `args` or `inputs`"],
            id="nan",
        ),
        pytest.param(
            model(result="x + np.random.standard_normal(x.shape)"),
            model(result="x + np.random.standard_normal(x.shape)"),
            ["the code before differs from itself", "until it is deterministic"],
            id="not deterministic",
        ),
    ],
)  # fmt: skip
def test_code_that_does_not_run_or_proves_nothing(verify, old: str, new: str, messages: list[str]) -> None:
    result = verify(old, new)
    assert result.exit_code == 1, result.output
    for message in messages:
        assert message in result.output
    assert "Traceback" not in result.output


def test_verbose_shows_the_traceback(verify) -> None:
    result = verify(model("raise ValueError('broken')"), FINE, "--verbose")
    assert result.exit_code == 1
    assert "before the migration: ValueError: broken" in result.output
    assert "Traceback (most recent call last)" in result.output
    assert "raise ValueError('broken')" in result.output


def test_a_model_that_is_too_large_and_one_that_is_called_wrongly(verify, tmp_path: Path, run: Run) -> None:
    result = verify(FINE, FINE, args="width=10**10")
    assert result.exit_code == 1
    assert "TooLargeError: its variables need 152,588 MiB; list the model with smaller" in result.output
    config = tmp_path / "new" / "nnx-migrate.toml"
    config.write_text(config.read_text().replace('"f32[2,3]"', '"f32[2,3]", "f32[2]"').replace("10**10", "2"))
    wrong = run("verify", str(tmp_path / "new"), "--before", str(tmp_path / "old"), *QUICK)
    assert wrong.exit_code == 1
    assert "TypeError" in wrong.output
    assert "with the right `args` and `inputs`" in wrong.output


def test_an_input_that_states_no_array_is_an_error_of_the_configuration(verify) -> None:
    result = verify(FINE, FINE, inputs='"f32[2,N]"')
    assert result.exit_code == 2
    assert "nnx-migrate.toml: [[tool.nnx-migrate.verify]] models:Net: inputs: 'f32[2,N]'" in result.output


def test_the_code_after_in_the_place_of_the_code_before(tmp_path: Path, run: Run) -> None:
    (tmp_path / "models.py").write_text("x = 1\n")
    (tmp_path / ".nnx-migrate").mkdir()
    entry = '{"version": 1, "modules": {"models:Net": {"entries": [], "sizes": [], "rngs": true}}}'
    (tmp_path / ".nnx-migrate" / "parameters.json").write_text(entry)
    result = run("verify", str(tmp_path), "--before", str(tmp_path))
    assert result.exit_code == 2
    assert "none of the classes that were converted" in result.output
    assert "--before-rev" in result.output


@pytest.mark.parametrize("command", [("verify", ".", "--before", "."), ("checkpoint", "inspect", "x")])
def test_packages_that_are_too_old_or_absent(run: Run, monkeypatch, command: tuple[str, ...]) -> None:
    right = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.10.2" if name == "flax" else right(name))
    old = run(*command)
    assert old.exit_code == 2
    assert "flax 0.12.8 or newer, and 0.10.2 is installed: pip install -U 'nnx-migrate[verify]'" in old.output

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    missing = run(*command)
    assert missing.exit_code == 2
    assert "is not installed" in missing.output


def test_a_mistake_of_the_program_itself_is_said_and_shown_with_verbose(
    tmp_path: Path, run: Run, monkeypatch
) -> None:
    from nnx_migrate.verification.comparison import Comparison

    def broken(self) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(Comparison, "run", broken)
    command = ("verify", str(tmp_path), "--before", str(tmp_path))
    result = run(*command)
    assert result.exit_code == 2
    assert "KeyError: 'nobody thought of this'" in result.output
    assert "--verbose" in result.output
    assert isinstance(run(*command, "--verbose").exception, KeyError)
