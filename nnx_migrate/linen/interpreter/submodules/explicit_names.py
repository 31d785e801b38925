"""The names that code gives modules, with what is known of the variables in them."""

from __future__ import annotations

import ast
import copy

from nnx_migrate.linen.interpreter.calls.forwarded import unfolded
from nnx_migrate.linen.interpreter.frame import Frame


def name_expression(frame: Frame, call: ast.Call) -> ast.expr | None:
    """The name that a construction gives: the text behind a variable, with constants for variables that hold some.

    `layer_name = f"conv{block}_{i}"` in a helper that is called with `block=2` gives `f"conv{2}_{i}"`.
    """
    shown, elsewhere = unfolded(frame.session.facts, call, frame.context)
    node = next((k.value for k in shown.keywords if k.arg == "name"), None)
    if node is None or isinstance(node, ast.Constant):
        return node
    if node in elsewhere:
        return ast.Name("name", ast.Load())  # no name that could be told from here
    if isinstance(node, ast.Name):
        node = _definition(frame, node) or node

    class Known(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            slot = frame.lookup(name.id)
            value = slot.value if slot is not None and not slot.maybe_unbound else None
            return ast.Constant(value) if type(value) in (int, str) else name

    return Known().visit(copy.deepcopy(node))  # type: ignore[no-any-return]


def _definition(frame: Frame, name: ast.Name) -> ast.expr | None:
    """The expression that a local variable always stands for where it is read."""
    function = frame.module.enclosing(name, ast.FunctionDef)
    if function is None:
        return None
    stores = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Name) and n.id == name.id and not isinstance(n.ctx, ast.Load)
    ]
    statement = frame.module.parents.get(stores[0]) if len(stores) == 1 else None
    if not isinstance(statement, ast.Assign) or statement.targets != stores:
        return None
    block = frame.module.parents.get(statement)
    around: ast.AST | None = name
    while around is not None and around is not block:  # the same round of every loop
        around = frame.module.parents.get(around)
    changed = {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}
    later = (n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id in changed)
    renewed = any(not isinstance(n.ctx, ast.Load) and n.lineno > statement.lineno for n in later)
    return statement.value if around is not None and statement.lineno < name.lineno and not renewed else None
