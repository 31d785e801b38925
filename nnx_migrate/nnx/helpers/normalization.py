"""Normalization with the numbers of `flax.linen` where those of `flax.nnx` differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import canonicalize_dtype


def keep_dtypes(arrays: Any, *, dtype: Any = None, inexact: bool = True) -> Any:
    """A `promote_dtype` for norm layers that changes nothing.

    Statistics are then taken of the input as it is, in at least float32, and only the result is cast to the
    layer's dtype, as in Linen. NNX's own `promote_dtype` casts the input and the running statistics first.
    """
    return arrays


def boolean_mask(mask: Any) -> jax.Array | None:
    """A mask as booleans: Linen's norm layers accept masks of any dtype, those of NNX only boolean ones."""
    return None if mask is None else jnp.asarray(mask, dtype=bool)


class LinenGroupNorm(nnx.GroupNorm):
    """GroupNorm with any `reduction_axes`.

    `nnx.GroupNorm` repeats the groups' statistics along axis 1, which is right only for statistics of shape
    (batch, groups). Parameters are the same.
    """

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """Normalize `x` of shape (..., features) over groups of features and the other reduction axes."""
        axes = range(1, x.ndim) if self.reduction_axes is None else self.reduction_axes
        axes = sorted({axis % x.ndim for axis in ([axes] if isinstance(axes, int) else axes)})
        if axes[-1] != x.ndim - 1:
            raise ValueError("reduction_axes lack the last axis, which holds the features")
        groups = (self.num_groups, self.group_size)
        dtype = jnp.promote_types(jnp.result_type(x) if self.dtype is None else self.dtype, jnp.float32)
        grouped = x.reshape(x.shape[:-1] + groups).astype(dtype)
        where = None if mask is None else boolean_mask(mask.reshape(mask.shape[:-1] + groups))
        over = (*axes[:-1], x.ndim)

        def mean_of(array: jax.Array) -> jax.Array:
            mean = array.mean(over, where=where)
            if self.axis_name is None:
                return mean
            return jax.lax.pmean(mean, self.axis_name, axis_index_groups=self.axis_index_groups)

        mean = mean_of(grouped)
        if self.use_fast_variance:
            var = jnp.maximum(0.0, mean_of(_squared(grouped)) - _squared(mean))
        else:
            var = mean_of(_squared(grouped - jnp.expand_dims(mean, over)))

        def spread(statistic: jax.Array) -> jax.Array:
            repeated = jnp.repeat(statistic, self.group_size, axis=-1)
            return jnp.expand_dims(repeated, tuple(axes[:-1]))

        result = x - spread(mean)
        factor = jax.lax.rsqrt(spread(var) + self.epsilon)
        parameters = []
        if self.scale is not None:
            factor *= self.scale[...]
            parameters.append(self.scale[...])
        result *= factor
        if self.bias is not None:
            result += self.bias[...]
            parameters.append(self.bias[...])
        return jnp.asarray(result, canonicalize_dtype(x, *parameters, dtype=self.dtype))


def _squared(x: jax.Array) -> jax.Array:
    """The squared absolute value."""
    if jnp.iscomplexobj(x):
        return jax.lax.square(jax.lax.real(x)) + jax.lax.square(jax.lax.imag(x))
    return jax.lax.square(x)


class MultiAxisBatchNorm(nnx.BatchNorm):
    """BatchNorm over several feature axes, `num_features` being their sizes in ascending order of the axes.

    `nnx.BatchNorm` keeps one flat dimension of features and can't update its statistics then. Here the
    features are merged into one last axis, normalized, and taken apart again; variables are flat.
    """

    def __init__(self, num_features: Sequence[int], *, axis: Sequence[int], **options: Any) -> None:
        super().__init__(math.prod(num_features), axis=-1, **options)
        self.feature_axes = tuple(axis)

    def __call__(
        self, x: jax.Array, use_running_average: bool | None = None, *, mask: jax.Array | None = None
    ) -> jax.Array:
        """Normalize `x` with the statistics of the batch or the running ones."""
        features = sorted(axis % x.ndim for axis in self.feature_axes)
        others = [axis for axis in range(x.ndim) if axis not in features]
        order = (*others, *features)
        merged_shape = [*(x.shape[axis] for axis in others), self.num_features]

        def merge(array: jax.Array) -> jax.Array:
            return jnp.transpose(array, order).reshape(merged_shape)

        if mask is not None:
            mask = merge(jnp.broadcast_to(mask, x.shape))
        y = super().__call__(merge(x), use_running_average, mask=mask)
        y = y.reshape([x.shape[axis] for axis in order])
        return jnp.transpose(y, [order.index(axis) for axis in range(x.ndim)])


def _params(layer: nnx.Module) -> list[tuple[str, Any]]:
    """(path, Param) for all parameters of a layer."""
    flat: Any = nnx.to_flat_state(nnx.state(layer, nnx.Param))
    return [("/".join(map(str, path)), variable) for path, variable in flat]


def _with_params(layer: nnx.Module, change: Callable[[str, jax.Array], jax.Array]) -> Any:
    """The layer with `change(path, value)` as value of each Param; all other state is shared with `layer`."""
    parts: Any = nnx.split(layer, nnx.Param, ...)
    graphdef, params, rest = parts
    changed = []
    flat: Any = nnx.to_flat_state(params)
    for path, variable in flat:
        name = "/".join(map(str, path))
        changed.append((path, variable.replace(change(name, variable[...]))))
    return nnx.merge(graphdef, nnx.from_flat_state(changed), rest)


