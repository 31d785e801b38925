"""`functools.reduce(operator.mul, arrays)`: a function of two arrays that takes a list to one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.expressions.arithmetic import binary
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.function_choices import is_function
from nnx_migrate.linen.interpreter.loops.gathered import alike_arrays

NAME = "functools.reduce"
_OPERATORS: dict[str, ast.operator] = {
    "add": ast.Add(), "iadd": ast.Add(), "mul": ast.Mult(), "imul": ast.Mult(), "sub": ast.Sub(),
    "truediv": ast.Div(),
}  # fmt: skip


def fold(frame: Frame, args: tuple[Any, ...]) -> Any:
    """What a list becomes; None where that can't be followed.

    Of a list of unknown length any two elements tell the result, if it has their own shape: so has that of more.
    """
    function = _of_two(frame, args[0]) if len(args) in (2, 3) else None
    if function is None:
        return None
    values, first = args[1], args[2:]
    if isinstance(values, tuple | list):
        arrays = [effect_value(frame.session, value) for value in (*first, *values)]
        return _folded(function, arrays) if arrays and _are_arrays(arrays) else None
    pair = (alike_arrays(values) or _differing(values)) if not first else None
    found = _folded(function, pair) if pair else None
    same = pair is not None and isinstance(found, Array) and _fits(found.shape, pair[0].shape)
    return found if same else None


def _differing(values: Any) -> list[Array] | None:
    """Two arrays of a list whose arrays differ in some sizes, which aren't known."""
    is_list = isinstance(values, ArrayList) and values.element is not None
    return [values.element] * 2 if is_list else None


def _fits(result: Shape, element: Shape) -> bool:
    """Whether a result has as many axes as the elements, and their sizes where these are known."""
    if result.lead != element.lead or len(result.dims) != len(element.dims):
        return False
    return all(a == b or not (a.known or b.known) for a, b in zip(result.dims, element.dims, strict=True))


def _are_arrays(values: Sequence[Any]) -> bool:
    return all(isinstance(value, Array | int | float) for value in values)


def _folded(function: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    total, *others = values
    for value in others:
        total = function(total, value)
    return total if isinstance(total, Array) else Unknown("what `reduce` makes of these")


def _of_two(frame: Frame, function: Any) -> Callable[[Any, Any], Any] | None:
    from nnx_migrate.linen.interpreter.calls.apply import apply

    home, _, name = function.name.rpartition(".") if isinstance(function, Global) else ("", "", "")
    if home == "operator":
        operator = _OPERATORS.get(name)
        return None if operator is None else lambda a, b: binary(frame, operator, a, b)
    return (lambda a, b: apply(frame, function, (a, b), {}, None)) if is_function(function) else None
