"""One of several built-in layers that a condition or a table chooses: `norm = nn.LayerNorm if pre else nn.RMSNorm`.

Partials of layers may be among them. What they bind as the mode of a layer may be known by calls only
(`partial(nn.BatchNorm, use_running_average=not train)`): the constructor leaves that out, and calls give it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice, Layer, Partial
from nnx_migrate.nnx.layers import LAYERS, LayerSpec

Maker = Layer | Partial


@dataclass(frozen=True)
class LayerChoice(ClassChoice):
    """One of several layers, or of partials of layers: what the variable `field` holds; `text`, in the constructor."""

    makers: tuple[Maker, ...] = ()


def one_of_layers(values: Iterable[Any]) -> Maker | LayerChoice | None:
    """One of these layers, or choices of layers; None if anything else is among them."""
    found: dict[Maker, None] = {}
    for value in values:
        makers = value.makers if isinstance(value, LayerChoice) else (value,)
        if not all(map(is_maker, makers)):
            return None
        found |= dict.fromkeys(makers)
    if len(found) < 2:
        return next(iter(found), None)
    return LayerChoice("layer", (), makers=tuple(found))


def is_maker(value: Any) -> bool:
    """Whether a value is a layer, or a partial of one that binds keywords alone."""
    if isinstance(value, Partial):
        call = value.call
        plain = len(call.args) == 1 and all(k.arg not in (None, "name", "parent") for k in call.keywords)
        return plain and hasattr(call, "lineno") and is_maker(value.func) and isinstance(value.func, Layer)
    return isinstance(value, Layer) and spec_of(value) is not None


def spec_of(maker: Maker) -> LayerSpec | None:
    """The table row of a layer that NNX has under its own name."""
    layer = maker.func if isinstance(maker, Partial) else maker
    spec = LAYERS.get(f"flax.linen.{layer.name}") if layer.is_class else None
    stock = spec is not None and not (spec.nnx is None or spec.helper or spec.children or spec.refusal)
    return spec if stock else None


def mode_of(maker: Any) -> ast.keyword | None:
    """What a partial binds as the mode of a layer."""
    spec = spec_of(maker) if isinstance(maker, Partial) and is_maker(maker) else None
    flag = spec.call.flag if spec is not None else None
    return next((k for k in maker.call.keywords if k.arg == flag), None) if flag is not None else None


def is_late(maker: Maker, late_modes: Collection[ast.AST]) -> bool:
    """Whether only calls know the mode that a partial binds."""
    return isinstance(maker, Partial) and maker.call in late_modes


def alternatives(site: Site) -> dict[Maker, Site]:
    """What a site is for each of the layers that it may construct."""
    assert isinstance(site.target, LayerChoice)
    return {maker: _alternative(site, maker) for maker in site.target.makers}


def _alternative(site: Site, maker: Maker) -> Site:
    if isinstance(maker, Layer):
        return replace(site, target=maker)
    kwargs = {**dict(maker.kwargs), **site.kwargs}
    return replace(site, target=maker.func, partials=(maker,), kwargs=kwargs)