def _unit_length(x: jax.Array, axis: Any, epsilon: float) -> jax.Array:
    return x * jax.lax.rsqrt((x * x).sum(axis=axis, keepdims=True) + epsilon)


class LinenSpectralNorm(nnx.Module):
    """Calls a layer with its weights divided by their largest singular value.

    `nnx.SpectralNorm` overwrites the layer's weights at every call; here, as in Linen, they are normalized
    once at the start, then only for the duration of each call. `stats` holds `u` and `sigma` by the weights'
    paths.
    """

    def __init__(
        self,
        layer_instance: nnx.Module,
        *,
        n_steps: int = 1,
        epsilon: float = 1e-12,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        error_on_non_matrix: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.layer_instance = layer_instance
        self.n_steps = n_steps
        self.epsilon = epsilon
        self.dtype = dtype
        self.error_on_non_matrix = error_on_non_matrix
        self.stats: Any = nnx.Dict()
        for path, variable in _params(layer_instance):
            if variable.ndim > 1 and n_steps > 0:
                u = jax.random.normal(rngs.params(), (1, variable.shape[-1]), param_dtype)
                sigma = jnp.ones((), param_dtype)
                self.stats[path] = nnx.Dict(u=nnx.BatchStat(u), sigma=nnx.BatchStat(sigma))
                variable.set_value(self._normalized(path, variable[...], update_stats=False))

    def __call__(self, *args: Any, update_stats: bool, **kwargs: Any) -> Any:
        """Call the layer with normalized weights; `update_stats` keeps the improved estimates (training)."""
        change = partial(self._normalized, update_stats=update_stats)
        return _with_params(self.layer_instance, change)(*args, **kwargs)

    def _normalized(self, path: str, value: jax.Array, *, update_stats: bool) -> jax.Array:
        if path not in self.stats:
            return value
        if value.ndim > 2 and self.error_on_non_matrix:
            raise ValueError(f"a weight has {value.ndim} dimensions but error_on_non_matrix is True")
        matrix = value.reshape(-1, value.shape[-1])
        stats = self.stats[path]
        u = stats["u"][...]
        for _ in range(self.n_steps):  # power iteration for the first singular vectors
            v = _unit_length(jnp.matmul(u, matrix.T), None, self.epsilon)
            u = _unit_length(jnp.matmul(v, matrix), None, self.epsilon)
        u, v = jax.lax.stop_gradient(u), jax.lax.stop_gradient(v)
        sigma = jnp.matmul(jnp.matmul(v, matrix), u.T)[0, 0]
        result = (matrix / jnp.where(sigma != 0, sigma, 1)).reshape(value.shape)
        if update_stats:
            stats["u"].set_value(u)
            stats["sigma"].set_value(sigma)
        return jnp.asarray(result, canonicalize_dtype(value, u, v, sigma, dtype=self.dtype))


class LinenWeightNorm(nnx.Module):
    """Calls a layer with its weights at unit length along all but the feature axes, times a learned scale.

    `nnx.WeightNorm` overwrites the layer's weights at every call and does not train its scales; here, as in
    Linen, weights are normalized once at the start, then only for the duration of each call, and `scales` are
    Params by the weights' paths. `variable_filter` holds parts of paths (None: all weights).
    """

    def __init__(
        self,
        layer_instance: nnx.Module,
        *,
        epsilon: float = 1e-12,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_scale: bool = True,
        scale_init: Any = nnx.initializers.ones,
        feature_axes: int | Sequence[int] | None = -1,
        variable_filter: Iterable[str] | None = ("kernel",),
        rngs: nnx.Rngs,
    ) -> None:
        self.layer_instance = layer_instance
        self.epsilon = epsilon
        self.dtype = dtype
        axes = () if feature_axes is None else feature_axes
        self.feature_axes = (axes,) if isinstance(axes, int) else tuple(axes)
        self.variable_filter = tuple(variable_filter or ())
        self.scales: Any = nnx.Dict()
        for path, variable in _params(layer_instance):
            if use_scale and self._selects(path):
                shape = [variable.shape[axis] for axis in self._features(variable.ndim)]
                self.scales[path] = nnx.Param(scale_init(rngs.params(), shape, param_dtype))
            variable.set_value(self._normalized(path, variable[...]))

    def _selects(self, path: str) -> bool:
        return not self.variable_filter or any(part in path for part in self.variable_filter)

    def _features(self, ndim: int) -> list[int]:
        return sorted({axis % ndim for axis in self.feature_axes})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer with normalized weights."""
        return _with_params(self.layer_instance, self._normalized)(*args, **kwargs)

    def _normalized(self, path: str, value: jax.Array) -> jax.Array:
        if not self._selects(path):
            return value
        features = self._features(value.ndim)
        others = tuple(axis for axis in range(value.ndim) if axis not in features)
        result = _unit_length(value, others, self.epsilon)
        parameters = [value]
        if path in self.scales:
            shape = [size if axis in features else 1 for axis, size in enumerate(value.shape)]
            parameters.append(self.scales[path][...].reshape(shape))
            result = result * parameters[-1]
        return jnp.asarray(result, canonicalize_dtype(*parameters, dtype=self.dtype))
