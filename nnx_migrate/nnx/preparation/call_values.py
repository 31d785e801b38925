"""How much of what a method of a module computes is known only when that is called.

What fields and constants say is known when it's made, and sizes of inputs when its first input is; everything else
that depends on arguments isn't known before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import IntEnum

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import nodes_below

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_OF_SHAPES = frozenset({"shape", "ndim", "size", "dtype"})
_OF_SIZES = frozenset({"len", "int", "min", "max", "range", "tuple", "list", "enumerate", "zip", "reversed"})


class Known(IntEnum):
    """When a value is known."""

    MADE = 0
    SIZED = 1
    CALLED = 2


class CallValues:
    """When the values of expressions in the methods of a class are known."""

    def __init__(self, module: Module, cls: ast.ClassDef) -> None:
        self.module, self.cls = module, cls
        self._names: dict[ast.AST, dict[str, Known]] = {}

    def known(self, node: ast.AST) -> Known:
        """When the value of an expression is known."""
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Attribute) and node.attr in _OF_SHAPES:
            return min(Known.SIZED, self.known(node.value))
        found = max((self.known(child) for child in ast.iter_child_nodes(node)), default=Known.MADE)
        if isinstance(node, ast.Call) and found > Known.MADE:
            function = node.func.id if isinstance(node.func, ast.Name) else ""
            if function == "len":
                return Known.SIZED
            return found if function in _OF_SIZES else Known.CALLED
        return found

    def _name(self, node: ast.Name) -> Known:
        for function in self._around(node):
            found = self._variables(function).get(node.id)
            if found is not None:
                return found
        return Known.MADE

    def _variables(self, function: ast.AST) -> dict[str, Known]:
        """When the values of a function's variables are known, each of which may depend on all others."""
        if function not in self._names:
            values = self._values(function)
            names = self._names[function] = dict.fromkeys(values, Known.MADE)
            changed = True
            while changed:
                changed = False
                for name, given in values.items():
                    known = max(
                        (Known.CALLED if v is None else self.known(v) for v in given), default=Known.MADE
                    )
                    if known > names[name]:
                        names[name], changed = known, True
        return self._names[function]

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The functions of the class around a node, the innermost first."""
        around = self.module.enclosing(node, *_FUNCTIONS)
        while around is not None and self.module.enclosing(around, ast.ClassDef) is not None:
            yield around
            around = self.module.enclosing(around, *_FUNCTIONS)

    def _values(self, function: ast.AST) -> dict[str, list[ast.expr | None]]:
        """The variables of a function, with all that decides about their values; None for what callers give."""
        found: dict[str, list[ast.expr | None]] = {}
        assert isinstance(function, _FUNCTIONS)
        for argument in (n for n in nodes_below(function.args) if isinstance(n, ast.arg)):
            if argument.arg != "self":
                found.setdefault(argument.arg, []).append(None)
        names = (n for n in nodes_below(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        for target in names:
            if next(self._around(target), None) is function:
                found.setdefault(target.id, []).extend(self._deciding(target, function))
        return found

    def _deciding(self, target: ast.Name, function: ast.AST) -> Iterator[ast.expr]:
        """The expressions that give a variable its value, and those of the conditions around that."""
        node: ast.AST | None = self.module.parents.get(target)
        while node is not None and node is not function:
            for name in ("value", "iter", "test", "context_expr", "subject"):
                value = getattr(node, name, None)
                if isinstance(value, ast.expr) and not isinstance(node, ast.Attribute | ast.Subscript):
                    yield value
            node = self.module.parents.get(node)
