"""The defaults of fields that hold factories: `norm_layer: Callable = partial(nn.LayerNorm, epsilon=1e-6)`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.values import Factory
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.nodes import is_none
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.construction.factories import factory_parts
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.text import one_line, rewritten

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.names import FileNames


def factory_default(item: Field, writer: ConstructionWriter, factory: Factory) -> str:
    """The default of a factory field: NNX's layer for the Linen one, or a partial of it. Raises Refuse."""
    assert item.default is not None
    names = writer.names
    if is_none(item.default):
        return "None"
    if names.qualified(item.default) in _own_layers(factory):
        return names.module.source.segment(item.default)
    if factory.classes and not _is_layer(item, writer, factory):
        return _text(item, item.default, names)
    if isinstance(item.default, ast.Call):
        return _partial(item, item.default, writer, factory)
    layer = factory.layer or linen_name(names.qualified(item.default))
    spec = LAYERS[f"flax.linen.{layer}"]
    return f"{names.nnx()}.{(spec.nnx or '').rpartition('.')[2]}"


def _is_layer(item: Field, writer: ConstructionWriter, factory: Factory) -> bool:
    """Whether the default of what may be a layer or a class of the project is a layer."""
    given = writer.known_factories.by_default(writer.analysis.cls, item.name) if factory.several else None
    return given is not None and bool(given.layers)


def _partial(item: Field, node: ast.Call, writer: ConstructionWriter, factory: Factory) -> str:
    """A partial of a layer. What it binds has to be right for each layer that the class makes with it."""
    cls = writer.analysis.cls
    given = writer.known_factories.by_default(cls, item.name)
    if given is None or given.partial is not node or item.owner.module is not writer.names.module:
        raise Refuse(
            "unknown-module", f"the default of the factory `{item.name}` can't be followed", item.node
        )
    one = next((f for f in factory.several or (factory,) if (f.layer, f.derived) == given.kind), None)
    if one is None or one.flag:
        raise Refuse("mode-flag", f"the default of `{item.name}` binds a mode, which calls decide", item.node)
    giver = _Definition(writer, item)
    callee, *arguments = factory_parts(giver, cls, one, given, writer.analysis)
    made = writer.names.module.source.segment(node.func)
    return f"{made}({', '.join([callee, *arguments])})"


class _Definition:
    """The head of a class, which gives a factory by default; see `factories.Giver`."""

    def __init__(self, writer: ConstructionWriter, item: Field) -> None:
        self.names: FileNames = writer.names
        self.known_factories: Factories = writer.known_factories
        self.writer, self.item = writer, item

    def converted(self, cls: LinenClass, /) -> ClassConversion:
        """The conversion of a class."""
        return self.writer.converted(cls)

    def text_of(self, node: ast.AST, /) -> str:
        """An expression of the default with Linen's names replaced."""
        return _text(self.item, node, self.names)


def _text(item: Field, node: ast.AST, names: FileNames) -> str:
    module = item.owner.module
    return one_line(rewritten(module.source, node, names.replacement_in(module)))


def _own_layers(factory: Factory) -> set[str]:
    """The classes of the project among the layers that a field may make."""
    return {f.derived.qualified for f in (factory, *factory.several) if f.derived is not None}
