"""Fields that say which axes a module works on, and have the same value wherever the project constructs it.

A norm with a field `axis: int = -1` has parameters of the size of that axis, whichever it is; where nobody gives
another one, it is known. The constructor checks it, so that nobody gets a model with wrong sizes later on.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.programs.constructions.references import ClassReference, References, Role

_AXES = re.compile(r"(?:^|_)(?:axis|axes)$")


def fixed_fields(
    cls: LinenClass, program: LinenProgram, references: References
) -> dict[str, int | tuple[int, ...]]:
    """The values of such fields by name; empty where a construction can't be seen, or another class derives from it."""
    fields = {item.name: value for item in cls.fields if (value := _axes(item)) is not None}
    if not fields or any(cls in other.mro for other in program if other is not cls):
        return {}
    found: Iterable[ClassReference] = [*references.outside, *references.inside]
    for reference in (r for r in found if r.cls is cls):
        if reference.role is Role.ANNOTATION:
            continue
        if reference.role is not Role.CONSTRUCTION:
            return {}
        fields = {name: value for name, value in fields.items() if _keeps(cls, reference.call, name, value)}
    return fields


def _axes(item: Field) -> int | tuple[int, ...] | None:
    """The default of a field that holds an axis or several."""
    if _AXES.search(item.name) is None or item.default is None:
        return None
    value = _literal(item.default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, tuple) and value and all(isinstance(axis, int) for axis in value):
        return value
    return None


def _keeps(cls: LinenClass, call: ast.Call, name: str, value: object) -> bool:
    """Whether a construction leaves a field its value."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return False
    given: dict[str | None, ast.expr] = dict(zip((f.name for f in cls.fields), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords}
    return name not in given or _literal(given[name]) == value


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
