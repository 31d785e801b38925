"""Functions that a condition over fields chooses: `normalize = lambda x: nn.LayerNorm()(x)`, else `lambda x: x`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nnx_migrate.linen.values import Closure
from nnx_migrate.names.parameters import defaults

Context = tuple[ast.AST, ...]


@dataclass(frozen=True)
class ChosenFunction:
    """The local function of one branch of `statement`, which was met in `context`, or that of the other branch."""

    statement: ast.If
    context: Context
    body: Closure | ChosenFunction
    orelse: Closure | ChosenFunction

    @property
    def functions(self) -> tuple[Closure, ...]:
        """All functions that it may be."""
        return tuple(closure for closure, _ in self.ways())

    def ways(self) -> Iterator[tuple[Closure, tuple[tuple[ast.If, bool], ...]]]:
        """Each function, and which conditions hold, or don't, where it is the one."""
        for chosen, holds in ((self.body, True), (self.orelse, False)):
            if isinstance(chosen, ChosenFunction):
                for closure, conditions in chosen.ways():
                    yield closure, ((self.statement, holds), *conditions)
            else:
                yield chosen, ((self.statement, holds),)


def own_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str] | None:
    """The parameters of a function that takes nothing but arguments by position or keyword, else None."""
    spec = function.args
    if spec.posonlyargs or spec.vararg or spec.kwarg or spec.kwonlyargs or any(True for _ in defaults(spec)):
        return None
    return [argument.arg for argument in spec.args]


def free_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """The names that a function reads, apart from its parameters."""
    body = function.body if isinstance(function.body, list) else [function.body]
    read = {n.id for part in body for n in ast.walk(part) if isinstance(n, ast.Name)}
    return read - {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
