"""`jax.vmap`: one axis of each argument taken away, the function followed, the axis put back into the results."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.leads import behind_front, with_front
from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown, Unmodelled
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.submodules.pure_modules import inside_transform, is_pure
from nnx_migrate.linen.values import (
    Bound,
    Closure,
    Either,
    Instance,
    Layer,
    Mapped,
    Maybe,
    Partial,
    SelfValue,
)


def is_function(value: Any) -> bool:
    """Whether a value is a function that can be followed, or one of a library."""
    if isinstance(value, Partial):
        return is_function(value.func)
    if isinstance(value, Bound):
        return isinstance(value.value, SelfValue)
    if isinstance(value, Closure | Mapped | Global) or (isinstance(value, Layer) and not value.is_class):
        return True
    return is_pure(value)


def vmap(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapped | None:
    """The function that `jax.vmap(...)` returns, None where its arguments aren't simple."""
    names = ("fun", "in_axes", "out_axes")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    given = {k: v for k, v in given.items() if k not in ("axis_size", "axis_name", "spmd_axis_name")}
    if len(args) > len(names) or not given.keys() <= set(names) or not is_function(given.get("fun")):
        return None
    in_axes, out_axes = given.get("in_axes", 0), given.get("out_axes", 0)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    simple = all(_is_axis(axis) for axis in (in_axes if isinstance(in_axes, tuple) else (in_axes,)))
    return Mapped(given["fun"], in_axes, out_axes) if simple and type(out_axes) is int else None


def _is_axis(value: Any) -> bool:
    return value is None or type(value) is int


def call_mapped(
    frame: Frame, mapped: Mapped, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """What the mapped function returns for arrays of known rank."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    axes = mapped.in_axes if isinstance(mapped.in_axes, tuple) else (mapped.in_axes,) * len(args)
    if len(axes) != len(args):
        return Unknown("`jax.vmap` with another number of axes than of arguments")
    sizes: list[Dim] = []
    try:
        rows = tuple(row(frame, a, axis, sizes) for a, axis in zip(args, axes, strict=True))
        named = {name: row(frame, value, 0, sizes) for name, value in kwargs.items()}
        if not sizes:
            return Unknown("`jax.vmap` over nothing")
        is_module = isinstance(mapped.func, Instance | Either | Maybe)
        inner = None if is_module else node  # the call is the mapped function's
        with inside_transform(frame):
            result = apply(frame, mapped.func, rows, named, inner)
        return with_axis(result, mapped.out_axes, sizes[0])
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def jvp(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`jax.jvp(f, primals, tangents)`: what the function returns, and as much for the tangents; None where unclear."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    if len(args) != 3 or kwargs or not is_pure(args[0]) or not isinstance(args[1], tuple | list):
        return None
    with inside_transform(frame):
        result = apply(frame, args[0], tuple(args[1]), {}, None)
    return (result, result)


def row(frame: Frame, value: Any, axis: int | None, sizes: list[Dim]) -> Any:
    """An argument without its mapped axis, the size of which is added to `sizes`. Raises Unmodelled."""
    if axis is None or value is None:
        return value
    if isinstance(value, tuple | list):
        return type(value)(row(frame, item, axis, sizes) for item in value)
    if isinstance(value, dict):
        return {key: row(frame, item, axis, sizes) for key, item in value.items()}
    array = effect_value(frame.session, value)
    if not isinstance(array, Array):
        raise Unmodelled("`jax.vmap` over something that isn't known to be an array")
    if not array.shape.exact and axis == 0 and array.shape.dims:  # what comes after is where it was
        sizes.append(array.shape.dim(0))
        return array.with_shape(Shape(array.shape.dims, behind_front(array.shape.lead or "")))
    place = array.shape.axis(axis)
    sizes.append(array.shape.dim(place))
    return array.with_shape(array.shape.without([place]))


def with_axis(value: Any, axis: int, size: Dim) -> Any:
    """A result with an axis of that size. Raises Unmodelled where it has no known place."""
    if isinstance(value, tuple | list):
        return type(value)(with_axis(item, axis, size) for item in value)
    if isinstance(value, dict):
        return {key: with_axis(item, axis, size) for key, item in value.items()}
    if not isinstance(value, Array):
        raise Unmodelled(value.reason if isinstance(value, Unknown) else "what `jax.vmap` returns")
    dims, lead = list(value.shape.dims), value.shape.lead
    if lead is not None and axis == 0:
        return value.with_shape(Shape(tuple(dims), with_front(lead)))
    if lead is not None and not -len(dims) <= axis + 1 <= 0:
        raise Unmodelled("an axis of an array of unknown rank")
    place = axis if axis >= 0 else len(dims) + 1 + axis
    if not 0 <= place <= len(dims):
        raise Unmodelled("an axis out of bounds")
    dims.insert(place, size)
    return value.with_shape(Shape(tuple(dims), lead))
