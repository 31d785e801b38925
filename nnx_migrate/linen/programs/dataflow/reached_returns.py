"""Which of a function's `return` statements a call may reach, by the arguments that are None for it.

Decorators that work with and without arguments are written so:

    def register(cls=None, *, name=None):
        def wrap(cls): ...
        if cls is None:
            return wrap
        return wrap(cls)
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from nnx_migrate.linen.programs.dataflow.callees import Callee, parameter_of
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.parameters import defaults


def returns_of_call(callee: Callee, call: ast.Call) -> list[ast.Return]:
    """Those of a function that a call of it may reach: its parameters have their defaults where they aren't given."""
    function = callee.function
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    passed: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    given = {parameter_of(callee, call, one) for one in passed}
    absent: set[str] = set()
    if None not in given and not any(isinstance(one, ast.Starred) for one in passed):
        absent = {a.arg for a, default in defaults(function.args) if is_none(default)} - given
    return reached_returns(callee.module, function, dict.fromkeys(absent, True))


def reached_returns(
    module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef, absent: Mapping[str, bool]
) -> list[ast.Return]:
    """Those that are reached where these parameters are None, or are known to be something else."""
    scope = module.scope_at(function.body[0])
    known = {name: absent[name] for name in absent if len(scope.lookup(name)) == 1}
    return list(_in_block(function.body, known))


def ends_in_return(block: Iterable[ast.stmt]) -> bool:
    """Whether the end of a block is no end of a function without a value."""
    last = list(block)[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and ends_in_return(last.body) and ends_in_return(last.orelse)
    return isinstance(last, ast.Return | ast.Raise)


def _in_block(block: Iterable[ast.stmt], absent: Mapping[str, bool]) -> Iterator[ast.Return]:
    for statement in block:
        if isinstance(statement, ast.Return):
            yield statement
        elif isinstance(statement, ast.If):
            holds = _holds(statement.test, absent)
            for branch, unless in ((statement.body, False), (statement.orelse, True)):
                if holds is not unless:
                    yield from _in_block(branch, absent)
            taken = statement.orelse if holds is False else statement.body
            if holds is not None and taken and isinstance(taken[-1], ast.Return | ast.Raise):
                return
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for inner in ast.iter_child_nodes(statement):
                if isinstance(inner, ast.stmt):
                    yield from _in_block([inner], absent)
                elif isinstance(inner, ast.ExceptHandler | ast.match_case):
                    yield from _in_block(inner.body, absent)


def _holds(test: ast.expr, absent: Mapping[str, bool]) -> bool | None:
    """The value of `name is None` and `name is not None`; None where it isn't known."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and is_none(test.comparators[0]):
        is_absent = absent.get(test.left.id)
        if is_absent is not None and len(test.ops) == 1 and isinstance(test.ops[0], ast.Is | ast.IsNot):
            return is_absent is isinstance(test.ops[0], ast.Is)
    return None
