"""`match` statements that compare with values: the chain of conditions that they stand for."""

from __future__ import annotations

import ast
from functools import cache

from nnx_migrate.linen.interpreter.dispatch import execute, executes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.reasons import Refuse


@executes(ast.Match)
def _match(frame: Frame, statement: ast.Match) -> None:
    subject: ast.AST = statement.subject
    while isinstance(subject, ast.Attribute):
        subject = subject.value
    if not (isinstance(subject, ast.Name) or frame.foreign or is_static(frame, subject)):
        raise Refuse("unsupported-syntax", "a `match` statement with a computed subject", statement)
    execute(frame, as_conditions(statement))


@cache
def as_conditions(statement: ast.Match) -> list[ast.stmt]:
    """`match kind: case "a": ...` as `if kind == "a": ...`; the conditions stand nowhere in the source. Raises Refuse.

    Each of them has the subject, so it has to be one that may be computed several times.
    """
    chain: list[ast.stmt] = []
    for case in reversed(statement.cases):
        test = _test(statement.subject, case.pattern)
        if test is None:
            raise Refuse(
                "unsupported-syntax", "a `match` statement with patterns that aren't values", case.pattern
            )
        if case.guard is not None:
            test = case.guard if _is_always(test) else ast.BoolOp(ast.And(), [test, case.guard])
        chain = list(case.body) if _is_always(test) else [_if(case, test, chain)]
    return chain


def _if(case: ast.match_case, test: ast.expr, orelse: list[ast.stmt]) -> ast.If:
    first, last = case.pattern, case.body[-1]
    return ast.If(
        test,
        case.body,
        orelse,
        lineno=first.lineno,
        col_offset=first.col_offset,
        end_lineno=last.end_lineno,
        end_col_offset=last.end_col_offset,
    )


def _test(subject: ast.expr, pattern: ast.pattern) -> ast.expr | None:
    """The condition under which a pattern matches; None for those that do more than compare."""
    if isinstance(pattern, ast.MatchValue):
        return ast.Compare(subject, [ast.Eq()], [pattern.value])
    if isinstance(pattern, ast.MatchSingleton):
        return ast.Compare(subject, [ast.Is()], [ast.Constant(pattern.value)])
    if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and pattern.name is None:
        return ast.Constant(True)
    if isinstance(pattern, ast.MatchOr):
        tests = [_test(subject, one) for one in pattern.patterns]
        if all(test is not None for test in tests):
            return ast.BoolOp(ast.Or(), [test for test in tests if test is not None])
    return None


def _is_always(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant)
