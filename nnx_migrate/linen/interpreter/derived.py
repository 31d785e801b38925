"""Calls of classes that derive from a built-in layer and do something before and after it."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.derived_layers import CallOverride
from nnx_migrate.linen.interpreter.convert import effect_arguments, effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.interpreter.layers import layer_output
from nnx_migrate.linen.interpreter.ranks import may_learn
from nnx_migrate.linen.interpreter.summaries import inside, without_inner
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Unknown
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.values import DerivedLayer


def call_derived(
    frame: Frame,
    site: Site,
    override: CallOverride,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
) -> Any:
    """What such a module returns. What the layer itself gets is recorded as its call: that decides about sizes."""
    assert isinstance(site.target, DerivedLayer)
    cls = site.target.cls
    place = (*frame.context, node if node is not None else site.call)
    session, inner = inside(frame.session, cls, {}, may_learn(frame))

    def layer(inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        values = without_inner(tuple(effect_value(session, v) for v in inputs), session.first_number)
        if frame.session.recording:
            call = LayerCall(
                None, values, {}, "__call__", frame.method, place, frame.session.entry, frame.controls
            )
            site.calls.append(call)
        return layer_output(frame, site, values, options, node, "__call__")

    if frame.session.recording:
        site.calls = [call for call in site.calls if call.context != place]
    session.layer = layer
    given, named = effect_arguments(frame.session, args, kwargs)
    found = cls.own_methods[override.method.name]
    try:
        return without_inner(call_method(inner, found, given, named, None), session.first_number)
    except Refuse as refusal:
        if refusal.reason == "budget":
            raise
        return Unknown(f"`{cls.name}`: {refusal.detail}")
