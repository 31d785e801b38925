"""What names of parameters become: the recorded parameter entries, seen as a dictionary of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.numerics.map_sequences import Created, Step
from nnx_migrate.numerics.parameter_map import LeafEntry, ModuleEntry

AUTOMATIC = re.compile(r"[A-Z]\w*_\d+")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass
class Renames:
    """The names of a group's classes. A new name of None means that it isn't clear.

    `exact`: old name -> new path; `patterns`: names that a loop counts; `kept`: names that stay; `stems`: what
    the names that change begin with.
    """

    exact: dict[str, str | None] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], str | None]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    stems: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, conversions: Iterable[ClassConversion]) -> Renames:
        """The names that conversions change."""
        found = cls()
        for conversion in conversions:
            for site in conversion.analysis.sites if conversion.analysis else ():
                found.stems.add(site.target_name)
            for old, new in names_of(conversion):
                found._add(old, new)
        found.stems.discard("")
        return found

    def _add(self, old: str, new: str) -> None:
        if "{" in old or "{" in new:
            self.stems.add(old.partition("{")[0].rstrip("_"))
            self.patterns.append(_pattern(old, new))
        elif old == new:
            self.kept.add(old)
        else:
            self.exact[old] = new if self.exact.get(old, new) == new else None

    @property
    def words(self) -> set[str]:
        """What a file has to mention to be concerned."""
        return {*self.exact, *self.stems}

    def changes(self, name: str) -> bool:
        """Whether a name may become another one."""
        if name in self.exact:
            return name not in self.kept or AUTOMATIC.fullmatch(name) is not None
        return name not in self.kept and self.counts(name)

    def counts(self, name: str) -> bool:
        """Whether it is a name with the number of a loop in it."""
        return any(pattern.fullmatch(name) for pattern, _ in self.patterns)

    def new(self, name: str) -> str | None:
        """What a name becomes; None where that isn't clear."""
        found = {self.exact[name]} if name in self.exact else set()
        for pattern, template in self.patterns:
            match = pattern.fullmatch(name)
            if match is not None:
                found.add(None if template is None else template.format(**match.groupdict()))
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Other:
    """A class whose parameters move with another group, or not at all (`conversion` is None then)."""

    cls: LinenClass
    conversion: ClassConversion | None

    def may_mean(self, old: str, new: str | None) -> bool:
        """Whether `old` may name a submodule of this class that doesn't become `new`."""
        if self.conversion is not None:
            own = Renames.of([self.conversion])
            return own.changes(old) and own.new(old) != new
        head = old.partition("/")[0]
        word = re.escape(head.rpartition("_")[0] if AUTOMATIC.fullmatch(head) else head)
        return re.search(rf"\b{word}\b", self.cls.module.source.segment(self.cls.node)) is not None


def names_of(conversion: ClassConversion) -> Iterator[tuple[str, str]]:
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


def _pattern(old: str, new: str) -> tuple[re.Pattern[str], str | None]:
    """`bn_{i}` -> `bn/{i}` as a regular expression and a template; no template where a count is computed."""
    inside = _PLACEHOLDER.findall(old)
    pieces = _PLACEHOLDER.split(old)
    plain = all(name.isidentifier() for name in inside) and len(set(inside)) == len(inside)
    text = "".join(
        re.escape(piece) if index % 2 == 0 else (rf"(?P<{piece}>\d+)" if plain else r"\d+")
        for index, piece in enumerate(pieces)
    )
    if text.startswith(r"\*"):  # the class of the submodule is a field's
        text = r"[A-Z]\w*" + text[2:]
    known = plain and set(_PLACEHOLDER.findall(new)) <= set(inside)
    return re.compile(text), new if known else None


def _created(steps: Iterable[Step]) -> Iterator[Created]:
    for step in steps:
        if isinstance(step, Created):
            yield step
        else:
            yield from _created(step.body)
