"""Fourier transforms, image resizing and one-dimensional convolution."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value
from nnx_migrate.linen.arrays.spread_shapes import fitted
from nnx_migrate.linen.dims import Dim, at_least
from nnx_migrate.linen.effects.arguments import array_of, axes_of, dim_of, dims_of, int_of, names, shape_of
from nnx_migrate.linen.effects.registry import models

# ---- jax.numpy.fft -----------------------------------------------------------------------------------------


def _resized(array: Array, axis: int, length: Dim | None) -> Shape:
    return array.shape if length is None else array.shape.replaced(axis, length)


@models(*names("fft ifft", "jax.numpy.fft."))
def fft(a: Value, n: Value = None, axis: Value = -1, norm: Value = None) -> Array:
    """Complex to complex along one axis, cut or padded to `n`."""
    array = array_of(a)
    place = array.shape.axis(int_of(axis, "axis"))
    return Array(_resized(array, place, None if n is None else dim_of(n)), "complex")


@models("jax.numpy.fft.rfft")
def rfft(a: Value, n: Value = None, axis: Value = -1, norm: Value = None) -> Array:
    """Real to complex: half the length and one."""
    array = array_of(a)
    place = array.shape.axis(int_of(axis, "axis"))
    length = array.shape.dim(place) if n is None else dim_of(n)
    return Array(array.shape.replaced(place, length // 2 + 1), "complex")


@models("jax.numpy.fft.irfft")
def irfft(a: Value, n: Value = None, axis: Value = -1, norm: Value = None) -> Array:
    """Complex to real: twice the length, less two."""
    array = array_of(a)
    place = array.shape.axis(int_of(axis, "axis"))
    length = (array.shape.dim(place) - 1) * 2 if n is None else dim_of(n)
    return Array(array.shape.replaced(place, length), "float")


def _many(a: Value, s: Value, axes: Value, default: Value) -> tuple[Array, tuple[int, ...], list[Dim] | None]:
    """The array, the transformed axes in order, and their lengths, if given."""
    array = array_of(a)
    lengths = None if s is None else list(dims_of(s))
    chosen = default if axes is None else axes
    if chosen is None:
        count = len(array.shape.items()) if lengths is None else len(lengths)
        chosen = tuple(range(-count, 0))
    places = axes_of(chosen, array.shape)
    if not places:
        raise Unmodelled("a Fourier transform along no axis")
    if lengths is not None and len(lengths) != len(places):
        raise Unmodelled("lengths and axes of a Fourier transform differ in number")
    return array, places, lengths


def _fftn(a: Value, s: Value, axes: Value, default: Value) -> Array:
    array, places, lengths = _many(a, s, axes, default)
    shape = array.shape
    for place, length in zip(places, lengths or [], strict=False):
        shape = shape.replaced(place, length)
    return Array(shape, "complex")


def _rfftn(a: Value, s: Value, axes: Value, default: Value) -> Array:
    array, places, lengths = _many(a, s, axes, default)
    full = _fftn(a, s, axes, default).shape
    last = array.shape.dim(places[-1]) if lengths is None else lengths[-1]
    return Array(full.replaced(places[-1], last // 2 + 1), "complex")


def _irfftn(a: Value, s: Value, axes: Value, default: Value) -> Array:
    array, places, lengths = _many(a, s, axes, default)
    full = _fftn(a, s, axes, default).shape
    last = (array.shape.dim(places[-1]) - 1) * 2 if lengths is None else lengths[-1]
    return Array(full.replaced(places[-1], last), "float")


@models(*names("fftn ifftn", "jax.numpy.fft."))
def fftn(a: Value, s: Value = None, axes: Value = None, norm: Value = None) -> Array:
    """Complex to complex along several axes."""
    return _fftn(a, s, axes, None)


@models(*names("fft2 ifft2", "jax.numpy.fft."))
def fft2(a: Value, s: Value = None, axes: Value = (-2, -1), norm: Value = None) -> Array:
    """Complex to complex along two axes."""
    return _fftn(a, s, axes, (-2, -1))


@models("jax.numpy.fft.rfftn")
def rfftn(a: Value, s: Value = None, axes: Value = None, norm: Value = None) -> Array:
    """Real to complex along several axes; the last one is halved."""
    return _rfftn(a, s, axes, None)


@models("jax.numpy.fft.rfft2")
def rfft2(a: Value, s: Value = None, axes: Value = (-2, -1), norm: Value = None) -> Array:
    """Real to complex along two axes; the last one is halved."""
    return _rfftn(a, s, axes, (-2, -1))


@models("jax.numpy.fft.irfftn")
def irfftn(a: Value, s: Value = None, axes: Value = None, norm: Value = None) -> Array:
    """Complex to real along several axes."""
    return _irfftn(a, s, axes, None)


@models("jax.numpy.fft.irfft2")
def irfft2(a: Value, s: Value = None, axes: Value = (-2, -1), norm: Value = None) -> Array:
    """Complex to real along two axes."""
    return _irfftn(a, s, axes, (-2, -1))


@models(*names("fftshift ifftshift", "jax.numpy.fft."))
def fftshift(x: Value, axes: Value = None) -> Array:
    """The same shape, rolled."""
    return array_of(x)


@models("jax.numpy.fft.fftfreq")
def fftfreq(n: Value, d: Value = 1.0, *, dtype: Value = None, device: Value = None) -> Array:
    """Frequencies of `fft`."""
    return Array(Shape((dim_of(n),)), "float" if dtype is None else None)


@models("jax.numpy.fft.rfftfreq")
def rfftfreq(n: Value, d: Value = 1.0, *, dtype: Value = None, device: Value = None) -> Array:
    """Frequencies of `rfft`."""
    return Array(Shape((dim_of(n) // 2 + 1,)), "float" if dtype is None else None)


# ---- jax.image ---------------------------------------------------------------------------------------------


@models("jax.image.resize")
def resize(
    image: Value, shape: Value, method: Value, antialias: Value = True, precision: Value = None
) -> Array:
    """The given shape."""
    own = array_of(image).shape
    target, rank = fitted(shape_of(shape), own), own.rank
    if target.exact and rank is not None and rank != len(target.dims):
        raise Unmodelled("resize to another rank")
    return Array(target)


@models("jax.image.scale_and_translate")
def scale_and_translate(
    image: Value,
    shape: Value,
    spatial_dims: Value,
    scale: Value,
    translation: Value,
    method: Value,
    antialias: Value = True,
    precision: Value = None,
) -> Array:
    """The given shape."""
    return resize(image, shape, method)


# ---- convolution of vectors --------------------------------------------------------------------------------


@models("jax.numpy.convolve")
def convolve(
    a: Value, v: Value, mode: Value = "full", *, precision: Value = None, preferred_element_type: Value = None
) -> Array:
    """Convolution of two vectors."""
    return _slid(a, v, mode)


@models("jax.numpy.correlate")
def correlate(
    a: Value,
    v: Value,
    mode: Value = "valid",
    *,
    precision: Value = None,
    preferred_element_type: Value = None,
) -> Array:
    """Correlation of two vectors."""
    return _slid(a, v, mode)


def _slid(a: Value, v: Value, mode: Value) -> Array:
    lengths = [array_of(value).shape.items() for value in (a, v)]
    if any(len(dims) != 1 for dims in lengths):
        raise Unmodelled("convolve of something that is not a vector")
    long, short = lengths[0][0], lengths[1][0]
    if mode == "full":
        return Array(Shape((long + short - 1,)))
    if not at_least(long, short):
        raise Unmodelled("convolve with a vector that may be longer")
    if mode == "same":
        return Array(Shape((long,)))
    if mode == "valid":
        return Array(Shape((long - short + 1,)))
    raise Unmodelled("convolve in unknown mode")
