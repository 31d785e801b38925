"""Dictionaries of modules as fields: an attribute for each module, called as Linen calls it, and all as a property.

Trees of variables keep Linen's names so (`params["modules_actor"]`), which programs read and write.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.fields.module_dicts import dict_fields
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import ClassRef
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import one_line, rewritten


def dict_assignment(item: Field, indent: str, unit: str, taken: Collection[str]) -> list[str]:
    """The lines of the constructor for one dictionary."""
    name = item.name
    key, module = (_free(word, taken) for word in ("key", "module"))
    return [
        f"{indent}self.{_keys(name)} = tuple({name})",
        f"{indent}for {key}, {module} in {name}.items():",
        f'{indent}{unit}setattr(self, f"{name}_{{{key}}}", {module})',
    ]


def dict_properties(cls: LinenClass, names: FileNames, indent: str, unit: str) -> list[str]:
    """The lines of the properties, behind the constructor."""
    lines: list[str] = []
    for item in dict_fields(cls):
        if item.owner is cls:
            source = item.owner.module.source
            kind = one_line(rewritten(source, item.annotation, names.replacement_in(item.owner.module)))
            value = f'getattr(self, f"{item.name}_{{key}}")'
            lines += [
                "",
                f"{indent}@property",
                f"{indent}def {item.name}(self) -> {kind}:",
                f"{indent}{unit}return {{key: {value} for key in self.{_keys(item.name)}}}",
            ]
    return lines


def check_dict_fields(analysis: ClassAnalysis) -> None:
    """Refuse what would clash, and modules of such classes within others. Raises Refuse."""
    cls = analysis.cls
    for item in dict_fields(cls):
        for name in _own_names(cls):
            if name.startswith(f"{item.name}_") or name == _keys(item.name):
                detail = f"`{name}` may be the name of a module in `{item.name}`"
                raise Refuse("name-clash", detail, item.node)
    for site in analysis.sites:
        if isinstance(site.target, ClassRef) and dict_fields(site.target.cls):
            detail = f"`{site.target.cls.name}` gets a dictionary of modules from another module"
            raise Refuse("shared-module", detail, site.call)


def _own_names(cls: LinenClass) -> set[str]:
    found = {item.name for item in cls.fields}
    for owner in cls.mro:
        found |= owner.own_methods.keys()
        found |= {
            node.attr for node in ast.walk(owner.node) if is_of_self(node) and isinstance(node.ctx, ast.Store)
        }
    return found


def _keys(name: str) -> str:
    return f"_{name}"


def _free(word: str, taken: Collection[str] | Sequence[str]) -> str:
    while word in taken:
        word += "_"
    return word
