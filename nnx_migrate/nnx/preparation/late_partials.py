"""Local partials of classes, whose calls get what the partials bind:

    encoder = partial(Encoder, width=self.width, train=train)
    x = encoder()(x)

What a partial binds may move to the calls behind it where it has the same value there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.factories.named_partials import places_by_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
# What nothing between the partial and its calls changes, but a new value of a variable.
_STEADY = (
    *(ast.Name, ast.Attribute, ast.Constant, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)


def class_bound(program: LinenProgram, module: Module, call: ast.AST | None) -> LinenClass | None:
    """The class of which a call makes a partial."""
    if not isinstance(call, ast.Call) or not call.args:
        return None
    resolve = program.project.resolve
    if resolve(call.func, module.scope_at(call.func), module) != "functools.partial":
        return None
    return program.find(resolve(call.args[0], module.scope_at(call.args[0]), module))


def class_called(program: LinenProgram, module: Module, call: ast.Call) -> LinenClass | None:
    """The class that the call of a local partial constructs."""
    if not isinstance(call.func, ast.Name):
        return None
    values = [one.value for one in module.scope_at(call.func).lookup(call.func.id)]
    return class_bound(program, module, values[0]) if len(values) == 1 else None


def calls_behind(program: LinenProgram, module: Module, partial: ast.Call) -> list[ast.Call] | None:
    """The calls of a partial that a variable holds; None unless all uses are calls behind it in the same function."""
    function, statement = module.enclosing(partial, *_FUNCTIONS), module.parents.get(partial)
    loop = module.enclosing(partial, *_LOOPS, *_FUNCTIONS)
    if (
        not isinstance(function, ast.FunctionDef)
        or loop is not function
        or not isinstance(statement, ast.Assign)
    ):
        return None
    places = places_by_name(program.project, module, partial)
    calls = [call for _, call in places or ()]
    for call in calls:
        is_behind = isinstance(call.func, ast.Name) and call.lineno > (statement.end_lineno or 0)
        if not is_behind or module.enclosing(call, *_FUNCTIONS) is not function:
            return None
    return calls if places is not None else None


def may_move(module: Module, partial: ast.Call, value: ast.expr) -> bool:
    """Whether what a partial binds has the same value in all that stands behind it in its function."""
    if not all(isinstance(node, _STEADY) for node in ast.walk(value)):
        return False
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    function = module.enclosing(partial, *_FUNCTIONS)
    return function is not None and not any(
        getattr(node, "lineno", 0) >= partial.lineno or isinstance(node, ast.Nonlocal | ast.Global)
        for node in _changing(function, names)
    )


def _changing(function: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    """What gives variables other values in a function, or may change those that they have."""
    for node in all_below(function):
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            if not isinstance(node.ctx, ast.Load) and names & {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name)
            }:
                yield node
        elif isinstance(node, ast.Nonlocal | ast.Global):
            if names & set(node.names):
                yield node
        else:
            bound = {getattr(node, key, None) for key in ("name", "asname", "rest")}
            if names & {name for name in bound if isinstance(name, str)}:
                yield node
