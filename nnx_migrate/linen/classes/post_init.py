"""`__post_init__`: which of them an NNX constructor can run once for Linen's many times.

Linen runs it at every construction, also at those of the copies that `init` and `apply` work on: these get the
fields as it has left them. So a field may only be changed in a way that a second run would leave alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.nodes import is_self
from nnx_migrate.names.project import Project

NAME = "__post_init__"
_STATEMENTS = (
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.Assert,
    ast.If,
    ast.For,
    ast.Raise,
    ast.Pass,
    ast.Expr,
)
_CONVERSIONS = frozenset({"tuple", "list", "bool", "int", "float", "str"})
_SCALARS = frozenset({"int", "float", "bool", "str"})


def is_super_call(statement: ast.stmt) -> bool:
    """Whether a statement is `super().__post_init__()`, in which Linen makes the module ready."""
    return isinstance(statement, ast.Expr) and ast.unparse(statement.value) == f"super().{NAME}()"


def check_post_init(cls: LinenClass, project: Project) -> None:
    """Raises Refuse where a constructor that runs the method once may leave other attributes than Linen."""
    method = cls.method(NAME)
    if method is None:
        return
    if sum(NAME in owner.own_methods for owner in cls.mro) > 1:
        raise Refuse("unsupported-api", f"the class and its base define `{NAME}`", method.node)
    statements = [n for n in ast.walk(method.node) if isinstance(n, ast.stmt) and n is not method.node]
    if not all(isinstance(statement, _STATEMENTS) for statement in statements):
        raise Refuse("unsupported-api", f"`{NAME}` does more than compute attributes", method.node)
    if sum(is_super_call(s) for s in statements) != sum(is_super_call(s) for s in method.node.body):
        raise Refuse("unsupported-api", f"`{NAME}` calls that of its base under a condition", method.node)
    changed = list(_changes(cls, method))
    for target, guard in changed:
        if not _is_stable(target, guard):
            detail = f"`{NAME}` changes the field `{target.attr}` again in every copy of the module"
            raise Refuse("unsupported-api", detail, target)
        _check_reads(method, target, guard, {statement for _, statement in changed})
    if changed:
        _check_readers(cls, {target.attr for target, _ in changed}, project)


def _changes(cls: LinenClass, method: Method) -> Iterator[tuple[ast.Attribute, ast.stmt]]:
    """The fields that the method assigns, each with the statement of the body that does it."""
    fields = {item.name for item in cls.fields}
    for statement in method.node.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in fields:
                yield node, statement


def _is_stable(target: ast.Attribute, statement: ast.stmt) -> bool:
    """Whether running a statement a second time would leave the field as the first time has."""
    field = ast.unparse(target)
    if isinstance(statement, ast.If) and not statement.orelse:
        inner = [s for s in statement.body if isinstance(s, ast.Assign) and target in s.targets]
        test = ast.unparse(statement.test)
        if len(inner) != 1:
            return False
        scalar = re.fullmatch(rf"isinstance\({re.escape(field)}, (\w+)\)", test)
        if scalar and scalar[1] in _SCALARS:
            return isinstance(inner[0].value, ast.Tuple | ast.List | ast.ListComp)
        return test == f"{field} is None"
    if not isinstance(statement, ast.Assign) or statement.targets != [target]:
        return False
    value = statement.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _CONVERSIONS:
        return [ast.unparse(a) for a in value.args] == [field] and not value.keywords
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return ast.unparse(value.values[0]) == field
    if isinstance(value, ast.IfExp):
        test, kept, other = (ast.unparse(n) for n in (value.test, value.orelse, value.body))
        return (test, kept) == (f"{field} is None", field) or (test, other) == (f"{field} is not None", field)
    return False


def _check_reads(method: Method, target: ast.Attribute, statement: ast.stmt, changes: set[ast.stmt]) -> None:
    """Refuse a field that the method reads before it changes it: a second run would read the new value.

    What changes another field does not look again once that is changed.
    """
    for earlier in method.node.body[: method.node.body.index(statement)]:
        for node in ast.walk(earlier):
            read = isinstance(node, ast.Attribute) and node.attr == target.attr
            if read and not isinstance(earlier, ast.Assert) and earlier not in changes:
                detail = f"`{NAME}` reads the field `{target.attr}` before it changes it"
                raise Refuse("unsupported-api", detail, node)


def _check_readers(cls: LinenClass, changed: set[str], project: Project) -> None:
    """Refuse where programs read the fields of a module, or copy it with others: they would see what was given."""
    fields = {item.name for item in cls.fields}
    for module in project.matching(re.compile(rf"\.(?:{'|'.join(sorted(changed))})\b|\.clone\(")):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in changed:
                reads = isinstance(node.ctx, ast.Load) and not _is_of_self(node)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "clone"
            ):
                reads = any(keyword.arg in fields for keyword in node.keywords)
            else:
                continue
            if reads:
                detail = f"`{NAME}` changes a field, and `{ast.unparse(node)[:60]}` may read it from outside"
                raise Refuse("unsupported-api", detail, node)


def _is_of_self(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return is_self(node)
