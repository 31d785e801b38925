"""What a program shows of the values that its modules are built and initialised with, argument by argument.

`models` wants all of a model's values; here are those of single arguments, for who has to find the others elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import Role
from nnx_migrate.linen.programs.dataflow.closing import closed
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.parameter_entries import class_key

#: Stands for a number that the program has from elsewhere: `jnp.ones((1, input_dim))` shows the rank all the same.
UNKNOWN = "8"


@dataclass
class Shown:
    """Expressions by name of the field, and by name of the parameter of `__call__`, in order of appearance."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    inputs: dict[str, list[str]] = field(default_factory=dict)


def shown_values(finder: InstanceFinder, project: Project) -> dict[str, Shown]:
    """By class (key of the parameter map), for all that are built outside of modules, or by a `partial`."""
    found: dict[str, Shown] = {}
    for instance in finder.known_instances:
        shown = found.setdefault(class_key(instance.cls), Shown())
        call = instance.reference.call
        _fields(shown, instance.cls, instance.reference.module, call.args, call.keywords, project)
        for where, init in instance.inits:
            for name, node in _bound(init.args[1:], init.keywords, _parameters(instance.cls)):
                _add(shown.inputs, name, _input(node, where, project))
    for reference in finder.references.outside:
        outer = reference.module.parents[reference.node]
        if (
            reference.role is Role.VALUE
            and isinstance(outer, ast.Call)
            and outer.args[:1] == [reference.node]
        ):
            # `functools.partial(ResNet, stage_sizes=(2, 2))`
            shown = found.setdefault(class_key(reference.cls), Shown())
            _fields(shown, reference.cls, reference.module, [], outer.keywords, project)
    return found


def _fields(
    shown: Shown,
    cls: LinenClass,
    module: Module,
    args: list[ast.expr],
    keywords: list[ast.keyword],
    project: Project,
) -> None:
    for name, node in _bound(args, keywords, [item.name for item in cls.fields]):
        _add(shown.fields, name, closed(node, module, project, own=True))


def _parameters(cls: LinenClass) -> list[str]:
    method = cls.method("__call__")
    return method.parameters if method is not None else []


def _bound(
    args: list[ast.expr], keywords: list[ast.keyword], names: list[str]
) -> Iterator[tuple[str, ast.expr]]:
    yield from zip(names, args, strict=False)
    yield from ((k.arg, k.value) for k in keywords if k.arg in names and k.arg is not None)


def _input(node: ast.expr, module: Module, project: Project) -> str | None:
    text = closed(node, module, project)
    if text is not None:
        return text
    text = closed(node, module, project, UNKNOWN)
    return None if text == UNKNOWN else text


def _add(texts: dict[str, list[str]], name: str, text: str | None) -> None:
    if text is not None and text not in texts.setdefault(name, []):
        texts[name].append(text)
