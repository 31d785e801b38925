"""Linen modules inside of NNX models: a call with inputs makes their variables."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from nnx_migrate.numerics.nnx_model import leaves_of, set_leaves


def initialise(model: nnx.Module, method: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Give the Linen modules of a model, if it has any, their variables; all others keep their values."""
    if not any(isinstance(node, nnx.bridge.ToNNX) for _, node in nnx.iter_graph(model)):
        return
    before = leaves_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `sow` outside of nnx.capture
        nnx.bridge.lazy_init(getattr(model, method or "__call__"), *args, **kwargs)
    nnx.pop(model, nnx.Intermediate)
    set_leaves(model, before)
