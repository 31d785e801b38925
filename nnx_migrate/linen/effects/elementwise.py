"""Functions that work element by element: the shape is that of the operand, or of all operands broadcast."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown, Unmodelled, Value, broadcast
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import (
    array_of,
    dim_of,
    dtype_of,
    floating,
    int_of,
    kind,
    names,
    promote,
)
from nnx_migrate.linen.effects.registry import models, models_method

_JNP = "jax.numpy."
_LAX = "jax.lax."
_NN = ("jax.nn.", "flax.linen.")
_SPECIAL = "jax.scipy.special."


def combine(*operands: Value, to_float: bool = False) -> Array:
    """The broadcast of all operands, with the dtype of arithmetic on them.

    An operand about which nothing is known counts as an array: beside an axis of 64, it can't change that.
    """
    rank = max((len(op.shape.dims) for op in operands if isinstance(op, Array)), default=0)
    arrays = [
        Array(Shape((Dim.unknown(operand.reason),) * rank, ""))
        if isinstance(operand, Unknown) and rank
        else array_of(operand)
        for operand in operands
    ]
    result = Array(broadcast(*(array.shape for array in arrays)), promote(*arrays))
    return Array(result.shape, floating(result)) if to_float else result


# ---- one operand -------------------------------------------------------------------------------------------


@models(
    *names(
        """acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cbrt cos cosh deg2rad
        degrees exp exp2 expm1 log log10 log1p log2 rad2deg radians reciprocal sin sinc sinh sqrt tan tanh
        fabs i0""",
        _JNP,
    ),
    *names("exp expm1 log log1p log2 log10 sin cos tan tanh sinh cosh sqrt cbrt", "numpy."),
    *names("arctan arcsin arccos", "numpy."),
    *names(
        """acos acosh asin asinh atan atanh cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1 lgamma log
        log1p logistic reciprocal rsqrt sin sinh sqrt tan tanh""",
        _LAX,
    ),
    *names("digamma erf erfc erfinv expit gammaln i0 i0e i1 i1e logit ndtr", _SPECIAL),
    *names("sigmoid silu swish tanh softplus soft_sign hard_sigmoid hard_silu hard_swish", *_NN),
    *names("log_sigmoid selu", *_NN),
    *names("mish sparse_plus sparse_sigmoid", "jax.nn."),
)
def float_function(x: Value, *, out: None = None, accuracy: Value = None) -> Array:
    """Integers become floats. (`accuracy` and `out` do not touch the shape.)"""
    array = array_of(x)
    return Array(array.shape, floating(array))


@models(
    *names("conj conjugate negative positive square ceil floor trunc sign rint", _JNP, "numpy."),
    *names("abs absolute real imag", _JNP, "numpy."),
    *names("abs ceil floor neg sign square bitwise_not real imag", _LAX),
    *names("relu hard_tanh relu6", *_NN),
    *names("identity", "jax.nn."),
    *names("bitwise_not invert bitwise_invert bitwise_count", _JNP),
)
def same_shape(x: Value, *, out: None = None) -> Array:
    """The dtype is kept only where it is a float already: what happens to the others differs."""
    array = array_of(x)
    keeps = array.dtype is not None and kind(array.dtype) == "float"
    return Array(array.shape, array.dtype if keeps else None)


@models(
    *names("isfinite isinf isnan isneginf isposinf logical_not signbit iscomplex isreal", _JNP),
    *names("is_finite", _LAX),
    *names("isfinite isnan isinf logical_not", "numpy."),
)
def test(x: Value, /, out: None = None) -> Array:
    """An elementwise test."""
    return Array(array_of(x).shape, "bool")


@models("jax.numpy.copy", "numpy.copy")
@models_method("copy")
def copy(a: Value, order: Value = None) -> Array:
    """The same array."""
    return array_of(a)


@models("jax.lax.conj")
def lax_conj(x: Value) -> Array:
    """The complex conjugate, complex even for real operands."""
    return Array(array_of(x).shape, "complex")


@models("jax.numpy.angle")
def angle(z: Value, deg: Value = False) -> Array:
    """The argument of complex numbers."""
    return Array(array_of(z).shape, "float")


@models("jax.lax.round")
def lax_round(x: Value, rounding_method: Value = None) -> Array:
    """Rounding."""
    return array_of(x)


@models("jax.nn.squareplus")
def squareplus(x: Value, b: Value = 4) -> Array:
    """A smooth ramp; an array `b` broadcasts."""
    return combine(x, b, to_float=True)


@models(*names("celu elu", *_NN))
def with_alpha(x: Value, alpha: Value = 1.0) -> Array:
    """ELU and CELU; an array `alpha` broadcasts."""
    return combine(x, alpha, to_float=True)


@models(*names("leaky_relu", *_NN))
def leaky_relu(x: Value, negative_slope: Value = 0.01) -> Array:
    """Leaky ReLU; an array slope broadcasts."""
    return combine(x, negative_slope)


@models(*names("gelu", *_NN))
def gelu(x: Value, approximate: Value = True) -> Array:
    """GELU."""
    return float_function(x)


@models(*names("glu", *_NN))
def glu(x: Value, axis: Value = -1) -> Array:
    """Gated linear unit: halves one axis."""
    array = array_of(x)
    index = array.shape.axis(int_of(axis, "axis"))
    return Array(array.shape.replaced(index, array.shape.dim(index) // 2), floating(array))


@models("jax.numpy.round", "jax.numpy.around", "numpy.round")
def rounded(a: Value, decimals: Value = 0, out: None = None) -> Array:
    """Rounding."""
    return Array(array_of(a).shape)


@models("jax.numpy.nan_to_num")
def nan_to_num(
    x: Value, copy: Value = True, nan: Value = 0.0, posinf: Value = None, neginf: Value = None
) -> Array:
    """Replacement of NaN and infinities; array replacements could broadcast."""
    array = array_of(x)
    for replacement in (nan, posinf, neginf):
        if isinstance(replacement, Array):
            raise Unmodelled("nan_to_num with an array")
    return array


@models("jax.numpy.astype", "jax.lax.convert_element_type")
def astype(x: Value, dtype: Value, /, *, copy: Value = False, device: Value = None) -> Array:
    """The same array with another dtype."""
    return Array(array_of(x).shape, dtype_of(dtype))


@models("jax.numpy.clip", "numpy.clip")
def clip(
    arr: Value = None,
    /,
    min: Value = None,
    max: Value = None,
    *,
    a: Value = None,
    a_min: Value = None,
    a_max: Value = None,
    x: Value = None,
) -> Array:
    """Array bounds broadcast. (`a`, `a_min` and `a_max` are the names of older releases.)"""
    if arr is None and a is None and x is None:
        raise Unmodelled("clip of nothing")
    given = [value for value in (arr, a, x, min, max, a_min, a_max) if value is not None]
    return combine(*given)


# ---- two operands ------------------------------------------------------------------------------------------


@models(
    *names("add subtract multiply minimum maximum fmin fmax power pow mod remainder fmod floor_divide", _JNP),
    *names("bitwise_and bitwise_or bitwise_xor left_shift right_shift bitwise_left_shift", _JNP),
    *names("bitwise_right_shift gcd lcm", _JNP),
    *names("add subtract multiply minimum maximum power mod floor_divide", "numpy."),
    *names("add sub mul min max pow rem bitwise_and bitwise_or bitwise_xor", _LAX),
)
def arithmetic(
    x: Value, y: Value, /, out: None = None, where: None = None, *, out_dtype: Value = None
) -> Array:
    """Arithmetic that keeps integers."""
    if where is not None:
        raise Unmodelled("`where` of a ufunc")
    result = combine(x, y)
    # Booleans become integers in some of these.
    keeps = result.dtype != "bool" and out_dtype is None
    return Array(result.shape, result.dtype if keeps else None)


@models(
    *names("divide true_divide arctan2 atan2 logaddexp logaddexp2 hypot copysign float_power", _JNP),
    *names("heaviside nextafter", _JNP),
    *names("divide true_divide arctan2 hypot", "numpy."),
    *names("atan2 nextafter", _LAX),
    *names("xlogy xlog1py kl_div rel_entr betaln gammainc gammaincc zeta", _SPECIAL),
)
def float_arithmetic(x: Value, y: Value, /, out: None = None, where: None = None) -> Array:
    """Arithmetic that turns integers into floats."""
    if where is not None:
        raise Unmodelled("`where` of a ufunc")
    return combine(x, y, to_float=True)


@models("jax.lax.div")
def lax_div(x: Value, y: Value) -> Array:
    """Division that keeps integers."""
    return combine(x, y)


@models(
    *names("equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor", _JNP),
    *names("equal not_equal greater greater_equal less less_equal logical_and logical_or", "numpy."),
    *names("eq ne gt ge lt le", _LAX),
)
def comparison(x: Value, y: Value, /, out: None = None, where: None = None) -> Array:
    """An elementwise comparison."""
    return Array(combine(x, y).shape, "bool")


@models("jax.numpy.isclose")
def isclose(a: Value, b: Value, rtol: Value = 1e-05, atol: Value = 1e-08, equal_nan: Value = False) -> Array:
    """Elementwise closeness."""
    return Array(combine(a, b).shape, "bool")


@models(*names("divmod", _JNP))
def divmod_(x: Value, y: Value, /) -> tuple[Array, Array]:
    """Quotient and remainder."""
    result = arithmetic(x, y)
    return result, result


@models(*names("logpdf pdf logcdf cdf logsf sf", "jax.scipy.stats.norm."))
def normal_density(x: Value, loc: Value = 0, scale: Value = 1) -> Array:
    """Densities and distribution functions of the normal distribution."""
    return Array(combine(x, loc, scale).shape)


# ---- choices -----------------------------------------------------------------------------------------------


@models("jax.numpy.where", "numpy.where")
def where(
    condition: Value, x: Value = None, y: Value = None, /, *, size: Value = None, fill_value: Value = None
) -> Array | tuple[Array, ...]:
    """Choice by a mask; with the mask alone, its coordinates (`size` many)."""
    mask = array_of(condition)
    if x is None and y is None:
        if size is None:
            raise Unmodelled("where with one argument has a size that depends on values")
        return tuple(Array.of(dim_of(size), dtype="int") for _ in mask.shape.items())
    chosen = combine(x, y)
    return Array(broadcast(mask.shape, chosen.shape), chosen.dtype)


@models("jax.numpy.select")
def select(condlist: Value, choicelist: Value, default: Value = 0) -> Array:
    """Choice among several arrays."""
    if not isinstance(condlist, tuple | list) or not isinstance(choicelist, tuple | list):
        raise Unmodelled("select with unknown lists")
    chosen = combine(*choicelist, default)
    return Array(broadcast(chosen.shape, *(array_of(c).shape for c in condlist)), chosen.dtype)


@models("jax.lax.select")
def lax_select(pred: Value, on_true: Value, on_false: Value) -> Array:
    """Choice between equally shaped arrays."""
    return combine(on_true, on_false)


@models("jax.lax.clamp")
def clamp(min: Value, x: Value, max: Value) -> Array:
    """Clipping to bounds, which are scalars or as large as `x`."""
    return array_of(x)
