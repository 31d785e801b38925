"""Values that nothing of the project but classes of other libraries get: `AqtDotGeneral(wrapper=partial(boxed, ...))`.

Only few steps are followed: a value is returned, held by one local variable, bound by `functools.partial`, and given to
the constructor of a library's class. Functions that return it are looked for by their names, wherever these stand.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project

#: Libraries that give values back, or whose classes are the project's own material.
_OPEN = frozenset({"chex", "distrax", "equinox", "flax", "haiku", "jax", "ml_collections", "numpy", "optax"})
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def is_for_libraries(project: Project, module: Module, node: ast.expr) -> bool:
    """Whether the value of an expression ends in libraries' classes, wherever it goes."""
    return _Way(project).ends(module, node)


class _Way:
    """Follows one value; `seen` are the functions that return it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.seen: set[str] = set()

    def ends(self, module: Module, node: ast.expr) -> bool:
        around = module.parents.get(node)
        if isinstance(around, ast.keyword):
            around = module.parents.get(around)
        if isinstance(around, ast.Call):
            return self.ends(module, around) if around.func is node else self._given(module, around, node)
        if isinstance(around, ast.IfExp):
            return around.test is node or self.ends(module, around)
        if isinstance(around, ast.Return):
            return self._returned(module.enclosing(around, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(around, ast.Assign) and len(around.targets) == 1:
            return self._held(module, around.targets[0])
        return isinstance(around, ast.Compare)

    def _given(self, module: Module, call: ast.Call, node: ast.expr) -> bool:
        """An argument of a call."""
        getter = call.func
        if self._qualified(module, getter) == "functools.partial" and call.args:
            if call.args[0] is node:
                return self.ends(module, call)
            getter = call.args[0]
        name = self._qualified(module, getter) or ""
        root, _, last = name.partition(".")[0], *name.rpartition(".")[1:]
        is_known = root in _OPEN or root in sys.stdlib_module_names or self.project.has_package(root)
        return bool(last) and root != last and not is_known and last[0].isupper()

    def _returned(self, function: ast.AST | None) -> bool:
        """What a function returns goes where its calls stand, and where it goes itself."""
        if not isinstance(function, _FUNCTIONS) or function.decorator_list or function.name.startswith("__"):
            return False
        if function.name in self.seen:
            return True
        self.seen.add(function.name)
        return all(self._is_harmless(module, n, function.name) for module, n in self._mentions(function.name))

    def _mentions(self, name: str) -> Iterator[tuple[Module, ast.AST]]:
        for module in self.project.matching(re.compile(rf"\b{re.escape(name)}\b")):
            yield from ((module, node) for node in ast.walk(module.tree))

    def _is_harmless(self, module: Module, node: ast.AST, name: str) -> bool:
        """Whether a node doesn't name the function, or what it names goes to libraries alone."""
        if isinstance(node, ast.alias):
            return node.asname is None or node.name != name
        if isinstance(node, ast.Constant):
            return node.value != name
        if not isinstance(node, ast.Attribute | ast.Name) or last_name(node) != name:
            return True
        qualified = self._qualified(module, node)
        if qualified is not None and not self.project.has_package(qualified.partition(".")[0]):
            return True  # of another library
        return isinstance(node.ctx, ast.Load) and self.ends(module, node)

    def _held(self, module: Module, target: ast.expr) -> bool:
        """A local variable, which only its function reads."""
        function = module.enclosing(target, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        if not isinstance(target, ast.Name) or not isinstance(function, _FUNCTIONS):
            return False
        scope = module.scope_at(target)
        if scope.node is not function or scope.binder(target.id) is not scope:
            return False
        reads = [
            n
            for n in ast.walk(function)
            if isinstance(n, ast.Name) and n.id == target.id and isinstance(n.ctx, ast.Load)
        ]
        return all(self.ends(module, read) for read in reads)

    def _qualified(self, module: Module, node: ast.expr) -> str | None:
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        return self.project.resolve(node, module.scope_at(node), module)
