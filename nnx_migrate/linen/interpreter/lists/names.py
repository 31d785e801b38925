"""Names of lists that can be followed: nothing happens to these lists that isn't seen."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.names.nodes import nodes_below, position
from nnx_migrate.names.parents import Parents

_JOINS = frozenset({"concatenate", "concat", "stack", "hstack", "vstack"})
_LAZY = frozenset({"enumerate", "reversed", "zip"})
_COPIES = frozenset({"list", "tuple"})
CONDITIONAL = (ast.IfExp, ast.BoolOp, ast.Compare, ast.NamedExpr, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)


def can_be_followed(frame: Frame, name: ast.Name) -> bool:
    """Whether all that happens to a local list is seen."""
    function = frame.module.enclosing(name, *_FUNCTIONS)
    return isinstance(function, ast.FunctionDef) and is_followed(
        function, frame.module.parents, name.id, name
    )


def is_followed(function: ast.AST, parents: Parents, name: str, node: ast.AST) -> bool:
    """Whether all that happens to a list that a name stands for at a node is seen."""
    names, ends = _list_names(function, parents)
    if name not in names or name not in ends:
        return name in names
    return _comes_before(node, ends[name], function, parents)


@lru_cache(maxsize=1 << 12)
def _list_names(function: ast.AST, parents: Parents) -> tuple[frozenset[str], dict[str, ast.stmt]]:
    """Names that are only ever bound to a fresh list, and used in ways that make no second name for it.

    Behind `inputs = jnp.concatenate(inputs)` a name stands for something else: the second are these statements.
    """
    stored: set[str] = set()
    other: set[str] = set()
    ends = _ends(function)
    for node in nodes_below(function):
        if isinstance(node, ast.arg):
            other.add(node.arg)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            other.update(node.names)
        elif isinstance(node, ast.Name):
            if node.id in ends and not _comes_before(node, ends[node.id], function, parents):
                continue
            if not _is_plain_use(node, function, parents):
                other.add(node.id)
            elif isinstance(node.ctx, ast.Store):
                stored.add(node.id)
    return frozenset(stored - other), ends


def _ends(function: ast.AST) -> dict[str, ast.stmt]:
    """The first statement that surely runs, and gives a name something else than a fresh list, by that name."""
    found: dict[str, ast.stmt] = {}
    for statement in getattr(function, "body", ()) if isinstance(function, ast.FunctionDef) else ():
        target = _single_target(statement)
        if isinstance(target, ast.Name) and not _is_fresh(statement.value):
            found.setdefault(target.id, statement)
    return found


def _single_target(statement: ast.stmt) -> ast.expr | None:
    """What a statement binds, if it binds one thing."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return statement.targets[0]
    return statement.target if isinstance(statement, ast.AnnAssign) and statement.value is not None else None


def _comes_before(node: ast.AST, end: ast.stmt, function: ast.AST, parents: Parents) -> bool:
    """Whether a node of a function is evaluated before a statement of its body has bound its name."""
    above = [node, *(_above(node, function, parents) or ())]
    if end in above:
        return node is not end and _single_target(end) is not node
    return position(above[-1]) < position(end)


def _is_plain_use(node: ast.Name, function: ast.AST, parents: Parents) -> bool:
    above = _above(node, function, parents)
    if above is None or any(
        isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for n in above
    ):
        return False
    parent = above[0]
    if isinstance(node.ctx, ast.Store):
        single = isinstance(parent, ast.AnnAssign) or (
            isinstance(parent, ast.Assign) and len(parent.targets) == 1
        )
        return single and _is_fresh(parent.value) and not _in_try(above)  # type: ignore[attr-defined]
    if not isinstance(node.ctx, ast.Load):
        return False
    if isinstance(parent, ast.Attribute):
        return _is_method_call(parent, above) and not _in_try(above)
    if isinstance(parent, ast.Subscript):
        return parent.value is node and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Call):
        return _is_reading_call(node, above, parents)
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is node
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Add)
    if isinstance(parent, ast.Tuple):
        return isinstance(above[1], ast.Return)
    if isinstance(parent, ast.Starred):
        return isinstance(above[1], ast.Tuple | ast.List)
    return isinstance(parent, ast.If | ast.While | ast.Assert | ast.Return | ast.UnaryOp)


def _above(node: ast.AST, function: ast.AST, parents: Parents) -> list[ast.AST] | None:
    """What stands around a node within a function, innermost first."""
    found: list[ast.AST] = []
    current = parents.get(node)
    while current is not None and current is not function:
        found.append(current)
        current = parents.get(current)
    in_body = any(isinstance(n, ast.stmt) for n in found)
    return found if in_body and current is function else None


def _in_try(above: Sequence[ast.AST]) -> bool:
    return any(isinstance(n, ast.Try | ast.Lambda) for n in above)


def _is_fresh(value: ast.expr | None) -> bool:
    """Whether an expression makes a list that nothing else holds (where it makes one at all)."""
    if isinstance(value, ast.List | ast.ListComp):
        return True
    if isinstance(value, ast.Subscript):
        return isinstance(value.slice, ast.Slice)
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.Add)
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "list"


def _is_method_call(attribute: ast.Attribute, above: Sequence[ast.AST]) -> bool:
    call = above[1]
    if not isinstance(call, ast.Call) or call.func is not attribute or call.keywords:
        return False
    if attribute.attr == "append":
        return len(call.args) == 1 and isinstance(above[2], ast.Expr)
    expressions = [n for n in above if not isinstance(n, ast.stmt)]
    statement = next(n for n in above if isinstance(n, ast.stmt))
    simple = isinstance(statement, _SIMPLE) and not any(
        isinstance(n, (*CONDITIONAL, *COMPREHENSIONS)) for n in expressions
    )
    return attribute.attr == "pop" and simple and popped_index(call) is not None


def _is_reduce(call: ast.Call, parents: Parents) -> bool:
    """Whether a call is that of `functools.reduce`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr == "reduce" and getattr(function.value, "id", "") == "functools"
    if not isinstance(function, ast.Name) or function.id != "reduce":
        return False
    root: ast.AST = call
    while (above := parents.get(root)) is not None:
        root = above
    imports = (n for n in getattr(root, "body", ()) if isinstance(n, ast.ImportFrom))
    return any(n.module == "functools" and alias.name == "reduce" for n in imports for alias in n.names)


def popped_index(call: ast.Call) -> Any:
    """The constant index of `pop`, None where it isn't constant."""
    if not call.args:
        return -1
    try:
        index = ast.literal_eval(call.args[0])
    except (ValueError, TypeError, SyntaxError):
        return None
    return index if type(index) is int and len(call.args) == 1 else None


def _is_reading_call(node: ast.Name, above: Sequence[ast.AST], parents: Parents) -> bool:
    call = above[0]
    assert isinstance(call, ast.Call)
    if node not in call.args:
        return False
    if _is_reduce(call, parents):
        return call.args[1:2] == [node]
    if isinstance(call.func, ast.Attribute):
        return (
            call.func.attr in _JOINS
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id != "self"
        )
    if not isinstance(call.func, ast.Name) or not {k.arg for k in call.keywords} <= {"strict", "start"}:
        return False
    if call.func.id in ("len", "sum", *_COPIES):
        return True
    for inner, outer in pairwise(above):
        if not (isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in _LAZY):
            return (
                isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id in _COPIES
            )
        if isinstance(outer, ast.For | ast.comprehension):
            return outer.iter is inner
    return False
