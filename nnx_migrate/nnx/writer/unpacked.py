"""What a method calls the parts of an argument that it takes apart first: `obs, dones = x`."""

from __future__ import annotations

import ast
from collections.abc import Mapping


def unpacked_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Mapping[str, tuple[str, ...]]:
    """Argument -> the names of its parts, in order; "" for a part without one of its own."""
    arguments = function.args
    given = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    found: dict[str, tuple[str, ...]] = {}
    bound: set[str] = set()
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            (target, *others), whole = statement.targets, statement.value.id
            if isinstance(target, ast.Tuple) and not others and whole in given - bound - found.keys():
                found[whole] = tuple(_own_name(part, given) for part in target.elts)
        stores = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        bound.update(node.id for node in stores)
    return {
        whole: names
        for whole, names in found.items()
        if len(set(names) - {""}) == len(names) - names.count("")
    }


def _own_name(part: ast.expr, given: set[str]) -> str:
    """The name of a part, unless it is that of an argument, or says nothing."""
    name = part.id if isinstance(part, ast.Name) else ""
    return name if name.strip("_") and name not in given else ""
