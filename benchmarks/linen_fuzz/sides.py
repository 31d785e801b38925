"""The two sides of a proof without any numbers: models whose variables are zeros, calls that are traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.linen_fuzz.traces import Digest, Value, combined, follow, reshaped
from nnx_migrate.numerics.inputs import IN_ORDER, Phase
from nnx_migrate.numerics.linen_side import LinenSide, state_collections
from nnx_migrate.numerics.map_expansion import Expansion
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.nnx_model import leaves_of
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.side import Side
from nnx_migrate.numerics.trees import flatten_output, split_arrays

Values = dict[Path, Value]


class TracedLinen(LinenSide):
    """A Linen model that is never computed."""

    initial_values: list[Value]

    def _init(self) -> Mapping[str, Any]:
        arrays, rebuild = split_arrays((self.init_args, dict(self.init_kwargs)))

        def init(key: Any, arrays: Any) -> Any:
            args, kwargs = rebuild(arrays)
            keys = dict.fromkeys(("params", *self.streams), key)
            return state_collections(self.model.init(keys, *args, method=self.init_method, **kwargs))

        traced, shapes = jax.make_jaxpr(init, return_shape=True)(jax.random.key(0), arrays)
        self.initial_values = _initial(traced)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)  # type: ignore[no-any-return]

    def _trace(self, phase: Phase) -> None:
        """Nothing: `trace` finds out which streams a call needs, and the map tells which leaf is which."""

    def traced(self, phase: Phase, run: Callable[[], Any]) -> Any:
        """What `run` returns, once the streams that it needs are known."""
        return self._retry(phase, run)

    def initials(self) -> Values:
        """The initial variables."""
        return dict(zip(sorted(self.leaves), self.initial_values, strict=True))


class TracedNNX(NNXSide):
    """An NNX model that is never computed."""

    def _trace(self, phase: Phase, reads: dict[Path, None]) -> None:
        """Nothing, as above."""

    def traced(self, phase: Phase, run: Callable[[], Any]) -> Any:
        """What `run` returns."""
        return run()

    @property
    def model(self) -> nnx.Module:
        """The live model, of zeros."""
        if self._model is None:
            names = tuple(dict.fromkeys(["params", *self.streams, "carry"]))

            def build(key: Any) -> Any:
                graphdef, state = nnx.split(self.build(nnx.Rngs(key, **dict.fromkeys(names, key))))
                structure.append(graphdef)
                return state, leaves_of(state)

            structure: list[Any] = []
            traced, (state, leaves) = jax.make_jaxpr(build, return_shape=True)(jax.random.key(0))
            self._graphdef, self._state = structure[-1], jax.tree.map(_zeros, state)
            self._model = nnx.merge(self._graphdef, self._state)
            self.leaves = leaves_of(self._state)
            found = _initial(traced)
            values = found[len(found) - len(leaves) :]
            self.initial_values = dict(zip(sorted(leaves), values, strict=True))
        return self._model

    def initials(self) -> Values:
        """The initial variables."""
        return self.initial_values


@dataclass
class Traced:
    """What a call computes: its output, and the variables afterwards."""

    output: dict[Path, Digest]
    state: Values


def trace(side: TracedLinen | TracedNNX, phase: Phase, leaves: Values) -> Traced:
    """Trace a call; `leaves` name the variables before it."""
    arrays, rebuild = split_arrays((side.inputs.args, dict(side.inputs.kwargs(phase))))

    def call(before: Any, arrays: Any) -> Any:
        args, kwargs = rebuild(arrays)
        outcome = side.call(before, jnp.uint32(0), args, kwargs, phase, IN_ORDER)
        return flatten_output(outcome.output)[0], {**outcome.leaves, **_sown(outcome.sown)}

    maker = jax.make_jaxpr(call, return_shape=True)
    traced, (output, state) = side.traced(phase, lambda: maker(side.leaves, arrays))
    inputs = [leaves[path] for path in sorted(side.leaves)]
    shapes = [array.shape for array in jax.tree.leaves(arrays)]
    inputs += [Value(f"argument {number}", shape=shape) for number, shape in enumerate(shapes)]
    found = follow(traced, inputs)
    results = dict(zip(sorted(output), (v.digest for v in found[: len(output)]), strict=True))
    return Traced(results, dict(zip(sorted(state), found[len(output) :], strict=True)))


def named(side: Side) -> Values:
    """A name for each variable of the first side."""
    return {path: Value("/".join(path), shape=leaf.shape) for path, leaf in side.leaves.items()}


def translated(values: Values, expansion: Expansion, after: Side) -> Values:
    """Variables of the first side as those of the second."""
    result: Values = {}
    known = {path for pair in expansion.pairs for path in pair.linen}
    for pair in expansion.pairs:
        kind = pair.transform.kind
        for number, path in enumerate(pair.nnx):
            shape = after.leaves[path].shape
            first = values[pair.linen[0]]
            if kind == "identity":
                result[path] = first
            elif kind == "reshape":
                result[path] = reshaped(first, tuple(shape))
            else:
                sources = [values[source].digest for source in pair.linen]
                result[path] = Value(combined(str(pair.transform), str(number), *sources), shape=shape)
    return {**result, **{path: value for path, value in values.items() if path not in known}}


def _sown(values: Mapping[Path, Any]) -> dict[Path, Any]:
    return {("sown", str(number)): value for number, value in enumerate(values.values())}


def _initial(traced: Any) -> list[Value]:
    inputs = [Value("key")]
    inputs += [Value(f"argument {n}", shape=v.aval.shape) for n, v in enumerate(traced.jaxpr.invars[1:])]
    return follow(traced, inputs, one_key=True)


def _zeros(leaf: Any) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), leaf.shape)
    return jnp.asarray(np.zeros(leaf.shape, leaf.dtype))
