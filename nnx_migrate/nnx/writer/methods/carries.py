"""The initial carry of recurrent cells, in the methods that ask for it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.nnx.layers import (
    Refusal,
    rewritten_arguments,
    write_detached_carry,
    write_initialize_carry,
    write_old_carry,
)

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


def detached_carry(editor: BodyEditor, call: ast.Call, site: Site) -> str:
    """`nn.GRUCell(n).initialize_carry(key, shape)` as the zeros that it returns: an NNX cell would need its sizes."""
    if site.loops:
        raise Refuse("unsupported-layer", "cells made in a loop for their initial carry", call)
    spec, bound = editor.writer.bound(site)
    names = editor.names
    found = write_detached_carry(spec, bound, call, editor.text, jnp=names.jnp(), judge=names.judge())
    if isinstance(found, Refusal):
        raise Refuse("unsupported-layer", found.reason, call)
    return found


def attached_carry(editor: BodyEditor, call: ast.Call) -> list[str]:
    """The arguments of `self.cell.initialize_carry(key, shape)`, for a cell that the module calls, too."""
    rewrite = write_initialize_carry(call, editor.text, nnx=editor.names.nnx())
    if isinstance(rewrite, Refusal):
        raise Refuse("unsupported-layer", rewrite.reason, call)
    return rewritten_arguments(call, rewrite, editor.text)


def static_carry(editor: BodyEditor, call: ast.Call) -> str | None:
    """`nn.GRUCell.initialize_carry(key, batch_dims, size)` of older releases; None for other calls."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "initialize_carry"):
        return None
    name = linen_name(editor.names.qualified(call.func))
    if name is None or not name.endswith(".initialize_carry"):
        return None
    names, cell = editor.names, name.partition(".")[0]
    found = write_old_carry(cell, call, editor.text, jnp=names.jnp(), judge=names.judge())
    if isinstance(found, Refusal):
        raise Refuse("unsupported-layer", found.reason, call)
    return found
