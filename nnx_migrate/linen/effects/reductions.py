"""Reductions over axes (`axis`, `keepdims`) and functions that work along axes but keep the shape."""

from __future__ import annotations

from collections.abc import Sequence

from nnx_migrate.linen.arrays.leads import as_many
from nnx_migrate.linen.arrays.shapes import Array, InnerAxes, Shape, Unmodelled, Value, broadcast, either
from nnx_migrate.linen.dims import Dim, product
from nnx_migrate.linen.effects.arguments import (
    array_of,
    axes_of,
    bool_of,
    dim_of,
    dims_of,
    dtype_of,
    floating,
    int_of,
    ints_of,
    kind,
    names,
    promote,
)
from nnx_migrate.linen.effects.registry import models, models_method


def reduced(shape: Shape, axis: Value, keepdims: Value = False) -> Shape:
    """The shape without `axis` (None: without all), or with 1 in these places."""
    keeps = bool_of(keepdims, "keepdims")
    if isinstance(axis, InnerAxes):
        return axis.reduced(shape, keeps)
    if keeps:
        if axis is None:
            return Shape(tuple(Dim.of(1) for _ in shape.items()))
        if shape.lead and max(places := ints_of(axis, "axis")) >= 0:
            return _with_ones(shape, places)
        axes = axes_of(axis, shape)
        full = shape.with_last(max((-a for a in axes), default=0))
        for index in axes:
            full = full.replaced(index, 1)
        return full
    return Shape() if axis is None else shape.without(axes_of(axis, shape))


def _with_ones(shape: Shape, places: Sequence[int]) -> Shape:
    """A shape of unknown rank with 1 in places that are counted from the front, too: which of its axes these are
    isn't known.
    """
    full = shape.with_last(max(-place for place in (*places, -1)))
    dims = list(full.dims)
    for index in range(-len(dims), 0):
        dims[index] = Dim.of(1) if index in places else either(dims[index], Dim.of(1))
    return Shape(tuple(dims), as_many(full.lead or "", f"1{sorted(places)}".replace(" ", "")))


def _sum_dtype(array: Array) -> str | None:
    """Floats stay; smaller integers and bools are widened, which makes them just `int`."""
    if array.dtype is None:
        return None
    return array.dtype if kind(array.dtype) in ("float", "complex") else "int"


@models("numpy.prod")
def numpy_prod(a: Value, axis: Value = None, dtype: Value = None) -> Array | Dim:
    """The product of an array's elements, or of sizes (`np.prod(x.shape[1:])`)."""
    if axis is None and isinstance(a, Shape):
        return a.size
    if axis is None and isinstance(a, tuple | list):
        return product(dims_of(a))
    return sum_(a, axis, dtype)


@models("math.prod")
def math_prod(iterable: Value, /, *, start: Value = 1) -> Dim:
    """The product of sizes."""
    total = iterable.size if isinstance(iterable, Shape) else product(dims_of(iterable))
    return total * dim_of(start)


@models(*names("sum nansum prod nanprod product", "jax.numpy."), *names("sum nansum", "numpy."))
@models_method("sum", "prod")
def sum_(
    a: Value,
    axis: Value = None,
    dtype: Value = None,
    out: None = None,
    keepdims: Value = False,
    initial: Value = None,
    where: Value = None,
    promote_integers: Value = True,
) -> Array:
    """Sums and products."""
    array = array_of(a)
    # A mask must fit into the array, so it does not change the shape.
    result = None if promote_integers is not True else _sum_dtype(array)
    return Array(reduced(array.shape, axis, keepdims), dtype_of(dtype, result))


@models(*names("max min amax amin nanmax nanmin", "jax.numpy."), *names("max min amax amin", "numpy."))
@models_method("max", "min")
def extremum(
    a: Value,
    axis: Value = None,
    out: None = None,
    keepdims: Value = False,
    initial: Value = None,
    where: Value = None,
) -> Array:
    """Largest and smallest elements."""
    array = array_of(a)
    return Array(reduced(array.shape, axis, keepdims), array.dtype if initial is None else None)


@models("jax.numpy.mean", "numpy.mean")
@models_method("mean")
def mean(
    a: Value,
    axis: Value = None,
    dtype: Value = None,
    out: None = None,
    keepdims: Value = False,
    *,
    where: Value = None,
) -> Array:
    """Means."""
    return mean_of(a, axis, dtype, keepdims)


