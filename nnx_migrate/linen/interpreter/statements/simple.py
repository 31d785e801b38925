"""Statements without others below them that decide nothing: expressions, `assert`, `def`, imports."""

from __future__ import annotations

import ast

from nnx_migrate.linen.interpreter.dispatch import evaluate, executes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import decorated
from nnx_migrate.linen.interpreter.lists.sequences import filled
from nnx_migrate.linen.interpreter.movable import remember_function
from nnx_migrate.linen.interpreter.ranks.assumptions import assume_ranks, assume_shape
from nnx_migrate.linen.interpreter.ranks.patterns import ranks_required
from nnx_migrate.linen.interpreter.statements.mutation import mutate
from nnx_migrate.linen.values import Closure


@executes(ast.Expr)
def _expression(frame: Frame, statement: ast.Expr) -> None:
    if filled(frame, statement):
        return
    value = statement.value
    evaluate(frame, value)
    # list.append / list.extend / dict.update of a local or attribute
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        mutate(frame, value)


@executes(ast.Assert)
def _assert(frame: Frame, statement: ast.Assert) -> None:
    evaluate(frame, statement.test)
    ranks_required(frame, statement.test)
    assume_ranks(frame, statement.test, holds=True, inputs=False)
    assume_shape(frame, statement.test)


@executes(ast.FunctionDef)
def _function(frame: Frame, statement: ast.FunctionDef) -> None:
    closure = Closure(statement, frame.module, frame.env, frame.self_value, frame.owner, frame.session)
    frame.bind(statement.name, decorated(frame, closure), False)
    remember_function(frame, statement)


@executes(ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Delete)
def _nothing(frame: Frame, statement: ast.stmt) -> None:
    """`pass`, `import`, `global`, `del`: no effect that matters."""
