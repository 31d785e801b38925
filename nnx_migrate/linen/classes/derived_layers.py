"""Classes that derive from a built-in layer and compute with other parameters than it holds, or do something
before and after the layer.

class StdConv(nn.Conv):
    def param(self, name, *args, **kwargs):
        param = super().param(name, *args, **kwargs)
        if name == "kernel":
            param = standardize(param)
        return param

class GroupNorm32(nn.GroupNorm):
    def __call__(self, x):
        return super().__call__(x.astype(jnp.float32)).astype(x.dtype)
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnx_migrate.linen.symbols import linen_name

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.model import LinenClass

_LAYERS = frozenset({"Conv", "ConvTranspose", "Dense"})
_CALLED = _LAYERS | {"GroupNorm", "LayerNorm", "RMSNorm"}
_CHOICES = (ast.IfExp, ast.BoolOp, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class ParamOverride:
    """What a class does to one parameter of its layer: `value` is an expression over the variable `variable`."""

    layer: str
    method: ast.FunctionDef
    parameter: str
    variable: str
    value: ast.expr


@dataclass(frozen=True)
class CallOverride:
    """A `__call__` that runs the layer's own exactly once, whichever way it takes, and reads nothing else of it."""

    layer: str
    method: ast.FunctionDef


def override(cls: LinenClass) -> ParamOverride | CallOverride | None:
    """The override of a class that consists of nothing else; None for all other classes."""
    if cls.layer_base not in _CALLED or len(cls.node.bases) != 1 or cls.node.keywords or cls.mixins:
        return None
    if cls.node.decorator_list or cls.bases:
        return None
    body = [s for s in cls.node.body if not _is_text(s) and not isinstance(s, ast.Pass)]
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        return None
    if body[0].name == "__call__":
        return CallOverride(str(cls.layer_base), body[0]) if _runs_layer(cls, body[0]) else None
    if body[0].name != "param" or body[0].decorator_list or cls.layer_base not in _LAYERS:
        return None
    return _override(str(cls.layer_base), body[0])


def _runs_layer(cls: LinenClass, method: ast.FunctionDef) -> bool:
    """Whether every path through a method calls `super().__call__` once, with one array."""
    args = method.args
    positional = [*args.posonlyargs, *args.args]
    if len(positional) < 2 or args.vararg is not None or args.kwarg is not None:
        return False
    if any(linen_name(cls.resolve_in_class(d)) != "compact" for d in method.decorator_list):
        return False
    calls = [node for node in ast.walk(method) if _calls_layer(node)]
    for node in (n for s in method.body for n in ast.walk(s)):
        if isinstance(node, ast.Name | ast.Attribute):
            qualified = cls.resolve_in_class(node)
            if qualified in cls.known_classes or (linen_name(qualified) or "")[:1].isupper():
                return False  # it makes modules
        if isinstance(node, _CHOICES) and any(call in ast.walk(node) for call in calls):
            return False
    own = {positional[0].arg, "super"}
    names = [n for s in method.body for n in ast.walk(s) if isinstance(n, ast.Name) and n.id in own]
    if len(names) != len(calls):
        return False
    falls, returns = _counts(method.body)
    return falls | returns == {1}


def _calls_layer(node: ast.AST) -> bool:
    """Whether an expression is `super().__call__(x)`."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__call__"
    ):
        return False
    plain = len(node.args) == 1 and not isinstance(node.args[0], ast.Starred) and not node.keywords
    return plain and ast.unparse(node.func.value) == "super()"


_MANY = 2  # more than once, or nobody knows


def _counts(body: list[ast.stmt]) -> tuple[set[int], set[int]]:
    """How often the paths through some statements call the layer: those that go on, and those that return."""
    falls, returns = {0}, set[int]()
    for statement in body:
        if isinstance(statement, ast.If):
            test = _number(statement.test)
            first, second = _counts(statement.body), _counts(statement.orelse)
            inner, left = first[0] | second[0], first[1] | second[1]
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.Assert):
            test, inner, left = _number(statement), {0}, set[int]()
        elif isinstance(statement, ast.Return):
            test, inner, left = _number(statement), set[int](), {0}
        elif isinstance(statement, ast.Raise):
            test, inner, left = 0, set[int](), set[int]()
        else:
            test, inner, left = (_MANY if _number(statement) else 0), {0}, set[int]()
            if any(isinstance(n, ast.Return) for n in ast.walk(statement)):
                test = _MANY
        returns |= {min(before + test + count, _MANY) for before in falls for count in left}
        falls = {min(before + test + count, _MANY) for before in falls for count in inner}
    return falls, returns


def _number(node: ast.AST) -> int:
    return sum(_calls_layer(part) for part in ast.walk(node))


def _override(layer: str, method: ast.FunctionDef) -> ParamOverride | None:
    statements = [s for s in method.body if not _is_text(s)]
    positional = [a.arg for a in (*method.args.posonlyargs, *method.args.args)]
    if len(statements) != 3 or len(positional) < 2:
        return None
    first, condition, last = statements
    own, name = positional[:2]
    if not (isinstance(first, ast.Assign) and _handed_on(first.value, method.args)):
        return None
    if not (isinstance(condition, ast.If) and len(condition.body) == 1 and not condition.orelse):
        return None
    change, parameter = condition.body[0], _compared(condition.test, name)
    if not isinstance(change, ast.Assign) or parameter != "kernel":
        return None
    if len(first.targets) != 1 or not isinstance(first.targets[0], ast.Name):
        return None
    variable = first.targets[0].id
    if [ast.unparse(t) for t in change.targets] != [variable] or variable in (own, name):
        return None
    if not (isinstance(last, ast.Return) and isinstance(last.value, ast.Name) and last.value.id == variable):
        return None
    local = {a.arg for a in ast.walk(method.args) if isinstance(a, ast.arg)}
    for node in ast.walk(change.value):
        if isinstance(node, ast.Name) and (node.id in local or not isinstance(node.ctx, ast.Load)):
            return None
        if isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp):
            return None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
            return None
    return ParamOverride(layer, method, parameter, variable, change.value)


def _handed_on(value: ast.expr, args: ast.arguments) -> bool:
    """Whether a call is `super().param` with just the method's own arguments."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "super().param"):
        return False
    names = [a.arg for a in (*args.posonlyargs, *args.args)][1:]
    expected = [*names, *([f"*{args.vararg.arg}"] if args.vararg else [])]
    keywords = {(a.arg, a.arg) for a in args.kwonlyargs}
    if args.kwarg is not None:
        keywords.add((None, args.kwarg.arg))  # type: ignore[arg-type]
    given = {(k.arg, ast.unparse(k.value)) for k in value.keywords}
    return [ast.unparse(a) for a in value.args] == expected and given == keywords


def _compared(test: ast.expr, name: str) -> str | None:
    """The text that a condition compares `name` with."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return None
    sides = [test.left, test.comparators[0]]
    names = [s for s in sides if isinstance(s, ast.Name) and s.id == name]
    texts = [s.value for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, str)]
    return texts[0] if len(names) == len(texts) == 1 else None


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
