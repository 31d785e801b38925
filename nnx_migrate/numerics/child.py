"""The process that runs user code for `processes.run_child`: ``python -m ... JOB ANSWER``.

A job is a JSON object with an ``action``:

- ``trace``: a model's shapes (`shapes_trace.trace`);
- ``before``: builds the first side, perturbs its variables, runs the protocol, writes the report to
  ``output``;
- ``after``: builds the second side, takes the first one's variables over from ``report``, and does the same;
- ``shrink``: smaller sizes for a large model (`shrinking.smaller_sizes`);
- ``try``: says which of the ``ways`` to build and call a model works (`trial.first_that_works`).

The answer is a JSON object; an exception becomes ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax  # noqa: F401  before the user's folders, which may hold modules with names of the standard library's
import optax  # noqa: F401

from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.numerics.stubs import install_stubs

Action = Callable[[ModelSource, Mapping[str, Any]], dict[str, Any]]


def main(job_file: str, answer_file: str, actions: Mapping[str, Action] | None = None) -> None:
    """Runs one job and writes its answer. `actions` are those of another program of the same manners."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        source = ModelSource.from_json(job["source"])
        sys.path[:0] = source.import_roots
        install_stubs(source.stubs)
        sys.argv = ["nnx-migrate"]
        os.chdir(source.root)
        answer = (actions or _ACTIONS)[job["action"]](source, job)
    except BaseException as error:  # user code may raise SystemExit too
        answer = {"error": _explain(error, Path(job["source"]["root"])), "traceback": traceback.format_exc()}
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


def _trace(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    from nnx_migrate.numerics.shapes_trace import trace

    return trace(source)


def _before(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    from nnx_migrate.numerics import process_proof

    return process_proof.run_before(source, job)


def _after(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    from nnx_migrate.numerics import process_proof

    return process_proof.run_after(source, job)


def _shrink(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    from nnx_migrate.numerics.shrinking import shrink

    return shrink(source, job)


def _try(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    from nnx_migrate.numerics.trial import try_ways

    return try_ways(source, job)


_ACTIONS: Mapping[str, Action] = {
    "trace": _trace,
    "before": _before,
    "after": _after,
    "shrink": _shrink,
    "try": _try,
}


def _explain(error: BaseException, root: Path) -> str:
    """The exception and the innermost line of the user's own code, which stands below `root`."""
    name = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
    files = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename, root)]
    place = f" ({files[-1].filename}:{files[-1].lineno}, in {files[-1].name})" if files else ""
    return f"{name}: {error}{place}"


def _is_own(filename: str, root: Path) -> bool:
    return "site-packages" not in filename and Path(filename).is_relative_to(root)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
