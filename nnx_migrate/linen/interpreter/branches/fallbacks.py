"""Arguments that something else stands in for where they are None: `context = x if context is None else context`.

Behind such code the argument counts as given. A size of it that the constructor needs is the size of the stand-in
where the module's user gives none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim, fitting, same
from nnx_migrate.linen.given.arguments import NoneTest, OptionalArray
from nnx_migrate.linen.interpreter.convert import effect_value, input_array
from nnx_migrate.linen.interpreter.frame import Frame, Session
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.linen.values import Input

_MOST_AXES = 4  # of masks
_MAY_BE_NONE = ("mask",)  # how arguments end that callers give None, even where there is no such default


def none_test(op: ast.cmpop, left: Any, right: Any) -> NoneTest | None:
    """`argument is None` or `argument is not None`."""
    value = right if left is None else left if right is None else None
    if (
        isinstance(op, ast.Is | ast.IsNot)
        and isinstance(value, Input | OptionalArray)
        and len(value.path) == 1
    ):
        return NoneTest("whether an argument is given", value.path, isinstance(op, ast.Is))
    return None


def remember_test(frame: Frame, node: ast.AST, value: Any) -> None:
    """Remember that a branch asks whether an argument is None."""
    if isinstance(value, NoneTest):
        frame.session.none_tests[frame.context, node] = value
    else:
        frame.session.none_tests.pop((frame.context, node), None)


def remember_return(frame: Frame, statement: ast.Return) -> None:
    """Remember that whether an argument is None alone decides about a `return`."""
    controls = [c for c in frame.controls[frame.outer_controls :] if c.branch != "after"]
    test = frame.session.none_tests.get((frame.context, controls[0].node)) if len(controls) == 1 else None
    if test is not None and controls[0].branch in ("body", "orelse"):
        remember_test(frame, statement, test if controls[0].branch == "body" else test.negated)
    else:
        remember_test(frame, statement, None)


def given_or_fallback(frame: Frame, a: Any, b: Any, node: ast.AST) -> Array | None:
    """The value after two paths have met, `a` where the condition of `node` held, if one is a given argument.

    None where it is anything else.
    """
    test = frame.session.none_tests.get((frame.context, node))
    if test is None:
        return None
    given, other = (b, a) if test.is_none else (a, b)
    if not (isinstance(given, Input) and given.path == test.path):
        return None
    array, instead = input_array(frame.session, given), effect_value(frame.session, other)
    if not isinstance(instead, Array):
        return None
    ours, theirs = array.shape, instead.shape
    if ours.exact and theirs.exact and len(ours.dims) != len(theirs.dims):
        return None
    found = {
        token(given.text, "a", axis): theirs.dims[axis]
        for axis in range(-min(len(ours.dims), len(theirs.dims)), 0)
    }
    return array if found and stand_in(frame.session, found) else None


def stand_in(session: Session, sizes: Mapping[str, Dim]) -> bool:
    """Remember what stands in for sizes of an argument that isn't given, if the constructor can compute it."""
    if any(not _is_plain(dim) or session.fallbacks.get(name, dim) != dim for name, dim in sizes.items()):
        return False
    session.fallbacks.update(sizes)
    return True


def changed_if_given(
    frame: Frame, a: Any, b: Any, node: ast.AST, size: Callable[[int, Dim, Dim], Dim]
) -> OptionalArray | None:
    """An argument after `if argument is not None: argument = f(argument)`, `a` where the condition of `node` held.

    `size` tells what the size of an axis is after both paths. None where it is anything else.
    """
    test = frame.session.none_tests.get((frame.context, node))
    if test is None:
        return None
    given, missing = (b, a) if test.is_none else (a, b)
    is_argument = isinstance(missing, Input | OptionalArray) and missing.path == test.path
    array = effect_value(frame.session, given)
    if not (is_argument or missing is None) or not isinstance(array, Array):
        return None
    text, shape = Input(test.path).text, array.shape
    own = [Dim.size(token(text, "a", axis)) for axis in range(-len(shape.dims), 0)]
    if isinstance(node, ast.IfExp):  # no statement of the constructor tells its size
        keeps = is_argument and all(map(same, shape.dims, own))
        return OptionalArray(shape, array.dtype, path=test.path, is_sized=not keeps)
    dims = tuple(
        size(axis, shape.dims[axis], mine) for axis, mine in zip(range(-len(own), 0), own, strict=True)
    )
    return OptionalArray(Shape(dims, shape.lead), array.dtype, path=test.path)


def kept_by_mask(frame: Frame, node: ast.AST, first: Dim, second: Dim) -> Dim | None:
    """The size of an axis that an argument only masks, where one is given; `first` where the condition of `node` held.

    It would stretch an axis of size 1, too. But layers made for the size without it refuse what that gives.
    """
    test = frame.session.none_tests.get((frame.context, node))
    if test is None:
        return None
    given, missing = (second, first) if test.is_none else (first, second)
    sizes = (Dim.size(token(Input(test.path).text, "a", axis)) for axis in range(-_MOST_AXES, 0))
    return missing if any(same(given, fitting(missing, size)) for size in sizes) else None


def optional_array(frame: Frame, value: Any) -> OptionalArray | None:
    """What another module sees of an argument that is handed on, given or not; None for anything else."""
    if not isinstance(value, Input) or value.default is not None:
        return None
    if not value.has_default and not str(value.path[-1]).endswith(_MAY_BE_NONE):
        return None
    array = input_array(frame.session, value)
    return OptionalArray(array.shape, array.dtype, path=value.path)


def _is_plain(dim: Dim) -> bool:
    """Whether the constructor can compute a size from its parameters before it does anything else."""
    return dim.known and all(m["kind"] == "a" for m in TOKEN.finditer(dim.text()))
