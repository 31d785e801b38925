"""The table of an `nn.Embed`, which code reads as `embed.embedding`: an array in Linen, an `nnx.Param` in NNX."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.state.parameter_reads import layer_parameter
from nnx_migrate.linen.interpreter.submodules.deep_submodules import submodule_below
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import ParameterRead
from nnx_migrate.linen.values import Bound, Either, Instance, Layer

_TABLE = "embedding"
# Of these, an `nnx.Param` makes what an array makes: `table.T`, `x @ table`, `table[0]`.
_AS_ARRAY = ast.Attribute | ast.BinOp | ast.Subscript


def table(frame: Frame, value: Any, name: str, node: ast.expr) -> Any | None:
    """The array that `value.embedding` is where all that the value may be is an `nn.Embed`; None for the rest."""
    embed = _embed(frame, value, node) if name == _TABLE else None
    if embed is None:
        return None
    if frame.outside:
        _check_outside(frame, node)
    elif not frame.foreign:
        frame.session.facts.parameter_reads[frame.context, node] = ParameterRead((_TABLE,), embed)
    return layer_parameter(embed.site, (_TABLE,))


def _embed(frame: Frame, value: Any, node: ast.expr) -> Instance | None:
    if isinstance(value, Bound | Unknown) and isinstance(node, ast.Attribute):
        value = submodule_below(frame, node.value)
    found = value.values if isinstance(value, Either) else (value,)
    embeds = [one for one in found if isinstance(one, Instance) and one.site.target == Layer("Embed")]
    return embeds[0] if embeds and len(embeds) == len(found) else None


def _check_outside(frame: Frame, node: ast.expr) -> None:
    """Refuse what a function that stays as it is makes of a table, where that may be something else for NNX's."""
    if not isinstance(frame.module.parents.get(node), _AS_ARRAY):
        detail = f"a function outside of the class reads `{ast.unparse(node)}`"
        raise Refuse("unsupported-syntax", detail, node)
