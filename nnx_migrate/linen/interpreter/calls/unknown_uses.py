"""What unknown code has made and other functions get, or the caller of a method: a module could be called there."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.configured import Configured
from nnx_migrate.linen.interpreter.calls.origins import OF_VARIABLES, Origins
from nnx_migrate.linen.interpreter.calls.packages import CALLING, comes_from_libraries
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Expr
from nnx_migrate.names.nodes import is_of_self, last_name

_NUMBERS = ("bool", "float", "int", "str")  # kinds of expressions


def refuse_unknown_uses(frame: Frame, statement: ast.Assign | ast.AnnAssign, value: Any) -> None:
    """Refuse to keep what may be a module where code elsewhere may call it: `jax.vmap(self.encoder)(x)`."""
    if frame.foreign or statement.value is None or not _may_be_module(value):
        return
    is_named = isinstance(value, Expr) and value.kind == "elementwise"
    may_be_data, made = isinstance(value, Expr), None
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        uses = list(_uses(frame, target))
        if not any(_is_handed_on(frame, use) for use in uses):
            continue
        if made is None:
            made = list(Origins(frame, of_arrays=False).makers(statement.value))
            may_be_data &= not any(_is_class(call.func) for call in made)
        is_called = _is_function_of_transform if may_be_data else _is_handed_on
        if made and any(is_called(frame, u) and not (is_named and _is_returned(frame, u)) for u in uses):
            what = ast.unparse(target)[:80]
            raise Refuse(
                "unknown-module",
                f"what `{what}` is isn't known; it may be a module, and is handed on",
                statement,
            )


def refuse_unknown_arguments(frame: Frame, node: ast.Call) -> None:
    """Refuse to hand on what may be a module where it is made: `jax.vmap(find(kind))(x)`, `run(Encoder(3), x)`."""
    given = [] if frame.foreign else [*node.args, *(keyword.value for keyword in node.keywords)]
    for argument in (part for one in given for part in _made_parts(one)):
        value = frame.session.facts.values.get((frame.context, argument))
        if not _may_be_module(value) or not _is_handed_on(frame, argument):
            continue
        made = list(Origins(frame, of_arrays=False).makers(argument))
        if any(map(_constructs, made)) or (made and _is_function_of_transform(frame, argument)):
            what = ast.unparse(argument)[:80]
            raise Refuse(
                "unknown-module", f"what `{what}` is isn't known; it may be a module, and is handed on", node
            )


def _constructs(call: ast.Call) -> bool:
    """Whether a call looks like that of a class of modules: by the class's name, from a table, or with a `name`."""
    is_class = _is_class(call.func) or isinstance(call.func, ast.Subscript)
    return is_class or any(keyword.arg == "name" for keyword in call.keywords)


def _made_parts(node: ast.expr) -> Iterator[ast.Call]:
    """The calls whose results an argument is, or holds."""
    if isinstance(node, ast.Call):
        yield node
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for element in node.elts:
            yield from _made_parts(element)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _made_parts(value)
    elif isinstance(node, ast.Starred | ast.NamedExpr):
        yield from _made_parts(node.value)
    elif isinstance(node, ast.IfExp):
        yield from _made_parts(node.body)
        yield from _made_parts(node.orelse)


def _may_be_module(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_may_be_module, value))
    is_made = isinstance(value, Expr) and "(" in value.text and value.kind not in _NUMBERS
    return type(value) in (Unknown, Configured) or is_made


def _is_class(function: ast.expr) -> bool:
    """Whether a function is named like a class."""
    return last_name(function).lstrip("_")[:1].isupper()


def _uses(frame: Frame, target: ast.expr) -> Iterator[ast.expr]:
    """Where the class reads what an assignment's target holds."""
    name = last_name(target)
    scopes: list[ast.AST] = []
    if is_of_self(target):
        scopes = [
            m.node for c in frame.session.cls.mro if c.module is frame.module for m in c.own_methods.values()
        ]
    else:
        function = frame.module.enclosing(target, ast.FunctionDef)
        scopes = [function] if function is not None and isinstance(target, ast.Name) else []
    for scope in scopes:
        for node in ast.walk(scope):
            is_same = isinstance(node, ast.Name) and isinstance(target, ast.Name) and node.id == name
            is_same |= (
                isinstance(node, ast.Attribute)
                and is_of_self(target)
                and is_of_self(node)
                and node.attr == name
            )
            if is_same and isinstance(getattr(node, "ctx", None), ast.Load):
                yield node  # type: ignore[misc]


def _is_function_of_transform(frame: Frame, use: ast.expr) -> bool:
    """Whether a transform gets it as the function: `jax.vmap(self.encoder)`."""
    call = frame.module.parents.get(use)
    if not isinstance(call, ast.Call) or call.args[:1] != [use]:
        return False
    return last_name(call.func) in CALLING - {"partial"}


def _is_returned(frame: Frame, use: ast.expr) -> bool:
    """Whether a function gives it to its caller: what `getattr(nn, name)` gives is looked at where it is called."""
    return isinstance(frame.module.parents.get(use), ast.Return)


def _is_handed_on(frame: Frame, use: ast.expr) -> bool:
    parent = frame.module.parents.get(use)
    while isinstance(
        parent, ast.List | ast.Tuple | ast.Dict | ast.Starred | ast.keyword | ast.IfExp | ast.NamedExpr
    ):
        use, parent = parent, frame.module.parents.get(parent)  # type: ignore[assignment]
    if isinstance(parent, ast.Return):
        function = frame.module.enclosing(parent, ast.FunctionDef)
        return isinstance(function, ast.FunctionDef) and function.name != "__call__"
    if not isinstance(parent, ast.Call):
        return False
    if use is parent.func:  # by the function that gets the lambda
        return isinstance(frame.module.enclosing(use, ast.FunctionDef, ast.Lambda), ast.Lambda)
    function_name = last_name(parent.func)
    if function_name in CALLING:
        return True
    resolved = frame.session.program.project.resolve(parent.func, frame.module.scope_at(parent), frame.module)
    if comes_from_libraries(frame.module, parent.func) or (resolved or "").startswith("flax."):
        return False
    if is_of_self(parent.func) and function_name in OF_VARIABLES:
        return False
    is_builtin = isinstance(parent.func, ast.Name) and not frame.module.scope_at(parent).lookup(function_name)
    return not (is_builtin and hasattr(builtins, function_name))
