"""Rule `nnx-pytree-v011`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.rules._nnx_types import Attributes, is_module_class

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.rule import Rule

# Functions of trees, with how many positional arguments come before the trees.
_FUNCTIONS = {
    "map": 1,
    "leaves": 0,
    "flatten": 0,
    "structure": 0,
    "leaves_with_path": 0,
    "flatten_with_path": 0,
    "map_with_path": 1,
    "all": 0,
    "reduce": 1,
}
TREE_FUNCTIONS = {f"jax.tree.{name}": skip for name, skip in _FUNCTIONS.items()}
TREE_FUNCTIONS |= {f"jax.tree_util.tree_{name}": skip for name, skip in _FUNCTIONS.items()}


class NnxPytreeV011(Rule):
    """`jax.tree` functions over containers that hold NNX modules.

    What it finds
    -------------
    Calls of `jax.tree.map`, `leaves`, `flatten` and the like, without `is_leaf`, whose tree is a list, tuple or
    dict display with a module in it (directly, or through a variable).

    Why
    ---
    Before NNX 0.11 a module was a leaf of such a tree. Since then modules are pytrees themselves, and the
    function descends into their Variables: it sees arrays where it used to see modules.

    Example
    -------
        names = jax.tree.map(lambda m: type(m).__name__, {"actor": actor, "critic": critic})

    becomes

        names = jax.tree.map(
            lambda m: type(m).__name__, {"actor": actor, "critic": critic},
            is_leaf=lambda x: isinstance(x, nnx.Module))

    Fix safety
    ----------
    Unsafe: code written for 0.11 or later may want the arrays. The fix restores what 0.10 did.

    Since
    -----
    Flax 0.11.0.

    References
    ----------
    Flax changelog 0.11.0 (modules are pytrees); jax.tree.map, argument is_leaf.
    """

    id = "nnx-pytree-v011"
    group = "nnx"
    safety = Safety.UNSAFE
    triggers = frozenset(TREE_FUNCTIONS)
    since = "flax>=0.11"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per call."""
        attributes = Attributes(file.module, file.project)
        for use in file.uses(*TREE_FUNCTIONS):
            call = file.call_of(use.node)
            if call is None or any(isinstance(a, ast.Starred) for a in call.args):
                continue
            if any(k.arg in ("is_leaf", None) for k in call.keywords):
                continue
            trees = call.args[TREE_FUNCTIONS[use.qualified] :]
            if not any(_holds_module(tree, attributes) for tree in trees):
                continue
            message = f"`{file.segment(use.node)}` descends into the modules of its tree"
            fix = file.fix()
            try:
                module = fix.name("flax.nnx.Module", at=call)
            except CannotName as error:
                yield self.finding(file, use.node, message, reason="name-taken", help=str(error))
                continue
            last = max([*call.args, *(k.value for k in call.keywords)], key=lambda n: file.source.span(n)[1])
            fix.insert(file.source.span(last)[1], f", is_leaf=lambda x: isinstance(x, {module})")
            yield self.finding(file, use.node, message, fix.build("treat modules as leaves", self.safety))


def _holds_module(node: ast.expr, attributes: Attributes) -> bool:
    """True for a display of modules, or a variable that was assigned one."""
    if isinstance(node, ast.Name):
        bindings = attributes.module.scope_at(node).lookup(node.id)
        value = bindings[0].value if len(bindings) == 1 else None
        return isinstance(value, ast.List | ast.Tuple | ast.Dict | ast.ListComp) and _holds_module(
            value, attributes
        )
    if isinstance(node, ast.List | ast.Tuple):
        return any(_is_module(v, attributes) or _holds_module(v, attributes) for v in node.elts)
    if isinstance(node, ast.Dict):
        return any(_is_module(v, attributes) or _holds_module(v, attributes) for v in node.values)
    return isinstance(node, ast.ListComp) and _is_module(node.elt, attributes)


def _is_module(node: ast.expr, attributes: Attributes) -> bool:
    return is_module_class(attributes.class_of(node), attributes.project)
