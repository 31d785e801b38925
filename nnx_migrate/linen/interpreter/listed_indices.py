"""Arrays that are taken at the numbers of a field: `x[..., self.indices]` with `indices: Sequence[int]`.

Tuples stand for arrays there. Where the field is all of the index, as in `x[self.place]`, a tuple has a number for each
axis instead.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.values import Expr

_NUMBERS = re.compile(r"(?:\w+\.)*(?:Sequence|[Tt]uple|[Ll]ist)\[int(?:, \.\.\.)?\]")
_FIELD = re.compile(r"self\.(\w+)")


def with_listed_indices(frame: Frame, index: Any) -> Any:
    """An index, with arrays of numbers for such fields."""
    return tuple(_numbers(frame, item) for item in index) if isinstance(index, tuple) else index


def _numbers(frame: Frame, item: Any) -> Any:
    if not isinstance(item, Expr) or item.length is not None:
        return item
    if item.kind == "":
        return Unknown(f"`{item.text}` may be one number or several")
    match = _FIELD.fullmatch(item.text)
    found = frame.session.cls.field(match[1]) if match is not None else None
    if found is None or _NUMBERS.fullmatch(_text(found.annotation)) is None:
        return item
    return Array(Shape((Dim.symbol(f"len({item.text})", 0),)), "int")


def _text(annotation: ast.expr) -> str:
    stated = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return annotation.value if stated else ast.unparse(annotation)  # type: ignore[attr-defined]
