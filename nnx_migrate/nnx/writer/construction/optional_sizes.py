"""Sizes of arguments that a submodule may do without: those that only some of its calls give."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.given.arguments import OptionalArray
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.values import Input

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def given_under(writer: ConstructionWriter, calls: Sequence[LayerCall], given: Sequence[Any]) -> str | None:
    """How the constructor writes a size (`{}`) that one of two calls gives, as fields of the class decide.

    `given` are the arguments in the calls, None where there is none. None for anything but the two branches of an
    `if` over fields.
    """
    if len(calls) != 2:
        return None
    first, second = (call.controls for call in calls)
    if not first or not second or first[:-1] != second[:-1] or first[-1].node is not second[-1].node:
        return None
    statement, branches = first[-1].node, {call.controls[-1].branch for call in calls}
    known = writer.analysis.session.conditions
    if not isinstance(statement, ast.If) or branches != {"body", "orelse"}:
        return None
    if any((call.context, statement) not in known for call in calls):
        return None
    if any(isinstance(n, ast.Name) and n.id != "self" for n in ast.walk(statement.test)):
        return None
    condition = writer.renderer.text(statement.test, calls[0].context)
    ((branch, _),) = [(c.controls[-1].branch, c) for c, v in zip(calls, given, strict=True) if v is not None]
    return f"{{}} if {condition} else None" if branch == "body" else f"None if {condition} else {{}}"


def same_argument(given: Sequence[Any]) -> Input | None:
    """The argument of the class's own method that all calls hand on as it came."""
    first = given[0]
    if isinstance(first, Input) and len(first.path) == 1 and all(value == first for value in given):
        return first
    return None


def where_given(writer: ConstructionWriter, site: Site, given: Sequence[Any], written: str) -> str:
    """How the constructor writes a size (`written`, with `{}`) of arguments that are None where one of the class's own
    arguments is. Raises Refuse where the calls differ in that.
    """
    optional = [value for value in given if isinstance(value, OptionalArray)]
    tokens = {f"{value.text}§a-1" for value in optional}
    writer.renderer.asked.update(tokens)
    if not any(value.is_sized for value in optional):
        return written
    if len(optional) < len(given) or len(tokens) > 1 or written != "{}":
        detail = f"`{site.target_name}` gets an argument that may be None in some of its calls only"
        raise Refuse("sizes-differ", detail, site.call)
    return f"{{}} if {tokens.pop()} is not None else None"
