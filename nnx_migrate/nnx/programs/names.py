"""Names of parameters in programs: `params["Dense_0"]` becomes `params["dense"]`.

A name changes where NNX's attribute differs from what Linen called the submodule. Only whole string constants
are rewritten, and only where every class of the group agrees on the new name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.linen.programs.instances import Obstacle
from nnx_migrate.linen.programs.references import References
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.programs.order import changes_order, order_obstacles
from nnx_migrate.numerics.map_sequences import Created, Step
from nnx_migrate.numerics.parameter_map import LeafEntry, ModuleEntry
from nnx_migrate.sources.text import Edit

_AUTOMATIC = re.compile(r"[A-Z]\w*_\d+")


@dataclass
class NamesFound:
    """The edits for one group, and the places that can't be rewritten."""

    edits: list[tuple[Module, Edit]] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)


@dataclass(frozen=True)
class Other:
    """A class whose parameters move with another group, or not at all (`conversion` is None then)."""

    cls: LinenClass
    conversion: ClassConversion | None

    def may_mean(self, old: str, new: str | None) -> bool:
        """Whether `old` may name a submodule of this class that doesn't become `new`."""
        if self.conversion is not None:
            return any(mine == old and becomes != new for mine, becomes in _names(self.conversion))
        head = old.partition("/")[0]
        word = re.escape(head.rpartition("_")[0] if _AUTOMATIC.fullmatch(head) else head)
        return re.search(rf"\b{word}\b", self.cls.module.source.segment(self.cls.node)) is not None


class NameChanges:
    """Finds strings of a program that name parameters."""

    def __init__(self, project: Project, references: References) -> None:
        self.project, self.references = project, references

    def of(self, conversions: Sequence[ClassConversion], others: Sequence[Other] = ()) -> NamesFound:
        """What a group's new names mean for the project's strings; `others` are classes of other groups."""
        found = NamesFound()
        changes, kept, layers = _changes(conversions)
        if any(changes_order(_names(conversion)) for conversion in conversions):
            found.obstacles += order_obstacles(self.project)
        if not changes and not layers:
            return found
        changes = {
            old: None if any(other.may_mean(old, new) for other in others) else new
            for old, new in changes.items()
        }
        for module in self.project.modules():
            words = [*changes, *layers]
            if not any(word in module.source.text for word in words):
                continue
            for node in self._strings(module):
                self._string(module, node, changes, kept, layers, found)
        return found

    def _strings(self, module: Module) -> Iterator[ast.Constant]:
        """String constants outside of modules that aren't docstrings or `name=` arguments."""
        for node in ast.walk(module.tree):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            parent = module.parents[node]
            named = isinstance(parent, ast.keyword) and parent.arg == "name"
            if (
                not isinstance(parent, ast.Expr)
                and not named
                and not self.references.in_linen_class(module, node)
            ):
                yield node

    @staticmethod
    def _string(
        module: Module,
        node: ast.Constant,
        changes: dict[str, str | None],
        kept: set[str],
        layers: set[str],
        found: NamesFound,
    ) -> None:
        text = str(node.value)
        parent = module.parents[node]
        parts = re.split(r"[/.]", text)
        touched = [
            part for part in parts if part in changes and (part not in kept or _AUTOMATIC.fullmatch(part))
        ]
        if isinstance(parent, ast.JoinedStr):
            if any(text.rstrip("_") == layer or text.endswith(f"{layer}_") for layer in layers):
                found.obstacles.append(
                    Obstacle("parameter-names", f"a name is made of {text!r}", module, parent)
                )
            return
        if not touched:
            if text.rstrip("_") in layers and _looks_into_names(module, node):
                found.obstacles.append(
                    Obstacle("parameter-names", f"names are compared with {text!r}", module, node)
                )
            return
        subscript = isinstance(parent, ast.Subscript) and parent.slice is node
        if not subscript and not any(_AUTOMATIC.fullmatch(part) for part in touched):
            return  # an ordinary word that also names a submodule
        new = [changes[part] for part in touched]
        if None in new or (len(parts) != 1 and not all(_AUTOMATIC.fullmatch(p) for p in touched)):
            found.obstacles.append(
                Obstacle("parameter-names", f"what {text!r} becomes isn't clear", module, node)
            )
            return
        for old, name in zip(touched, new, strict=True):
            text = re.sub(rf"(?<![\w]){re.escape(old)}(?![\w])", str(name), text)
        quote = module.source.segment(node)[-1]
        if module.source.segment(node) != f"{quote}{node.value!s}{quote}":
            found.obstacles.append(
                Obstacle("parameter-names", f"{text!r} is written in pieces", module, node)
            )
            return
        pieces = text.split("/")
        if subscript and len(pieces) > 1:  # a module in a list: two keys
            text = f"{quote}][{quote}".join(pieces)
        found.edits.append((module, Edit(*module.source.span(node), f"{quote}{text}{quote}")))


def _changes(conversions: Iterable[ClassConversion]) -> tuple[dict[str, str | None], set[str], set[str]]:
    """Old name -> new path, None where classes disagree; names that stay; prefixes of other changes."""
    changes: dict[str, str | None] = {}
    kept: set[str] = set()
    layers: set[str] = set()
    for conversion in conversions:
        for site in conversion.analysis.sites if conversion.analysis else ():
            layers.add(site.target_name)
        for old, new in _names(conversion):
            if "{" in old or "{" in new:
                layers.add(re.split(r"[{]", old)[0].rstrip("_"))
            elif old == new:
                kept.add(old)
            else:
                changes[old] = new if changes.get(old, new) == new else None
    return changes, kept, {layer for layer in layers if layer}


def _names(conversion: ClassConversion) -> Iterator[tuple[str, str]]:
    """Linen name and NNX path of everything in a class; names that a loop counts hold `{`."""
    for entry in conversion.entries.entries:
        if isinstance(entry, ModuleEntry):
            yield "/".join(entry.linen.elements), "/".join(entry.nnx.elements)
        elif isinstance(entry, LeafEntry):
            for pattern in entry.linen:
                yield "/".join(pattern.elements[1:]), "/".join(entry.nnx.elements)
        else:
            for step in _created(entry.steps):
                yield step.prefix + "_{}", "/".join(step.nnx.elements)


def _created(steps: Iterable[Step]) -> Iterator[Created]:
    for step in steps:
        if isinstance(step, Created):
            yield step
        else:
            yield from _created(step.body)


def _looks_into_names(module: Module, node: ast.Constant) -> bool:
    """`"Dense" in key`, `key.startswith("Dense")`, `re.match("Dense", key)`."""
    parent = module.parents[node]
    if isinstance(parent, ast.Compare):
        return any(isinstance(op, ast.In | ast.Eq | ast.NotIn | ast.NotEq) for op in parent.ops)
    return (
        isinstance(parent, ast.Call)
        and isinstance(parent.func, ast.Attribute)
        and parent.func.attr in ("startswith", "endswith", "match", "search", "fullmatch", "replace", "find")
    )
