"""jax.random: keys are opaque, samples have the shape that is asked for."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown, Unmodelled, Value, broadcast
from nnx_migrate.linen.effects.arguments import array_of, dim_of, dtype_of, names, shape_of
from nnx_migrate.linen.effects.registry import models

_RANDOM = "jax.random."


@models(*names("PRNGKey key", _RANDOM))
def key(seed: Value, *, impl: Value = None, dtype: Value = None) -> Unknown:
    """Whether a key has an axis depends on its kind."""
    return Unknown("a random key")


@models(*names("fold_in clone", _RANDOM))
def fold_in(key: Value, data: Value = None) -> Unknown:
    """Another key."""
    return Unknown("a random key")


@models("jax.random.split")
def split(key: Value, num: Value = 2) -> Value:
    """So many keys, as a tuple where the number is known."""
    if isinstance(num, int) and not isinstance(num, bool) and 0 <= num <= 64:
        return tuple(Unknown("a random key") for _ in range(num))
    return Unknown("random keys")


def _sample(shape: Value, dtype: Value, kind: str | None, *params: Value) -> Array:
    """A sample of the given shape, or, without one, of the parameters' broadcast."""
    if shape is not None:
        return Array(shape_of(shape), dtype_of(dtype, kind))
    return Array(broadcast(*(array_of(param).shape for param in params)), dtype_of(dtype, kind))


@models("jax.random.uniform")
def uniform(
    key: Value,
    shape: Value = (),
    dtype: Value = None,
    minval: Value = 0.0,
    maxval: Value = 1.0,
    *,
    out_sharding: Value = None,
    mode: Value = None,
) -> Array:
    """Uniform samples."""
    return _sample(shape, dtype, "float")


@models(*names("normal exponential laplace logistic cauchy", _RANDOM))
def normal(key: Value, shape: Value = (), dtype: Value = None, *, out_sharding: Value = None) -> Array:
    """Samples of a standard distribution."""
    return _sample(shape, dtype, "float")


@models("jax.random.gumbel")
def gumbel(
    key: Value, shape: Value = (), dtype: Value = None, mode: Value = None, *, out_sharding: Value = None
) -> Array:
    """Gumbel samples."""
    return _sample(shape, dtype, "float")


@models("jax.random.rademacher")
def rademacher(key: Value, shape: Value = (), dtype: Value = None, *, out_sharding: Value = None) -> Array:
    """Random signs."""
    return _sample(shape, dtype, "int")


@models("jax.random.bits")
def bits(key: Value, shape: Value = (), dtype: Value = None, *, out_sharding: Value = None) -> Array:
    """Random integers of all sizes."""
    return _sample(shape, dtype, "int")


@models("jax.random.truncated_normal")
def truncated_normal(
    key: Value,
    lower: Value,
    upper: Value,
    shape: Value = None,
    dtype: Value = None,
    *,
    out_sharding: Value = None,
) -> Array:
    """Normal samples between bounds."""
    return _sample(shape, dtype, "float", lower, upper)


@models("jax.random.randint")
def randint(
    key: Value,
    shape: Value,
    minval: Value,
    maxval: Value,
    dtype: Value = None,
    *,
    out_sharding: Value = None,
) -> Array:
    """Random integers."""
    return _sample(shape, dtype, "int")


@models("jax.random.bernoulli")
def bernoulli(
    key: Value, p: Value = 0.5, shape: Value = None, mode: Value = "low", *, out_sharding: Value = None
) -> Array:
    """Random truth values."""
    return _sample(shape, None, "bool", p)


@models("jax.random.categorical")
def categorical(
    key: Value,
    logits: Value,
    axis: Value = -1,
    shape: Value = None,
    replace: Value = True,
    mode: Value = None,
    *,
    out_sharding: Value = None,
) -> Array:
    """Samples of classes: the class axis goes."""
    if shape is not None:
        return Array(shape_of(shape), "int")
    array = array_of(logits)
    if axis != -1:
        raise Unmodelled("categorical along another axis")
    return Array(array.shape.before(1), "int")


@models("jax.random.poisson")
def poisson(
    key: Value, lam: Value, shape: Value = None, dtype: Value = None, *, out_sharding: Value = None
) -> Array:
    """Poisson samples."""
    return _sample(shape, dtype, "int", lam)


@models(*names("gamma loggamma", _RANDOM))
def gamma(
    key: Value, a: Value, shape: Value = None, dtype: Value = None, *, out_sharding: Value = None
) -> Array:
    """Samples with one parameter."""
    return _sample(shape, dtype, "float", a)


@models("jax.random.beta")
def beta(
    key: Value,
    a: Value,
    b: Value,
    shape: Value = None,
    dtype: Value = None,
    *,
    out_sharding: Value = None,
) -> Array:
    """Beta samples."""
    return _sample(shape, dtype, "float", a, b)


@models("jax.random.permutation")
def permutation(
    key: Value, x: Value, axis: Value = 0, independent: Value = False, *, out_sharding: Value = None
) -> Array:
    """A shuffled array, or shuffled numbers below `x`."""
    if isinstance(x, Array):
        if x.shape.rank != 0:
            return x
        raise Unmodelled("permutation of an array value")
    return Array(Shape((dim_of(x),)), "int")


@models("jax.random.choice")
def choice(
    key: Value,
    a: Value,
    shape: Value = (),
    replace: Value = True,
    p: Value = None,
    axis: Value = 0,
    mode: Value = None,
) -> Array:
    """Elements of a vector, or numbers below `a`."""
    if isinstance(a, Array):
        if a.shape.rank != 1:
            raise Unmodelled("choice from an array that may not be a vector")
        return Array(shape_of(shape), a.dtype)
    return Array(shape_of(shape), "int")
