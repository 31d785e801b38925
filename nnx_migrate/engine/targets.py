"""The releases that a project is written for, read from its own dependency pins.

A project pinned below the release that made a pattern outdated is not bothered with it, and a fix never
writes an API that the pinned release lacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Version = tuple[int, ...]
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(>=|>)\s*([0-9][0-9.]*)")
NEWEST: Version = (10**6,)


def version(text: str) -> Version:
    """"0.12.8" → (0, 12, 8); whatever follows the numbers (rc1, .dev0, *) is dropped."""
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else NEWEST


@dataclass(frozen=True)
class Targets:
    """The newest release of each package that the project's pins admit; unpinned packages are newest."""

    newest: Mapping[str, Version] = field(default_factory=dict)

    def has(self, package: str, since: str) -> bool:
        """True where the project can use an API of `package` that came with release `since`."""
        return self.newest.get(package, NEWEST) >= version(since)

    def concerned(self, since: str) -> bool:
        """True where a rule with this `since` ("flax>=0.11") concerns the project; always for ""."""
        match = _REQUIREMENT.match(since)
        return match is None or self.has(match.group(1), match.group(3))
