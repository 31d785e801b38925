"""Mode flags that partials of the project's own classes bind, which `nn.merge_param` takes from a call as well:

    norm = partial(BatchRenorm, use_running_average=not train)
    x = Block(self.features, norm=norm)(x)

Only the call of the class around knows such a flag: `Block` gets it with its own call, and hands it to what it makes.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from nnx_migrate.linen.classes.merged_flags import is_merged
from nnx_migrate.linen.factories.values import Given
from nnx_migrate.names.modules import Module


def late_flags(given: Sequence[Given], bodies: Collection[ast.AST]) -> list[str]:
    """The merged flags that some of these bind in the `bodies` of Linen classes, where only calls know them."""
    classes = {cls for one in given for cls in one.classes}
    bound = sorted({name for one in given for name in one.bound})
    return [
        name
        for name in bound
        if any(is_merged(cls, name) for cls in classes) and any(_is_late(one, name, bodies) for one in given)
    ]


def give_mode(given: Sequence[Given], flag: str) -> bool:
    """Whether all of these are known to bind a flag, as partials of one class or as fields that get such partials."""
    classes = {cls for one in given for cls in one.classes}
    return len(classes) == 1 and all(one.flag(flag) is not None and not one.several for one in given)


def _is_late(given: Given, flag: str, bodies: Collection[ast.AST]) -> bool:
    node = given.flag(flag)
    if node is None or given.module is None or not hasattr(node, "lineno"):
        return node is not None
    method = given.module.enclosing(node, ast.FunctionDef)
    if method is None or given.module.parents.get(method) not in bodies:
        return False
    return not _is_of_fields(given.module, method, node, frozenset())


def _is_of_fields(module: Module, method: ast.AST, node: ast.expr, above: frozenset[str]) -> bool:
    """Whether fields and constants decide about a value in a method."""
    for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {"self"}:
        if name in above or any(isinstance(n, ast.arg) and n.arg == name for n in ast.walk(method)):
            return False
        for store in (n for n in ast.walk(method) if _binds(n, name)):
            statement = module.parents.get(store)
            if not isinstance(statement, ast.Assign) or module.parents.get(statement) is not method:
                return False
            if not _is_of_fields(module, method, statement.value, above | {name}):
                return False
    return True


def _binds(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
