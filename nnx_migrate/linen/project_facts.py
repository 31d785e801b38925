"""What is true of a whole project, or of a part of it: found once, and only if somebody asks."""

from __future__ import annotations

import re
from functools import cache, cached_property

from nnx_migrate.linen.arrays.number_types import NumberTypes
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.hidden.dynamic_reads import find_dynamic_reads
from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.project import Project


class ProjectFacts:
    """Facts about a project's code."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @cached_property
    def number_types(self) -> NumberTypes:
        """Where there may be numbers of other types than real ones of at most 32 bits."""
        return NumberTypes(self.project, lambda: self.imports)

    @cached_property
    def index(self) -> ProjectIndex:
        """What the project reads by name, those names included that are computed."""
        found = ProjectIndex(self.project)
        found.dynamic = find_dynamic_reads(FlowFinder(found))
        found.may_share = lambda one, other: self.imports.may_share(one, other)
        return found

    @cached_property
    def imports(self) -> ImportGraph:
        """The imports between the project's files, those included whose names are computed."""
        return ImportGraph(self.project, self.index.dynamic)

    @cache  # noqa: B019 (a program lives as long as the run)
    def gets_none(self, name: str) -> bool:
        """Whether an argument of this name is None somewhere in the project."""
        return any(True for _ in self.project.matching_files(re.compile(rf"\b{name}\s*=\s*None\b"), name))
