"""Conversions between the interpreter's values and those that shape effects understand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, InitialDtype, PerAxis, Shape, Unknown
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, each_part
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.initial_dtypes import REAL
from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.symbols import token
from nnx_migrate.linen.values import Expr, Input, Iterated, Record, VariableValue

_MAX_RANGE = 64
# Words for tuples of numbers that are at least 1.
_COUNTS = ("stride", "kernel", "patch", "window", "size", "dilation", "pool", "shape", "scale")


_DTYPE_FIELD = re.compile(r"self\.(\w*dtype\w*)")

_SHORT_EXPONENT = re.compile(r"(?<=e[+-])0(?=\d$)")


def as_dim(value: Any) -> Dim | None:
    """The value as a size, None where it is none."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Dim.of(value)
    if isinstance(value, Expr) and value.maybe_int:
        return value.dim
    return None


def _are_real(session: Session) -> bool:
    cls = session.root.cls
    return session.program.number_types.are_real(cls.module)


def input_array(session: Session, value: Input) -> Array:
    """The array that a method argument is: its last axes are named, the others are what `lead` says."""
    if value.number:
        return Array(Shape(), value.number, weak=True)
    known = value.path in session.input_ranks
    rank = session.input_ranks[value.path] if known else session.default_rank.ask()
    count = rank if rank is not None else 1
    dims = tuple(Dim.size(token(value.text, "a", axis)) for axis in range(-count, 0))
    dtype = (session.input_kinds or {}).get(value.path)
    if dtype in (None, "float") and _are_real(session):
        dtype = f"={token(value.text, 't', 0)}"
    return Array(Shape(dims, None if rank is not None else f"{value.text}[:-{count}]"), dtype)


#: Arguments of convolutions and pools with a number for each axis: their positions (behind features, or the array).
_PER_AXIS = frozenset(
    {1, 2, 4, 5, "kernel_size", "window_shape", "strides", "input_dilation", "kernel_dilation"}
)


def effect_value(session: Session, value: Any) -> Any:
    """A value as shape effects take it: arguments become arrays, expressions sizes."""
    if isinstance(value, Input):
        return input_array(session, value)
    if isinstance(value, VariableValue):
        return effect_value(session, value.value)
    if isinstance(value, Expr):
        return _field_dtype(session, value) or _expression(value)
    is_vague = isinstance(value, Array) and value.dtype in (None, "float") and not value.weak
    if is_vague and _are_real(session):
        return Array(value.shape, REAL)
    if isinstance(value, TupleChoice) or (isinstance(value, Record) and value.order):
        return each_part(value, lambda item: effect_value(session, item))
    if isinstance(value, tuple):
        return tuple(effect_value(session, item) for item in value)
    if isinstance(value, list):
        return [effect_value(session, item) for item in value]
    if isinstance(value, dict):
        return {key: effect_value(session, item) for key, item in value.items()}
    if isinstance(value, Iterated) and value.kind == "range":
        counts = known_range(value)
        return value.axes or value if counts is None else tuple(counts)
    return value


def effect_arguments(
    session: Session, args: Iterable[Any], kwargs: Mapping[str, Any], windows: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call as shape effects take them; `windows`: of a convolution or pool."""
    convert = _window_value if windows else lambda session, key, value: effect_value(session, value)
    values = tuple(convert(session, i, value) for i, value in enumerate(args))
    return values, {key: convert(session, key, value) for key, value in kwargs.items()}


def _window_value(session: Session, key: int | str, value: Any) -> Any:
    """An expression may be a number for each axis. `key` is the argument's position or name."""
    vague = isinstance(value, Expr) and value.kind in ("", "sequence") and value.length is None
    if vague and key in _PER_AXIS:
        listed = value.kind == "sequence"
        reason = (
            f"`{value.text}` isn't known here" if listed else f"`{value.text}` may be one number or several"
        )
        if session.root.default_rank.ask() is not None:  # an attempt: every rank would do
            return Unknown(reason)
        return PerAxis(reason, value.text, listed)
    return effect_value(session, value)


def _field_dtype(session: Session, value: Expr) -> InitialDtype | None:
    """A field that holds a dtype (not None, so not whatever the arrays have): known by its name."""
    match = _DTYPE_FIELD.fullmatch(value.text)
    item = session.root.cls.field(match[1]) if match is not None else None
    if match is None or item is None or item.default is None or not _are_real(session):
        return None
    if isinstance(item.default, ast.Constant) and item.default.value is None:
        return None
    if session.program.gets_none(match[1]):
        return None
    return InitialDtype(f"`{value.text}` isn't known here", value.text)


def known_range(value: Iterated) -> range | None:
    """`range(...)` of known numbers, if there are not too many."""
    bounds = [as_dim(bound) for bound in value.args]
    numbers = [bound.const for bound in bounds if bound is not None and bound.const is not None]
    counts = range(*numbers) if numbers and len(numbers) == len(bounds) else None
    return counts if counts is not None and len(counts) <= _MAX_RANGE else None


def _expression(value: Expr) -> Any:
    """A field or static local where an effect wants a number: of unknown value, but a scalar."""
    if isinstance(value, Sizes):
        return value.shape
    if value.maybe_int:
        return value.dim
    if value.length is not None:
        return tuple(size_at(value, index) for index in range(value.length))
    if value.kind in ("float", "bool"):
        return Array(Shape(), value.kind, weak=value.kind == "float")
    return Unknown(f"`{value.text}` isn't known here")


def size_at(value: Expr, index: int) -> Dim:
    """An item of a sequence of numbers."""
    make = Dim.size if any(word in value.text for word in _COUNTS) else Dim.symbol
    return make(f"{value.text}[{index}]")


def text_of(value: Any) -> str | None:
    """The source of a value that the constructor can compute, None where it has none."""
    if isinstance(value, Dim):
        return value.text() if value.known else None
    if isinstance(value, Expr):
        return value.text
    if isinstance(value, str) and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    if isinstance(value, float):
        return _SHORT_EXPONENT.sub("", repr(value))  # 1e-6, as people write it
    if value is None or isinstance(value, bool | int | str):
        return repr(value)
    if isinstance(value, tuple | list):
        items = [text_of(item) for item in value]
        if any(item is None for item in items):
            return None
        inner = ", ".join(str(item) for item in items)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(items) == 1 else f"({inner})"
    return None


def as_shape(value: Any) -> Shape | None:
    """A sequence of sizes as a shape, None where it holds anything else."""
    if isinstance(value, tuple | list):
        dims = [as_dim(item) for item in value]
        if all(dim is not None for dim in dims):
            return Shape(tuple(d for d in dims if d is not None))
    return None
