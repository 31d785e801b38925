"""Calls of classes that derive from a built-in layer and do something before and after it."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.classes.derived_layers import CallOverride
from nnx_migrate.linen.dims import same
from nnx_migrate.linen.interpreter.convert import effect_arguments, effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.interpreter.ranks.patterns import may_learn
from nnx_migrate.linen.interpreter.submodules.layers import layer_output
from nnx_migrate.linen.interpreter.summaries import inside, without_inner
from nnx_migrate.linen.reasons import Refuse
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


def one_of_layers(
    frame: Frame,
    site: Site,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
    method: str,
) -> Any:
    """What a layer returns that stands for one of several: the module's input decides about the sizes of each."""
    override = site.target.cls.override if isinstance(site.target, DerivedLayer) else None
    if not isinstance(override, CallOverride):
        return layer_output(frame, site, args, kwargs, node, method)
    if method != "__call__" or not args:
        raise Refuse("unsupported-layer", f"`{site.target_name}` in an unusual way", node or site.call)
    given = replace(site, calls=[])
    result = call_derived(frame, given, override, args, kwargs, node)
    outer = effect_value(frame.session, args[0])
    for inner in (call.args[0] for call in given.calls):
        if isinstance(outer, Array) and not (
            isinstance(inner, Array) and same(outer.shape.dim(-1), inner.shape.dim(-1))
        ):
            detail = f"`{site.target_name}`, one of several layers, gets another size than these"
            raise Refuse("unsupported-layer", detail, node or site.call)
    return result
