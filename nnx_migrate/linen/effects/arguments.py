"""Reading abstract arguments: each function returns what it names or raises Unmodelled with a reason."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nnx_migrate.linen.arrays.shapes import Array, Global, InitialDtype, Shape, Unknown, Unmodelled, Value
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import initial_dtypes

# Library constants that are Python floats, and numbers that describe a dtype (`jnp.finfo(x.dtype).min`).
_CONSTANTS = re.compile(r"(jax\.numpy|numpy|math)\.(inf|nan|pi|e|euler_gamma)")
_LIMITS = re.compile(r".*\.(finfo|iinfo)\(\)\.(min|max|eps|tiny|smallest_normal)")


def array_of(value: Value, what: str = "an operand") -> Array:
    """An array or Python scalar, the latter as a weakly typed array of rank 0."""
    if isinstance(value, Array):
        return value
    if isinstance(value, Global):
        if _CONSTANTS.fullmatch(value.name):
            return Array(Shape(), "float", weak=True)
        if _LIMITS.fullmatch(value.name):
            return Array(Shape())
    if isinstance(value, bool):
        return Array(Shape(), "bool")
    if isinstance(value, int | Dim):
        return Array(Shape(), "int", weak=True)
    if isinstance(value, float | complex):
        return Array(Shape(), "complex" if isinstance(value, complex) else "float", weak=True)
    raise unmodelled(value, f"{what} is not an array")


def array_from(value: Value, what: str = "an operand") -> Array:
    """As `array_of`, but nested sequences of arrays and numbers count, too (`jnp.array`, NumPy functions)."""
    if isinstance(value, Shape):
        value = value.items()
    if not isinstance(value, tuple | list):
        return array_of(value, what)
    if not value:
        return Array(Shape.of(0), "float")
    parts = [array_from(item, what) for item in value]
    first = parts[0].shape
    if any(part.shape != first or not part.shape.exact for part in parts):
        raise Unmodelled(f"{what} is a sequence of differently shaped parts")
    dtype = promote(*parts)
    return Array(Shape((Dim.of(len(parts)), *first.dims)), dtype and kind(dtype))


def arrays_of(values: Value, what: str = "the operands") -> list[Array]:
    """A non-empty list or tuple of arrays; an array counts as the sequence along its first axis."""
    if isinstance(values, Array):
        count = int_of(values.shape.dim(0), f"the number of {what}")
        if count == 0:
            raise Unmodelled(f"{what} are empty")
        return [values.with_shape(values.shape.without([-len(values.shape.dims)]))] * count
    if not isinstance(values, tuple | list) or not values:
        raise unmodelled(values, f"{what} are not a known sequence")
    return [array_of(value) for value in values]


def int_of(value: Value, what: str) -> int:
    """A constant integer."""
    if isinstance(value, Dim) and value.const is not None:
        return value.const
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise unmodelled(value, f"{what} is not a constant integer")


def bool_of(value: Value, what: str) -> bool:
    """A constant bool."""
    if isinstance(value, bool):
        return value
    raise unmodelled(value, f"{what} is not a constant bool")


def str_of(value: Value, what: str) -> str:
    """A constant string."""
    if isinstance(value, str):
        return value
    raise unmodelled(value, f"{what} is not a constant string")


def dim_of(value: Value, what: str = "a size") -> Dim:
    """An integer or symbolic size; a value that can't be told gives an unknown dim."""
    if isinstance(value, Dim):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Dim.of(value)
    if isinstance(value, Unknown):
        return Dim.unknown(value.reason)
    if isinstance(value, Array):
        return Dim.unknown(f"{what} is computed")
    raise Unmodelled(f"{what} is not an integer")


def dims_of(value: Value, what: str = "sizes") -> tuple[Dim, ...]:
    """A sequence of sizes, or one size, as a tuple."""
    if isinstance(value, Shape):
        return value.items()
    if isinstance(value, tuple | list):
        return tuple(dim_of(item, what) for item in value)
    if isinstance(value, Unknown | Array):
        raise unmodelled(value, f"{what} are not a known sequence")
    return (dim_of(value, what),)


