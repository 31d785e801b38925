"""Calls of functions that compute nothing but numbers: `_make_divisible(8 * self.width, 8)`.

Code that takes one path or another, or that counts, leaves results which only the function's own variables name.
The constructor makes the same call instead, of the arguments that it knows.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim, text_of
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Closure, Expr
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import dotted

#: Functions whose results are whole numbers.
INTEGERS = frozenset({"int", "len", "round", "math.ceil", "math.floor"})
_KEEPING = frozenset({"max", "min", "abs", "sum"})
_OTHERS = frozenset({"float", "range", "math.sqrt", "math.log", "math.log2", "math.pow", "math.exp"})
_STATEMENTS = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.If, ast.For, ast.While, ast.Return, ast.Assert),
    *(ast.Pass, ast.Break, ast.Continue),
)
_EXPRESSIONS = (
    *(ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Call),
    *(ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context, ast.Attribute),
)
_WHOLE = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)


def number_of_call(
    frame: Frame, closure: Closure, args: Sequence[Any], kwargs: Mapping[str, Any], node: Any, result: Any
) -> Any:
    """The result of a call as the call itself, where nothing else in the class's code says it."""
    function = closure.node
    if (
        not isinstance(node, ast.Call)
        or not isinstance(function, ast.FunctionDef)
        or not _is_lost(frame, result)
    ):
        return result
    if closure.env is not None or closure.self_value is not None or function.decorator_list:
        return result
    called = _name(frame, closure, node)
    if called is None or not _computes_numbers(closure.module, function):
        return result
    given = [*args, *kwargs.values()]
    texts = [text_of(value) for value in given]
    if None in texts or not all(_is_number(value) for value in given):
        return result
    names = ["", *(f"{name}=" for name in kwargs)]
    is_size = _is_whole(function, args, kwargs)
    if not is_size and any(m["kind"] == "p" for text in texts for m in TOKEN.finditer(str(text))):
        return result  # a size of a loop, for which another one may be put in
    if not is_size:
        if frame.foreign:
            return result
        parts = [f"{names[max(0, i - len(args) + 1)]}{text}" for i, text in enumerate(texts)]
        return Expr(f"{called}({', '.join(parts)})")
    slots: list[str] = []
    values: list[Dim | float] = []
    for index, value in enumerate(given):
        name = names[max(0, index - len(args) + 1)]
        dim = as_dim(value) if not isinstance(value, Expr) else Dim.symbol(value.text)
        slots.append(f"{name}{{{len(values)}}}" if dim is not None else f"{name}{texts[index]}")
        values += [dim] if dim is not None else []
    return Dim.opaque(f"{called}({', '.join(slots)})", *values)


def _is_lost(frame: Frame, result: Any) -> bool:
    """Whether a result is named by variables of the function alone, or by nothing, or a choice says it at length."""
    if isinstance(result, Unknown):
        return True
    if not isinstance(result, Dim | Expr):
        return False
    if isinstance(result, Dim) and not result.known:
        return True
    text = str(text_of(result))
    if isinstance(result, Dim) and " if " in text:
        return True
    contexts, phis = frame.session.local_contexts, frame.session.facts.phis
    for found in TOKEN.finditer(text):
        number = int(found["id"])
        context = contexts.get(number) if found["kind"] == "s" else None
        if found["kind"] == "p" and number in phis:
            context = phis[number].context
        if context is not None and len(context) > len(frame.context):
            return True
    return False


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | Dim | Expr)


def _name(frame: Frame, closure: Closure, node: ast.Call) -> str | None:
    """What the file of the class calls a function of a module; None where it doesn't know it."""
    module, function = frame.session.cls.module, closure.node
    called = dotted(node.func) or ""
    if function not in closure.module.tree.body:
        return None
    if closure.module is module:
        called = function.name
    elif frame.foreign or frame.module is not module:
        return None
    head = called.partition(".")[0]
    is_global = module.scopes.module.binder(head) is module.scopes.module
    hidden = head in frame.session.fields or frame.lookup(head) is not None
    return called if head and is_global and not hidden else None


@lru_cache(maxsize=1024)
def _computes_numbers(module: Module, function: ast.FunctionDef) -> bool:
    """Whether a function is plain arithmetic on its arguments."""
    own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own |= {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    for node in (n for statement in body for n in ast.walk(statement)):
        if isinstance(node, ast.stmt):
            if not isinstance(node, _STATEMENTS):
                return False
        elif isinstance(node, ast.Call):
            if _called(node) not in INTEGERS | _KEEPING | _OTHERS or _called(node) in own:
                return False
        elif not isinstance(node, (*_EXPRESSIONS, ast.keyword)):
            return False
    return True


def _called(call: ast.Call) -> str:
    return dotted(call.func) or ""


def _is_whole(function: ast.FunctionDef, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function of these arguments surely returns an integer."""
    if isinstance(function.returns, ast.Name) and function.returns.id == "int":
        return True
    spec = function.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    whole = {name for name, value in values.items() if _is_integer(value)}
    given = {*values, *names, *(a.arg for a in spec.kwonlyargs)}
    defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
    defaults |= {a.arg: d for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None}
    whole |= {n for n, default in defaults.items() if n not in values and _whole(default, whole)}
    assigned: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            value = node.value
            if isinstance(node, ast.AugAssign):
                value = ast.BinOp(node.target, node.op, node.value)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                assigned.setdefault(getattr(target, "id", ""), []).append(value)
        elif isinstance(node, ast.For):
            assigned.setdefault(getattr(node.target, "id", ""), []).append(None)
    candidates = (whole | (assigned.keys() - given)) - {""}
    while True:  # the largest set of variables that hold integers if the others of them do
        wrong = {
            name
            for name in candidates & assigned.keys()
            if not all(value is not None and _whole(value, candidates) for value in assigned[name])
        }
        if not wrong:
            break
        candidates -= wrong
    results = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
    return bool(results) and all(value is not None and _whole(value, candidates) for value in results)


def _is_integer(value: Any) -> bool:
    """Whether an argument is an integer; where it is None, the function puts something in its place."""
    if isinstance(value, Expr):
        return value.kind == "int"
    return value is None or isinstance(value, int | Dim)


def _whole(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, int)
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and _whole(node.operand, names)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _WHOLE) and _whole(node.left, names) and _whole(node.right, names)
    if isinstance(node, ast.IfExp):
        return _whole(node.body, names) and _whole(node.orelse, names)
    if isinstance(node, ast.BoolOp):
        return all(_whole(value, names) for value in node.values)
    if isinstance(node, ast.Call):
        called = _called(node)
        if called in INTEGERS:
            return len(node.args) == 1 and not node.keywords
        return called in _KEEPING and all(_whole(arg, names) for arg in node.args) and not node.keywords
    return False
