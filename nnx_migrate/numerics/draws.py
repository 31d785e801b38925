"""Aligned random draws: both libraries hand out the same key for the same draw.

Linen derives a key from the module's path, NNX from a counter, so dropout masks never agree by themselves.
Inside `aligned_draws` both derive it from three things that a faithful conversion keeps:

- the stream's name (``dropout``);
- the ordinal of the draw: the how-manieth key of that stream since the context was entered or, inside a loop
  body (scan, vmap, while, fori), since the body's trace began;
- the *base key* that reaches the draw. It enters through Linen's ``rngs=`` and through the key of each NNX
  RngStream (`seed_streams`), so it is data: it passes through jit and every lifted transform, and a jitted
  step takes a new one each time. Base keys are transparent: ``(seed, n)``, where splitting a stream over n
  loop steps adds the step's number. nn.scan and nn.vmap with ``split_rngs``, nnx.split_rngs, and an nnx.scan
  that carries the stream's counter therefore give step i the same base key, and a loop that repeats one key
  in each step shows as a difference.

Limits: a loop unrolled on one side only, or nested loops that split on one side and carry on the other, draw
different keys; a key that is passed to a layer explicitly is left alone. `AlignedDraws.events` tells what was
drawn, so a difference in number is never silent. ``ordered=False`` leaves the ordinal out: all draws of a
stream in one loop step share a key. It shows whether two sides that differ do so in the order of their draws
only.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx
from flax.core import lift
from flax.core.scope import LazyRng, Scope
from flax.errors import InvalidRngError
from flax.nnx import rnglib
from jax._src import core as jax_core  # no public API tells a loop body's trace from that of a jit

_LOOP_STEP_BASE = 65_599  # nested splits: (seed, i) split again gives (seed, i * base + j)
_TRANSPARENT = frozenset({"jit", "checkpoint / remat", "cond", "switch", "custom_jvp", "custom_vjp"})


@dataclass(frozen=True, order=True)
class Draw:
    """One key handed out: the `ordinal`-th of `stream` at loop nesting `depth`."""

    stream: str
    depth: int
    ordinal: int


@dataclass
class AlignedDraws:
    """What was drawn inside one `aligned_draws` context.

    A loop body may be traced more than once, so compare `distinct`, not the length of `events`.
    """

    ordered: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)
    events: list[Draw] = field(default_factory=list)
    _counters: dict[tuple[int, str], int] = field(default_factory=dict)
    _counted: dict[tuple[int, int], jax.Array] = field(default_factory=dict)
    _keep_alive: list[Any] = field(default_factory=list)
    _outside: tuple[Any, ...] = field(default_factory=lambda: tuple(_traces()))

    @property
    def distinct(self) -> frozenset[Draw]:
        """The draws, each loop body's counted once."""
        return frozenset(self.events)

    def key(self, stream: str, base: jax.Array) -> jax.Array:
        """The key for the next draw of `stream`; `base` is the transparent base key that reached the draw."""
        stream = self.aliases.get(stream, stream)
        loop, depth = self._loop_frame()
        ordinal = self._counters.get((id(loop), stream), 0)
        self._counters[id(loop), stream] = ordinal + 1
        self._keep_alive.append(loop)  # so that its id is not given to another trace
        self.events.append(Draw(stream, depth, ordinal))
        key = jax.random.fold_in(base, zlib.crc32(stream.encode()))
        return jax.random.fold_in(key, depth * 65_536 + ordinal) if self.ordered else key

    def _loop_frame(self) -> tuple[Any, int]:
        """The innermost loop body being traced (None outside of loops), and how many loops deep it is."""
        loops = [
            trace for trace in _traces() if _is_loop(trace) and not any(trace is t for t in self._outside)
        ]
        return (loops[0] if loops else None), len(loops)

    def count(self, stream: rnglib.RngStream) -> jax.Array:
        """The stream's counter where it tells loop steps apart, else 0."""
        return stream.count[...] if self._loop_frame()[1] else jnp.zeros((), jnp.uint32)

    def first_count(self, stream: rnglib.RngStream) -> jax.Array:
        """The stream's counter as it was when the current loop body first used it (0 outside of loops).

        In a loop body the first use also advances the counter, by one however many draws follow: a loop that
        carries the stream then counts its steps.
        """
        loop, depth = self._loop_frame()
        if depth == 0:
            return jnp.zeros((), jnp.uint32)
        slot = (id(loop), id(stream))
        if slot not in self._counted:
            self._counted[slot] = stream.count[...]
            self._keep_alive += [loop, stream]
            stream.count[...] += 1
        return self._counted[slot]


