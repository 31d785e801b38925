"""What functions of the project give, and `setup` keeps as it is.

An NNX module takes an array that it has for a part of itself, but refuses it within a dict or a list (`Found data on
value of type 'dict' assigned to static attribute`). Where the values are known, the writer sees to that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.calls.packages import comes_from_libraries
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Expr
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_of_self
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import COMPREHENSIONS, BindingKind

_CONTAINERS = frozenset({"OrderedDict", "defaultdict", "dict", "list", "tuple"})
_MOST_STEPS = 6  # from a call to what its function returns


def refuse_unknown_containers(frame: Frame, statement: ast.Assign | ast.AnnAssign, value: object) -> None:
    """Refuse to keep a dict or list that may hold arrays: `self.tables = make_tables(self.size)`."""
    is_unknown = type(value) is Unknown
    if (
        frame.foreign
        or not isinstance(statement.value, ast.Call)
        or not (is_unknown or isinstance(value, Expr))
    ):
        return
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    is_unpacked = any(isinstance(target, ast.Tuple | ast.List) for target in targets)
    kept = [node for t in targets for node in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
    if not any(is_of_self(node) for node in kept):
        return
    for module, given in _given(frame.session.program.project, frame.module, statement.value, _MOST_STEPS):
        parts = given.elts if is_unpacked and isinstance(given, ast.Tuple | ast.List) else [given]
        may_hold = _may_hold_arrays if is_unknown else _makes_arrays
        if any(may_hold(module, part) for part in parts):
            detail = f"`{ast.unparse(statement.value)[:80]}` gives a dict or list that may hold arrays"
            raise Refuse("unknown-module", detail, statement)


def _given(project: Project, module: Module, node: ast.expr, depth: int) -> Iterator[tuple[Module, ast.expr]]:
    """The expressions one of which an expression stands for."""
    if isinstance(node, ast.IfExp):
        yield from _given(project, module, node.body, depth)
        yield from _given(project, module, node.orelse, depth)
    elif isinstance(node, ast.Name):
        for binding in module.scope_at(node).lookup(node.id) if depth else ():
            if binding.kind is BindingKind.ASSIGNMENT and binding.value is not None:
                yield from _given(project, module, binding.value, depth - 1)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and depth:
        qualified = project.resolve(node.func, module.scope_at(node), module)
        definition = project.definition(qualified) if qualified is not None else None
        if definition is None:
            yield module, node
        elif isinstance(definition.node, ast.FunctionDef):
            for value in returned(definition.module, definition.node):
                yield from _given(project, definition.module, value, depth - 1)
    else:
        yield module, node


def returned(module: Module, function: ast.AST) -> Iterator[ast.expr]:
    """What the `return`s of a function give, without those of functions inside it."""
    for node in all_below(function):
        if isinstance(node, ast.Return) and node.value is not None:
            if module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef) is function:
                yield node.value


def _makes_arrays(module: Module, node: ast.expr) -> bool:
    """Whether a container has items that JAX or NumPy make."""
    calls = (n for n in ast.walk(node) if isinstance(n, ast.Call) and n is not node)
    return _may_hold_arrays(module, node) and any(comes_from_libraries(module, call.func) for call in calls)


def _may_hold_arrays(module: Module, node: ast.expr) -> bool:
    if isinstance(node, ast.Dict):
        return not all(isinstance(value, ast.Constant) for value in node.values) or not node.values
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not all(isinstance(value, ast.Constant) for value in node.elts) or not node.elts
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _CONTAINERS
    return isinstance(node, COMPREHENSIONS)
