"""The public rule API.

A rule is a class in a file of its own. Its `triggers` say which qualified names make a file interesting; for
those files only, `check` gets a `FileContext` and yields findings, with a fix where the rule is certain:

    class HostId(Rule):
        \"\"\"...documentation with the fixed headings...\"\"\"

        id = "jax-host-id"
        group = "jax"
        triggers = frozenset({"jax.host_id"})

        def check(self, file: FileContext) -> Iterator[Finding]:
            for use in file.uses("jax.host_id"):
                fix = file.fix()
                fix.replace(use.node, fix.name("jax.process_index", at=use.node))
                yield self.finding(file, use.node, "`jax.host_id` is gone", fix.build("use process_index"))
"""

from __future__ import annotations

import ast
import re
from abc import ABC
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from nnx_migrate.engine.findings import Finding, Fix, Safety

if TYPE_CHECKING:
    from nnx_migrate.engine.context import FileContext, ProjectContext

HEADINGS = ("What it finds", "Why", "Example", "Fix safety", "Since", "References")
GROUPS = ("linen", "nnx", "jax", "optax", "orbax", "interop")


class Rule(ABC):
    """A rule that looks at one file at a time.

    `id`: kebab-case name of the outdated pattern. `group`: one of GROUPS. `safety`: the best its fixes can be.
    `triggers`: qualified names ("jax.tree_map"), or all names below a module ("flax.nnx.*"), whose use or
    import makes a file worth a call of `check`. `since`: the release that made the pattern outdated, as a
    requirement ("flax>=0.11"): for projects pinned below it the rule stays silent. `needs`: the release that
    its fixes need, in the same form: for projects pinned below it the rule reports, and says so.
    """

    id: ClassVar[str]
    group: ClassVar[str]
    safety: ClassVar[Safety] = Safety.SAFE
    triggers: ClassVar[frozenset[str]] = frozenset()
    since: ClassVar[str] = ""
    needs: ClassVar[str] = ""

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings of one file."""
        return ()

    def finding(
        self,
        file: FileContext,
        node: ast.AST | tuple[int, int],
        message: str,
        fix: Fix | None = None,
        *,
        reason: str = "",
        help: str = "",
    ) -> Finding:
        """A finding at a node (or span) of the file."""
        span = node if isinstance(node, tuple) else file.source.span(node)
        return Finding.at(self.id, file.path, file.source, span, message, fix=fix, reason=reason, help=help)

    @classmethod
    def documentation(cls) -> dict[str, str]:
        """The docstring by heading; the summary line under "" ."""
        import inspect

        return _sections(inspect.getdoc(cls) or "")


class ProjectRule(Rule):
    """A rule that needs the whole project at once; its fixes may change many files together.

    `check` runs it for the listing (fast, findings only); `plan` is called by `fix` and returns the same
    findings with their fixes. `texts` are words or parts of words without which there is nothing to find: the
    rule is called if each of them occurs in some file of the project.
    """

    texts: ClassVar[tuple[str, ...]] = ()

    def check_project(self, project: ProjectContext) -> Iterable[Finding]:
        """Findings of the whole project, without fixes that would need long analysis."""
        return ()

    def plan(self, project: ProjectContext) -> Iterable[Finding]:
        """Findings of the whole project with fixes. By default those of `check_project`."""
        return self.check_project(project)


@cache
def _sections(doc: str) -> dict[str, str]:
    pattern = re.compile(rf"^({'|'.join(HEADINGS)})\n[-=~]+$", re.MULTILINE)
    parts = pattern.split(doc)
    sections = {"": parts[0].strip()}
    sections.update({heading: body.strip() for heading, body in zip(parts[1::2], parts[2::2], strict=True)})
    return sections


def walk_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls below a node."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))