@contextmanager
def aligned_draws(ordered: bool = True, aliases: Mapping[str, str] | None = None) -> Iterator[AlignedDraws]:
    """Makes Linen's `make_rng` and NNX's RngStreams hand out aligned keys while a model is called or traced.

    Enter it inside the function that jax.jit or jax.grad transforms, once for each call of the model.
    `aliases` renames streams: an NNX stream called ``default`` that stands for ``dropout``.
    """
    draws = AlignedDraws(ordered, aliases or {})

    def make_rng(scope: Scope, name: str = "params") -> jax.Array:
        base = scope.rngs.get(name, scope.rngs.get("params"))
        if base is None:
            raise MissingStreamError(name, scope.path_text)
        key = base.rng if isinstance(base, LazyRng) else base
        # fork_rngs passes streams on, by way of Module.make_rng and a comprehension; nothing is drawn.
        if _called_from("flax.linen.transforms", "fork_rngs", depth=3):
            return key
        return draws.key(name, key)

    def stream_key(stream: rnglib.RngStream) -> jax.Array:
        if _called_from(nnx.bridge.ToNNX.__module__, "__call__", "dictcomp"):  # passed on to a Linen module
            return stream.key[...]
        if _called_from(
            rnglib.__name__, "split", "fork", "reseed"
        ):  # passed on, or spread over a loop's steps
            return _step(stream.key[...], draws.count(stream))
        base = _step(stream.key[...], draws.first_count(stream))
        return draws.key(stream.tag, base)

    with ExitStack() as stack:
        for target, name, value in (
            (Scope, "make_rng", make_rng),
            (rnglib.RngStream, "__call__", stream_key),
            (lift, "random", _TransparentRandom()),
            (lift, "jit", _without_jit),
            (rnglib, "random", _TransparentRandom()),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        yield draws


class MissingStreamError(InvalidRngError):
    """A Linen module asked for a stream that was not passed to `apply`; `stream` is its name."""

    def __init__(self, stream: str, path: str):
        self.stream = stream
        message = f'{path} needs PRNG for "{stream}"'
        super().__init__(message)  # type: ignore[no-untyped-call]
        self.args = (message,)  # without the link that Flax adds


def base_key(seed: int | jax.Array) -> jax.Array:
    """The transparent base key ``(seed, 0)``, from which all streams of both sides start."""
    return _key(jnp.stack([jnp.asarray(seed, jnp.uint32), jnp.zeros((), jnp.uint32)]))


def seed_streams(state: nnx.State[Any, Any], seed: int | jax.Array) -> nnx.State[Any, Any]:
    """The state with every RNG stream at `base_key(seed)` (stacked ones: its split), counters at zero."""

    def reset(path: Any, variable: Any) -> Any:
        if isinstance(variable, nnx.RngKey):
            return variable.replace(_split(base_key(seed), variable.get_value().shape))
        if isinstance(variable, nnx.RngCount):
            return variable.replace(jnp.zeros(variable.get_value().shape, jnp.uint32))
        return variable

    return nnx.map_state(reset, state)


def _without_jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Stands in for what nn.jit lifts: cached traces would hand out the keys of their first call again."""
    return function


_without_jit.__name__ = "jit"  # Linen names modules after the transform: `JitDense_0`


class _TransparentRandom:
    """Stands in for `jax.random` where Flax splits streams over loop steps; the rest is passed through."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jax.random, name)

    @staticmethod
    def split(key: Any, num: int | Sequence[int] = 2) -> jax.Array:
        return _split(key, (num,) if isinstance(num, int) else tuple(num))

    @staticmethod
    def fold_in(key: Any, data: Any) -> jax.Array:
        return _nested_step(key, jnp.asarray(data).astype(jnp.uint32))


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    for length in shape:
        steps: jax.Array = jnp.arange(length, dtype=jnp.uint32)
        key = _nested_step(key[..., None], steps)
    return key


def _nested_step(key: jax.Array, step: jax.Array) -> jax.Array:
    """The base key of a loop step, given that of the loop."""
    data = jax.random.key_data(key)
    seed, outer = jnp.broadcast_arrays(data[..., 0], data[..., 1] * _LOOP_STEP_BASE + step)
    return _key(jnp.stack([seed, outer], axis=-1))


def _step(key: jax.Array, count: jax.Array) -> jax.Array:
    """The base key after `count` steps of a loop that carries the stream."""
    data = jax.random.key_data(key)
    return _key(jnp.stack([data[..., 0], data[..., 1] + count], axis=-1))


def _key(data: jax.Array) -> jax.Array:
    key: jax.Array = jax.random.wrap_key_data(data, impl="threefry2x32")
    return key


def _traces() -> Iterator[Any]:
    """The transformations now at work, innermost first."""
    trace: Any = jax_core.trace_ctx.trace
    while trace is not None:
        yield trace
        trace = getattr(trace, "parent_trace", None)


def _is_loop(trace: Any) -> bool:
    # Linen's scan first traces its body with a JaxprTrace, to see what does not change from step to step.
    if type(trace).__name__ in ("BatchTrace", "JaxprTrace"):
        return True
    debug_info = getattr(getattr(trace, "frame", None), "debug_info", None)
    return debug_info is not None and debug_info.traced_for not in _TRANSPARENT


def _called_from(module: str, *function_parts: str, depth: int = 1) -> bool:
    """Whether, of the `depth` innermost callers of the patched function, one is such a function of `module`."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(depth):
        if frame is None:
            return False
        name = frame.f_code.co_name
        if frame.f_globals.get("__name__") == module and any(part in name for part in function_parts):
            return True
        frame = frame.f_back
    return False
