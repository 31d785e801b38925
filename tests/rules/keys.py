"""One key per stream on both sides: parameters and masks then depend on the program's keys and shapes only.

Linen folds module paths into its keys, NNX counts. Here every draw of a stream gets the key that the program
gave for it, so that a Linen program and its NNX successor start from the same parameters and drop the same
units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import jax
from flax.core.scope import LazyRng, Scope
from flax.nnx import rnglib


@contextmanager
def plain_keys() -> Iterator[None]:
    """Make Linen's `make_rng` and NNX's streams hand out the program's own keys."""

    def make_rng(scope: Scope, name: str = "params") -> jax.Array:
        base = scope.rngs.get(name, scope.rngs.get("params"))
        key = base.rng if isinstance(base, LazyRng) else base
        if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
            return key
        return jax.random.wrap_key_data(key)

    def stream_key(stream: rnglib.RngStream) -> jax.Array:
        return stream.key.get_value()

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Scope, "make_rng", make_rng))
        stack.enter_context(mock.patch.object(rnglib.RngStream, "__call__", stream_key))
        yield
