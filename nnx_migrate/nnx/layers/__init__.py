"""Linen layers and functions in NNX: what equals what, and how to write it.

    spec = LAYERS[canonical(qualname)]
    bound = bind(spec, call)                                     # Linen fields -> expressions
    needed = needed_sizes(spec, bound)                           # which input sizes NNX wants
    write_construction(spec, bound, sizes, nnx="nnx", rngs="rngs", segment=...)
    write_call(spec, bound, layer_call, segment)
    variables(spec, bound)                                       # Linen variable -> NNX variable

Everything here works on source alone; nothing imports jax or flax.
"""

from __future__ import annotations

from nnx_migrate.nnx.layers import attention, conv, linear, norm, other, recurrent
from nnx_migrate.nnx.layers.aliases import canonical
from nnx_migrate.nnx.layers.binding import bind, bind_call, bind_partial
from nnx_migrate.nnx.layers.calls import rewritten_arguments, write_call
from nnx_migrate.nnx.layers.carry import write_detached_carry, write_initialize_carry, write_old_carry
from nnx_migrate.nnx.layers.construct import needed_sizes, write_construction
from nnx_migrate.nnx.layers.functions import FUNCTIONS, Function, function
from nnx_migrate.nnx.layers.judge import UNKNOWN, DtypeKind, Judge
from nnx_migrate.nnx.layers.model import (
    Argument,
    ArgumentEdit,
    BoundArgs,
    CallRewrite,
    CallSpec,
    Child,
    Construction,
    LayerSpec,
    Leaf,
    NeededSize,
    Note,
    Refusal,
    Size,
)
from nnx_migrate.nnx.layers.variables import variables, wrapper_variables

LAYERS: dict[str, LayerSpec] = {
    spec.linen: spec for module in (linear, conv, norm, attention, recurrent, other) for spec in module.SPECS
}
"""Every layer of `flax.linen` by its canonical name."""

__all__ = [
    "FUNCTIONS",
    "LAYERS",
    "UNKNOWN",
    "Argument",
    "ArgumentEdit",
    "BoundArgs",
    "CallRewrite",
    "CallSpec",
    "Child",
    "Construction",
    "DtypeKind",
    "Function",
    "Judge",
    "LayerSpec",
    "Leaf",
    "NeededSize",
    "Note",
    "Refusal",
    "Size",
    "bind",
    "bind_call",
    "bind_partial",
    "canonical",
    "function",
    "needed_sizes",
    "rewritten_arguments",
    "variables",
    "wrapper_variables",
    "write_call",
    "write_construction",
    "write_detached_carry",
    "write_initialize_carry",
    "write_old_carry",
]
