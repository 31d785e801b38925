"""`nn.RNN` and `nn.Bidirectional`: layers that call the cells that they get."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.effects.layers import layer
from nnx_migrate.linen.interpreter.convert import effect_arguments
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.transforms.own_cells import own_cell, own_cell_output
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.values import Instance, Layer

# The arguments that are layers, in order.
PARTS = {"RNN": ("cell",), "Bidirectional": ("forward_rnn", "backward_rnn")}
_CELLS = frozenset({"ConvLSTMCell", "GRUCell", "LSTMCell", "MGUCell", "OptimizedLSTMCell", "SimpleCell"})


def recurrent_output(
    frame: Frame,
    site: Site,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
    method: str,
) -> Any:
    """What one of these layers returns. Raises Refuse for cells that NNX would call in another way."""
    cell = own_cell(site)
    if cell is not None and method == "__call__":
        return own_cell_output(frame, site, cell, args, kwargs, node)
    built = _built(frame, site, node)
    if method != "__call__":
        raise Refuse("unsupported-layer", f"`{method}` of `nn.{site.layer_name}`", node or site.call)
    inputs = args[0] if args else kwargs.get("inputs")
    _record(frame, site, inputs)
    if isinstance(built, Unknown):
        return built
    values, keywords = effect_arguments(frame.session, args, kwargs)
    return built.apply(method, *values, **keywords).output


def _inner(site: Site) -> dict[str, Site]:
    """The layers that a layer is given. Raises Refuse for anything else."""
    names = PARTS[site.layer_name]
    given = {**dict(zip(names, site.args, strict=False)), **site.kwargs}
    found: dict[str, Site] = {}
    for name in names:
        value = given.get(name)
        known = isinstance(value, Instance) and isinstance(value.site.target, Layer)
        if not isinstance(value, Instance) or not known or value.site.lifts or site.partials:
            raise Refuse("unsupported-layer", f"`nn.{site.layer_name}` around another module", site.call)
        if value.site.layer_name not in ({"RNN"} if site.layer_name == "Bidirectional" else _CELLS):
            raise Refuse("unsupported-layer", f"`nn.{site.layer_name}` around another module", site.call)
        found[name] = value.site
    return found


def _built(frame: Frame, site: Site, node: ast.Call | None) -> Any:
    """The layer with its arguments, as shape effects take it."""
    model = layer(f"flax.linen.{site.layer_name}")
    if model is None:
        return Unknown(f"`nn.{site.layer_name}` isn't modelled")
    args, given = effect_arguments(frame.session, site.args, site.own_kwargs)
    if site.layer_name in PARTS:
        parts = {name: _built(frame, inner, node) for name, inner in _inner(site).items()}
        if any(isinstance(part, Unknown) for part in parts.values()):
            return next(part for part in parts.values() if isinstance(part, Unknown))
        args = args[len(PARTS[site.layer_name]) :]
        if any(name in given for name in PARTS[site.layer_name]) and args:
            return Unknown("layers given by position and by name")
        given = {**given, **parts}
        return model.bind(*(given.pop(name) for name in PARTS[site.layer_name]), *args, **given)
    return model.bind(*args, **given)


def _record(frame: Frame, site: Site, inputs: Any) -> None:
    """Record that the inner layers are called with (steps of) the inputs: that tells their sizes."""
    if not frame.session.recording:
        return
    for inner in _inner(site).values():
        in_rnn = site.layer_name == "RNN"
        args = (None, inputs) if in_rnn else (inputs,)
        call = LayerCall(
            None, args, {}, within=frame.method, context=frame.context, entry=frame.session.entry
        )
        inner.calls.append(call)
        if not in_rnn:
            _record(frame, inner, inputs)
