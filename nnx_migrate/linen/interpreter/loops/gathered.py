"""Lists of arrays that are put together: `jnp.stack([head(x) for head in self.heads], axis=1)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.elements import ManyOf
from nnx_migrate.linen.shapes import Array, Shape
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import ArrayList, Expr, Iterated, ModuleList

_LENGTH = Dim.unknown("the length of a list of arrays")


def many_of(frame: Frame, node: ast.AST, element: Array, iterables: Sequence[Any]) -> ManyOf:
    """What a comprehension makes that takes `iterables`, one within the other."""
    skips = any(generator.ifs for generator in getattr(node, "generators", ()))
    made = [one.rounds.loop for one in iterables if isinstance(one, ModuleList) and one.rounds is not None]
    own = {name for loop in (node, *made) for name in frame.session.loop_symbols.get(id(loop), ())}
    dims = tuple(_behind(dim, own) for dim in element.shape.dims)
    count = _count(iterables[0]) if len(iterables) == 1 and not skips else _LENGTH
    return ManyOf(element, element.with_shape(Shape(dims, element.shape.lead)), _behind(count, own))


def put_together(transfer: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of a list of arrays, if the list is its first argument; NotImplemented for other calls.

    What it makes of two arrays and of three shows what each one adds to which size.
    """
    first = args[0] if args else None
    if isinstance(first, ManyOf):
        element, count = first.shared, first.count
    elif isinstance(first, ArrayList) and first.element is not None:
        element, count = first.element, _LENGTH
    else:
        return NotImplemented
    two, three = (transfer([element] * n, *args[1:], **kwargs) for n in (2, 3))
    if not isinstance(two, Array) or not isinstance(three, Array):
        return two
    if len(two.shape.dims) != len(three.shape.dims):
        return NotImplemented
    pairs = zip(two.shape.dims, three.shape.dims, strict=True)
    return two.with_shape(Shape(tuple(_of_count(a, b, count) for a, b in pairs), two.shape.lead))


def _of_count(two: Dim, three: Dim, count: Dim) -> Dim:
    """A size for `count` arrays, from those for two and three."""
    if not two.known or not three.known or same(two, three):
        return two
    return two + (three - two) * (count - 2)


def _behind(dim: Dim, own: set[str]) -> Dim:
    """A size behind a loop: unknown where it may be another one in each round."""
    names = {match.group() for text in dim.symbols() for match in TOKEN.finditer(text)}
    return dim if names.isdisjoint(own) else Dim.unknown("a size in which the elements of a list differ")


def _count(iterable: Any) -> Dim:
    """How many rounds there are."""
    if isinstance(iterable, tuple | list):
        return Dim.of(len(iterable))
    if isinstance(iterable, ManyOf):
        return iterable.count
    if isinstance(iterable, ModuleList):
        return _count(iterable.rounds.iterable) if iterable.rounds is not None else _LENGTH
    if isinstance(iterable, Iterated) and iterable.kind == "range" and len(iterable.args) == 1:
        count = as_dim(iterable.args[0])
        return count if count is not None else _LENGTH
    if isinstance(iterable, Iterated) and iterable.kind in ("enumerate", "reversed") and iterable.args:
        return _count(iterable.args[0])
    if isinstance(iterable, Expr) and iterable.kind == "sequence" and TOKEN.search(iterable.text) is None:
        return Dim.symbol(f"len({iterable.text})", 0)
    return _LENGTH
