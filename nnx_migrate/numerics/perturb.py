"""Noise on every variable, because zeros and ones hide what is missing.

A bias that starts at zero, a scale that starts at one or a running mean of zero have no influence on any
output: a port that forgot them would pass. The noise depends on the leaf's path and a seed only.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnx_migrate.numerics.map_patterns import Path

SPREAD = 0.1
#: Statistics that a square root or a division follows: they stay positive.
_POSITIVE_NAMES = ("var", "sigma", "second_moment", "squared", "std")


def perturb(leaves: Mapping[Path, Any], seed: int = 0, spread: float = SPREAD) -> dict[Path, np.ndarray]:
    """The leaves with noise added to all floats; integers, booleans and PRNG keys stay.

    Paths start with the collection; `spread` is the noise's size in proportion to the leaf's own.
    """
    return {path: perturb_leaf(path, np.asarray(value), seed, spread) for path, value in leaves.items()}


def probe_points(leaves: Mapping[Path, Any]) -> dict[str, dict[Path, np.ndarray]]:
    """Points ever farther away, to be tried for parameters without influence at `leaves` (a dead ReLU)."""
    return {str(i): perturb(leaves, seed=1_000 + i, spread=2.0**i / 4) for i in range(1, 5)}


def perturb_leaf(path: Path, value: np.ndarray, seed: int = 0, spread: float = SPREAD) -> np.ndarray:
    """One leaf with noise; outside of params, positive values stay positive."""
    is_complex = np.issubdtype(value.dtype, np.complexfloating)
    if value.dtype.kind in "iubSUOM" or value.size == 0 or value.dtype.names:
        return value
    random = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    wide = value.astype(np.complex128 if is_complex else np.float64)
    noise = random.standard_normal(value.shape)
    if is_complex:
        noise = noise + 1j * random.standard_normal(value.shape)
    if path[0] != "params" and not is_complex and _stays_positive(path, wide):
        return np.asarray(np.where(wide > 0, wide, 1.0) * np.exp(spread * noise)).astype(value.dtype)
    return np.asarray(wide + _scale(wide, spread) * noise).astype(value.dtype)


def _stays_positive(path: Path, wide: np.ndarray) -> bool:
    return bool((wide > 0).all()) or (bool((wide >= 0).all()) and any(n in path[-1] for n in _POSITIVE_NAMES))


def _scale(wide: np.ndarray, spread: float) -> float:
    """In proportion to the leaf's own size; for zeros what keeps activations in range at any width."""
    magnitude = math.sqrt(float(np.mean(np.abs(wide) ** 2)))
    if magnitude > 0 and math.isfinite(magnitude):
        return spread * magnitude
    fan_in = math.prod(wide.shape[:-1])
    return min(spread, 1.0 / math.sqrt(max(1, fan_in)))


def draw_constants(arguments: Any) -> Any:
    """Inputs with random numbers in the place of arrays that hold one number only, which hide as much.

    Floats become numbers between 0 and 1, which times and probabilities may be, too; batches of the integers 0 and
    1 become both. Anything else stays.
    """
    import jax

    leaves, structure = jax.tree.flatten(arguments)
    drawn = [_drawn(leaf, seed) for seed, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, drawn)


def _drawn(leaf: Any, seed: int) -> Any:
    import jax.numpy as jnp

    shape, dtype = getattr(leaf, "shape", ()), getattr(leaf, "dtype", None)
    if dtype is None or math.prod(shape) < 2 or not (leaf == leaf.ravel()[0]).all():
        return leaf
    random = np.random.default_rng(seed)
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.asarray(random.uniform(size=shape), dtype)
    if jnp.issubdtype(dtype, jnp.integer) and len(shape) > 1 and leaf.ravel()[0] in (0, 1):
        return jnp.asarray(random.integers(0, 2, shape), dtype)
    return leaf
