"""The initial carry of recurrent cells that the code builds for nothing else."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.nnx.layers import Refusal, write_detached_carry

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
