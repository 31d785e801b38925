"""What rules produce: findings, and the fixes that some of them carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from nnx_migrate.sources.text import Edit, SourceText


class Safety(Enum):
    """How far a fix can be trusted.

    SAFE: same behaviour, by construction and by fixture. UNSAFE: needs a look (`--unsafe-fixes`).
    MANUAL: there is no fix; the finding says what to do by hand.
    """

    SAFE = "safe"
    UNSAFE = "unsafe"
    MANUAL = "manual"


@dataclass(frozen=True)
class ImportRequest:
    """A name that a fix needs at module level: `binding` must mean `qualified`.

    `from_module` is the `from X import` form's module, None for `import qualified [as binding]`. `scripts_only`: it
    is found beside the file when that runs as a script, and maybe not when the file is imported. `in_folder`: then it
    is tried as `from .X import` first, for the file may be imported as part of its folder.
    """

    qualified: str
    binding: str
    from_module: str | None = None
    scripts_only: bool = False
    in_folder: bool = False

    @property
    def is_submodule(self) -> bool:
        """True for `import a.b` without a name of its own: it binds `a` and loads `a.b`."""
        return (
            self.from_module is None
            and "." in self.qualified
            and self.binding == self.qualified.partition(".")[0]
        )

    @property
    def imported_name(self) -> str:
        """What stands behind `import` in the `from` form."""
        name = self.qualified.removeprefix(f"{self.from_module}.")
        return name if self.binding == name else f"{name} as {self.binding}"

    @property
    def statement(self) -> str:
        """The import as one would write it on a line of its own."""
        if self.from_module is not None:
            return f"from {self.from_module} import {self.imported_name}"
        bare = self.is_submodule or self.binding == self.qualified
        return f"import {self.qualified}" if bare else f"import {self.qualified} as {self.binding}"


@dataclass(frozen=True)
class FileChange:
    """What a fix does to one file."""

    edits: tuple[Edit, ...] = ()
    imports: tuple[ImportRequest, ...] = ()


@dataclass(frozen=True)
class Fix:
    """Edits to one or more files that are applied together or not at all.

    `creates` holds whole new files (helpers that migrated code needs); an existing file is never overwritten.
    `records` holds what `verify` and `checkpoint` want to know later: entries of the parameter map, by class.
    `prepares`: other fixes of the same plan are planned anew for what it leaves.
    """

    title: str
    safety: Safety
    changes: Mapping[Path, FileChange]
    creates: Mapping[Path, str] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)
    prepares: bool = False


@dataclass(frozen=True)
class Finding:
    """One outdated place. Lines and columns are 1-based, columns in characters, the end exclusive.

    `reason` names why there is no fix (an id of the documented list) and `help` what to do instead.
    `cell` is the 1-based code cell of a notebook; line numbers then count within that cell.
    """

    rule: str
    path: Path
    line: int
    column: int
    end_line: int
    end_column: int
    message: str
    safety: Safety = Safety.MANUAL
    fix: Fix | None = None
    reason: str = ""
    help: str = ""
    cell: int | None = None

    @classmethod
    def at(
        cls,
        rule: str,
        path: Path,
        source: SourceText,
        span: tuple[int, int],
        message: str,
        *,
        fix: Fix | None = None,
        reason: str = "",
        help: str = "",
    ) -> Finding:
        """A finding at a span of character offsets."""
        line, column = source.position(span[0])
        end_line, end_column = source.position(span[1])
        safety = fix.safety if fix else Safety.MANUAL
        cell = source.cell_of(line)
        before = source.lines_before(cell)
        place = (line - before, column, end_line - before, end_column)
        return cls(rule, path, *place, message, safety, fix, reason, help, cell)

    @property
    def sort_key(self) -> tuple[str, int, int, int, str]:
        """Findings are shown by file, then place, then rule."""
        return (str(self.path), self.cell or 0, self.line, self.column, self.rule)

    def without_fix(self, reason: str, help: str = "") -> Finding:
        """The same finding where the fix turned out not to be possible."""
        return replace(self, fix=None, safety=Safety.MANUAL, reason=reason, help=help or self.help)
