"""Parameters that code reads by Linen's names: `self.variables["params"]["Embed_0"]["embedding"]` becomes
`self.embed.embedding[...]`.

The parameter map of the class tells which attribute a name means.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import ParameterRead
from nnx_migrate.nnx.parameter_entries import class_key, class_map, module_name
from nnx_migrate.numerics.layer_maps import LAYER_MAPS
from nnx_migrate.numerics.leaf_transforms import IDENTITY
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.map_sequences import Created, SequenceEntry
from nnx_migrate.numerics.parameter_map import DYNAMIC, ClassMap, Entry, LeafEntry

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


class ParameterReads:
    """The expressions of one class's methods that read parameters by name."""

    def __init__(self, analysis: ClassAnalysis, editor: BodyEditor) -> None:
        self.analysis, self.editor = analysis, editor
        self.reads: dict[ast.AST, ParameterRead] = {}
        for (_, node), read in analysis.facts.parameter_reads.items():
            if self.reads.setdefault(node, read) != read:
                raise Refuse("unsupported-api", "`variables` of several modules", node)

    def replacement(self, node: ast.AST) -> str | None:
        """The new text of such an expression, None for all others."""
        read = self.reads.get(node)
        if read is None:
            return None
        owner = _owner(node)
        if read.module is None:
            found = self._within(class_map(self.analysis), read.names)
        else:
            found = self._below(module_name(read.module.site), read.names)
        if found is None:
            detail = f"`{ast.unparse(node)}`: no parameter that is always there has that name"
            raise Refuse("unsupported-api", detail, node)
        return f"{self.editor.text(owner)}{''.join(map(_step, found))}[...]"

    def _below(self, module: str | None, names: Path) -> Path | None:
        """The path of a parameter in a module of that class."""
        if module == DYNAMIC:
            return None
        if module is None or module.startswith("flax.linen:"):
            known = LAYER_MAPS.get(module or "")
            return self._within(known, names) if known is not None else names
        for cls in self.analysis.session.program:
            if class_key(cls) == module:
                return self._within(self.editor.writer.converted(cls).entries, names)
        return None

    def _within(self, entries: ClassMap, names: Path) -> Path | None:
        """The path in a module with these entries; only entries without placeholders tell one for certain."""
        for linen, nnx, module in _plain(entries.entries):
            if module is _LEAF and linen == ("params", *names):
                return nnx
            if module is not _LEAF and linen and len(names) > len(linen) and names[: len(linen)] == linen:
                inner = self._below(module, names[len(linen) :])
                return (*nnx, *inner) if inner is not None else None
        return None


_LEAF = ""  # in the place of a module's class: a variable


def _plain(entries: Sequence[Entry]) -> Iterator[tuple[Path, Path, str | None]]:
    """Linen's and NNX's paths of what is there in every model, with the class of modules."""
    for entry in entries:
        if isinstance(entry, SequenceEntry):
            yield from _unconditional(entry)
            continue
        patterns = (*entry.linen, entry.nnx) if isinstance(entry, LeafEntry) else (entry.linen, entry.nnx)
        is_plain = not any("{" in element for pattern in patterns for element in pattern.elements)
        if is_plain and entry.where is None and entry.transform == IDENTITY and len(patterns) == 2:
            module = _LEAF if isinstance(entry, LeafEntry) else entry.module
            yield patterns[0].elements, entry.nnx.elements, module


def _unconditional(entry: SequenceEntry) -> Iterator[tuple[Path, Path, str | None]]:
    """Automatic names up to the first module of a class that a loop or condition makes."""
    counters: Counter[str] = Counter()
    moved: set[str] = set()
    for step in entry.steps:
        if not isinstance(step, Created):
            moved |= _prefixes(step.body)
        elif step.conditional or step.lifted or step.prefix in moved | {DYNAMIC} or DYNAMIC in moved:
            moved |= _prefixes([step])
        else:
            yield (f"{step.prefix}_{counters[step.prefix]}",), step.nnx.elements, step.module
            counters[step.prefix] += 1


def _prefixes(steps: Sequence[object]) -> set[str]:
    """The names that some steps may count under."""
    found: set[str] = set()
    for step in steps:
        if isinstance(step, Created):
            found |= {step.prefix, step.lifted or step.prefix}
        else:
            found |= _prefixes(step.body)  # type: ignore[attr-defined]
    return found


def _owner(node: ast.AST) -> ast.expr:
    """The module in `module.variables[...][...]` and `module.get_variable(...)`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    place = node.func if isinstance(node, ast.Call) else node
    assert isinstance(place, ast.Attribute)
    return place.value


def _step(element: str) -> str:
    return f"[{element}]" if element.isdigit() else f".{element}"
