"""What the rules that restructure code share: mentions of a module's names, nested edits, refusals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from nnx_migrate.engine.context import FixBuilder, ProjectContext
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Guard
from nnx_migrate.sources.text import Edit, SourceText


class RefusalError(Exception):
    """Something can't be rewritten; the message says why, `reason` is its documented id."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Site:
    """A dotted expression, as long as it can be, that means `qualified`."""

    module: Module
    node: ast.expr
    qualified: str


def sites(project: Project, *prefixes: str) -> Iterator[Site]:
    """Unguarded mentions, in the project, of names below modules that are not the project's own."""
    for prefix in prefixes:
        if project.has_package(prefix.partition(".")[0]):
            return
    for module in project.matching(_mention(prefixes)):
        yield from module_sites(module, project, *prefixes)


@cache
def _mention(prefixes: tuple[str, ...]) -> re.Pattern[str]:
    """Finds texts that may name something below modules: dotted, or imported from wherever, or starred."""
    found = []
    for prefix in prefixes:
        parent, _, last = prefix.rpartition(".")
        above = parent.rpartition(".")[2]
        found.append(rf"\b{above}\.{last}\b|\bimport\s[^\n]*\b{last}\b|\bimport\s*\([^)]*\b{last}\b")
        found.append(rf"\bimport\s+{re.escape(parent)}\s+as\b|\bfrom\s+{re.escape(parent)}\s+import\s+\*")
    return re.compile("|".join(found))


def module_sites(module: Module, project: Project, *prefixes: str) -> Iterator[Site]:
    """The sites of one module, in source order."""
    found: list[Site] = []
    for name, references in module.scopes.names.items():
        for reference in references:
            if reference.guard not in (Guard.NONE, Guard.TYPING):
                continue
            target = project.resolve_name(name, reference.scope, module)
            if target is None or not any(
                f"{p}.".startswith(f"{target}.") or target.startswith(f"{p}.") for p in prefixes
            ):
                continue
            node: ast.expr = reference.node
            parent = module.parents.get(node)
            while isinstance(parent, ast.Attribute):
                node, target = parent, f"{target}.{parent.attr}"
                parent = module.parents.get(node)
            if any(target.startswith(f"{prefix}.") for prefix in prefixes):
                found.append(Site(module, node, target))
    found.sort(key=lambda site: (site.node.lineno, site.node.col_offset))
    yield from found


@dataclass
class Patches:
    """Edits of several files, some around others: an outer one quotes source that inner ones change."""

    context: ProjectContext
    edits: dict[Module, list[Edit]] = field(default_factory=dict)

    def replace(self, module: Module, span: tuple[int, int] | ast.AST, text: str) -> None:
        """Replace a span, or a node."""
        start, end = span if isinstance(span, tuple) else module.source.span(span)
        edit = Edit(start, end, text)
        if edit not in self.edits.setdefault(module, []):
            self.edits[module].append(edit)

    def take(self, module: Module, node: ast.AST) -> str:
        """A node's source with the edits made inside of it, which are forgotten: it moves elsewhere."""
        start, end = module.source.span(node)
        inside = [e for e in self.edits.get(module, []) if start <= e.start and e.end <= end]
        for edit in inside:
            self.edits[module].remove(edit)
        moved = [Edit(e.start - start, e.end - start, e.new) for e in inside]
        return SourceText(module.source.text[start:end]).with_edits(moved).text

    def into(self, fix: FixBuilder) -> None:
        """Hand the edits over."""
        for module, edits in self.edits.items():
            builder = fix.other_file(module)
            for edit in sorted(edits, key=lambda e: (e.start, e.end)):
                builder.replace((edit.start, edit.end), edit.new)
