"""`nnx-migrate checkpoint`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from nnx_migrate.cli.common import Fatal, Progress
from nnx_migrate.cli.environment import require_packages, without_traceback

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
MAP = Path(".nnx-migrate") / "parameters.json"  # parameter_map.DEFAULT_LOCATION, without its imports


@click.group(short_help="carry trained parameters over")
def command() -> None:
    """Carry checkpoints of Linen programs over to the migrated program.

    Read are msgpack files (flax.training.checkpoints, flax.serialization.to_bytes), Orbax folders (PyTree,
    Standard, Composite, CheckpointManager), .npz, .safetensors, and pickles with --allow-pickle. What is
    written is Orbax.
    """
    os.environ.setdefault(
        "XLA_PYTHON_CLIENT_PREALLOCATE", "false"
    )  # an accelerator is for the models that run


def _with(options: list[Any], function: Function) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def reading_options(function: Function) -> Function:
    """The options that say what of SRC is read."""
    options = [
        click.option("--step", type=float, help="Step of a folder of steps (default: the latest)."),
        click.option("--item", metavar="NAME", help="Item of a composite checkpoint."),
        click.option(
            "--allow-pickle", is_flag=True, help="Load pickled files. That runs code from the file!"
        ),
        click.option("--verbose", is_flag=True, help="Show the traceback of an error."),
    ]
    return _with(options, function)


def conversion_options(function: Function) -> Function:
    """The options that say what SRC becomes."""
    options = [
        click.option("--model", required=True, metavar="MODULE:EXPR", help=_MODEL_HELP),
        click.option(
            "--map", "map_file", type=PATH, help=f"The map that `fix` recorded (default: {MAP}, if any)."
        ),
        click.option("--module", "root_class", metavar="CLASS", help="The model's class in the map."),
        click.option("--project", type=PATH, default=Path(), help="Folder that --model is imported from."),
        click.option(
            "--layout",
            type=click.Choice(["nnx", "functional", "train-state"]),
            default="nnx",
            help=_LAYOUT_HELP,
        ),
        click.option(
            "--pure", is_flag=True, help="Lay the state out as nnx.to_pure_dict does (no `value` level)."
        ),
        click.option("--model-only", is_flag=True, help="Leave out optimizer state and all else."),
        click.option("--drop", multiple=True, metavar="GLOB", help="Leave out leaves of SRC."),
        click.option(
            "--fresh",
            multiple=True,
            metavar="GLOB",
            help="NNX leaves that get the new model's initial values.",
        ),
        click.option(
            "--rngs/--no-rngs", default=True, help="Write the new model's initial PRNG state, or none."
        ),
        click.option("--cast", is_flag=True, help="Convert variables to the model's dtypes."),
        click.option("--unreplicate", is_flag=True, help="SRC was saved from pmap: drop the device axis."),
    ]
    return _with(options, function)


_MODEL_HELP = (
    'Builds the migrated model: "pkg.train:make". May return a model, (model, optimizer), or a dict of'
    " those by their place in SRC."
)
_LAYOUT_HELP = (
    "nnx: {'model': nnx.state(model), 'optimizer': nnx.state(optimizer)}, or just nnx.state(model) if SRC"
    " holds nothing else. functional: the fields and collections of SRC as dicts of arrays, for programs that call"
    " the model as a function of them. train-state: the same with NNX states."
)


@command.command()
@click.argument("src", type=PATH)
@click.option("--depth", type=click.IntRange(1), help="How many levels of the tree to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def inspect(
    src: Path,
    depth: int | None,
    as_json: bool,
    step: float | None,
    item: str | None,
    allow_pickle: bool,
    verbose: bool,
) -> None:
    """Show what SRC holds: the tree with shapes, dtypes and sizes. Reads no array."""
    with _errors(verbose):
        from nnx_migrate.checkpoints.describe import tree_json, tree_lines
        from nnx_migrate.checkpoints.detect import open_checkpoint

        checkpoint = open_checkpoint(src, step=step, item=item, allow_pickle=allow_pickle)
        click.echo(json.dumps(tree_json(checkpoint)) if as_json else "\n".join(tree_lines(checkpoint, depth)))


@command.command()
@click.argument("src", type=PATH)
@click.argument("dst", type=PATH)
@reading_options
@conversion_options
@click.option("--dry-run", is_flag=True, help="Print the mapping, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the mapping as JSON (with --dry-run).")
@click.option("--overwrite", is_flag=True, help="Replace DST.")
@click.option("--dst-step", type=int, help="Make DST a CheckpointManager folder with this step.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no summary.")
def convert(
    dst: Path,
    dry_run: bool,
    as_json: bool,
    overwrite: bool,
    dst_step: int | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Write the checkpoint SRC as an Orbax checkpoint DST of the migrated program.

    Everything is planned and checked first: missing, extra or mis-shaped leaves are listed, and nothing is
    written. SRC is never touched; DST appears whole or not at all.
    """
    with _errors(options.pop("verbose")):
        from nnx_migrate.checkpoints.describe import plan_json, plan_lines, readable_size

        conversion = _plan(**options)
        if dry_run:
            plan = conversion.plan
            click.echo(json.dumps(plan_json(plan)) if as_json else "\n".join(plan_lines(plan)))
            return
        with Progress(conversion.nbytes, "converting", not quiet) as progress:
            conversion.write(dst, step=dst_step, overwrite=overwrite, progress=progress)
        if not quiet:
            for note in conversion.plan.notes:
                click.echo(note)
            count, size = len(conversion.plan.arrays()), readable_size(conversion.nbytes)
            click.echo(f"{dst}: {count} arrays, {size}")


