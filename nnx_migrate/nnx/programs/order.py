"""Code that depends on the order of parameters, where new names change it.

JAX lists the leaves of a dictionary in the order of its sorted keys. Most programs don't care, and most new
names keep the order of the old ones; where they don't, an index into a list of leaves would mean another
parameter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_LISTS = frozenset(
    {
        "jax.tree.leaves", "jax.tree_leaves", "jax.tree_util.tree_leaves",
        "jax.tree_util.tree_leaves_with_path", "jax.tree.leaves_with_path",
    }
)  # fmt: skip
# These return a pair: the leaves and the structure.
_PAIRS = frozenset(
    {
        "jax.tree.flatten", "jax.tree_flatten", "jax.tree_util.tree_flatten",
        "jax.tree.flatten_with_path", "jax.tree_util.tree_flatten_with_path",
    }
)  # fmt: skip
# What code only asks any one leaf for where all leaves agree on it.
_COMMON = frozenset({"dtype", "sharding", "device", "devices", "addressable_shards", "weak_type"})
_LEADING = frozenset({"shape"})  # the batch size: of data, not of parameters
_PARAMETERS = re.compile(r"param|variable|grad|state|weight|model|stats", re.IGNORECASE)
_VIEWS = frozenset({"keys", "values", "items"})


def changes_order(names: Iterable[tuple[str, str]]) -> bool:
    """Whether the names of one module sort differently after they change. Pairs of old and new path."""
    heads = {(old.partition("/")[0], new.partition("/")[0]) for old, new in names}
    new = list(dict.fromkeys(name for _, name in sorted(heads)))
    return new != sorted(new)


def order_obstacles(project: Project, sorted_alike: bool) -> Iterator[Obstacle]:
    """Places that pick a leaf, or an entry of a dictionary, by its position.

    `sorted_alike`: old and new names have the same order; then leaves do, but not the entries of a dictionary that
    no transform of JAX made: Linen has them in the order in which modules are called.
    """
    for module in project.modules():
        if not any(
            word in module.source.text for word in ("leaves", "flatten", "keys()", "values()", "items()")
        ):
            continue
        for node in module.nodes(ast.Subscript):
            if (
                isinstance(node.ctx, ast.Load)
                and _is_index(node.slice)
                and _Sequences(module, project, sorted_alike).is_leaves(node.value)
                and not _asks_what_all_share(module, node)
            ):
                detail = "it depends on the order of parameters, which changes"
                yield Obstacle("parameter-names", detail, module, node)


def _is_index(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _asks_what_all_share(module: Module, leaf: ast.Subscript) -> bool:
    """`jax.tree.leaves(batch)[0].shape[0]`, `jax.tree.leaves(params)[0].dtype`: any leaf gives the same."""
    read = module.parents[leaf]
    if not isinstance(read, ast.Attribute):
        return False
    first = module.parents[read]
    is_first = (
        isinstance(first, ast.Subscript) and isinstance(first.slice, ast.Constant) and first.slice.value == 0
    )
    is_leading = read.attr in _LEADING and is_first and first.value is read  # type: ignore[attr-defined]
    of_data = not _PARAMETERS.search(module.source.segment(leaf.value))
    return read.attr in _COMMON or (is_leading and of_data)


class _Sequences:
    """What an expression of a module may give. Every assigned value is looked at once: `x = x[0]` says nothing
    more of `x`."""

    def __init__(self, module: Module, project: Project, entries_alone: bool) -> None:
        """`entries_alone`: not leaves, but the entries of what is called as parameters are."""
        self.module, self.project, self.entries_alone = module, project, entries_alone
        self._seen: set[tuple[str, ast.expr]] = set()

    def is_leaves(self, node: ast.expr) -> bool:
        """`jax.tree.leaves(x)`, `jax.tree.flatten(x)[0]`, `list(x.keys())`, and names for these."""
        if isinstance(node, ast.Name):
            return any(
                self.is_leaves(value) or (unpacked and self.is_pair(value))
                for value, unpacked in self._new_values("leaves", node)
            )
        if isinstance(node, ast.Subscript):
            return self.is_leaves(node.value) or self.is_pair(node.value)
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple") and len(node.args) == 1:
            inner = node.args[0]
            return (
                isinstance(inner, ast.Call)
                and isinstance(inner.func, ast.Attribute)
                and inner.func.attr in _VIEWS
                and not inner.args
                and not (self.entries_alone and not self._is_named_as_parameters(inner.func.value))
            )
        return not self.entries_alone and self._calls(node, _LISTS)

    def _is_named_as_parameters(self, node: ast.expr) -> bool:
        return _PARAMETERS.search(self.module.source.segment(node)) is not None

    def is_pair(self, node: ast.expr) -> bool:
        """`jax.tree.flatten(x)`, and names for it."""
        if isinstance(node, ast.Name):
            values = self._new_values("pair", node)
            return any(not unpacked and self.is_pair(value) for value, unpacked in values)
        return not self.entries_alone and isinstance(node, ast.Call) and self._calls(node, _PAIRS)

    def _calls(self, call: ast.Call, functions: frozenset[str]) -> bool:
        return self.project.resolve(call.func, self.module.scope_at(call), self.module) in functions

    def _new_values(self, question: str, name: ast.Name) -> Iterator[tuple[ast.expr, bool]]:
        for value, unpacked in _values(self.module, name):
            if (question, value) not in self._seen:
                self._seen.add((question, value))
                yield value, unpacked


def _values(module: Module, name: ast.Name) -> Iterator[tuple[ast.expr, bool]]:
    """What is assigned to a name, and whether that is unpacked: `leaves, structure = jax.tree.flatten(x)`."""
    for binding in module.scope_at(name).lookup(name.id):
        value = _assigned(module, binding.node, binding.value)
        if value is not None:
            yield value, binding.value is None


def _assigned(module: Module, target: ast.AST, value: ast.expr | None) -> ast.expr | None:
    """The right-hand side for a name, in `leaves, structure = jax.tree.flatten(x)` too."""
    if value is not None:
        return value
    parent = module.parents.get(target)
    if isinstance(parent, ast.Tuple):
        parent = module.parents.get(parent)
    return parent.value if isinstance(parent, ast.Assign) else None
