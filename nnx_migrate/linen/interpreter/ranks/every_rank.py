"""Calls of modules with arrays of unknown rank, where their code counts axes: `axis % x.ndim`.

That code is followed for several numbers of leading axes. Where the same comes out for each of them, but for these
axes, it does so for any number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, lead_dim
from nnx_migrate.linen.dims import Dim

_MOST = 4  # leading axes
_LEAST_ALIKE = 3  # results that have to agree

_Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def result_for_every_rank(call: _Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Array | None:
    """The array that a call gives, with the leading axes of its arguments; None where that can't be told."""
    lead = _common_lead(args, kwargs)
    found: list[Array] = []
    for axes, result in _results(call, lead, args, kwargs) if lead else ():
        behind = _behind(result, axes)
        if behind is not None:
            found.append(behind)
        elif found:
            return None
    alike = len(found) >= _LEAST_ALIKE and all(one == found[0] for one in found)
    return found[0].with_shape(Shape(found[0].shape.dims, lead)) if alike else None


def sizes_for_every_rank(
    call: Callable[[tuple[Any, ...], dict[str, Any]], list[Dim] | None],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> list[Dim] | None:
    """The sizes that a call of some function gives for any number of leading axes; None where that can't be told."""
    lead = _common_lead(args, kwargs)
    found = [sizes for _, sizes in _results(call, lead, args, kwargs)] if lead else []
    known = [sizes for sizes in found if sizes is not None]
    alike = len(known) >= _LEAST_ALIKE and all(sizes == known[0] for sizes in known)
    return known[0] if alike and found[-len(known) :] == known else None


def _common_lead(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What the leading axes of all arrays of unknown rank are called; None where these differ, or none is there."""
    arrays = [value for value in (*args, *kwargs.values()) if isinstance(value, Array)]
    leads = {array.shape.lead for array in arrays if not array.shape.exact}
    return leads.pop() if len(leads) == 1 else None


def _results(
    call: _Call, lead: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[tuple[Dim, ...], Any]]:
    for count in range(_MOST + 1):
        axes = tuple(lead_dim(lead, place) for place in range(count, 0, -1))
        if not all(axis.known for axis in axes):
            return
        values = tuple(_with(value, axes) for value in args)
        yield axes, call(values, {name: _with(value, axes) for name, value in kwargs.items()})


def _with(value: Any, axes: tuple[Dim, ...]) -> Any:
    """An array of unknown rank with these axes in front."""
    if isinstance(value, Array) and not value.shape.exact:
        return value.with_shape(Shape((*axes, *value.shape.dims)))
    return value


def _behind(result: Any, axes: tuple[Dim, ...]) -> Array | None:
    """What stands behind these axes in a result, if that begins with them."""
    if type(result) is not Array or not result.shape.exact or result.shape.dims[: len(axes)] != axes:
        return None
    behind = Shape(result.shape.dims[len(axes) :])
    return result.with_shape(behind) if all(dim.known for dim in behind.dims) else None
