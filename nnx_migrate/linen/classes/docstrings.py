"""The texts in a class's body: which field they tell about, or whether they tell about the class."""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import Field, LinenClass


def about_field(item: Field) -> ast.Expr | None:
    """The text below a field that tells about it."""
    is_last = item.node is item.owner.own_fields[-1].node
    return None if is_last and about_class(item.owner) is not None else _below(item)


def about_class(cls: LinenClass) -> ast.Expr | None:
    """The text about a class that stands below its fields instead of above them.

    It is the only one in the class and below the last of several fields.
    """
    if ast.get_docstring(cls.node) is not None or len(cls.own_fields) < 2:
        return None
    *others, last = (_below(item) for item in cls.own_fields)
    return last if not any(others) else None


def _below(item: Field) -> ast.Expr | None:
    body = item.owner.node.body
    index = body.index(item.node) + 1
    match body[index] if index < len(body) else None:
        case ast.Expr(value=ast.Constant(value=str())) as text:
            return text
    return None
