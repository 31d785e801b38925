"""Packages that don't know Flax: what their classes make can't be a Linen module."""

from __future__ import annotations

import sys

# None of them requires Flax, nor defines a Linen module anywhere but in the parts of `_WITH_FLAX`.
_FREE_OF_FLAX = frozenset(
    {
        "blackjax",
        "chex",
        "diffrax",
        "distrax",
        "einops",
        "equinox",
        "jax",
        "jaxlib",
        "jaxopt",
        "jaxtyping",
        "jraph",
        "ml_collections",
        "numpy",
        "numpyro",
        "optax",
        "ott",
        "pandas",
        "rlax",
        "scipy",
        "sklearn",
        "tensorflow",
        "tensorflow_probability",
        "torch",
    }
)
_WITH_FLAX = ("einops.layers.", "numpyro.contrib.", "ott.neural.")


def is_free_of_flax(qualified: str) -> bool:
    """Whether a qualified name is one of a package that can't define Linen modules."""
    package = qualified.partition(".")[0]
    if qualified.startswith(_WITH_FLAX):
        return False
    return package in _FREE_OF_FLAX or package in sys.stdlib_module_names
