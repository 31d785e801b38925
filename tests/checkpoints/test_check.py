"""`check` finds what went wrong on the way, in arrays and outputs; and the command line around it all."""

import json
import shutil
import subprocess

import numpy as np
import orbax.checkpoint as ocp
import pytest
from click.testing import CliRunner
from flax import serialization, traverse_util

from nnx_migrate.checkpoints.check import Call, check_contents, compare_outputs
from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.cli import group
from tests.checkpoints import states


@pytest.fixture(scope="module")
def trained():
    """As after training: no leaf is zero, so that each differs from every other."""
    state = states.cnn_state(steps=0)
    return state.replace(step=2, opt_state=states.perturbed(state.opt_state, 1))


@pytest.fixture
def converted(tmp_path, write_map, project, trained):
    (tmp_path / "old").write_bytes(serialization.to_bytes(trained))
    conversion = plan_conversion(
        tmp_path / "old", "new_models:cnn_and_optimizer", parameter_map=write_map(), folder=project
    )
    conversion.write(tmp_path / "new")
    return conversion


def damaged(folder, path, change):
    """Saves the checkpoint again, with one leaf changed (None removes it)."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        flat = traverse_util.flatten_dict(checkpointer.restore(folder), sep="/")
        value = change(flat.pop(path))
        if value is not None:
            flat[path] = value
        shutil.rmtree(folder)
        checkpointer.save(folder, traverse_util.unflatten_dict(flat, sep="/"))


def test_a_good_conversion_passes(converted, tmp_path):
    verdict = check_contents(converted, tmp_path / "new")
    assert verdict.passed and verdict.arrays == len(converted.plan.arrays()) == 28


@pytest.mark.parametrize(
    ("path", "change", "problem"),
    [
        (
            "model/layers/1/kernel/value",
            lambda leaf: -leaf,
            "model/layers/1/kernel/value differs from params/Dense_1",
        ),
        ("optimizer/opt_state/0/mu/bn/scale/value", lambda leaf: leaf[::-1], "mu/bn/scale/value differs"),
        ("model/bn/var/value", lambda leaf: leaf.astype(np.float64), "model/bn/var/value differs"),
        ("optimizer/step/value", lambda leaf: np.asarray(leaf + 1), "optimizer/step/value differs from step"),
        ("model/conv/bias/value", lambda leaf: None, "model/conv/bias/value is missing"),
    ],
)
def test_changed_arrays_are_found(path, change, problem, converted, tmp_path):
    damaged(tmp_path / "new", path, change)
    verdict = check_contents(converted, tmp_path / "new")
    assert not verdict.passed
    assert len(verdict.problems) == 1 and problem in verdict.problems[0]


CALL = Call(["f32[2,6,6,3]"], "train=False", "train=False")


def compare(conversion, tmp_path, project, call=CALL, old="old_models:CNN()", **options):
    return compare_outputs(
        conversion,
        tmp_path / "new",
        old_model=old,
        old_folder=project,
        new_model="new_models:cnn_and_optimizer",
        new_folder=project,
        call=call,
        **options,
    )


def test_a_changed_weight_shows_in_the_output(converted, tmp_path, project):
    damaged(tmp_path / "new", "model/conv/kernel/value", lambda leaf: leaf * 1.01)
    (leaf,) = compare(converted, tmp_path, project)
    assert leaf.verdict == "different" and leaf.max_abs > 1e-4


def test_a_side_that_can_not_run_says_so(converted, tmp_path, project):
    with pytest.raises(CheckpointError, match=r"The old model .* ScopeParamShapeError"):
        compare(converted, tmp_path, project, Call(["f32[2,6,6,5]"], "train=False", "train=False"))


def run(*arguments):
    return CliRunner().invoke(group, ["checkpoint", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def command(tmp_path, write_map, project, trained):
    """Runs a subcommand on a msgpack checkpoint, with the options that they share."""
    (tmp_path / "old").write_bytes(serialization.to_bytes(trained))
    shared = ["--model", "new_models:cnn_and_optimizer", "--map", write_map(), "--project", project]

    def call(name, *arguments):
        return run(name, tmp_path / "old", tmp_path / "new", *shared, *arguments)

    return call


def test_inspect_prints_the_tree(tmp_path, trained):
    (tmp_path / "old").write_bytes(serialization.to_bytes(trained))
    result = run("inspect", tmp_path / "old")
    assert result.exit_code == 0
    lines = {tuple(line.split()) for line in result.output.splitlines()}
    assert ("kernel", "[3,", "3,", "3,", "4]", "float32", "432", "B") in lines
    assert ("step", "int", "2") in lines
    shallow = run("inspect", tmp_path / "old", "--depth", 1).output
    assert "params/" in shallow and "kernel" not in shallow
    leaves = json.loads(run("inspect", tmp_path / "old", "--json").output)["leaves"]
    assert leaves["params/Conv_0/kernel"] == {"shape": [3, 3, 3, 4], "dtype": "float32", "bytes": 432}


def test_dry_run_prints_the_mapping_and_writes_nothing(command, tmp_path):
    result = command("convert", "--dry-run")
    assert result.exit_code == 0 and not (tmp_path / "new").exists()
    lines = [line.split() for line in result.output.splitlines()]
    assert ["params/Dense_1/bias", "->", "model/layers/1/bias/value", "float32[3]"] in lines
    assert ["(new", "model)", "->", "model/dropout/rngs/key/value", "initial", "value"] in lines
    mapping = json.loads(command("convert", "--dry-run", "--json").output)
    assert {"from": ["step"], "to": ["optimizer/step/value"], "shapes": [[]]}.items() <= next(
        array for array in mapping["arrays"] if array["from"] == ["step"]
    ).items()


def test_convert_and_check_from_the_command_line(command, tmp_path, project):
    result = command("convert")
    assert (result.exit_code, result.output) == (0, f"{tmp_path / 'new'}: 28 arrays, 2.2 KiB\n")
    checked = command("check", "--json")
    assert checked.exit_code == 0
    assert json.loads(checked.output) == {
        "passed": True,
        "arrays": 28,
        "problems": [],
        "outputs": [],
        "skipped": ["outputs: no old model was given (--old)"],
    }
    damaged(tmp_path / "new", "model/bn/bias/value", lambda leaf: leaf + 1)
    failed = command("check")
    assert failed.exit_code == 1 and "FAILED" in failed.output


def test_check_takes_the_old_project_from_git(command, tmp_path, project):
    """The migrated working tree has no Linen model any more; a revision has."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    shutil.copy(project / "old_models.py", repository)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "Linen"], check=True)
    (repository / "old_models.py").unlink()
    shutil.copy(project / "new_models.py", repository)
    assert command("convert", "-q").exit_code == 0
    options = ["--old", "old_models:CNN", "--input", "f32[2,6,6,3]", "--call", "train=False"]
    options += ["--project", repository]
    result = command("check", *options, "--before-rev", "HEAD")
    assert result.exit_code == 0, result.output
    assert "(value): equal" in result.output
    wrong = command("check", *options, "--before-rev", "no-such-revision")
    assert wrong.exit_code == 2 and "no-such-revision" in wrong.output


