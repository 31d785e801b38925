"""Interpreting syntax nodes: which function handles which kind.

Handlers are registered where they are defined, and reach each other by `evaluate` and `execute` alone: modules
for different kinds of syntax needn't import each other.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, TypeVar

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse

_F = TypeVar("_F", bound=Callable[..., Any])

_expressions: dict[type[ast.expr], Callable[[Frame, Any], Any]] = {}
_statements: dict[type[ast.stmt], Callable[[Frame, Any], None]] = {}


def evaluates(*kinds: type[ast.expr]) -> Callable[[_F], _F]:
    """Declare that the decorated function gives the value of these kinds of expressions."""

    def register(handler: _F) -> _F:
        _expressions.update(dict.fromkeys(kinds, handler))
        return handler

    return register


def executes(*kinds: type[ast.stmt]) -> Callable[[_F], _F]:
    """Declare that the decorated function interprets these kinds of statements."""

    def register(handler: _F) -> _F:
        _statements.update(dict.fromkeys(kinds, handler))
        return handler

    return register


@cache
def _load() -> None:
    """Import every module of this package, which fills the tables."""
    package = __name__.rpartition(".")[0]
    for module in walk_packages(import_module(package).__path__, package + "."):
        import_module(module.name)


def evaluate(frame: Frame, node: ast.expr) -> Any:
    """The value of an expression; effects (constructions, calls of submodules) are recorded on the way."""
    _load()
    frame.session.tick(node)
    handler = _expressions.get(type(node))
    value = handler(frame, node) if handler else _other(frame, node)
    return frame.record(node, value)


def _other(frame: Frame, node: ast.expr) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(frame, child)
    return Unknown(f"`{type(node).__name__}` can't be followed")


def execute(frame: Frame, body: Sequence[ast.stmt]) -> None:
    """Interpret statements until one ends the function on every path (`frame.ended`)."""
    _load()
    for statement in body:
        if frame.ended:
            return
        frame.session.tick(statement)
        _statements.get(type(statement), _unsupported)(frame, statement)


def _unsupported(frame: Frame, statement: ast.stmt) -> None:
    raise Refuse("unsupported-syntax", f"a `{type(statement).__name__.lower()}` statement", statement)
