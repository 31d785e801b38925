"""Lists of arrays that are put together: `jnp.stack([head(x) for head in self.heads], axis=1)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim, maximum, same, single_atom
from nnx_migrate.linen.dims.terms import Symbol
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.elements import ManyOf
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Expr, Iterated, ModuleList

_LENGTH = Dim.unknown("the length of a list of arrays")


def many_of(frame: Frame, node: ast.AST, element: Array, iterables: Sequence[Any]) -> ManyOf:
    """What a comprehension makes that takes `iterables`, one within the other."""
    skips = any(generator.ifs for generator in getattr(node, "generators", ()))
    made = [one.rounds.loop for one in iterables if isinstance(one, ModuleList) and one.rounds is not None]
    own = {name for loop in (node, *made) for name in frame.session.loop_symbols.get(id(loop), ())}
    dims = tuple(_behind(dim, own) for dim in element.shape.dims)
    count = count_of(iterables[0]) if len(iterables) == 1 and not skips else _LENGTH
    return ManyOf(element, element.with_shape(Shape(dims, element.shape.lead)), _behind(count, own))


def alike_arrays(value: Any) -> list[Array] | None:
    """Two arrays of a list whose arrays have the same shape, for what doesn't depend on their number; else None."""
    if isinstance(value, ManyOf):
        return [value.shared] * 2
    if isinstance(value, ArrayList) and value.element is not None and not value.varying:
        return [value.element] * 2
    return None


def put_together(transfer: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of a list of arrays, if the list is its first argument; NotImplemented for other calls.

    What it makes of two arrays and of three shows what each one adds to which size.
    """
    first = args[0] if args else None
    if isinstance(first, ManyOf):
        element, count = first.shared, first.count
    elif isinstance(first, ArrayList) and first.element is not None:
        return _of_list(transfer, first, args[1:], kwargs)
    else:
        return NotImplemented
    two, three = (transfer([element] * n, *args[1:], **kwargs) for n in (2, 3))
    if not isinstance(two, Array) or not isinstance(three, Array):
        return two
    if len(two.shape.dims) != len(three.shape.dims):
        return NotImplemented
    pairs = zip(two.shape.dims, three.shape.dims, strict=True)
    return two.with_shape(Shape(tuple(_of_count(a, b, count) for a, b in pairs), two.shape.lead))


def _of_list(
    transfer: Callable[..., Any], arrays: ArrayList, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A function of arrays that may differ in size: where it adds sizes up, it gives their total."""
    element, totals, agreed = arrays.element, dict(arrays.totals), dict(arrays.agreed)
    assert element is not None
    axes = range(-len(element.shape.dims), 0)
    marks = {axis: Dim.size(f"size{-axis}§of") for axis in axes if axis in totals or axis in agreed}
    dims = tuple(marks.get(axis, element.shape.dim(axis)) for axis in axes)
    marked = element.with_shape(Shape(dims, element.shape.lead))
    two, three = (transfer([marked] * n, *args, **kwargs) for n in (2, 3))
    if not isinstance(two, Array) or not isinstance(three, Array):
        return two
    if len(two.shape.dims) != len(three.shape.dims):
        return NotImplemented
    count = arrays.count if arrays.count is not None else _LENGTH
    sizes = {mark.text(): element.shape.dim(axis) for axis, mark in marks.items()}
    found: list[Dim] = []
    for a, b in zip(two.shape.dims, three.shape.dims, strict=True):
        sums = [
            total
            for axis, total in totals.items()
            if axis in marks and same(b - a, marks[axis]) and same(a, marks[axis] * 2)
        ]
        sums += [agreed[axis] for axis in agreed if axis in marks and same(a, b) and same(a, marks[axis])]
        found.append(sums[0] if sums else _of_count(a.substitute(sizes.get), b.substitute(sizes.get), count))
    return two.with_shape(Shape(tuple(found), two.shape.lead))


def _of_count(two: Dim, three: Dim, count: Dim) -> Dim:
    """A size for `count` arrays, from those for two and three."""
    if not two.known or not three.known or same(two, three):
        return two
    return two + (three - two) * (count - 2)


def _behind(dim: Dim, own: set[str]) -> Dim:
    """A size behind a loop: unknown where it may be another one in each round."""
    names = {match.group() for text in dim.symbols() for match in TOKEN.finditer(text)}
    return dim if names.isdisjoint(own) else Dim.unknown("a size in which the elements of a list differ")


def count_of(iterable: Any) -> Dim:
    """How many rounds there are."""
    if isinstance(iterable, tuple | list):
        return Dim.of(len(iterable))
    if isinstance(iterable, ManyOf):
        return iterable.count
    if isinstance(iterable, ModuleList):
        return count_of(iterable.rounds.iterable) if iterable.rounds is not None else _LENGTH
    if isinstance(iterable, Iterated) and iterable.kind == "range" and len(iterable.args) == 1:
        count = as_dim(iterable.args[0])
        return count if count is not None else _LENGTH
    if isinstance(iterable, Iterated) and iterable.kind in ("enumerate", "reversed") and iterable.args:
        return count_of(iterable.args[0])
    if isinstance(iterable, Expr) and iterable.kind == "sequence" and TOKEN.search(iterable.text) is None:
        return Dim.symbol(f"len({iterable.text})", 0)
    return _LENGTH


def rounds_of(loop: ast.For, iterable: Any) -> Dim:
    """How often the body of a loop runs, to its end."""
    if any(isinstance(n, ast.Break | ast.Continue | ast.Return) for s in loop.body for n in ast.walk(s)):
        return _LENGTH
    if isinstance(iterable, Iterated) and iterable.kind == "range" and len(iterable.args) == 2:
        start, stop = map(as_dim, iterable.args)
        count = stop - start if start is not None and stop is not None else _LENGTH
    else:
        count = count_of(iterable)
    is_plain = isinstance(single_atom(count), Symbol)  # a number of layers isn't negative
    return count if not count.known or is_plain else maximum(count, 0)
