"""The abstract layer: Linen's fields, what its methods return and the sizes it needs at construction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown, Unmodelled, Value
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import dtype_of, kind
from nnx_migrate.linen.effects.initial_dtypes import is_initial, promoted
from nnx_migrate.linen.effects.registry import load, misfit_of

_L = TypeVar("_L", bound="type[Layer]")
_layers: dict[str, type[Layer]] = {}


@dataclass(frozen=True)
class Applied:
    """The result of a layer's method.

    `sizes` are what an equal NNX layer needs at construction, by the usual names (`in_features`,
    `num_features`, ...); a size that can't be told is an unknown dim.
    """

    output: Value
    sizes: Mapping[str, Value] = field(default_factory=dict)


class Layer:
    """A Linen layer with abstract constructor arguments; subclasses are dataclasses with Linen's fields.

    A subclass defines a method per Linen method, `__call__` under the name `call`, which returns `Applied`.
    """

    methods: ClassVar[Mapping[str, str]] = {"__call__": "call"}

    @classmethod
    def bind(cls, *args: Value, **kwargs: Value) -> Layer | Unknown:
        """The layer built with these arguments; `name` and `parent` have no effect on shapes."""
        kwargs = {key: value for key, value in kwargs.items() if key not in ("name", "parent")}
        try:
            return cls(*args, **kwargs)
        except TypeError as error:
            return Unknown(f"constructor call does not fit: {error}")

    def apply(self, method: str, *args: Value, **kwargs: Value) -> Applied:
        """The result of calling one of the layer's methods."""
        name = self.methods.get(method)
        if name is None:
            return Applied(Unknown(f"{type(self).__name__}.{method} is not modelled"))
        function = getattr(self, name)
        try:
            result: Applied = function(*args, **kwargs)
        except Unmodelled as unmodelled:
            return Applied(Unknown(str(unmodelled)))
        except TypeError:
            if misfit := misfit_of(inspect.signature(function), args, kwargs):
                return Applied(Unknown(misfit))
            raise
        return result


def models_layer(*names: str) -> Callable[[_L], _L]:
    """Declare that the decorated class models the Linen layers of these qualified names."""

    def register(layer_type: _L) -> _L:
        for name in names:
            _layers[name] = layer_type
        return layer_type

    return register


def layer(qualified: str) -> type[Layer] | None:
    """The model of a Linen layer, None if there is none."""
    load()
    return _layers.get(qualified)


def modelled_layers() -> tuple[str, ...]:
    """The qualified names of all modelled layers."""
    load()
    return tuple(_layers)


# ---- for layers --------------------------------------------------------------------------------------------


def guarded_output(make: Callable[[], Value]) -> Value:
    """`make()`, or Unknown: for outputs that may fail where the sizes are known."""
    try:
        return make()
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def last_dim(value: Value) -> Dim:
    """The size of the last axis of an input, unknown for anything but an array with axes."""
    if isinstance(value, Array):
        return value.shape.dim(-1)
    return Dim.unknown(value.reason if isinstance(value, Unknown) else "the input is not an array")


def layer_dtype(dtype: Value, param_dtype: Value, *inputs: Value) -> str | None:
    """The dtype of a layer that computes in floats: its own, else the promotion of inputs and parameters."""
    if dtype is not None:
        return dtype_of(dtype)
    found = [dtype_of(param_dtype, "float32")]
    found += [value.dtype if isinstance(value, Array) else None for value in inputs]
    if any(is_initial(name) for name in found):
        return promoted(found, has_numbers=False)
    kinds = {None if name is None else kind(name) for name in found}
    return None if kinds & {None, "complex"} else "float"


FLOAT32 = Global("jax.numpy.float32")
