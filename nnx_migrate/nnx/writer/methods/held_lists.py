"""Lists of modules that methods join: Linen keeps tuples, which `+` and `*` take, and `nnx.List` takes neither."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.values import ModuleList
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.naming import holds_modules

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


def joined_tuple(editor: BodyEditor, node: ast.AST) -> str | None:
    """`tuple(self.layers)` for an operand `self.layers` or `self.layers[1:]`, None for anything else."""
    if not isinstance(editor.names.module.parents.get(node), ast.BinOp):
        return None
    held = node.value if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) else node
    is_list = is_of_self(held) and _is_list(editor, held.attr)
    return f"tuple({editor.source.segment(node)})" if is_list else None


def _is_list(editor: BodyEditor, name: str) -> bool:
    slot = editor.analysis.session.attributes.get(name)
    return (
        slot is not None
        and isinstance(slot.value, ModuleList | MixedList | list | tuple)
        and holds_modules(slot.value)
        and not (isinstance(slot.value, ModuleList) and slot.value.keyed)
    )
