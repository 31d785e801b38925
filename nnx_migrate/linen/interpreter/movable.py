"""Local variables that the constructor can compute, too, once sizes of inputs have become its arguments.

`bound = 1 / math.sqrt(x.shape[-1])` isn't static, and what it holds has no text; but the statement can be repeated
in the constructor with `in_features` in place of the size. So a variable remembers the statements that may have
given it its value (`Slot.origins`), and whoever reads it in a construction asks for these.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.static import is_repeatable, is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import SelfValue
from nnx_migrate.names.nodes import last_name, nodes_below
from nnx_migrate.names.scopes import dotted

# Expressions whose values nothing changes in place, as far as `_is_changed` doesn't see it.
_VALUES = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Call, ast.Constant, ast.Tuple)
_MAKE_CONTAINERS = frozenset({"list", "dict", "set", "sorted", "bytearray", "tolist", "copy", "deepcopy"})
_CHANGE = frozenset(
    {"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"}
    | {"update", "setdefault", "add", "discard", "fill", "put", "resize"}
)
_MORE_THAN_VALUES = (
    *(ast.Nonlocal, ast.Global, ast.Yield, ast.YieldFrom, ast.Await, ast.NamedExpr),
    *(ast.ClassDef, ast.Import, ast.ImportFrom),
)


def remember_assignment(frame: Frame, statement: ast.Assign | ast.AnnAssign) -> None:
    """A variable that has just got its value: the statement that computes it."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    value = statement.value
    if _is_elsewhere(frame) or len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
        return
    if isinstance(value, ast.Lambda):
        if _is_function_of_sizes(frame, value):
            _remember(frame, targets[0].id, statement)
    elif _is_value(frame, value) and is_repeatable(frame, value):
        if not _is_changed(frame, targets[0]):
            _remember(frame, targets[0].id, statement)


def remember_function(frame: Frame, statement: ast.FunctionDef) -> None:
    """A local function that has just been defined, if the constructor could define it, too."""
    if not _is_elsewhere(frame) and not statement.decorator_list and _is_function_of_sizes(frame, statement):
        _remember(frame, statement.name, statement)
        if is_static(frame, statement, _own_names(statement)):
            frame.env[statement.name] = replace(frame.env[statement.name], static=True)
            frame.session.facts.static_statements.add((frame.context, statement))


def _is_elsewhere(frame: Frame) -> bool:
    """Whether the code at hand isn't that of the method itself: the constructor follows its statements."""
    return frame.foreign or bool(frame.context)


def _remember(frame: Frame, name: str, statement: ast.stmt) -> None:
    frame.env[name] = replace(frame.env[name], origins=(statement,))


def _is_value(frame: Frame, value: ast.expr) -> bool:
    """Whether an expression gives something that nothing changes under another name: what a field holds, too."""
    if isinstance(value, _VALUES):
        return not _is_container(value)
    base: ast.expr = value
    while isinstance(base, ast.Attribute):
        base = base.value
    if not isinstance(base, ast.Name) or not is_static(frame, value):
        return False
    slot = frame.lookup(base.id)
    return slot is None or (isinstance(slot.value, SelfValue) and base is not value)


def _is_container(value: ast.expr) -> bool:
    """Whether an expression makes something that can be changed under another name."""
    if not isinstance(value, ast.Call):
        return False
    called = value.func
    name = last_name(called)
    return name in _MAKE_CONTAINERS


def _is_changed(frame: Frame, target: ast.Name) -> bool:
    """Whether code of the function may change in place what a variable holds."""
    function = frame.module.enclosing(target, ast.FunctionDef)
    return function is not None and target.id in _changed_in(function)


@lru_cache(maxsize=1024)
def _changed_in(function: ast.AST) -> frozenset[str]:
    """The variables whose values a function's code changes in place."""
    return frozenset(name for node in nodes_below(function) for name in _changed_by(node))


def _changed_by(node: ast.AST) -> list[str]:
    """The variables whose values a node changes: `a[0] = 1`, `a += 1`, `a.append`."""
    if isinstance(node, ast.Nonlocal):
        return node.names
    changed: ast.expr | None = None
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        changed = node.value
    elif isinstance(node, ast.AugAssign):
        changed = node.target
    elif isinstance(node, ast.Attribute) and node.attr in _CHANGE:
        changed = node.value
    return [changed.id] if isinstance(changed, ast.Name) else []


# ---- functions ---------------------------------------------------------------------------------------------


def _is_function_of_sizes(frame: Frame, function: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether a function computes from its arguments and from what the constructor can know.

    What it reads of the variables around it is recorded: sizes are written in their places.
    """
    if any(isinstance(node, _MORE_THAN_VALUES) for node in ast.walk(function)) or _has_long_text(function):
        return False
    own = _own_names(function)
    if not _reads_what_stays(frame, function, own):
        return False
    try:
        for called in (n.func for n in ast.walk(function) if isinstance(n, ast.Call)):
            if dotted(called) is not None and not _reads(called) & own:
                evaluate(frame, called)
        if not is_repeatable(frame, function, own):
            return False
        for node in _outer_expressions(frame, function, own):
            evaluate(frame, node)
    except Refuse:
        return False
    return True


def _own_names(function: ast.AST) -> frozenset[str]:
    """The names that a function binds: its parameters, its variables, the functions in it."""
    names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return frozenset(names)


def _reads(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _reads_what_stays(frame: Frame, function: ast.FunctionDef | ast.Lambda, own: frozenset[str]) -> bool:
    """Whether the variables around a function get no other values after its definition, and aren't changed."""
    around = frame.module.enclosing(function, ast.FunctionDef)
    if around is None or frame.module.enclosing(function, ast.For, ast.While) is not None:
        return False
    outer = _reads(function) - own
    return not outer & _changed_in(around) and not any(
        isinstance(node, ast.Name)
        and node.id in outer
        and not isinstance(node.ctx, ast.Load)
        and node.lineno >= function.lineno
        for node in ast.walk(around)
    )


def _has_long_text(function: ast.AST) -> bool:
    """Whether a text of several lines would change where the function gets another indentation."""
    texts = (n for n in ast.walk(function) if isinstance(n, ast.Constant | ast.JoinedStr))
    return any(n.end_lineno != n.lineno for n in texts)


def _outer_expressions(
    frame: Frame, function: ast.FunctionDef | ast.Lambda, own: frozenset[str]
) -> Iterator[ast.expr]:
    """The largest expressions in a function that read variables around it and none of its own."""
    body = function.body if isinstance(function.body, list) else [function.body]
    defaults = [*function.args.defaults, *(d for d in function.args.kw_defaults if d is not None)]
    stack: list[ast.AST] = [*body, *defaults]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.expr) and not isinstance(node, ast.Lambda):
            names = _reads(node)
            if not names & own:
                if any(frame.lookup(name) is not None for name in names):
                    yield node
                continue
        stack.extend(ast.iter_child_nodes(node))
