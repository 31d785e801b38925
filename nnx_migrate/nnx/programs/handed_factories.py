"""Layer factories that programs give to modules: `ResNet(conv=partial(nn.Conv, use_bias=False))`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.uses import given_arguments
from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.constructions.fitting import given_by
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion, Conversions
from nnx_migrate.nnx.writer.construction.factories import factory_parts
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import rewritten
from nnx_migrate.sources.text import Edit


@dataclass(frozen=True)
class HandedFactories:
    """What becomes of the factories that a construction gives, in the file of the construction."""

    module: Module
    edits: tuple[Edit, ...]
    imports: frozenset[ImportRequest]


def handed_factories(
    instance: Instance, converted: Mapping[LinenClass, ClassConversion], conversions: Conversions
) -> HandedFactories:
    """The layer factories among the arguments of a construction, with NNX's layers. Raises Refuse."""
    module = instance.reference.module
    names = FileNames(module, conversions.program.project)
    edits = tuple(_Program(names, conversions.factories, converted).edits(instance))
    if names.helpers:
        detail = f"the factories given to `{instance.cls.name}` need helpers"
        raise Refuse("unsupported-layer", detail, instance.reference.node)
    return HandedFactories(module, edits, frozenset(names.requests))


class _Program:
    """A program that gives factories; see `factories.Giver`."""

    def __init__(
        self, names: FileNames, known_factories: Factories, conversions: Mapping[LinenClass, ClassConversion]
    ) -> None:
        self.names, self.known_factories, self._conversions = names, known_factories, conversions

    def converted(self, cls: LinenClass) -> ClassConversion:
        """The conversion of a class."""
        return self._conversions[cls]

    def text_of(self, node: ast.AST) -> str:
        """An expression with Linen's names replaced."""
        return rewritten(self.names.module.source, node, self.names.replacement)

    def edits(self, instance: Instance) -> Iterator[Edit]:
        """The edits of the arguments of a construction. Raises Refuse."""
        call, module = instance.reference.call, instance.reference.module
        for field, factory in self.converted(instance.cls).factories.items():
            if factory.flag:
                detail = f"`{field}` binds `{factory.flag}` outside of modules, where no call decides it"
                raise Refuse("mode-flag", detail, call)
            given = self.known_factories.given(instance.cls, field, module, call)
            if given is None:
                if not factory.default:
                    raise Refuse("unknown-module", f"the factory `{field}` can't be followed", call)
                continue
            if given.classes and not given.layers:
                continue  # classes of the project keep their names
            if given.variable:
                raise Refuse("unknown-module", f"the factory `{field}` is given as a variable", given.node)
            if given.several:
                raise Refuse("unknown-module", f"one of several layers is given as `{field}`", given.node)
            ((factory, _),) = factory.pairs(given)
            callee, *arguments = factory_parts(self, instance.cls, factory, given)
            text = callee
            if given.partial is not None:
                text = f"{module.source.segment(given.partial.func)}({', '.join([callee, *arguments])})"
            yield Edit(*module.source.span(given.node), text)


def layers_given_to(
    value: ClassValue, conversion: ClassConversion, finder: FlowFinder
) -> tuple[Module, ast.Call] | None:
    """A call (or partial) of a class that is a value, if it gives a factory of layers."""
    fields = {
        name for name, factory in conversion.factories.items() if factory.several or not factory.classes
    }
    module = value.reference.module
    outer = module.parents.get(value.reference.node)
    if isinstance(outer, ast.Call) and outer.args[:1] == [value.reference.node]:
        given = given_arguments(value.cls, outer, skip=1)
        if fields and (given is None or fields & given.keys()):
            return module, outer
    for where, call in value.calls:
        known = given_by(finder, where, call)
        if fields and (known is None or fields & known.fields(value.cls)):
            return where, call
    return None
