"""What a variable or a table may hold of which conditions and keys choose: `block = Basic if small else Bottleneck`."""

from __future__ import annotations

import ast
from itertools import takewhile

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_generator
from nnx_migrate.names.project import Definition, Project
from nnx_migrate.names.reaching import reaches
from nnx_migrate.names.scopes import Binding, BindingKind

Table = ast.Dict | ast.Call
_OF_KEYS = frozenset({"len", "list", "set", "sorted", "tuple"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def alternatives(module: Module, place: ast.AST, name: str) -> list[ast.expr]:
    """The values that a local variable may have at a place: of all its assignments, which come before it.

    None of them if something else binds the variable.
    """
    function = module.enclosing(place, ast.FunctionDef, ast.Lambda) or module.tree
    if not isinstance(function, ast.FunctionDef | ast.Module):
        return []
    bound = {n for n in ast.walk(function) if _binds(n, name)}
    found = [
        statement
        for statement in ast.walk(function)
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and statement.targets[0] in bound
    ]
    known = {statement.targets[0] for statement in found}
    before = all(statement.lineno < getattr(place, "lineno", 0) for statement in found)
    if known != bound or not before:
        return []
    return [statement.value for statement in found if not _is_dead(module, statement)]


def values_seen(module: Module, read: ast.Name) -> list[ast.expr]:
    """The values that a local variable may have where it is read: of those assignments that the read may see."""
    scope = module.scope_at(read).binder(read.id)
    bindings = scope.bindings[read.id] if scope is not None else []
    if scope is None or scope is not module.scope_at(read) or scope.is_class:
        return []
    seen = [b for b in bindings if reaches(module, scope, read.id, b.node, read)]
    plain = all(b.kind is BindingKind.ASSIGNMENT for b in seen)
    values = [b.value for b in seen if b.value is not None]
    return values if plain and len(values) == len(seen) else []


def _is_dead(module: Module, statement: ast.stmt) -> bool:
    """Whether a statement stands behind one that leaves its block: `raise NotImplementedError`."""
    block = module.parents.get(statement)
    bodies = (getattr(block, name, []) for name in ("body", "orelse", "finalbody"))
    body = next((body for body in bodies if statement in body), [])
    before = takewhile(lambda other: other is not statement, body)
    return any(isinstance(other, ast.Raise | ast.Return) for other in before)


def returned_values(definition: Definition) -> list[ast.expr]:
    """The values that a plain function may return; none of them where that isn't certain."""
    function = definition.node
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return []
    inner = [n for n in ast.walk(function) if n is not function and isinstance(n, _SCOPES)]
    returns = [n for n in ast.walk(function) if isinstance(n, ast.Return)]
    if inner or is_generator(function):
        return []
    found: list[ast.expr] = []
    for node in returns:
        if isinstance(node.value, ast.Name) and _is_local(function, node.value.id):
            values = alternatives(definition.module, node, node.value.id)
            if not values:
                return []
            found += values
        elif node.value is None:
            return []
        else:
            found.append(node.value)
    return found


def _is_local(function: ast.AST, name: str) -> bool:
    return any(_binds(node, name) for node in ast.walk(function))


def table(project: Project, module: Module, node: ast.expr) -> tuple[Module, list[ast.expr]]:
    """The values of a dict that is written out, here or as a module's constant, and the module that has them."""
    if isinstance(node, ast.Dict):
        return module, list(node.values)
    home, display = named_table(project, module, node)
    if isinstance(display, ast.Call):
        return home, [keyword.value for keyword in display.keywords]
    return home, list(display.values) if display is not None else []


def named_table(project: Project, module: Module, node: ast.expr) -> tuple[Module, Table | None]:
    """The dict that is a module's constant of this name, which nothing changes, and that module.

    It is written out, or the call `dict(name=value)`.
    """
    qualified = project.resolve(node, module.scope_at(node), module)
    definition = project.definition(qualified) if qualified is not None else None
    home, bindings = module, list[Binding]()
    if definition is not None:
        home, bindings = definition.module, [definition.binding]
    elif isinstance(node, ast.Name) and module.scope_at(node).binder(node.id) is module.scopes.module:
        bindings = module.scopes.module.bindings[node.id]
    value = bindings[0].value if len(bindings) == 1 else None
    if not isinstance(value, Table) or (isinstance(value, ast.Call) and not _is_dict(home, value)):
        return module, None
    name = bindings[0].name
    if len(home.scopes.module.bindings.get(name, ())) != 1 or _may_change(project, name):
        return module, None
    return home, value


def _may_change(project: Project, name: str) -> bool:
    """Whether code does more with a name than to look something up: `TABLE[key]`, `key in TABLE`, `TABLE.get(key)`."""
    for module in project.mentioning(name):
        for node in ast.walk(module.tree):
            if (getattr(node, "id", None) or getattr(node, "attr", None)) != name:
                continue
            user = module.parents.get(node)
            if isinstance(getattr(node, "ctx", None), ast.Store):
                if not isinstance(user, ast.Assign | ast.AnnAssign):
                    return True
            elif isinstance(user, ast.Subscript):
                if not isinstance(user.ctx, ast.Load):
                    return True
            elif isinstance(user, ast.Attribute):
                if user.attr not in ("get", "keys", "values", "items"):
                    return True
            elif not isinstance(user, ast.Compare | ast.FormattedValue) and not reads_keys(user, node):
                return True
    return False


def _is_dict(module: Module, call: ast.Call) -> bool:
    """Whether a call is `dict(name=value)`."""
    plain = not call.args and all(keyword.arg is not None for keyword in call.keywords)
    is_named = isinstance(call.func, ast.Name) and call.func.id == "dict"
    return plain and is_named and module.scopes.module.binder("dict") is None


def reads_keys(user: ast.AST | None, table: ast.AST) -> bool:
    """Whether code asks for the keys of a dict alone: `sorted(TABLE)`, `for key in TABLE`."""
    if isinstance(user, ast.For | ast.comprehension):
        return user.iter is table
    called = user.func if isinstance(user, ast.Call) else None
    if isinstance(called, ast.Attribute):  # ", ".join(TABLE)
        return called.attr == "join" and isinstance(called.value, ast.Constant)
    return isinstance(called, ast.Name) and called.id in _OF_KEYS


def _binds(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.arg):
        return node.arg == name
    return isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
