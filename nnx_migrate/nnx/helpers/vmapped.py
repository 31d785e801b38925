"""Several modules of one class as one pure function, as `nn.vmap` makes them of a Linen class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from nnx_migrate.nnx.helpers.functional import Functional


def vmapped(
    make: Callable[..., Functional],
    variable_axes: Mapping[str, int],
    split_rngs: Mapping[str, bool],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
) -> Callable[..., VmappedFunctional]:
    """What takes the place of `nn.vmap(Class, ...)`; `make` makes one member.

    Streams that `split_rngs` doesn't split are the same for all members. The variables of all collections have the
    members in their axis 0.
    """
    if set(variable_axes.values()) != {0}:
        raise NotImplementedError("variables are mapped over their axis 0 alone")

    def made(*args: Any, **kwargs: Any) -> VmappedFunctional:
        return VmappedFunctional(make(*args, **kwargs), dict(split_rngs), in_axes, out_axes, axis_size)

    return made


class VmappedFunctional:
    """Members that are initialised and called together; see `vmapped`."""

    def __init__(
        self,
        member: Functional,
        split_rngs: dict[str, bool],
        in_axes: Any,
        out_axes: Any,
        axis_size: int | None,
    ) -> None:
        self._member, self._split_rngs, self._axis_size = member, split_rngs, axis_size
        self._in_axes, self._out_axes = in_axes, out_axes

    def __getattr__(self, name: str) -> Any:
        """A constructor argument of the members."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._member, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VmappedFunctional) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        axes = str((self._split_rngs, self._in_axes, self._out_axes, self._axis_size))
        return self._member, axes

    def init(self, rngs: Any, *inputs: Any) -> dict[str, Any]:
        """The variables of new members."""
        self._measure(inputs)
        size = self._size(inputs)
        keys, key_axes = self._keys(rngs, size)
        axes = (key_axes, *self._input_axes(inputs))
        init: Any = jax.vmap(self._member.init, in_axes=axes, axis_size=size)
        made: dict[str, Any] = init(keys, *inputs)
        return made

    lazy_init = init

    def init_with_output(self, rngs: Any, *inputs: Any) -> tuple[Any, dict[str, Any]]:
        """The outputs of new members, and their variables."""
        variables = self.init(rngs, *inputs)
        return self.apply(variables, *inputs, rngs=rngs), variables

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Any = None,
        method: None = None,
        mutable: bool | str | Sequence[str] = False,
    ) -> Any:
        """The outputs of members that have these variables; with `mutable` also what the calls have changed."""
        if method is not None:
            raise NotImplementedError("only `__call__` is mapped over the members")
        self._measure(inputs)
        size = self._size(inputs) or len(jax.tree.leaves(variables)[0])
        keys, key_axes = self._keys({} if rngs is None else rngs, size)

        def call(variables: Any, keys: Any, *inputs: Any) -> Any:
            return self._member.apply(variables, *inputs, rngs=keys or None, mutable=mutable)

        axes = (0, key_axes, *self._input_axes(inputs))
        out_axes = self._out_axes if mutable is False else (self._out_axes, 0)
        return jax.vmap(call, in_axes=axes, out_axes=out_axes, axis_size=size)(variables, keys, *inputs)

    def _keys(self, rngs: Any, size: int | None) -> tuple[dict[str, Any], dict[str, int | None]]:
        streams = dict(rngs) if isinstance(rngs, Mapping) else {"params": rngs}
        axes = {name: 0 if self._split_rngs.get(name) else None for name in streams}
        keys = {n: key if axes[n] is None else jax.random.split(key, size or 1) for n, key in streams.items()}
        return keys, axes

    def _input_axes(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        axes = self._in_axes
        return tuple(axes) if isinstance(axes, list | tuple) else (axes,) * len(inputs)

    def _size(self, inputs: Sequence[Any]) -> int | None:
        """The number of members."""
        for x, axis in zip(inputs, self._input_axes(inputs), strict=True):
            if self._axis_size is None and isinstance(axis, int):
                return int(jax.tree.leaves(x)[0].shape[axis])
        return self._axis_size

    def _measure(self, inputs: Sequence[Any]) -> None:
        """Show one member its inputs, from which it may take sizes."""

        def one(x: Any, axis: int | None) -> Any:
            if axis is None:
                return x
            return jax.tree.map(lambda a: jax.eval_shape(lambda b: b.take(0, axis), a), x)

        axes = self._input_axes(inputs)
        self._member._measure([one(x, axis) for x, axis in zip(inputs, axes, strict=True)], {}, None)
