from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.moves import Move, MovesRule

_MAPS = ("jax.tree.map", "jax.tree_util.tree_map")


def _tree(name: str, since: str, removed: str) -> Move:
    return Move(
        f"jax.tree_{name}",
        f"jax.tree.{name}",
        since=since,
        removed=removed,
        needs="jax>=0.4.25",
        older=f"jax.tree_util.tree_{name}",
        keep=f"jax.tree_util.tree_{name}",
    )


class JaxTree(MovesRule):
    """Tree functions that left the top level of `jax`: `jax.tree_map` is `jax.tree.map`.

    What it finds
    -------------
    `jax.tree_map`, `jax.tree_leaves`, `jax.tree_flatten`, `jax.tree_unflatten`, `jax.tree_structure`,
    `jax.tree_transpose`, `jax.tree_multimap` (also of `jax.tree_util`), `jax.treedef_is_leaf`,
    `jax.treedef_children`, `jax.tree_util.build_tree` and the key-path classes of JAX 0.4.6 to 0.4.23. Also a
    literal `None` as the first of several trees, `jax.tree.map(f, None, x)`, which raises.
    `jax.tree_util.tree_map` and its neighbours are current and not reported.

    Why
    ---
    They are gone: the calls raise AttributeError. `jax.tree_all` and `jax.tree_reduce` never existed.

    Example
    -------
    ::

        grads = jax.tree_map(lambda g: g / n, grads)
        # becomes
        grads = jax.tree.map(lambda g: g / n, grads)

    Fix safety
    ----------
    Safe: the functions are the same ones. For projects pinned below JAX 0.4.25, which has no `jax.tree`,
    `jax.tree_util.tree_map` is written. `build_tree` and the key-path classes have no one-to-one
    replacement and are only reported.

    Since
    -----
    `tree_multimap`: deprecated in JAX 0.3.5, removed in 0.3.16. The others: deprecated in 0.4.26
    (`tree_map`) and 0.3.15, removed in 0.6.0.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html, https://docs.jax.dev/en/latest/jax.tree.html
    """

    id = "jax-tree"
    group = "jax"
    triggers = frozenset(_MAPS)
    moves = (
        _tree("map", "jax>=0.4.26", "0.6.0"),
        *(
            _tree(name, "jax>=0.3.15", "0.6.0")
            for name in ("leaves", "flatten", "unflatten", "structure", "transpose")
        ),
        *(
            Move(
                old,
                "jax.tree.map",
                since="jax>=0.3.5",
                removed="0.3.16",
                needs="jax>=0.4.25",
                older="jax.tree_util.tree_map",
            )
            for old in ("jax.tree_multimap", "jax.tree_util.tree_multimap")
        ),
        *(
            Move(
                f"jax.tree_{name}",
                f"jax.tree.{name}",
                needs="jax>=0.4.25",
                older=f"jax.tree_util.tree_{name}",
                note="it never existed there",
            )
            for name in ("all", "reduce")
        ),
        *(
            Move(f"jax.{name}", f"jax.tree_util.{name}", since="jax>=0.3.15", removed="0.6.0")
            for name in ("treedef_is_leaf", "treedef_children")
        ),
        Move(
            "jax.tree_util.build_tree",
            since="jax>=0.6.0",
            removed="0.7.0",
            help="use `jax.tree.unflatten(treedef, leaves)` with the flat list of leaves, not nested "
            "children",
        ),
        Move(
            "jax.tree_util.register_keypaths",
            since="jax>=0.4.16",
            removed="0.4.24",
            help="register the class with `jax.tree_util.register_pytree_with_keys`",
        ),
        Move(
            "jax.tree_util.AttributeKeyPathEntry",
            since="jax>=0.4.16",
            removed="0.4.24",
            help="return `jax.tree_util.GetAttrKey(name)` from `register_pytree_with_keys`",
        ),
        Move(
            "jax.tree_util.GetitemKeyPathEntry",
            since="jax>=0.4.16",
            removed="0.4.24",
            help="return `jax.tree_util.SequenceKey(index)` or `DictKey(key)` from "
            "`register_pytree_with_keys`",
        ),
    )

    def check(self, file: FileContext) -> Iterable[Finding]:
        """The table, and `None` in front of other trees."""
        yield from super().check(file)
        if not file.targets.concerned("jax>=0.4.29"):
            return
        for use in file.uses(*_MAPS):
            call = file.call_of(use.node)
            if call is None or len(call.args) < 3 or any(k.arg in ("is_leaf", None) for k in call.keywords):
                continue
            if isinstance(call.args[1], ast.Constant) and call.args[1].value is None:
                yield self.finding(
                    file,
                    call.args[1],
                    "a `None` in the first tree no longer matches a value in the others (jax 0.4.34)",
                    reason="changed-semantics",
                    help="pass `is_leaf=lambda x: x is None` and let the function handle `None`",
                )
