"""The construction of what a condition, a table or a function chooses: a built-in layer, or a class of the project.

NNX's layers take sizes in front; classes of the project, by name and only if they need them:

    norm = nnx.LayerNorm if self.center else ScaleNorm
    self.norm_0 = norm(in_features=self.width, rngs=rngs) if norm is ScaleNorm else norm(self.width, rngs=rngs)
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.layers import LayerChoice, Maker, alternatives
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, DerivedLayer, Layer, Partial
from nnx_migrate.nnx.writer.construction.chosen_partials import check_factories, check_partial
from nnx_migrate.nnx.writer.construction.derived import nnx_layer
from nnx_migrate.nnx.writer.construction.factories import given_flags

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def of_class(writer: ConstructionWriter, site: Site, maker: Maker, cls: LinenClass) -> tuple[str, ...]:
    """The arguments of one of the classes of the project that may stand beside layers. Raises Refuse."""
    check_factories(writer, site)
    if isinstance(maker, Partial):
        check_partial(writer, site, maker)
    if given_flags(writer, site):
        detail = f"`{cls.name}`, one of several layers, gets its mode from calls"
        raise Refuse("mode-flag", detail, site.call)
    return tuple(writer.project_class(site, cls)[1])


def told_apart(
    writer: ConstructionWriter, site: Site, layers: Sequence[str], classes: Mapping[Maker, tuple[str, ...]]
) -> tuple[str, list[str]]:
    """Callee and arguments, which say how each class is constructed, and at the end how layers are. Raises Refuse."""
    assert isinstance(site.target, LayerChoice)
    callee = writer.callee(site)
    for maker, one in alternatives(site).items() if classes else ():
        if type(one.target) is Layer:
            _check_stock(writer, maker, one, one.target)
    groups: dict[tuple[str, ...], list[Maker]] = {}
    for maker, arguments in classes.items():
        groups.setdefault(arguments, []).append(maker)
    groups.pop(tuple(layers), None)
    if groups and not isinstance(site.call.func, ast.Attribute | ast.Call | ast.Name | ast.Subscript):
        detail = f"the layers and classes that `{site.label}` may be need different arguments"
        raise Refuse("unsupported-layer", detail, site.call)
    kinds = Kinds(writer, site, site.target, callee)
    if len(groups) == 1 and not all(map(kinds.is_visible, classes)):
        (others,) = groups
        test = kinds.test([maker for maker in site.target.makers if maker not in groups[others]])
        return f"{callee}({', '.join(layers)}) if {test} else {callee}", list(others)
    made = [
        f"{callee}({', '.join(arguments)}) if {kinds.test(makers)} else "
        for arguments, makers in groups.items()
    ]
    return "".join([*made, callee]), list(layers)


def _check_stock(writer: ConstructionWriter, maker: Maker, site: Site, layer: Layer) -> None:
    """Refuse a layer beside classes that isn't NNX's own."""
    from nnx_migrate.nnx.writer.construction.chosen_layers import construction

    if construction(writer, maker, site).callee != f"{writer.names.nnx()}.{nnx_layer(layer.name)}":
        raise Refuse(
            "unsupported-layer", f"a helper for `nn.{layer.name}`, or a class of the project", site.call
        )


@dataclass(frozen=True)
class Kinds:
    """Asks which of several layers and classes, or partials of these, the constructor has as `text`."""

    writer: ConstructionWriter
    site: Site
    choice: LayerChoice
    text: str

    def test(self, makers: Sequence[Maker]) -> str:
        """Whether it is one of these. Raises Refuse."""
        names, text = list(dict.fromkeys(map(self._name, makers))), self.text
        if all(isinstance(maker, Partial) and hasattr(maker.call, "lineno") for maker in self.choice.makers):
            text = f"{text}.func"  # what a field gets may be the layer itself, too
        elif any(isinstance(maker, Partial) for maker in makers):
            text = f'getattr({text}, "func", {text})'
        return f"{text} is {names[0]}" if len(names) == 1 else f"{text} in ({', '.join(names)})"

    def is_visible(self, maker: Maker) -> bool:
        """Whether the file knows what a maker makes under its own name."""
        try:
            return bool(self._name(maker))
        except Refuse:
            return False

    def _name(self, maker: Maker) -> str:
        from nnx_migrate.nnx.writer.construction.chosen_layers import visible

        made = maker.func if isinstance(maker, Partial) else maker
        cls = made.cls if isinstance(made, ClassRef | DerivedLayer) else None
        if cls is not None:
            return visible(self.writer, cls, self.site)
        assert isinstance(made, Layer)
        return f"{self.writer.names.nnx()}.{nnx_layer(made.name)}"
