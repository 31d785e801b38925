"""Modules that are arguments of another one, and where this one holds them."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.interpreter.transforms.recurrent import PARTS
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, Either, Instance, Layer, ModuleList


def hand_over(site: Site) -> None:
    """Modules that are arguments of another one: constructed in place, they are known by its fields."""
    if site.partials or any(isinstance(a, ast.Starred) for a in site.call.args):
        return
    given: list[tuple[str, ast.expr, Any]] = []
    if isinstance(site.target, ClassRef):
        names = [item.name for item in site.target.cls.fields]
        given += zip(names, site.call.args, site.args, strict=False)
        given += [(k.arg, k.value, site.kwargs.get(k.arg)) for k in site.call.keywords if k.arg]
        for name, node, value in given:
            _give(site, (name,), node, value)
    elif isinstance(site.target, Layer) and site.target.name in PARTS:
        names = list(PARTS[site.target.name])
        given += zip(names, site.call.args, site.args, strict=False)
        given += [(k.arg, k.value, site.kwargs.get(k.arg)) for k in site.call.keywords if k.arg in names]
        for name, node, value in given:
            _give(site, (name,), node, value)
    elif site.target == Layer("Sequential"):
        value = site.kwargs.get("layers", site.args[0] if site.args else ())
        (node, *_) = [*(k.value for k in site.call.keywords if k.arg == "layers"), *site.call.args, None]
        if isinstance(node, ast.List | ast.Tuple) and isinstance(value, list | tuple):
            if not any(isinstance(item, ast.Starred) for item in node.elts):
                for index, (item, inner) in enumerate(zip(node.elts, value, strict=True)):
                    _give(site, ("layers", str(index)), item, inner)
        elif isinstance(node, ast.ListComp) and isinstance(value, ModuleList):
            _give_repeated(site, node, value)
        elif isinstance(node, ast.List | ast.Tuple) and isinstance(value, MixedList):
            _give_mixed(site, node, value)


def made_in_choice(node: ast.IfExp, either: Either) -> list[Site]:
    """The modules that `nn.LayerNorm() if self.norm else identity` makes in place."""
    sites = [value.site for value in either.values if isinstance(value, Instance)]
    return [
        site
        for site in sites
        if site.call in (node.body, node.orelse)
        and not site.partials
        and site.controls[-1:]
        and site.controls[-1].node is node
    ]


def _give_repeated(site: Site, node: ast.ListComp, modules: ModuleList) -> None:
    """The layers of a sequence that a comprehension makes in place, one in each round."""
    element = modules.element
    if site.loops or modules.rounds is None or modules.rounds.loop is not node:
        return
    if isinstance(element, Instance) and element.site.call is node.elt and not element.site.partials:
        around, inner = element.site.controls[:-1], element.site.controls[-1:]
        if around == site.controls and [control.node for control in inner] == [node]:
            element.site.parent_site, element.site.place = site, ("layers", "{i}")


def _give_mixed(site: Site, node: ast.List | ast.Tuple, modules: MixedList) -> None:
    """The layers of a sequence in order, some of which comprehensions make."""
    for item, value in zip(node.elts, modules.items, strict=True):
        if isinstance(item, ast.Starred) and isinstance(item.value, ast.ListComp):
            _give_repeated(site, item.value, value)
            value = value.element
        else:
            _give(site, ("layers", "{i}"), item, value)
        if isinstance(value, Instance):
            site.elements[value.site] = None


def _give(site: Site, place: tuple[str, ...], node: ast.expr, value: Any) -> None:
    if isinstance(value, Either) and isinstance(node, ast.IfExp) and site.target == Layer("Sequential"):
        for one in made_in_choice(node, value):
            if one.controls[:-1] == site.controls:
                one.parent_site, one.place = site, place
    if not isinstance(value, Instance):
        return
    in_place = value.site.call is node or value.site.context[: len(site.context) + 1] == (*site.context, node)
    if in_place and value.site.controls == site.controls:
        value.site.parent_site, value.site.place = site, place
    else:
        value.site.lent[site] = place