def mean_of(a: Value, axis: Value, dtype: Value, keepdims: Value) -> Array:
    """The mean along axes."""
    array = array_of(a)
    return Array(reduced(array.shape, axis, keepdims), dtype_of(dtype, floating(array)))


@models("jax.numpy.nanmean")
def nanmean(
    a: Value,
    axis: Value = None,
    dtype: Value = None,
    out: None = None,
    keepdims: Value = False,
    where: Value = None,
) -> Array:
    """Means without NaNs."""
    return mean_of(a, axis, dtype, keepdims)


@models("jax.numpy.nanvar", "jax.numpy.nanstd")
def nanvar(
    a: Value,
    axis: Value = None,
    dtype: Value = None,
    out: None = None,
    ddof: Value = 0,
    keepdims: Value = False,
    where: Value = None,
    mean: Value = None,
) -> Array:
    """Variances and deviations without NaNs."""
    return variance(a, axis, dtype, None, ddof, keepdims)


@models(*names("var std", "jax.numpy.", "numpy."))
@models_method("var", "std")
def variance(
    a: Value,
    axis: Value = None,
    dtype: Value = None,
    out: None = None,
    ddof: Value = 0,
    keepdims: Value = False,
    *,
    where: Value = None,
    mean: Value = None,
    correction: Value = None,
) -> Array:
    """Variances and deviations, real even for complex operands."""
    array = array_of(a)
    real = array.dtype is not None and kind(array.dtype) != "complex"
    return Array(reduced(array.shape, axis, keepdims), dtype_of(dtype, floating(array) if real else None))


@models("jax.numpy.median", "jax.numpy.nanmedian")
def median(
    a: Value, axis: Value = None, out: None = None, overwrite_input: Value = False, keepdims: Value = False
) -> Array:
    """Medians."""
    array = array_of(a)
    if array.shape.rank == 0:
        raise Unmodelled("the median of a scalar")
    return Array(reduced(array.shape, axis, keepdims), floating(array))


@models(*names("all any alltrue sometrue", "jax.numpy."), "numpy.all", "numpy.any")
@models_method("all", "any")
def test_all(
    a: Value, axis: Value = None, out: None = None, keepdims: Value = False, *, where: Value = None
) -> Array:
    """Logical reductions."""
    return Array(reduced(array_of(a).shape, axis, keepdims), "bool")


@models("jax.numpy.argmax", "jax.numpy.argmin", "jax.numpy.nanargmax", "jax.numpy.nanargmin")
@models("numpy.argmax", "numpy.argmin")
@models_method("argmax", "argmin")
def arg_extremum(a: Value, axis: Value = None, out: None = None, keepdims: Value = None) -> Array:
    """Positions of extrema: one axis, or None for the flat position."""
    array = array_of(a)
    keeps = keepdims if keepdims is not None else False
    return Array(reduced(array.shape, None if axis is None else int_of(axis, "axis"), keeps), "int")


@models("jax.numpy.count_nonzero")
def count_nonzero(a: Value, axis: Value = None, keepdims: Value = False) -> Array:
    """Counts."""
    return Array(reduced(array_of(a).shape, axis, keepdims), "int")


@models("jax.numpy.ptp")
def ptp(a: Value, axis: Value = None, out: None = None, keepdims: Value = False) -> Array:
    """Range of values."""
    array = array_of(a)
    return Array(reduced(array.shape, axis, keepdims), array.dtype)


@models("jax.numpy.average")
def average(
    a: Value,
    axis: Value = None,
    weights: Value = None,
    returned: Value = False,
    keepdims: Value = False,
) -> Array:
    """Weighted means."""
    if returned is not False:
        raise Unmodelled("average with `returned`")
    array = array_of(a)
    return Array(reduced(array.shape, axis, keepdims), floating(array) if weights is None else None)


@models(*names("quantile percentile nanquantile nanpercentile", "jax.numpy."))
def quantile(
    a: Value,
    q: Value,
    axis: Value = None,
    out: None = None,
    overwrite_input: Value = False,
    method: Value = "linear",
    keepdims: Value = False,
    *,
    weights: Value = None,
    out_sharding: Value = None,
    interpolation: Value = None,
) -> Array:
    """Quantiles: the axes of `q` come first."""
    array, quantiles = array_of(a), array_of(q)
    if array.shape.rank == 0:
        raise Unmodelled("a quantile of a scalar")
    return Array(quantiles.shape.concat(reduced(array.shape, axis, keepdims)))


