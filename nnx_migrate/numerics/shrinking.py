"""Smaller sizes for a large model: what takes minutes at full size shows as much at an eighth of it.

Numbers in a Linen model's fields, and the axes of its inputs, are divided by one factor, and numbers of layers cut to
two. Which of these still work is found out without computing anything; a model counts as the same in small if it has
variables of the same names (numbers in them aside) and ranks, so that no branch of its code is lost.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, run_child
from nnx_migrate.numerics.source import ModelSource, SourceNamespace

#: Above this many parameters a model is compared in smaller sizes.
LARGE = 2_000_000
_FACTORS = (16, 8, 4, 2, 1)
#: Smaller numbers are seldom widths: heads, kernels, strides.
_LEAST = 32
_DEPTHS = re.compile(r"layer|depth|block|stage|repeat")


@dataclass(frozen=True)
class Smaller:
    """`fields` to be given instead, and what to cut from arrays (`[:2, :28]`), by place or by keyword."""

    fields: Mapping[str, str]
    positional: Sequence[str]
    keywords: Mapping[str, str]


def smaller_sizes(
    source: ModelSource, limit: int = LARGE, timeout: float = DEFAULT_TIMEOUT
) -> Smaller | None:
    """Sizes for a Linen model of more than `limit` parameters; None for one that has less, or no smaller one.

    Raises ChildError where the code can't be imported or the model not be built.
    """
    job = {"action": "shrink", "source": source.to_json(), "limit": limit}
    found = run_child(job, timeout, platform="cpu")["found"]
    return None if found is None else Smaller(**found)


def shrink(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """`smaller_sizes`, in the process that may import the user's code."""
    names = SourceNamespace(source)
    model = names.evaluate(source.model)
    args, kwargs = names.positional(source.args), names.keywords(source.eval_kwargs)
    full = _variables(model, args, kwargs)
    if len(args) != len(source.args) or _parameters(full) <= job["limit"]:
        return {"found": None}
    values = _sizes(model)
    for factor in _FACTORS:
        for cut in (True, False):
            fields = dict(_smaller_fields(values, factor, cut))
            cuts = [_cut(value, factor) for value in args]
            named = {name: _cut(value, factor) for name, value in kwargs.items()}
            try:
                small = _variables(
                    model.clone(**fields),
                    [_taken(value, text) for value, text in zip(args, cuts, strict=True)],
                    {name: _taken(value, named[name]) for name, value in kwargs.items()},
                )
            except Exception:  # the user's code may raise anything
                continue
            if _parameters(small) < _parameters(full) / 2 and _outline(small) == _outline(full):
                texts = {name: repr(value) for name, value in fields.items()}
                return {"found": {"fields": texts, "positional": cuts, "keywords": named}}
    return {"found": None}


def _variables(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Shapes of what `init` makes, by path."""
    import jax

    from nnx_migrate.numerics.linen_side import state_collections
    from nnx_migrate.numerics.trees import flatten, split_arrays

    arrays, rebuild = split_arrays((tuple(args), dict(kwargs)))

    def init(keys: Any, arrays: Any) -> Any:
        args, kwargs = rebuild(arrays)
        return flatten(state_collections(model.init(keys, *args, **kwargs)))

    keys = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
    return jax.eval_shape(init, keys, arrays)  # type: ignore[no-any-return]


def _parameters(variables: Mapping[Any, Any]) -> int:
    return sum(math.prod(leaf.shape) for leaf in variables.values())


def _outline(variables: Mapping[tuple[str, ...], Any]) -> set[tuple[str, int]]:
    return {(re.sub(r"\d+", "", "/".join(path)), len(leaf.shape)) for path, leaf in variables.items()}


def _sizes(model: Any) -> dict[str, Any]:
    """The fields that hold integers, or tuples of integers."""
    fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.init}
    return {name: value for name, value in fields.items() if name != "name" and _is_size(value)}


def _is_size(value: Any) -> bool:
    return type(value) is int or (isinstance(value, tuple) and bool(value) and all(map(_is_size, value)))


def _smaller_fields(values: Mapping[str, Any], factor: int, cut: bool) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        depth = cut and _DEPTHS.search(name.lower()) is not None
        small = _each(value, factor, depth)
        if small != value:
            yield name, small


def _each(value: Any, factor: int, depth: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_each(item, factor, depth) for item in value)
    return 2 if depth and 2 < value < _LEAST else _divided(value, factor)


def _divided(size: int, factor: int) -> int:
    return size // factor if size >= _LEAST and size % factor == 0 else size


def _cut(value: Any, factor: int) -> str:
    """What to write behind an array to have less of it; empty for what stays."""
    shape = getattr(value, "shape", ())
    small = [_divided(size, factor) for size in shape]
    return "" if small == list(shape) else f"[{', '.join(f':{size}' for size in small)}]"


def _taken(value: Any, cut: str) -> Any:
    return eval(f"value{cut}", {"value": value}) if cut else value
