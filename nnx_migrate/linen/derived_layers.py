"""Classes that derive from a built-in layer and compute with other parameters than it holds.

class StdConv(nn.Conv):
    def param(self, name, *args, **kwargs):
        param = super().param(name, *args, **kwargs)
        if name == "kernel":
            param = standardize(param)
        return param
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnx_migrate.linen.model import LinenClass

_LAYERS = frozenset({"Conv", "ConvTranspose", "Dense"})


@dataclass(frozen=True)
class ParamOverride:
    """What a class does to one parameter of its layer: `value` is an expression over the variable `variable`."""

    layer: str
    method: ast.FunctionDef
    parameter: str
    variable: str
    value: ast.expr


def param_override(cls: LinenClass) -> ParamOverride | None:
    """The override of a class that consists of nothing else; None for all other classes."""
    if cls.layer_base not in _LAYERS or len(cls.node.bases) != 1 or cls.node.keywords or cls.mixins:
        return None
    if cls.node.decorator_list or cls.bases:
        return None
    body = [s for s in cls.node.body if not _is_text(s) and not isinstance(s, ast.Pass)]
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].decorator_list:
        return None
    return _override(str(cls.layer_base), body[0]) if body[0].name == "param" else None


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
