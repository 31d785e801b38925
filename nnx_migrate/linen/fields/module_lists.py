"""Fields that hold a list of modules: `flows: Sequence[nn.Module]`.

Only the plain case: methods run over the list, count it or take items out of it.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.fields.module_dicts import holds_module_dict
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.nodes import is_none, is_of_self

_LISTS = frozenset({"Sequence", "List", "list", "Tuple", "tuple", "Iterable"})
#: Types of what makes modules, and is none.
_MAKERS = ("Callable", "Literal", "Type", "partial", "type")
_READERS = frozenset({"enumerate", "zip", "reversed", "len"})


def holds_module_list(cls: LinenClass, item: Field) -> bool:
    """Whether a field is declared to hold a list of modules, and is used as one."""
    element = _element(item.annotation)
    if element is None or not isinstance(element, ast.Name | ast.Attribute):
        return False
    name = item.owner.resolve_in_class(element)
    if linen_name(name) != "Module" and (name is None or name not in cls.known_classes):
        return False
    if item.default is not None and not is_none(item.default) and not _is_empty(item.default):
        return False
    return all(_is_read_plainly(owner, node) for owner in cls.mro for node in _reads(owner, item.name))


def holds_modules_otherwise(cls: LinenClass, item: Field) -> bool:
    """Whether a field is declared to hold modules in a container that is used in no plain way, or is another one."""
    if holds_module_list(cls, item) or holds_module_dict(cls, item):
        return False
    return _has_modules(item.owner, item.annotation, False)


def _has_modules(cls: LinenClass, annotation: ast.expr, within: bool) -> bool:
    """Whether a type has modules in a container, or is one `within` a container."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return "Module]" in annotation.value and not annotation.value.startswith(_MAKERS)
    if isinstance(annotation, ast.Name | ast.Attribute):
        name = cls.resolve_in_class(annotation)
        return within and (linen_name(name) == "Module" or (name is not None and name in cls.known_classes))
    if isinstance(annotation, ast.Subscript):
        kind = ast.unparse(annotation.value).rpartition(".")[2]
        inner = within or kind not in ("Optional", "Union")
        return kind not in _MAKERS and _has_modules(cls, annotation.slice, inner)
    if isinstance(annotation, ast.Tuple | ast.List):
        return any(_has_modules(cls, item, within) for item in annotation.elts)
    if isinstance(annotation, ast.BinOp):
        return _has_modules(cls, annotation.left, within) or _has_modules(cls, annotation.right, within)
    return False


def may_be_none(item: Field) -> bool:
    """Whether the list may be left out."""
    annotation = ast.unparse(item.annotation)
    return is_none(item.default) or "Optional" in annotation or "None" in annotation


def _is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.Tuple | ast.List) and not node.elts


def _element(annotation: ast.expr) -> ast.expr | None:
    """What `Sequence[X]`, `Tuple[X, ...]`, `Optional[Sequence[X]]`, `Sequence[X] | None` have as elements."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _element(annotation.left)
    if not isinstance(annotation, ast.Subscript):
        return None
    name = ast.unparse(annotation.value).rpartition(".")[2]
    if name == "Optional":
        return _element(annotation.slice)
    inner = annotation.slice
    if name in ("Tuple", "tuple") and isinstance(inner, ast.Tuple):
        return inner.elts[0] if len(inner.elts) == 2 and ast.unparse(inner.elts[1]) == "..." else None
    return inner if name in _LISTS else None


def _self_reads(node: ast.AST) -> list[ast.Attribute]:
    return [n for n in ast.walk(node) if is_of_self(n)]


def _reads(owner: LinenClass, name: str) -> list[ast.Attribute]:
    return [node for node in _self_reads(owner.node) if node.attr == name]


def _is_read_plainly(owner: LinenClass, node: ast.Attribute) -> bool:
    parent = owner.module.parents[node]
    if not isinstance(node.ctx, ast.Load):
        return False
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is node
    if isinstance(parent, ast.Subscript):
        return parent.value is node and not isinstance(parent.slice, ast.Slice)
    if isinstance(parent, ast.Compare):
        return all(isinstance(op, ast.Is | ast.IsNot) for op in parent.ops)
    return (
        isinstance(parent, ast.Call)
        and node in parent.args
        and isinstance(parent.func, ast.Name)
        and parent.func.id in _READERS
    )
