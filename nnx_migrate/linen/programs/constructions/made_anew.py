"""Whether a loop makes a new module in every round, and a function in every call, with new modules inside.

Linen shares the parameters of a module that another one gets twice.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable

from nnx_migrate.linen.programs.dataflow.contents import Element
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import contains


def is_made_anew(
    element: Element, instance: Instance, others: Iterable[Instance], finder: FlowFinder
) -> bool:
    """Whether each round constructs `instance`, and all modules among its arguments."""
    call, loop = instance.call, element.loop
    if loop is not None and contains(loop, call):
        return _holds_own_parts(instance, loop, others)
    return _made_by(element.module, element.node, instance, others, finder) is not None


def maker(
    element: Element, instance: Instance, others: Iterable[Instance], finder: FlowFinder
) -> ast.Call | None:
    """The call of a function that constructs `instance`, and all modules among its arguments, for an argument."""
    if element.via is not None:
        return _made_by(element.module, element.via, instance, others, finder)
    found = Origins(finder, _Calls(), attributes=True).of(element.module, element.node)
    origin = found[0] if len(found) == 1 else None
    return _made_by(*origin, instance, others, finder) if origin is not None else None


class _Calls(Container[ast.AST]):
    """Every call: values are followed to where a function returns them."""

    def __contains__(self, node: object) -> bool:
        return isinstance(node, ast.Call)


def _made_by(
    module: Module, node: ast.expr, instance: Instance, others: Iterable[Instance], finder: FlowFinder
) -> ast.Call | None:
    """`node`, if it calls the function in whose body the construction stands."""
    if not isinstance(node, ast.Call):
        return None
    around = instance.home.enclosing(instance.call, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for callee in finder.callees.of(module, node.func):
        function = callee.function
        if function is around and isinstance(function, ast.FunctionDef) and not function.decorator_list:
            return node if _holds_own_parts(instance, function, others) else None
    return None


def _holds_own_parts(instance: Instance, region: ast.AST, others: Iterable[Instance]) -> bool:
    """Whether the code that constructs a module constructs all modules among its arguments, too."""
    within = set(ast.walk(region))
    known, parts = list(others), [instance]
    for holder in parts:  # grows
        parts += [other for other in known if holder in other.holders and other not in parts]
    return all(part.call in within for part in parts)