def test_errors_are_messages_with_exit_code_2(tmp_path, command):
    (tmp_path / "old").write_bytes(b"\x81\xa6params")
    result = command("convert")
    assert result.exit_code == 2
    assert result.output.startswith("error: ") and "truncated" in result.output
    assert run("inspect", tmp_path / "nothing").exit_code == 2
    wrong = command("check", "--old", "old_models:CNN", "--input", "f32[2,N]")
    assert wrong.exit_code == 2
    assert "--input: 'f32[2,N]' states no array: write" in wrong.output


def test_the_map_that_fix_recorded_is_found(tmp_path, write_map, project, trained):
    from nnx_migrate.cli.checkpoint import MAP
    from nnx_migrate.numerics.parameter_map import DEFAULT_LOCATION

    assert MAP == DEFAULT_LOCATION
    work = tmp_path / "work"
    shutil.copytree(project, work)
    (work / MAP).parent.mkdir()
    shutil.copy(write_map(), work / MAP)
    (tmp_path / "old").write_bytes(serialization.to_bytes(trained))
    options = ["--model", "new_models:cnn", "--project", work, "--model-only", "--dst-step", 4]
    assert run("convert", tmp_path / "old", tmp_path / "new", *options).exit_code == 0
    assert ("bn", "mean", "value") in open_checkpoint(tmp_path / "new", step=4).leaves
