"""Names of variables that fields give: `self.param(self.weight_name, ...)` with `weight_name: str = "w"`.

The attribute that holds the variable has one name in NNX. The names that Linen knows it by are those which the
project's own constructions give, and the default.
"""

from __future__ import annotations

import ast
import itertools

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.constructions.references import Role
from nnx_migrate.names.nodes import is_of_self, string_in
from nnx_migrate.nnx.module_names import Part, name_parts

_MAX_NAMES = 16


def attribute_by_fields(node: ast.expr, cls: LinenClass) -> str:
    """What to call a variable whose name fields tell: the name by default, or what the code says of it."""
    pieces = pieces_of(node)
    names = [piece if isinstance(piece, str) else default_text(piece, cls) for piece in pieces]
    if None not in names:
        return "".join(name for name in names if name is not None)
    said = "".join(piece for piece in pieces if isinstance(piece, str)).strip("_")
    fields = [p.attr.removesuffix("_name") for p in pieces if isinstance(p, ast.Attribute)]
    return said or "_".join(fields)


def names_by_fields(node: ast.expr, cls: LinenClass, program: LinenProgram) -> tuple[str, ...]:
    """All values of a name that consists of texts and fields; none where they aren't known."""
    pieces = pieces_of(node)
    parts: list[tuple[str, ...]] = []
    for piece in pieces:
        if isinstance(piece, str):
            parts.append((piece,))
        elif is_of_self(piece) and cls.field(piece.attr) is not None:
            parts.append(texts_of_field(cls, piece.attr, program))
        else:
            return ()
    found = tuple(dict.fromkeys("".join(texts) for texts in itertools.product(*parts))) if parts else ()
    return found if len(found) <= _MAX_NAMES and all(found) else ()


def default_text(node: ast.expr, cls: LinenClass) -> str | None:
    """The text that a field (`self.name`) has by default."""
    item = cls.field(node.attr) if isinstance(node, ast.Attribute) else None
    return string_in(item.default) if item is not None and item.default is not None else None


def pieces_of(node: ast.expr) -> list[Part]:
    """The texts and expressions that make a name, fields among them; none for what isn't made so."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [pieces_of(side) for side in (node.left, node.right)]
        return [piece for side in sides for piece in side] if all(sides) else []
    return [node] if is_of_self(node) else name_parts(node) or []


def texts_of_field(cls: LinenClass, name: str, program: LinenProgram) -> tuple[str, ...]:
    """The texts that a field holds in the project; none where there may be others."""
    found: dict[str, None] = {}
    for owner in (other for other in program if cls in other.mro):
        item = owner.field(name)
        if item is None:
            return ()
        if item.default is not None:
            default = string_in(item.default)
            if default is None:
                return ()
            found[default] = None
        references = program.references
        for reference in (r for r in (*references.outside, *references.inside) if r.cls is owner):
            if reference.role in (Role.ANNOTATION, Role.BASE):
                continue
            given = _given(owner, reference.call, name) if reference.role is Role.CONSTRUCTION else None
            if given is None:
                return ()
            found |= dict.fromkeys(given)
        if any(unclear.cls is owner for unclear in references.unclear):
            return ()
    return tuple(found)


def _given(cls: LinenClass, call: ast.Call, name: str) -> list[str] | None:
    """What a construction gives the field: nothing or a text; None for anything else."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return None
    given: dict[str | None, ast.expr] = dict(zip((f.name for f in cls.fields), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords}
    value = given.get(name)
    if value is None:
        return []
    text = string_in(value)
    return None if text is None else [text]
