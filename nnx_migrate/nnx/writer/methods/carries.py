"""The initial carry of recurrent cells, in the methods that ask for it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import FieldModule, Layer
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


def handed_carry(editor: BodyEditor, call: ast.Call) -> str | None:
    """`self.cell.initialize_carry(key, shape)` for a cell that was handed in; None for other calls."""
    function, facts = call.func, editor.analysis.facts
    if not (isinstance(function, ast.Attribute) and function.attr == "initialize_carry"):
        return None
    held = [v for (_, n), v in facts.values.items() if n is function.value and isinstance(v, FieldModule)]
    if not held:
        return None
    given = editor.analysis.session.given(held[0].name)
    built_in = {isinstance(one.target, Layer) for one in given or ()}
    if len(built_in) != 1:
        detail = f"which kind of cell `self.{held[0].name}` is, NNX's or an own one"
        raise Refuse("unknown-module", f"{detail}, isn't known for its `initialize_carry`", call)
    return editor.calls.call_text(call, attached_carry(editor, call)) if built_in == {True} else None


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
