"""Classes that are NNX already, by hand or by an earlier pass: names of parameters in programs may be theirs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.programs.renames import AUTOMATIC

_ATTRIBUTE = re.compile(r"\bself\.(\w+)(?=\s*(?::[^=\n]+)?=(?!=))")


@dataclass(frozen=True)
class WrittenClass:
    """An NNX class, which keeps all its names; the modules of its lists may have Linen's in programs."""

    module: Module
    attributes: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether this class may have a submodule of that name."""
        return name in self.attributes or (
            AUTOMATIC.fullmatch(name) is not None and name.rpartition("_")[0] in self.attributes
        )

    def may_count(self, start: str, name: str) -> bool:
        """Whether names that begin so may mean submodules of this class."""
        return start.rstrip("_") in self.attributes or any(a.startswith(start) for a in self.attributes)

    def may_mean(self, old: str, new: str | None) -> bool:
        """Whether `old` may name a submodule of this class."""
        return self.has(old.partition("/")[0])


def written_classes(project: Project) -> Iterator[WrittenClass]:
    """The NNX classes of a project that make something of their own."""
    for module in project.modules():
        if "nnx" not in module.source.text:
            continue
        for node in module.nodes(ast.ClassDef):
            bases = (project.resolve(base, module.scope_at(node), module) or "" for base in node.bases)
            if any(base == "flax.nnx.Module" or base.startswith("flax.nnx.") for base in bases):
                names = frozenset(_ATTRIBUTE.findall(module.source.segment(node)))
                yield WrittenClass(module, names)
