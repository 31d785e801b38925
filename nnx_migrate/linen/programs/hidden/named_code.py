"""What the code of a file may reach by the names in it: functions and classes, and all that these name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_BY_TEXT = frozenset({"getattr", "__import__", "eval", "exec", "globals", "vars", "import_module"})


def may_reach_flax(project: Project, module: Module) -> bool:
    """Whether code of a file, or code that it names, uses Flax: anything else has no modules to make or to call."""
    pending: list[tuple[Module, ast.AST]] = [(module, statement) for statement in module.tree.body]
    seen: set[ast.AST] = set()
    while pending:
        home, root = pending.pop()
        if root in seen or isinstance(root, ast.Import | ast.ImportFrom):
            continue
        seen.add(root)
        for node in _names(home, root):
            if ast.unparse(node).rpartition(".")[2] in _BY_TEXT:
                return True
            qualified = project.resolve(node, home.scope_at(node), home)
            if qualified is None:
                continue
            if qualified.partition(".")[0] == "flax":
                return True
            while qualified and (definition := project.definition(qualified)) is None:
                if project.find_path(qualified, home) is not None:
                    return True  # a file, of which something is read that isn't known
                qualified = qualified.rpartition(".")[0]
            if qualified and definition is not None:
                pending.append((definition.module, definition.node))
    return False


def _names(module: Module, root: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """The names in code, each with all attributes that are read of it: `vit.resample` and not `vit`."""
    for node in ast.walk(root):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            parent = module.parents.get(node)
            if not (isinstance(parent, ast.Attribute) and _is_dotted(node)):
                yield node


def _is_dotted(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)
