"""Whether a loop that fills a list makes a new module in every round, with new modules inside.

Linen shares the parameters of a module that is in the list twice.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.linen.programs.contents import Element
from nnx_migrate.linen.programs.flow import FlowFinder
from nnx_migrate.linen.programs.instance import Instance


def is_made_anew(
    element: Element, instance: Instance, others: Iterable[Instance], finder: FlowFinder
) -> bool:
    """Whether each round constructs `instance`, and all modules among its arguments."""
    region = _region(element, instance, finder)
    if region is None:
        return False
    within = set(ast.walk(region))
    known, parts = list(others), [instance]
    for holder in parts:  # grows
        parts += [other for other in known if holder in other.holders and other not in parts]
    return all(part.reference.call in within for part in parts)


def _region(element: Element, instance: Instance, finder: FlowFinder) -> ast.AST | None:
    """The code that runs in every round and constructs it: the loop itself, or a function that it calls."""
    call, loop = instance.reference.call, element.loop
    assert loop is not None
    if any(node is call for node in ast.walk(loop)):
        return loop
    if not isinstance(element.node, ast.Call):
        return None
    around = instance.reference.module.enclosing(call, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for callee in finder.callees.of(element.module, element.node.func):
        function = callee.function
        if function is around and isinstance(function, ast.FunctionDef) and not function.decorator_list:
            return function
    return None
