"""Changes of Linen code to Linen code that computes the same: classes that stay as they are written may move then.

Each is tried: it is made only if classes move with it that stay without it, and if none stays that moves without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.engine.imports import edit_imports
from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.preparation.late_fields import late_fields
from nnx_migrate.nnx.preparation.model import Preparation
from nnx_migrate.nnx.preparation.normalizations import normalizations
from nnx_migrate.nnx.preparation.registrations import registrations
from nnx_migrate.sources.text import Edit, SourceError, SourceText

Plan = Callable[[Project], Sequence[Group]]


def preparations(project: Project, groups: Sequence[Group], plan: Plan) -> list[Preparation]:
    """Those that let classes of a project move; `groups` is its plan, and `plan` makes that of another project."""
    program = _program(project, groups)
    found = [list(normalizations(groups)), list(late_fields(program, groups))]
    kinds = [kind for kind in (*found, list(registrations(program, groups))) if kind]
    before = _moving(groups)
    tried = [[*chain(*kinds)], *(kinds if len(kinds) > 1 else [])]  # together, or else one kind alone
    return next((made for found in tried if (made := _helping(project, found, before, plan))), [])


def _program(project: Project, groups: Iterable[Group]) -> LinenProgram:
    """The project's Linen program, as its plan knows it."""
    known = (c.analysis for group in groups for c in group.conversions if c.analysis is not None)
    return next((analysis.session.program for analysis in known), None) or LinenProgram(project)


def _helping(project: Project, found: list[Preparation], before: set[str], plan: Plan) -> list[Preparation]:
    """Those of some changes that let classes move, if with them none stays that moved `before`."""
    while found:
        try:
            after = _moving(plan(prepared(project, found)))
        except SourceError:
            return []
        helping = [one for one in found if one.helps(before, after)]
        if len(helping) == len(found):
            return found if before < after else []
        found = helping
    return []


def prepared(project: Project, made: Iterable[Preparation]) -> Project:
    """The project with these changes. Raises SourceError."""
    edits: dict[Path, list[Edit]] = {}
    imports: dict[Path, list[ImportRequest]] = {}
    for one in made:
        for path, change in one.fix.changes.items():
            edits.setdefault(path, []).extend(change.edits)
            imports.setdefault(path, []).extend(change.imports)
    texts = {path: _edited(project, path, edits[path], imports[path]) for path in edits}
    return Project(project.paths, lambda path: texts.get(path) or project.source(path), project.words)


def _edited(project: Project, path: Path, edits: list[Edit], imports: list[ImportRequest]) -> SourceText:
    module = project.module(path)
    assert module is not None
    after = Module(path, module.name, module.source.with_edits(list(dict.fromkeys(edits))))
    requests = list(dict.fromkeys(imports))
    return edit_imports(module, after, requests, lambda name: project.exports.uses(path, name))


def _moving(groups: Iterable[Group]) -> set[str]:
    return {cls.qualified for group in groups if group.can_move for cls in group.classes}


__all__ = ["Preparation", "preparations", "prepared"]
