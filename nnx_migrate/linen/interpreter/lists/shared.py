"""What the arrays in a list share."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Shape, aligned
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.names import is_followed
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Input

_DIFFERS = "a size in which the elements of a list differ"


def array_list(frame: Frame, items: Sequence[Any]) -> ArrayList | None:
    """What a list of arrays is in a loop; None where not all elements are arrays of one rank."""
    found: ArrayList | None = ArrayList(None, frozenset())
    for item in items:
        array = input_array(frame.session, item) if isinstance(item, Input) else item
        if found is None or not isinstance(array, Array):
            return None
        changing = frozenset(i for i in range(-len(array.shape.dims), 0) if changes(array.shape.dims[i]))
        found = merged(found, ArrayList(_marked(array, changing), changing))
    return found


def as_array_list(frame: Frame, value: Any) -> ArrayList | None:
    """The value as a list of arrays of which only the common sizes are known."""
    if isinstance(value, ArrayList):
        return value
    return array_list(frame, value) if isinstance(value, list) else None


def merged(a: ArrayList, b: ArrayList) -> ArrayList | None:
    """A list whose elements are those of either; None where ranks differ."""
    if a.element is None or b.element is None:
        return uncounted(a if b.element is None else b)
    first, second = aligned(a.element.shape, b.element.shape)
    if first.exact and second.exact and len(first.dims) != len(second.dims):
        return None
    count = min(len(first.dims), len(second.dims))
    differ = {
        axis
        for axis in range(-count, 0)
        if axis in a.varying or axis in b.varying or not same(first.dims[axis], second.dims[axis])
    }
    equal = len(first.dims) == len(second.dims) and first.lead == second.lead
    shape = Shape(first.dims[len(first.dims) - count :], first.lead if equal else "")
    dtype = a.element.dtype if a.element.dtype == b.element.dtype else None
    return ArrayList(_marked(Array(shape, dtype), frozenset(differ)), frozenset(differ))


def joined_lists(frame: Frame, a: Any, b: Any, node: ast.AST, name: str) -> ArrayList | None:
    """A list of arrays that got different elements on two paths, if all that happens to it is seen."""
    function = frame.module.enclosing(node, ast.FunctionDef, ast.Lambda)
    if function is None or not is_followed(function, frame.module.parents, name, node):
        return None
    first, second = as_array_list(frame, a), as_array_list(frame, b)
    return merged(first, second) if first is not None and second is not None else None


def uncounted(arrays: ArrayList) -> ArrayList:
    """A list of which nobody knows any more how many arrays it holds."""
    return ArrayList(arrays.element, arrays.varying)


def _marked(array: Array, varying: frozenset[int]) -> Array:
    count = len(array.shape.dims)
    dims = tuple(Dim.unknown(_DIFFERS) if i in varying else array.shape.dims[i] for i in range(-count, 0))
    return Array(Shape(dims, array.shape.lead), array.dtype)


def changes(size: Dim) -> bool:
    """Whether a size may be another one in the next round of a loop."""
    return any(match["kind"] in "lps" for text in size.symbols() for match in TOKEN.finditer(text))
