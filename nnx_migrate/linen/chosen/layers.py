"""One of several built-in layers that a condition or a table chooses: `norm = nn.LayerNorm if pre else nn.RMSNorm`.

Partials of layers may be among them. What they bind as the mode of a layer may be known by calls only
(`partial(nn.BatchNorm, use_running_average=not train)`): the constructor leaves that out, and calls give it. So may
classes of the project: `norm = nn.LayerNorm if self.center else ScaleNorm`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice, ClassRef, Layer, Partial
from nnx_migrate.nnx.layers import LAYERS, LayerSpec

Maker = Layer | ClassRef | Partial


@dataclass(frozen=True)
class LayerChoice(ClassChoice):
    """One of several layers, or of partials of layers: what the variable `field` holds; `text`, in the constructor.

    `classes` are those of the project among them.
    """

    makers: tuple[Maker, ...] = ()


def one_of_layers(values: Iterable[Any]) -> Maker | LayerChoice | None:
    """One of these layers, or choices with a layer; None if anything but such and classes is among them."""
    found: dict[Maker, None] = {}
    for value in values:
        makers = makers_of(value)
        if not makers or not all(is_maker(maker) or _is_class(maker) for maker in makers):
            return None
        found |= dict.fromkeys(makers)
    if not any(map(is_maker, found)):
        return None
    if len(found) < 2:
        return next(iter(found))
    classes = {cls for maker in found if (cls := class_made(maker)) is not None}
    return LayerChoice("layer", tuple(sorted(classes, key=lambda c: c.qualified)), makers=tuple(found))


def makers_of(value: Any) -> tuple[Any, ...]:
    """The layers and classes one of which a value is."""
    if not isinstance(value, ClassChoice):
        return (value,)
    found: tuple[Any, ...] = getattr(value, "makers", ())  # of partials of classes, too
    return found or tuple(ClassRef(cls) for cls in value.classes)


def is_maker(value: Any) -> bool:
    """Whether a value is a layer, or a partial of one that binds keywords alone."""
    if isinstance(value, Partial):
        return isinstance(value.func, Layer) and is_maker(value.func) and _is_plain(value)
    return isinstance(value, Layer) and spec_of(value) is not None


def class_made(value: Any) -> LinenClass | None:
    """The class of the project that a value is, or a partial of which it is."""
    made = value.func if isinstance(value, Partial) else value
    return made.cls if isinstance(made, ClassRef) else None


def _is_class(value: Any) -> bool:
    return class_made(value) is not None and (not isinstance(value, Partial) or _is_plain(value))


def _is_plain(partial: Partial) -> bool:
    call = partial.call
    named = all(k.arg not in (None, "name", "parent") for k in call.keywords)
    return named and len(call.args) == 1 and hasattr(call, "lineno")


def spec_of(maker: Maker) -> LayerSpec | None:
    """The table row of a layer that NNX has under its own name."""
    layer = maker.func if isinstance(maker, Partial) else maker
    return stock(layer.name) if isinstance(layer, Layer) and layer.is_class else None


def stock(name: str) -> LayerSpec | None:
    """The table row of the layer `flax.linen.<name>`, if NNX has it and a factory can make it as it is."""
    spec = LAYERS.get(f"flax.linen.{name}")
    plain = spec is not None and not (spec.nnx is None or spec.helper or spec.children or spec.refusal)
    return spec if plain else None


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
    if not isinstance(maker, Partial):
        return replace(site, target=maker)
    kwargs = {**dict(maker.kwargs), **site.kwargs}
    partials = (maker,) if isinstance(maker.func, Layer) else ()
    return replace(site, target=maker.func, partials=partials, kwargs=kwargs)