@command.command()
@click.argument("src", type=PATH)
@click.argument("dst", type=PATH)
@reading_options
@conversion_options
@click.option("--old", "old_model", metavar="MODULE:EXPR", help="The Linen model, to compare outputs with.")
@click.option("--before", type=PATH, help="Folder of the project before the migration.")
@click.option("--before-rev", metavar="REV", help="Git revision before the migration.")
@click.option("--place", metavar="NAME", default="", help="Which model, if SRC holds several.")
@click.option(
    "--input", "inputs", multiple=True, metavar="SPEC", help='Argument of both: "f32[2,28,28,1]", or Python.'
)
@click.option(
    "--call", "keywords", metavar="KWARGS", default="", help='Keyword arguments of both: "train=False".'
)
@click.option("--old-call", metavar="KWARGS", help="Those of the Linen model, if they differ.")
@click.option("--method", metavar="NAME", help="Method to call instead of __call__.")
@click.option(
    "--tolerance", type=float, default=0.0, help="Largest absolute difference of outputs (default: none)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(src: Path, dst: Path, as_json: bool, verbose: bool, **options: Any) -> None:
    """Prove that DST is SRC carried over.

    Every array is compared bit for bit with its source. With --old, the old model runs on SRC and the
    migrated one on DST, each in a process of its own, and their outputs are compared. Takes the options that
    DST was converted with.
    """
    with _errors(verbose):
        verdict = _check(src, dst, **options)
    if as_json:
        click.echo(json.dumps(_verdict_json(verdict)))
    else:
        click.echo("\n".join(_verdict_lines(verdict)))
    sys.exit(0 if verdict.passed else 1)


def _plan(
    *, src: Path, map_file: Path | None, model: str, project: Path, step: float | None, item: str | None,
    allow_pickle: bool, **choices: Any,
) -> Any:  # fmt: skip
    """The planned conversion; `choices` are the fields of `Options`."""
    from nnx_migrate.checkpoints.convert import plan_conversion
    from nnx_migrate.checkpoints.options import Options

    default = project / MAP
    return plan_conversion(
        src,
        model,
        parameter_map=map_file or (default if default.is_file() else None),
        folder=project.absolute(),
        step=step,
        item=item,
        allow_pickle=allow_pickle,
        options=Options(**choices),
    )


def _check(
    src: Path, dst: Path, *, old_model: str | None, before: Path | None, before_rev: str | None, place: str,
    inputs: tuple[str, ...], keywords: str, old_call: str | None, method: str | None, tolerance: float,
    **options: Any,
) -> Any:  # fmt: skip
    from nnx_migrate.checkpoints.check import Call, check_contents, compare_outputs
    from nnx_migrate.numerics.compare import Tolerance

    call = Call(inputs, keywords if old_call is None else old_call, keywords, method, method)
    conversion = _plan(src=src, **options)
    with Progress(conversion.nbytes, "comparing", True) as progress:
        verdict = check_contents(conversion, dst, progress)
    if old_model is None:
        verdict.skipped.append("outputs: no old model was given (--old)")
        return verdict
    with _old_project(before, before_rev, options["project"]) as old_folder:
        verdict.outputs = compare_outputs(
            conversion,
            dst,
            old_model=old_model,
            old_folder=old_folder,
            new_model=options["model"],
            new_folder=options["project"],
            call=call,
            allow_pickle=options["allow_pickle"],
            tolerance=Tolerance(atol=tolerance, reason="--tolerance") if tolerance else Tolerance(),
            place=tuple(place.split("/")) if place else (),
        )
    return verdict


@contextmanager
def _old_project(before: Path | None, revision: str | None, project: Path) -> Iterator[Path]:
    """The folder of the project before the migration."""
    if revision is None:
        yield before or project
        return
    from nnx_migrate.checkpoints.revision import checked_out

    with checked_out(project, revision) as folder:
        yield folder


def _verdict_lines(verdict: Any) -> list[str]:
    lines = [f"{verdict.arrays} arrays compared with their sources"]
    lines += [f"  {problem}" for problem in verdict.problems] or ["  all equal, bit for bit"]
    if verdict.outputs:
        lines.append("outputs of the old model and the migrated one")
        lines += [f"  {leaf}" for leaf in verdict.outputs]
    lines += [f"not compared: {reason}" for reason in verdict.skipped]
    return [*lines, "passed" if verdict.passed else "FAILED"]


def _verdict_json(verdict: Any) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "arrays": verdict.arrays,
        "problems": verdict.problems,
        "outputs": [leaf.to_json() for leaf in verdict.outputs],
        "skipped": verdict.skipped,
    }


@contextmanager
def _errors(verbose: bool) -> Iterator[None]:
    """Turns what can go wrong into a message and exit code 2."""
    require_packages()
    from nnx_migrate.checkpoints.errors import CheckpointError

    with without_traceback(verbose):
        try:
            yield
        except (CheckpointError, OSError) as error:
            if verbose:
                raise
            raise Fatal(str(error)) from error
