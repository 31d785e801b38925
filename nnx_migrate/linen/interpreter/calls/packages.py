"""Packages that don't know Flax: what their classes make can't be a Linen module."""

from __future__ import annotations

import ast
import sys

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind

# None of them defines a Linen module anywhere but in the parts of `_WITH_FLAX`, or makes one by its name.
_FREE_OF_FLAX = frozenset(
    {
        "absl",
        "blackjax",
        "chex",
        "cv2",
        "diffrax",
        "distrax",
        "e3nn_jax",
        "einops",
        "equinox",
        "h5py",
        "jax",
        "jaxlib",
        "jaxopt",
        "jaxtyping",
        "jraph",
        "matplotlib",
        "ml_collections",
        "numpy",
        "numpyro",
        "omegaconf",
        "optax",
        "ott",
        "pandas",
        "PIL",
        "requests",
        "rich",
        "rlax",
        "scipy",
        "sklearn",
        "sympy",
        "tensorflow",
        "tensorflow_probability",
        "torch",
        "tqdm",
    }
)
_WITH_FLAX = ("e3nn_jax.flax.", "einops.layers.", "numpyro.contrib.", "ott.neural.")
# Functions and layers of libraries, by their last name, that call what they get.
CALLING = frozenset(
    {
        "Bidirectional", "RNN", "Sequential", "SpectralNorm", "WeightNorm",
        "apply_along_axis", "associative_scan", "checkpoint", "closure_call", "cond", "custom_jvp", "custom_vjp",
        "eval_shape", "filter", "fori_loop", "grad", "hessian", "jacfwd", "jacrev", "jit", "jvp", "linearize", "map",
        "map_coordinates", "partial", "pmap", "pure_callback", "reduce", "remat", "scan", "shard_map", "switch",
        "tree_map", "value_and_grad", "vectorize", "vjp", "vmap", "while_loop",
    }
)  # fmt: skip


def is_free_of_flax(qualified: str) -> bool:
    """Whether a qualified name is one of a package that can't define Linen modules."""
    package = qualified.partition(".")[0]
    if f"{qualified}.".startswith(_WITH_FLAX):
        return False
    return package in _FREE_OF_FLAX or package in sys.stdlib_module_names


def comes_from_libraries(module: Module, node: ast.expr, depth: int = 4) -> bool:
    """Whether a dotted name starts at such a package, whichever of several bindings of its variables counts.

    `import tensorflow_probability as tfp; tfp = tfp.substrates.jax; tfb = tfp.bijectors`
    """
    path = ""
    while isinstance(node, ast.Attribute):
        path = f".{node.attr}{path}"
        node = node.value
    bindings = module.scopes.module.lookup(node.id) if isinstance(node, ast.Name) and depth else []
    name = node.id if isinstance(node, ast.Name) else ""
    others = [b for b in bindings if b.kind is not BindingKind.IMPORT]
    imports = [b.target for b in bindings if b.kind is BindingKind.IMPORT]
    if (not imports and not others) or not all(is_free_of_flax(name + path) for name in imports):
        return False
    for binding in others:
        if binding.kind is not BindingKind.ASSIGNMENT or not isinstance(binding.value, ast.Attribute):
            return False
        if _root(binding.value) == name and imports:
            continue  # a part of what it was before
        if not comes_from_libraries(module, binding.value, depth - 1):
            return False
    return True


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
