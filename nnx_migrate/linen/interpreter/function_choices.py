"""One of several functions: an activation that a dict holds, or a local function that a condition chooses."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from nnx_migrate.linen.arrays.shapes import Global
from nnx_migrate.linen.chosen.functions import ChosenFunction, free_names, own_names
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.fields.activations import is_activation_name
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.making_functions import makes_modules
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Closure, Expr, FunctionChoice, Layer, Partial


def is_function(value: Any) -> bool:
    """Whether a value is a library function, an activation of Linen, or a lambda; also with arguments bound."""
    if isinstance(value, Partial):
        return is_function(value.func)
    if isinstance(value, Layer):
        return not value.is_class
    return isinstance(value, Global) or (isinstance(value, Closure) and _is_expression(value))


def _is_expression(function: Closure) -> bool:
    """Whether a function is a lambda, or as plain as one: a function of a file that calls no classes."""
    if isinstance(function.node, ast.Lambda):
        return True
    if function.env is not None or function.self_value is not None or function.node.decorator_list:
        return False
    *before, last = function.node.body
    if not isinstance(last, ast.Return) or not all(map(_only_names, before)):
        return False
    called = [
        ast.unparse(n.func).rpartition(".")[2] for n in ast.walk(function.node) if isinstance(n, ast.Call)
    ]
    return not any(name[:1].isupper() for name in called)


def _only_names(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or gives local variables values."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) for target in statement.targets)
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def either_function(a: Any, b: Any) -> FunctionChoice | None:
    """One of two functions (or choices of functions); None for anything else, classes of other libraries, too.

    What a field holds may be one of them where the other, or a name, says so:
    `getattr(nn, self.act) if isinstance(self.act, str) else self.act`.
    """
    functions: list[Any] = []
    named = ""
    for value in (a, b):
        if isinstance(value, FunctionChoice):
            functions += value.functions
            named = named or value.named
        elif (is_function(value) and not _is_class(value)) or _may_be_activation(value):
            functions.append(value)
        else:
            return None
    if all(isinstance(function, Expr) and function.kind != "elementwise" for function in functions):
        return None
    return FunctionChoice(tuple(functions), named)


def _may_be_activation(value: Any) -> bool:
    """Whether a value is what `getattr(nn, name)` gives, or what a field or variable holds that is called like one."""
    return isinstance(value, Expr) and (value.kind == "elementwise" or is_activation_name(value.text))


def _is_class(function: Any) -> bool:
    return isinstance(function, Global) and function.name.rpartition(".")[2][:1].isupper()


def one_of_functions(frame: Frame, a: Any, b: Any) -> FunctionChoice | None:
    """One of two functions that compute with nothing but their arguments; None for anything else.

    Of functions in the code that is followed all that they do would have to be recorded for each. What a function of
    a library does has to be known.
    """
    found = either_function(a, b)
    if found is None or not all(_is_pure(frame, function) for function in found.functions):
        return None
    return found


def one_of_table(frame: Frame, values: Iterable[Any]) -> FunctionChoice | None:
    """One of the functions of a table, none of which makes modules, or a default beside it; None for anything else."""
    functions: list[Any] = []
    named = ""
    for value in values:
        functions += value.functions if isinstance(value, FunctionChoice) else (value,)
        named = named or (value.named if isinstance(value, FunctionChoice) else "")
    if not functions or not all(is_function(f) and not may_make_modules(frame, f) for f in functions):
        return None
    return FunctionChoice(tuple(functions), named)


def may_make_modules(frame: Frame, value: Any) -> bool:
    """Whether a value is a function of the project that names a class of modules, or calls one that does."""
    if isinstance(value, Partial):
        return may_make_modules(frame, value.func)
    return isinstance(value, Closure) and makes_modules(frame.session.program, value.module, value.node)


def _is_pure(frame: Frame, function: Any) -> bool:
    if isinstance(function, Partial):
        return _is_pure(frame, function.func)
    if isinstance(function, Global):
        return registry.effect(function.name) is not None
    if not isinstance(function, Closure):
        return True
    own = {argument.arg for argument in ast.walk(function.node.args) if isinstance(argument, ast.arg)}
    project, scope = frame.session.program.project, function.module.scope_at(function.node)
    for node in ast.walk(function.node):
        if isinstance(node, ast.Call):
            root: ast.expr = node.func
            while isinstance(root, ast.Attribute):
                root = root.value
            called = project.resolve(node.func, scope, function.module)
            of_library = called is not None and project.definition(called) is None
            name = (called or "").rpartition(".")[2]
            is_method = isinstance(root, ast.Name) and root.id in own and root is not node.func
            if not is_method and not (of_library and name[:1].islower()):
                return False
    return True


def chosen_function(frame: Frame, a: Any, b: Any, node: ast.AST) -> ChosenFunction | None:
    """Which of two local functions there is behind a condition over fields; None for anything else.

    What they read is still the same when they are called, and each is called the same way.
    """
    condition = frame.session.conditions.get((frame.context, node))
    function = frame.module.enclosing(node, ast.FunctionDef)
    if not isinstance(node, ast.If) or function is None or condition is None or TOKEN.search(condition):
        return None
    if not (isinstance(a, Closure | ChosenFunction) and isinstance(b, Closure | ChosenFunction)):
        return None
    found = ChosenFunction(node, frame.context, a, b)
    names = [own_names(closure.node) for closure in found.functions]
    stored = {
        n.id
        for n in ast.walk(function)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.lineno >= node.lineno
    }
    for closure in found.functions:
        is_local = (
            closure.env is not None and frame.module.enclosing(closure.node, ast.FunctionDef) is function
        )
        is_plain = isinstance(closure.node, ast.Lambda) or not closure.node.decorator_list
        if not is_local or not is_plain or free_names(closure.node) & stored:
            return None
    return found if names[0] is not None and all(other == names[0] for other in names) else None