def shape_of(value: Value, what: str = "the shape") -> Shape:
    """A `shape` argument: an int or a sequence of ints, the latter possibly with unknown leading part."""
    return value if isinstance(value, Shape) else Shape(dims_of(value, what))


def ints_of(value: Value, what: str) -> tuple[int, ...]:
    """A sequence of constant integers, or one, as a tuple."""
    items: Sequence[Value] = value if isinstance(value, tuple | list) else (value,)
    if isinstance(value, Shape):
        items = value.items()
    return tuple(int_of(item, what) for item in items)


def axes_of(axis: Value, shape: Shape) -> tuple[int, ...]:
    """An `axis` argument (int or sequence of ints) as distinct negative axes."""
    axes = tuple(shape.axis(item) for item in ints_of(axis, "axis"))
    if len(set(axes)) != len(axes):
        raise Unmodelled("an axis is given twice")
    return axes


def unmodelled(value: Value, otherwise: str) -> Unmodelled:
    """The exception to raise for `value`: with its own reason if it is unknown, else with `otherwise`."""
    return Unmodelled(value.reason if isinstance(value, Unknown) else otherwise)


# ---- dtypes ------------------------------------------------------------------------------------------------

KINDS = ("bool", "int", "float", "complex")
_NAMES = {
    "bool_": "bool",
    "half": "float16",
    "single": "float32",
    "double": "float64",
    "float_": "float",
    "int_": "int",
    "csingle": "complex64",
    "cdouble": "complex128",
}


def kind(dtype: str) -> str | None:
    """The kind of a dtype name: one of KINDS."""
    if dtype in KINDS:
        return dtype
    if dtype == initial_dtypes.FLOAT32:
        return "float"
    match = re.match(r"u?(int)|b?(float)|(complex)", dtype)
    return match[match.lastindex or 0] if match else None


def is_integer(array: Array) -> bool:
    """Whether an array is known to hold integers."""
    return array.dtype is not None and kind(array.dtype) == "int"


def dtype_of(value: Value, default: str | None = None) -> str | None:
    """The dtype that a `dtype` argument names, `default` for None, None if it can't be told."""
    if value is None:
        return default
    if isinstance(value, InitialDtype):
        return f"={value.text}"
    name = value.name.rpartition(".")[2] if isinstance(value, Global) else value
    if not isinstance(name, str):
        return None
    name = _NAMES.get(name, name)
    # 64 bit types become 32 bit ones unless x64 is enabled.
    if name in ("float64", "int64", "uint64", "complex128"):
        return kind(name)
    return name if kind(name) else None


def promote(*arrays: Array) -> str | None:
    """The dtype of arithmetic on all operands, as far as it is certain."""
    if not arrays:
        raise Unmodelled("an operation on no operands")
    strong = {array.dtype for array in arrays if not array.weak}
    if any(initial_dtypes.is_initial(dtype) for dtype in strong):
        complex_number = any(array.weak and array.dtype in (None, "complex") for array in arrays)
        return None if complex_number else initial_dtypes.promoted(strong, any(a.weak for a in arrays))
    kinds = [None if array.dtype is None else kind(array.dtype) for array in arrays]
    ranks = [KINDS.index(k) for k in kinds if k is not None]
    if len(ranks) < len(kinds):
        return None
    highest = KINDS[max(ranks)]
    if len(strong) == 1:
        (only,) = strong
        if only is not None and kind(only) == highest:
            return only
    return highest


def floating(array: Array) -> str | None:
    """The dtype of a function that turns integers into floats."""
    if array.dtype is None:
        return None
    if initial_dtypes.is_initial(array.dtype) and kind(array.dtype) is None:
        return initial_dtypes.REAL
    return array.dtype if kind(array.dtype) in ("float", "complex") else "float"


def names(text: str, *prefixes: str) -> tuple[str, ...]:
    """Every word of `text` behind every prefix: the qualified names of a family of functions."""
    return tuple(prefix + word for prefix in prefixes for word in text.split())
