"""Sizes that were computed from a variable which gets another value: `in_channels = out_channels` at a round's end.

They become symbols of their own, which the constructor binds in front of the statement.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.control import local, size_name
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame, Slot
from nnx_migrate.linen.interpreter.stale import mentions
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.values import Expr


def keep_sizes(frame: Frame, name: str, token: str, node: ast.AST) -> None:
    """Give the sizes of arrays that mention `token`, the variable `name` so far, symbols that last."""
    if frame.foreign or not isinstance(node, ast.Assign | ast.AugAssign):
        return
    for other, slot in frame.env.items():
        if other == name or not isinstance(slot.value, Array) or not mentions(slot.value, token):
            continue
        dims = slot.value.shape.dims
        kept = [
            _kept(frame, size_name(other, axis - len(dims)), dim, node) if mentions(dim, token) else dim
            for axis, dim in enumerate(dims)
        ]
        shape = Shape(tuple(kept), slot.value.shape.lead)
        frame.env[other] = Slot(slot.value.with_shape(shape), slot.static, slot.maybe_unbound)


def keep_names(frame: Frame, name: str, token: str, node: ast.AST) -> None:
    """Variables that hold what another one, `name`, has held so far are known by their own names from here on.

    `in_channels = channels` stays true of the old `channels`, and the constructor has both. (Of functions that are
    called it may have other names.)
    """
    for other, slot in frame.env.items() if not (frame.foreign or frame.context) else ():
        dim = as_dim(slot.value)
        if other == name or not slot.static or not mentions(slot.value, token):
            continue
        if dim is not None or isinstance(slot.value, Expr):
            kind = "int" if dim is not None else ""
            own = local(frame, other, ("kept", id(node), frame.context, other), kind)
            frame.env[other] = replace(slot, value=own)


def _kept(frame: Frame, label: str, dim: Dim, node: ast.AST) -> Dim:
    number = frame.session.number_of(("kept", id(node), frame.context, label, dim))
    found = Phi(number, label, node, (dim, dim), False, context=frame.context)
    frame.session.facts.phis.setdefault(number, found)
    return Dim.size(found.token)
