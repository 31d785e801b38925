"""Arguments that a class asks for, and that another class may hand on as None: `Block(...)(x, cond)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram, Method
from nnx_migrate.names.parameters import arguments_by_name, defaults


def may_be_none(program: LinenProgram, cls: LinenClass, method: Method, name: str | int) -> bool:
    """Whether an argument is None by default, or a class of the project gives what may be: its own such argument."""
    if _is_none_by_default(method, name):
        return True
    parameters = method.parameters
    return any(
        _may_be_none(arguments_by_name(call, parameters).get(str(name)), caller)
        for other in _makers(program, cls)
        for caller in other.own_methods.values()
        for call in _calls(other, caller.node, cls, method.name)
    )


_MAKERS: WeakKeyDictionary[LinenProgram, dict[str, dict[LinenClass, None]]] = WeakKeyDictionary()


def _makers(program: LinenProgram, cls: LinenClass) -> Iterable[LinenClass]:
    """The classes whose code makes modules of a class, in the program's order."""
    if program not in _MAKERS:
        found: dict[str, dict[LinenClass, None]] = {}
        for other in program:
            for node in ast.walk(other.node):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    found.setdefault(other.resolve_in_class(node.func) or "", {})[other] = None
        _MAKERS[program] = found
    return _MAKERS[program].get(cls.qualified, ())


def _may_be_none(node: ast.expr | None, caller: Method) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None
    if not isinstance(node, ast.Name) or not _is_none_by_default(caller, node.id):
        return False
    tests = [n.test for n in ast.walk(caller.node) if isinstance(n, ast.If)]
    return not any(isinstance(n, ast.Name) and n.id == node.id for test in tests for n in ast.walk(test))


def _is_none_by_default(method: Method, name: str | int) -> bool:
    pairs = defaults(method.node.args)
    return any(a.arg == name and isinstance(d, ast.Constant) and d.value is None for a, d in pairs)


def _calls(other: LinenClass, function: ast.AST, cls: LinenClass, method: str) -> Iterator[ast.Call]:
    """The calls of modules of a class that a method of another one makes and calls."""
    made = {ast.unparse(target) for target in _made(other, cls)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if method != "__call__":
            called = called.value if isinstance(called, ast.Attribute) and called.attr == method else node
        if _constructs(other, called, cls) or (
            isinstance(called, ast.Name | ast.Attribute) and ast.unparse(called) in made
        ):
            yield node


def _made(other: LinenClass, cls: LinenClass) -> Iterator[ast.expr]:
    for node in ast.walk(other.node):
        if isinstance(node, ast.Assign) and _constructs(other, node.value, cls):
            yield from node.targets


def _constructs(other: LinenClass, node: ast.expr, cls: LinenClass) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and other.resolve_in_class(node.func) == cls.qualified
    )