@models("jax.nn.logsumexp", "flax.linen.logsumexp", "jax.scipy.special.logsumexp")
def logsumexp(
    a: Value,
    axis: Value = None,
    b: Value = None,
    keepdims: Value = False,
    return_sign: Value = False,
    where: Value = None,
) -> Array | tuple[Array, Array]:
    """The logarithm of a sum of exponentials; `b` broadcasts."""
    array = array_of(a)
    shape = array.shape if b is None else broadcast(array.shape, array_of(b).shape)
    dtype = floating(array) if b is None else None
    result = Array(reduced(shape, axis, keepdims), dtype)
    return (result, Array(result.shape)) if bool_of(return_sign, "return_sign") else result


@models("jax.nn.logmeanexp")
def logmeanexp(x: Value, axis: Value = None, where: Value = None, keepdims: Value = False) -> Array:
    """The logarithm of a mean of exponentials."""
    array = array_of(x)
    return Array(reduced(array.shape, axis, keepdims), floating(array))


@models(*names("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or", "jax.lax."))
def lax_reduction(operand: Value, axes: Value, *, out_sharding: Value = None) -> Array:
    """Reductions of jax.lax."""
    array = array_of(operand)
    return Array(reduced(array.shape, axes), array.dtype)


@models("jax.lax.argmax", "jax.lax.argmin")
def lax_arg_extremum(operand: Value, axis: Value, index_dtype: Value) -> Array:
    """Positions of extrema."""
    return Array(reduced(array_of(operand).shape, int_of(axis, "axis")), "int")


@models("jax.numpy.linalg.norm", "numpy.linalg.norm")
def norm(x: Value, ord: Value = None, axis: Value = None, keepdims: Value = False) -> Array:
    """Vector and matrix norms."""
    array = array_of(x)
    return Array(reduced(array.shape, axis, keepdims))


@models("optax.safe_norm")
def safe_norm(
    x: Value, min_norm: Value, ord: Value = None, axis: Value = None, keepdims: Value = False
) -> Array:
    """A norm with a lower bound."""
    return Array(reduced(array_of(x).shape, axis, keepdims))


# ---- along axes, shape kept --------------------------------------------------------------------------------


@models(*names("softmax log_softmax", "jax.nn.", "flax.linen."))
def softmax(x: Value, axis: Value = -1, where: Value = None, initial: Value = None) -> Array:
    """Softmax and its logarithm; a mask broadcasts."""
    array = array_of(x)
    shape = array.shape if where is None else broadcast(array.shape, array_of(where).shape)
    return Array(shape, floating(array))


@models(*names("softmax log_softmax", "jax.scipy.special."))
def scipy_softmax(x: Value, /, *, axis: Value = None) -> Array:
    """Softmax and its logarithm."""
    array = array_of(x)
    return Array(array.shape, floating(array))


@models(*names("standardize", "jax.nn.", "flax.linen."), "flax.linen.normalize", "jax.nn.normalize")
def standardize(
    x: Value,
    axis: Value = -1,
    mean: Value = None,
    variance: Value = None,
    epsilon: Value = 1e-05,
    where: Value = None,
    *,
    algorithm: Value = "fast",
) -> Array:
    """Zero mean, unit variance along an axis."""
    operands = [array_of(v) for v in (x, mean, variance) if v is not None]
    result = Array(broadcast(*(operand.shape for operand in operands)), promote(*operands))
    return Array(result.shape, floating(result))


@models(*names("cumsum cumprod nancumsum nancumprod", "jax.numpy."), "numpy.cumsum", "numpy.cumprod")
@models_method("cumsum", "cumprod")
def cumulative(a: Value, axis: Value = None, dtype: Value = None, out: None = None) -> Array:
    """Running sums and products; without an axis, of the flat array."""
    array = array_of(a)
    if axis is None:
        return Array(Shape((array.shape.size,)), dtype_of(dtype, _running_dtype(array)))
    array.shape.axis(int_of(axis, "axis")) if array.shape.exact else int_of(axis, "axis")
    return Array(array.shape, dtype_of(dtype, _running_dtype(array)))


def _running_dtype(array: Array) -> str | None:
    return array.dtype if array.dtype is not None and kind(array.dtype) == "float" else None


@models(*names("cumlogsumexp cummax cummin cumprod cumsum", "jax.lax."))
def lax_cumulative(operand: Value, axis: Value = 0, reverse: Value = False) -> Array:
    """Running reductions of jax.lax."""
    return array_of(operand)
