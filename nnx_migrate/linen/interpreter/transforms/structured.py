"""`jax.lax.scan`, `cond` and the like: control flow whose bodies are functions, followed once for their shapes.

What is carried from round to round keeps its shape: JAX insists on it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown, Unmodelled
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.submodules.pure_modules import inside_transform
from nnx_migrate.linen.interpreter.transforms.mapped import call_mapped, is_function, row, with_axis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Mapped

_Arguments = Mapping[str, Any]
_NAMES = {
    "scan": ("f", "init", "xs", "length", "reverse", "unroll"),
    "map": ("f", "xs"),
    "fori_loop": ("lower", "upper", "body_fun", "init_val"),
    "while_loop": ("cond_fun", "body_fun", "init_val"),
}


def control_flow(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: _Arguments, node: ast.Call | None
) -> Any:
    """What a call of `jax.lax.<name>` returns; None where it can't be followed.

    Raises Refuse where the bodies create modules: the constructor could not repeat that.
    """
    before = len(frame.session.facts.sites)
    found = _followed(frame, name, args, kwargs)
    if len(frame.session.facts.sites) != before:
        raise Refuse("unsupported-syntax", f"a module is created within `jax.lax.{name}`", node)
    return found


def _followed(frame: Frame, name: str, args: tuple[Any, ...], kwargs: _Arguments) -> Any:
    if name in ("cond", "switch"):
        return _choice(frame, name, args, kwargs)
    names = _NAMES[name]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    function = given.get("f", given.get("body_fun"))
    if len(args) > len(names) or not is_function(function):
        return None
    if name == "map":
        if given.keys() != {"f", "xs"}:
            return None
        return call_mapped(frame, Mapped(function), (given["xs"],), {}, None)
    if name == "scan":
        return _scan(frame, given)
    start = _traced(frame, given.get("init_val"))
    counter = (Array(Shape(), "int"),) if name == "fori_loop" else ()
    return _kept(start, _call(frame, function, (*counter, start)))


def _scan(frame: Frame, given: _Arguments) -> Any:
    """(carry, ys): the carry as it came, and what the rounds return with an axis of rounds in front."""
    start, xs = _traced(frame, given.get("init")), given.get("xs")
    sizes: list[Dim] = []
    try:
        one = row(frame, xs, 0, sizes)
    except Unmodelled as unmodelled:
        one = Unknown(str(unmodelled))
    end = _call(frame, given["f"], (start, one))
    carry, result = (
        end if isinstance(end, tuple) and len(end) == 2 else (Unknown("no pair"), Unknown("no pair"))
    )
    length = as_dim(given.get("length"))
    if length is None:
        length = sizes[0] if sizes else Dim.unknown("the number of rounds")
    try:
        return (_kept(start, carry), None if result is None else with_axis(result, 0, length))
    except Unmodelled as unmodelled:
        return (_kept(start, carry), Unknown(str(unmodelled)))


def _choice(frame: Frame, name: str, args: tuple[Any, ...], kwargs: _Arguments) -> Any:
    """What the branches agree on."""
    if kwargs or len(args) < 2:
        return None
    if name == "switch" and isinstance(args[1], tuple | list):
        functions, operands = list(args[1]), args[2:]
    elif name == "cond" and len(args) >= 3:
        functions, operands = list(args[1:3]), args[3:]
    else:
        return None
    if not functions or not all(is_function(function) for function in functions):
        return None
    results = [_call(frame, function, tuple(_traced(frame, o) for o in operands)) for function in functions]
    return results[0] if all(result == results[0] for result in results) else _shapes(results)


def _shapes(results: list[Any]) -> Any:
    """The one shape of all results: branches return arrays of the same shape and dtype."""
    first = next((r for r in results if isinstance(r, Array) and r.shape.exact), None)
    return first if first is not None else Unknown("branches that return different things")


def _traced(frame: Frame, value: Any) -> Any:
    """A value as the function sees it: numbers are arrays there."""
    if isinstance(value, tuple | list):
        return type(value)(_traced(frame, item) for item in value)
    if isinstance(value, dict):
        return {key: _traced(frame, item) for key, item in value.items()}
    if isinstance(value, bool | int | float | Dim):
        kind = "bool" if isinstance(value, bool) else "float" if isinstance(value, float) else "int"
        return Array(Shape(), kind, weak=True)
    return effect_value(frame.session, value)


def _kept(start: Any, end: Any) -> Any:
    """What is carried, after the last round: its shape is that of the start, where either is known."""
    if isinstance(start, tuple | list) and isinstance(end, tuple | list) and len(start) == len(end):
        return type(start)(_kept(a, b) for a, b in zip(start, end, strict=True))
    if isinstance(start, dict) and isinstance(end, dict) and start.keys() == end.keys():
        return {key: _kept(value, end[key]) for key, value in start.items()}
    if isinstance(start, Array):
        better = isinstance(end, Array) and end.shape.exact and not start.shape.exact
        return end if better else Array(start.shape, None)
    return end


def _call(frame: Frame, function: Any, args: tuple[Any, ...]) -> Any:
    from nnx_migrate.linen.interpreter.calls.apply import apply

    with inside_transform(frame):
        return apply(frame, function, args, {}, None)
