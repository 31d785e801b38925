"""How variables are written down: plain, in metadata boxes, as NNX state; and which are PRNG state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Literal as Choice

import numpy as np

from nnx_migrate.checkpoints.tree import ArrayLeaf, Leaf, TreePath

#: `nnx.State` (`kernel/value`), Linen arrays (`kernel`), Linen arrays in metadata boxes (`nn.Partitioned`,
#: saved as `kernel/value` too), `nnx.to_pure_dict(state)` (`kernel`). In the order in which they are tried.
Form = Choice["nnx state", "linen", "boxed linen", "nnx pure dict"]
FORMS: tuple[Form, ...] = ("nnx state", "linen", "boxed linen", "nnx pure dict")
NNX_FORMS: tuple[Form, ...] = ("nnx state", "nnx pure dict")

#: The last path element of an NNX variable: what `nnx.State` writes in every release from 0.8 to 0.12
#: ("value"), and the attribute that holds it (a state pickled or saved by attribute).
_BOXES = ("value", "raw_value")


def without_box(path: TreePath) -> TreePath:
    """The path of the variable whose array lies at `path`, in a box or not."""
    return path[:-1] if len(path) > 1 and path[-1] in _BOXES else path


def unboxed(path: TreePath, form: Form) -> TreePath:
    """The path of the variable whose array lies at `path`, written down in some form."""
    return without_box(path) if form in ("nnx state", "boxed linen") else path


def rng_leaves(leaves: Mapping[TreePath, Leaf]) -> set[TreePath]:
    """PRNG state of NNX models: a `count` and a `key` side by side (`RngStream`, every release)."""
    found: set[TreePath] = set()
    for path, leaf in leaves.items():
        variable = without_box(path)
        if variable[-1:] != ("count",) or not _is_count(leaf):
            continue
        boxes = path[len(variable) :]
        key_path = (*variable[:-1], "key", *boxes)
        if _is_key(leaves.get(key_path)):
            found |= {path, key_path}
    return found


def _is_count(leaf: Leaf) -> bool:
    return isinstance(leaf, ArrayLeaf) and leaf.dtype == np.uint32


def _is_key(leaf: Leaf | None) -> bool:
    return isinstance(leaf, ArrayLeaf) and leaf.dtype == np.uint32


def key_or_count(leaf: ArrayLeaf, dtype: str) -> Any:
    """A PRNG leaf as the dtype that the model has it in: a typed key, raw key data, or a count."""
    import jax

    values = leaf.read()
    if not dtype.startswith("key<"):
        return values
    implementation = leaf.key_impl or {"fry": "threefry2x32", "urbg": "unsafe_rbg"}.get(
        dtype[4:-1], dtype[4:-1]
    )
    return jax.random.wrap_key_data(jax.numpy.asarray(values), impl=implementation)
