"""Where an expression stands: in a type, in a condition, beside operators that bind tighter."""

from __future__ import annotations

import ast

from nnx_migrate.engine.context import FileContext
from nnx_migrate.names.modules import Module

_LOOSE = (ast.BoolOp, ast.Compare, ast.BinOp, ast.IfExp, ast.Lambda, ast.NamedExpr)
_TYPE_CALLS = {
    "typing.cast": 0,
    "typing_extensions.cast": 0,
    "typing.NewType": 1,
}


def type_position(node: ast.expr, file: FileContext) -> bool:
    """True where an expression is only ever read as a type: annotations, `cast`, and aliases used as such."""
    child: ast.AST = node
    parent = file.parent(child)
    while True:
        if isinstance(parent, ast.arg) or (isinstance(parent, ast.AnnAssign) and parent.annotation is child):
            return True
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and parent.returns is child:
            return True
        if isinstance(parent, ast.Call):
            index = _TYPE_CALLS.get(file.resolve(parent.func) or "")
            return index is not None and index < len(parent.args) and parent.args[index] is child
        if isinstance(parent, ast.keyword) and parent.arg == "bound":
            call = file.parent(parent)
            return isinstance(call, ast.Call) and (file.resolve(call.func) or "").endswith(".TypeVar")
        if isinstance(parent, ast.Assign | ast.AnnAssign) and parent.value is child:
            return _alias_used_as_type(parent, file)
        if not _is_type_syntax(parent):
            return False
        child, parent = parent, file.parent(parent)  # type: ignore[arg-type, assignment]


def _is_type_syntax(node: ast.AST | None) -> bool:
    """Subscripts (`Union[...]`), tuples and lists inside of them, and `X | Y`."""
    return isinstance(node, ast.Subscript | ast.Tuple | ast.List) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    )


def _alias_used_as_type(statement: ast.Assign | ast.AnnAssign, file: FileContext) -> bool:
    """`Array = jnp.DeviceArray` at module level, if no `isinstance` of the project asks for it."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if not isinstance(target, ast.Name) or not isinstance(file.parent(statement), ast.Module):
        return False
    if isinstance(statement, ast.Assign) and len(statement.targets) != 1:
        return False
    name = target.id
    others = (file.project.module(path) for path in file.project.exports.users(file.path, name))
    return not any(_asks_for(name, module) for module in (file.module, *others) if module is not None)


def _asks_for(name: str, module: Module) -> bool:
    """True where a module passes something called `name` to isinstance or issubclass, or compares types."""
    calls = [*module.scopes.names.get("isinstance", ()), *module.scopes.names.get("issubclass", ())]
    for reference in calls:
        call = module.parents.get(reference.node)
        if isinstance(call, ast.Call) and len(call.args) == 2:
            words = {
                n.id if isinstance(n, ast.Name) else n.attr
                for n in ast.walk(call.args[1])
                if isinstance(n, ast.Name | ast.Attribute)
            }
            if name in words:
                return True
    return False


def union_member_to_drop(node: ast.expr, new: str, file: FileContext) -> tuple[int, int] | None:
    """The span to delete where `new` stands in the same `Union[...]` already: one name for two old types."""
    members = file.parent(node)
    union = file.parent(members) if isinstance(members, ast.Tuple) else None
    if not (isinstance(union, ast.Subscript) and file.resolve(union.value) == "typing.Union"):
        return None
    assert isinstance(members, ast.Tuple)
    others = [
        file.resolve(e) for e in members.elts if e is not node and isinstance(e, ast.Name | ast.Attribute)
    ]
    index = members.elts.index(node)
    if new not in others or "#" in file.segment(members):
        return None
    span = file.source.span
    if index:
        return span(members.elts[index - 1])[1], span(node)[1]
    return span(node)[0], span(members.elts[1])[0]


def parenthesised(text: str, node: ast.expr, parent: ast.AST | None) -> str:
    """`text` as it must be written in place of `node`: in parentheses where an operator would split it."""
    new = ast.parse(text, mode="eval").body
    if isinstance(new, ast.UnaryOp):
        tight = (
            isinstance(parent, ast.Attribute | ast.UnaryOp | ast.Await)
            or (isinstance(parent, ast.Subscript) and parent.value is node)
            or (isinstance(parent, ast.Call) and parent.func is node)
            or (isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow) and parent.left is node)
        )
        return f"({text})" if tight else text
    if isinstance(new, _LOOSE):
        same = (
            isinstance(new, ast.BoolOp) and isinstance(parent, ast.BoolOp) and type(parent.op) is type(new.op)
        )
        loose = isinstance(parent, ast.expr) and not (
            same
            or (isinstance(parent, ast.Call) and parent.func is not node)
            or (isinstance(parent, ast.Subscript) and parent.value is not node)
            or isinstance(parent, ast.Tuple | ast.List | ast.Set | ast.Dict)
        )
        return f"({text})" if loose else text
    return text


def atom(text: str) -> str:
    """`text` in parentheses unless an attribute or a subscript can follow it as it is."""
    node = ast.parse(f"({text})", mode="eval").body
    atomic = isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.List | ast.ListComp)
    return text if atomic or (text.startswith("(") and isinstance(node, ast.Tuple)) else f"({text})"
