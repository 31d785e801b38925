"""Which of several ways to build and call a Linen model works, found out without computing anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, run_child
from nnx_migrate.numerics.source import ModelSource, SourceNamespace


def first_that_works(
    source: ModelSource,
    ways: Sequence[tuple[str, Sequence[str]]],
    timeout: float = DEFAULT_TIMEOUT,
    python: str = sys.executable,
) -> int | str:
    """The number of the first way, or what the first one raised if none works.

    A way is the model (an expression) and its positional inputs, in place of those of `source`; what they
    need for keyword arguments is that one's. Works means that `init` can be traced and has an output. Raises
    ChildError where the code can't be imported.
    """
    job = {"action": "try", "source": source.to_json(), "ways": [[m, list(inputs)] for m, inputs in ways]}
    answer = run_child(job, timeout, python, platform="cpu")
    found = answer["found"]
    return int(found) if found is not None else str(answer["reason"])


def try_ways(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """`first_that_works`, in the process that may import the user's code."""
    names = SourceNamespace(source)
    kwargs = names.keywords(source.eval_kwargs)
    reason = "there is no way to build it"
    for number, (model, inputs) in enumerate(job["ways"]):
        try:
            _trace(names.evaluate(model), names.positional(tuple(inputs)), kwargs)
            return {"found": number}
        except Exception as error:  # the user's code may raise anything
            reason = f"{type(error).__name__}: {error}" if number == 0 else reason
    return {"found": None, "reason": reason}


def _trace(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    import jax

    from nnx_migrate.numerics.trees import flatten_output, split_arrays

    arrays, rebuild = split_arrays((args, kwargs))

    def init(keys: Any, arrays: Any) -> Any:
        args, kwargs = rebuild(arrays)
        output, _ = model.init_with_output(keys, *args, **kwargs)
        return flatten_output(output)[0]

    keys = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
    if not jax.eval_shape(init, keys, arrays):
        raise ValueError("its output holds no array")
