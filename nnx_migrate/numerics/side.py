"""One side of a proof: a model that can be described, given variables, and called as a pure function.

`LinenSide` and `NNXSide` turn both libraries into the same thing: a function from flat leaves, a seed and
arguments to an output and the leaves afterwards. Everything that is compared is computed from that (see
`phases`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from nnx_migrate.numerics.draws import AlignedDraws
from nnx_migrate.numerics.inputs import Alignment, Inputs, Phase
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.recording import Description


@dataclass
class Outcome:
    """What one call of a model gives: `leaves` are all its variables afterwards, `sown` what `sow` stored."""

    output: Any
    leaves: dict[Path, Any]
    sown: dict[Path, Any]
    draws: AlignedDraws


class Side(ABC):
    """A model and how it is called. `streams` are the random streams it needs; known after `describe`."""

    kind: ClassVar[str]

    def __init__(self, inputs: Inputs):
        self.inputs = inputs
        self.leaves: dict[Path, Any] = {}
        self.streams: tuple[str, ...] = ("dropout",)
        self.notes: list[str] = []

    @abstractmethod
    def describe(self) -> Description:
        """Builds the model (a second time does nothing) and says what it holds; leaves are as initialised."""

    @abstractmethod
    def call(
        self,
        leaves: Mapping[Path, Any],
        seed: int | jax.Array,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        phase: Phase,
        alignment: Alignment,
    ) -> Outcome:
        """Calls the model once, without changing this object."""

    def class_of(self, path: Path) -> Sequence[str]:
        """The keys of the class (and bases) of the submodule at an NNX path; () where that cannot be told."""
        return ()

    @property
    def classes(self) -> list[str]:
        """The keys of the classes of all its modules, where they can be told."""
        return []

    def load(self, leaves: Mapping[Path, Any]) -> None:
        """Takes over checked leaves (see `transplant`), to be used by the calls that follow."""
        self.leaves = {path: _like(value, leaves[path]) for path, value in self.leaves.items()}


def _like(old: Any, new: Any) -> jax.Array:
    """`new` as a JAX array; key data becomes a typed key where `old` is one."""
    if jnp.issubdtype(old.dtype, jax.dtypes.prng_key):
        key: jax.Array = jax.random.wrap_key_data(jnp.asarray(new), impl=jax.random.key_impl(old))
        return key
    array: jax.Array = jnp.asarray(new)
    return array
