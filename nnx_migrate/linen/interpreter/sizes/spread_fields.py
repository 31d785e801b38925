"""Fields that a construction gets from a mapping: `Transformer(**config.model)`.

Its items aren't shown, but a field without a default has to be among them where nothing else gives it: it is
`config.model["hidden_size"]`.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.interpreter.attributes import atomic
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Expr

_HIDDEN = Unknown("an argument behind `**`")


def spread_mapping(frame: Frame, node: ast.Call) -> Expr | None:
    """The only mapping of which a construction gets what it doesn't show, where the constructor can compute it."""
    spread = [keyword.value for keyword in node.keywords if keyword.arg is None]
    if len(spread) != 1 or any(isinstance(argument, ast.Starred) for argument in node.args) or frame.foreign:
        return None
    value = frame.session.facts.values.get((frame.context, spread[0]))
    return value if isinstance(value, Expr) and value.kind in ("", "mapping") else None


def fields_behind(frame: Frame, site: Site, cls: LinenClass) -> dict[str, Any]:
    """The values of fields that a construction doesn't show."""
    mapping = site.kwargs.get("**")
    if not isinstance(mapping, Expr):
        return {item.name: _HIDDEN for item in cls.fields}
    return {
        item.name: _HIDDEN if item.default is not None else Expr(_item(frame, mapping.text, item.name))
        for item in cls.fields
    }


def _item(frame: Frame, mapping: str, key: str) -> str:
    """An item of a mapping, as the class itself reads it."""
    for node in ast.walk(frame.session.cls.node):
        if isinstance(node, ast.Attribute) and node.attr == key and ast.unparse(node.value) == mapping:
            return f"{atomic(mapping)}.{key}"
    return f'{atomic(mapping)}["{key}"]'
