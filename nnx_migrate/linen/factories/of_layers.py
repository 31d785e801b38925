"""Fields that hold built-in layers, partials of layers, or one of several of these."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.chosen.layers import LayerChoice, makers_of, stock
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories.of_classes import ClassFactories
from nnx_migrate.linen.factories.values import Factory, Given, is_fixed
from nnx_migrate.linen.values import DerivedLayer, Layer, Partial


def of_layers(name: str, found: list[Given], of_classes: ClassFactories) -> Factory | None:
    """A field that gets a layer, or one of several layers: these may bind different things.

    Or it gets a class of the project in their place, or a partial of one.
    """
    own = [given for given in found if given.classes]
    if any(given.layers and any(one.classes for one in given.several) for given in own):
        return None
    alone = [replace(given, several=() if given.layers else given.several) for given in own]
    classes = of_classes.of(name, alone) if own else None
    if own and (classes is None or classes.optional or classes.flag):
        return None
    groups: dict[tuple[str, LinenClass | None], list[Given]] = {}
    for one in (one for given in found for one in given.layers):
        groups.setdefault(one.kind, []).append(one)
    made = [_of_layer(name, group) for group in groups.values()]
    several = tuple(one for one in made if one is not None)
    if len(several) < len(made):
        return None
    if len(several) == 1 and not classes:
        return several[0] if not any(g.several for g in found) else None
    several = tuple(
        replace(one, flag="") if is_fixed(one, group) else one
        for one, group in zip(several, groups.values(), strict=True)
    )
    flags = {one.flag for one in several if one.flag}
    if len(flags) > 1 or any(
        not any(one.flag(flag) is not None for one in given.several or (given,))
        for flag in flags
        for given in found
    ):
        return None
    layers = tuple(one.value for one in several)
    if classes is None:
        choice = LayerChoice(name, (), name, makers=layers)
        return Factory(name, "", (), frozenset(), "".join(flags), choice, several=several)
    choice = LayerChoice(name, classes.classes, name, makers=(*layers, *makers_of(classes.value)))
    return replace(classes, flag="".join(flags), value=choice, several=several)


def _of_layer(name: str, found: list[Given]) -> Factory | None:
    layers = {g.kind for g in found}
    bound = frozenset(b for g in found for b in g.bound)
    if len(layers) != 1 or any(g.classes for g in found):
        return None
    ((layer, derived),) = layers
    spec = stock(layer)
    if spec is None:
        return None
    flag = spec.call.flag if spec.call.flag in bound else None
    if not bound <= set(spec.fields) or any(flag in bound - g.bound for g in found):
        return None
    keywords = [_keyword(argument, flag, found) for argument in sorted(bound)]
    call = ast.Call(func=ast.Name("partial"), args=[ast.Name(layer)], keywords=keywords)
    values = tuple((str(k.arg), _value(k.value)) for k in keywords)
    made = Layer(layer) if derived is None else DerivedLayer(layer, derived)
    return Factory(name, layer, (), bound, flag or "", Partial(made, call, (), values), derived=derived)


def usual(found: list[Given], default: Given | None = None) -> list[Given]:
    """What a field is given but for layers that NNX lacks: the places that give it those stay behind.

    Where they all do, the field's `default` is what is left.
    """
    if any(given.classes for given in found):
        return found
    others = [default] if default is not None and not default.classes else []
    for chosen in (found, others):
        usual = [g for g in chosen if all(stock(one.layer) for one in g.several or (g,))]
        if usual:
            return usual
    return found


def _keyword(name: str, flag: str | None, found: Iterable[Given]) -> ast.keyword:
    """An argument that partials bind: a literal that is the same in all, else a placeholder."""
    nodes = [
        next((k.value for k in g.partial.keywords if k.arg == name), None) if g.partial is not None else None
        for g in found
    ]
    first = nodes[0]
    same = first is not None and all(n is not None and ast.dump(n) == ast.dump(first) for n in nodes)
    if first is not None and name != flag and same and not isinstance(_value(first), Unknown):
        return ast.keyword(name, first)
    return ast.keyword(name, ast.Name(name))


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return Unknown("what a factory binds")
