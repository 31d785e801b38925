"""Attributes of arrays, and the methods that have no function of the same signature."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import NO_RANK, Array, Global, Shape, Unmodelled, Value
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import KINDS, array_from, array_of, dtype_of
from nnx_migrate.linen.effects.elementwise import combine
from nnx_migrate.linen.effects.initial_dtypes import is_initial
from nnx_migrate.linen.effects.registry import models, models_attribute, models_method

# ---- attributes --------------------------------------------------------------------------------------------


@models_attribute("shape")
def shape(a: Value) -> Shape:
    """`x.shape`."""
    return array_of(a).shape.of_array()


@models_attribute("ndim")
def ndim(a: Value) -> Dim:
    """`x.ndim`."""
    rank = array_of(a).shape.rank
    return Dim.unknown(NO_RANK) if rank is None else Dim.of(rank)


@models_attribute("size")
def size(a: Value) -> Dim:
    """`x.size`."""
    return array_of(a).shape.size


@models_attribute("dtype")
def dtype(a: Value) -> str:
    """`x.dtype`, where it is known exactly."""
    name = array_of(a).dtype
    if name is None or name in KINDS or is_initial(name):
        raise Unmodelled("the dtype of the array is not known")
    return name


@models_attribute("real", "imag")
def real(a: Value) -> Array:
    """`x.real`, `x.imag`."""
    return Array(array_of(a).shape)


@models("jax.numpy.ndim", "numpy.ndim")
def ndim_function(a: Value) -> Dim:
    """`jnp.ndim(x)`."""
    return ndim(array_from(a))


@models("jax.numpy.size", "numpy.size")
def size_function(a: Value, axis: Value = None) -> Dim:
    """`jnp.size(x)`."""
    found = array_from(a)
    if axis is None:
        return found.shape.size
    if not isinstance(axis, int):
        raise Unmodelled("size along several axes")
    return found.shape.dim(axis)


# ---- methods -----------------------------------------------------------------------------------------------


@models_method("astype")
def astype(a: Value, dtype: Value, copy: Value = False, device: Value = None) -> Array:
    """`x.astype(jnp.bfloat16)`."""
    return Array(array_of(a).shape, dtype_of(dtype))


@models_method("clip")
def clip(a: Value, min: Value = None, max: Value = None) -> Array:
    """`x.clip(0, 1)`."""
    return combine(*(value for value in (a, min, max) if value is not None))


@models_method("round")
def round_method(a: Value, decimals: Value = 0, out: None = None) -> Array:
    """`x.round(2)`."""
    return Array(array_of(a).shape)


@models_method("conj", "conjugate", "block_until_ready")
def same(a: Value) -> Array:
    """The same array."""
    return array_of(a)


# ---- dtypes as functions -----------------------------------------------------------------------------------

_SCALAR_TYPES = """float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_"""


def _scalar_type(name: str) -> None:
    @models(f"jax.numpy.{name}", f"numpy.{name}")
    def convert(x: Value) -> Array:
        """`jnp.float32(x)`."""
        return Array(array_from(x).shape, dtype_of(name))


for _name in _SCALAR_TYPES.split():
    _scalar_type(_name)


@models("jax.numpy.finfo", "numpy.finfo")
def finfo(dtype: Value) -> Global:
    """Limits of a float type: an object whose attributes are numbers."""
    return Global("jax.numpy.finfo()")


@models("jax.numpy.iinfo", "numpy.iinfo")
def iinfo(int_type: Value) -> Global:
    """Limits of an integer type."""
    return Global("jax.numpy.iinfo()")
