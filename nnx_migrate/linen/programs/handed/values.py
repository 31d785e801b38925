"""The modules that an expression in a program may give: through names, functions, dictionaries that are filled step by
step, and copies.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from dataclasses import dataclass

from nnx_migrate.linen.programs.dataflow.callees import Origin
from nnx_migrate.linen.programs.dataflow.dict_contents import DictContents
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import string_in

_MAX_DEPTH = 6
_COPIES = frozenset({"copy.deepcopy"})


@dataclass(frozen=True)
class Value:
    """What an expression may give; `copied` where that is a copy of its own, with all that it holds."""

    origin: Origin
    copied: bool = False


class _Lookups(Container[ast.AST]):
    """`table[key]`, `table.get(key)` and `copy.deepcopy(module)`: where values are followed step by step."""

    def __contains__(self, node: object) -> bool:
        if isinstance(node, ast.Subscript):
            return isinstance(node.ctx, ast.Load)
        if not isinstance(node, ast.Call):
            return False
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in ("deepcopy", "get")


class HandedValues:
    """Follows expressions backwards."""

    def __init__(self, finder: FlowFinder, dicts: DictContents) -> None:
        self.finder, self.dicts = finder, dicts
        self.steps = Origins(finder, _Lookups(), attributes=True)
        self.origins = Origins(finder, attributes=True)

    def of(self, module: Module, node: ast.expr, depth: int = 0) -> list[Value]:
        """Every expression that the value may be."""
        if depth > _MAX_DEPTH:
            return [Value(None)]
        found: list[Value] = []
        for origin in self.steps.of(module, node):
            found += self._further(origin, depth) if origin is not None else [Value(None)]
        return found

    def _further(self, origin: tuple[Module, ast.expr], depth: int) -> Iterator[Value]:
        module, node = origin
        if isinstance(node, ast.Call) and len(node.args) == 1 and self._name(module, node.func) in _COPIES:
            for value in self.of(module, node.args[0], depth + 1):
                yield Value(value.origin, copied=True)
            return
        looked_up = _looked_up(node)
        elements = None
        if looked_up is not None:
            table, key, default = looked_up
            elements = self.dicts.under(module, table, key)
        if looked_up is None or elements is None:
            if node in self.steps.ends:
                yield from (Value(o) for o in self.origins.of(module, node))
            else:
                yield Value(origin)
            return
        for element in elements:
            yield from self.of(element.module, element.node, depth + 1)
        if default is not None:
            yield from self.of(module, default, depth + 1)

    def _name(self, module: Module, function: ast.expr) -> str:
        return self.finder.project.resolve(function, module.scope_at(function), module) or ""


def _looked_up(node: ast.expr) -> tuple[ast.expr, str | None, ast.expr | None] | None:
    """The table, the key if it is a text, and what is given otherwise."""
    if isinstance(node, ast.Subscript):
        return node.value, string_in(node.slice), None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        if node.args and not node.keywords:
            return node.func.value, string_in(node.args[0]), node.args[1] if len(node.args) > 1 else None
    return None
