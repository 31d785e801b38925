"""What names of parameters become: the recorded parameter entries, seen as a dictionary of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.parameter_entries import class_key
from nnx_migrate.nnx.programs.possible_names import possible_prefixes
from nnx_migrate.nnx.writer.naming import Naming
from nnx_migrate.numerics.map_sequences import Created, Repeated, SequenceEntry, Step
from nnx_migrate.numerics.parameter_map import DYNAMIC, LeafEntry, ModuleEntry

AUTOMATIC = re.compile(r"[A-Z]\w*_\d+")
_COUNT = re.compile(r"_?\d*$")
_WITHOUT_VARIABLES = frozenset({"flax.linen:Dropout", "flax.linen:Sequential"})
_ELEMENT = re.compile(r"/(?=\{[a-z]\}|\d+(?:/|$))")  # of a list
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass
class Renames:
    """The names of a group's classes. A new name of None means that it isn't clear.

    `exact`: old name -> new path; `patterns`: names that a loop counts; `kept`, `kept_patterns`: names that stay;
    `stems`: what the names that change begin with; `below`: the classes (as parameter maps name them) that names
    stand for, those of loops with `{`, and `conversions` by these classes.
    """

    exact: dict[str, str | None] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], str | None]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    kept_patterns: list[re.Pattern[str]] = field(default_factory=list)
    stems: set[str] = field(default_factory=set)
    below: dict[str, set[str | None]] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)  # a name for each of the patterns
    conversions: dict[str, ClassConversion] = field(default_factory=dict)
    _found: dict[frozenset[str | None], Renames] = field(default_factory=dict)

    @classmethod
    def of(cls, conversions: Iterable[ClassConversion]) -> Renames:
        """The names that conversions change."""
        known = list(conversions)
        found = cls._flat(known)
        found.below = _classes_below(known)
        found.conversions = {class_key(conversion.cls): conversion for conversion in known}
        return found

    @classmethod
    def _flat(cls, conversions: Iterable[ClassConversion]) -> Renames:
        found = cls()
        for conversion in conversions:
            for old, new in names_of(conversion):
                found._add(old, new)
        found.stems.discard("")
        return found

    def _add(self, old: str, new: str) -> None:
        if "{" in old and old == new:
            self.kept_patterns.append(_pattern(old, new)[0])
        elif "{" in old or "{" in new:
            self.stems.add(old.partition("{")[0].rstrip("_"))
            self.samples.append(_PLACEHOLDER.sub("0", old))
            self.patterns.append(_pattern(old, new))
        elif old == new:
            self.kept.add(old)
        else:
            self.stems.update(_COUNT.sub("", part) for part in old.split("/"))
            self.exact[old] = new if self.exact.get(old, new) == new else None

    @property
    def words(self) -> set[str]:
        """What a file has to mention to be concerned."""
        return {*self.exact, *self.stems}

    def changes_any(self, names: re.Pattern[str]) -> bool:
        """Whether one of the names that a pattern allows becomes another one."""
        return any(names.fullmatch(name) for name in (*self.exact, *self.samples))

    def changes(self, name: str) -> bool:
        """Whether a name may become another one."""
        return name in self.exact or self.counts(name)

    def keeps(self, name: str) -> bool:
        """Whether a name surely stays."""
        return self.has_kept(name) and not self.changes(name)

    def has_kept(self, name: str) -> bool:
        """Whether it is a name of something that keeps it; others of that name may not."""
        return name in self.kept or any(pattern.fullmatch(name) for pattern in self.kept_patterns)

    def counts(self, name: str) -> bool:
        """Whether it is a name with the number of a loop in it."""
        return bool(self.patterns) and any(pattern.fullmatch(name) for pattern, _ in self.patterns)

    def begins(self, start: str) -> bool:
        """Whether names begin so, those of a loop with its number."""
        counted = f"{start}0"
        if self.counts(counted) or self.has_kept(counted):
            return True
        return any(name.startswith(start) for name in {*self.exact, *self.kept})

    def list_of(self, start: str) -> str | None:
        """The list `fcs` that holds what a loop called `fc_0`, `fc_1`, ...; None where other names begin so."""
        if any(name.startswith(start) for name in {*self.exact, *self.kept}) or self.has_kept(f"{start}0"):
            return None
        name = (self.new(f"{start}0") or "").removesuffix("/0")
        return name if name and self.new(f"{start}12") == f"{name}/12" else None

    def under(self, key: str) -> Renames:
        """The names below the submodule `key`; all where its class isn't known."""
        return self._below([n for n in self.below if n == key or ("{" in n and _regex(n).fullmatch(key))])

    def under_start(self, start: str) -> Renames:
        """The names below all submodules whose names begin so; all where the class of one isn't known."""
        return self._below([n for n in self.below if _may_begin(n, start)])

    def of_class_having(self, tests: Iterable[Callable[[Renames], bool]]) -> Renames:
        """The names of those classes that pass all tests; all where none does."""
        wanted = list(tests)
        classes = {
            key for key in self.conversions if all(test(self._of(frozenset({key}))) for test in wanted)
        }
        return self._of(frozenset(classes)) if classes else self

    def _below(self, names: Iterable[str]) -> Renames:
        classes = frozenset(cls for name in names for cls in self.below[name])
        return self._of(classes) if classes and None not in classes else self

    def _of(self, classes: frozenset[str | None]) -> Renames:
        """The names of some of the classes."""
        if classes not in self._found:
            inner = (conversion for key, conversion in self.conversions.items() if key in classes)
            self._found[classes] = self._flat(inner)
        return self._found[classes]

    def new(self, name: str) -> str | None:
        """What a name becomes; None where that isn't clear."""
        found = {self.exact[name]} if name in self.exact else set()
        if self.has_kept(name):
            found.add(name)
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

    @property
    def module(self) -> Module:
        """The file of the class."""
        return self.cls.module

    @cached_property
    def _own(self) -> Renames | None:
        """The names that the class changes."""
        return Renames.of([self.conversion]) if self.conversion is not None else None

    @cached_property
    def _text(self) -> str:
        return self.cls.module.source.segment(self.cls.node)

    def has(self, name: str) -> bool:
        """Whether this class may have a submodule of that name."""
        if (own := self._own) is not None:
            return name in own.exact or own.has_kept(name) or own.counts(name)
        return self._mentions(name)

    def may_count(self, start: str, name: str) -> bool:
        """Whether names that begin so may mean submodules of this class that the list `name` doesn't hold."""
        if (own := self._own) is not None:
            return own.begins(start) and own.list_of(start) != name
        return start.rstrip("_") in self._text

    def _mentions(self, name: str) -> bool:
        word = name.rpartition("_")[0] if AUTOMATIC.fullmatch(name) else name
        return word in self._text and re.search(rf"\b{re.escape(word)}\b", self._text) is not None

    def may_mean(self, old: str, new: str | None) -> bool:
        """Whether `old` may name a submodule of this class that doesn't become `new`."""
        if (own := self._own) is not None:
            return (own.new(old) if own.changes(old) else old) != new and self.has(old)
        return self._mentions(old.partition("/")[0])


def _classes_below(conversions: Iterable[ClassConversion]) -> dict[str, set[str | None]]:
    """The classes that a name may stand for; None where they aren't known."""
    found: dict[str, set[str | None]] = {}
    for conversion in conversions:
        for entry in conversion.entries.entries:
            if isinstance(entry, ModuleEntry):
                made = [("/".join(entry.linen.elements), entry.module)]
            else:
                steps = entry.steps if isinstance(entry, SequenceEntry) else ()
                made = [(name, step.module) for name, step in _counted(steps)]
            for name, module in made:
                found.setdefault(name, set()).add(module if module != DYNAMIC else None)
    return found


def names_of(conversion: ClassConversion) -> Iterator[tuple[str, str]]:
    """Linen name and NNX path of everything in a class; names that a loop counts hold `{`.

    Paths are as programs meet them.
    """
    names = _names(conversion)
    if conversion.naming is not Naming.LISTS_AS_LINEN:
        return names
    return ((old, _ELEMENT.sub("_", new)) for old, new in names)


def changes_names(conversion: ClassConversion) -> bool:
    """Whether something in a class gets another name."""
    return any(old != new for old, new in names_of(conversion))


def _names(conversion: ClassConversion) -> Iterator[tuple[str, str]]:
    possible = possible_prefixes(conversion.analysis) if conversion.analysis is not None else None
    for entry in conversion.entries.entries:
        if isinstance(entry, ModuleEntry):
            yield "/".join(entry.linen.elements), "/".join(entry.nnx.elements)
        elif isinstance(entry, LeafEntry):
            for pattern in entry.linen:
                yield "/".join(pattern.elements[1:]), "/".join(entry.nnx.elements)
        else:
            for name, step in _counted(entry.steps):
                if step.module in _WITHOUT_VARIABLES:
                    continue
                prefixes = possible if step.prefix == DYNAMIC and possible is not None else (step.prefix,)
                for prefix in prefixes:
                    yield prefix + name.removeprefix(step.prefix), "/".join(step.nnx.elements)


def _pattern(old: str, new: str) -> tuple[re.Pattern[str], str | None]:
    """`bn_{i}` -> `bn/{i}` as a regular expression and a template; no template where a count is computed."""
    inside = _PLACEHOLDER.findall(old)
    known = _are_plain(inside) and set(_PLACEHOLDER.findall(new)) <= set(inside)
    return _regex(old), new if known else None


def _are_plain(placeholders: Sequence[str]) -> bool:
    return all(name.isidentifier() for name in placeholders) and len(set(placeholders)) == len(placeholders)


@lru_cache(maxsize=1 << 12)
def _regex(name: str) -> re.Pattern[str]:
    """A name with placeholders for numbers as a regular expression."""
    plain = _are_plain(_PLACEHOLDER.findall(name))
    text = "".join(
        re.escape(piece) if index % 2 == 0 else _index(piece, plain)
        for index, piece in enumerate(_PLACEHOLDER.split(name))
    )
    if text.startswith(r"\*"):  # the class of the submodule is a field's
        text = r"[A-Z]\w*" + text[2:]
    return re.compile(text)


def _may_begin(name: str, start: str) -> bool:
    """Whether a name, with placeholders or not, may begin so."""
    own, counted, _ = name.partition("{")
    return own.startswith(("*", start)) or (bool(counted) and start.startswith(own))


def _index(placeholder: str, plain: bool) -> str:
    """The texts in the place of an index; what stands behind a star may be any."""
    if placeholder.startswith("*"):
        return ".+"
    return rf"(?P<{placeholder}>\d+)" if plain else r"\d+"


def _counted(steps: Sequence[Step]) -> Iterator[tuple[str, Created]]:
    """The names of unnamed modules.

    Linen counts per class: the numbers are known before the first loop or condition, where conditions don't change
    them, and where one loop makes all of a class.
    """
    prefixes = Counter(step.prefix for step in _created(steps))
    counts: Counter[str] = Counter()
    uncertain: set[str] = {DYNAMIC} if DYNAMIC not in prefixes else set(prefixes)
    for step in steps:
        alone = isinstance(step, Repeated) and all(isinstance(inner, Created) for inner in step.body)
        for made in _created([step]):
            sure = made.prefix not in uncertain
            if made.number is not None:
                yield f"{made.prefix}_{made.number}", made
                uncertain.add(made.prefix)
                continue
            if sure and step is made:
                yield f"{made.prefix}_{counts[made.prefix]}", made
                counts[made.prefix] += 1
                if made.conditional:
                    uncertain.add(made.prefix)
                continue
            sure = sure and not made.conditional
            counted = sure and alone and prefixes[made.prefix] == 1
            index = step.index if isinstance(step, Repeated) and counted else ""
            yield f"{made.prefix}_{{{index}}}", made
            uncertain.add(made.prefix)


def _created(steps: Iterable[Step]) -> Iterator[Created]:
    for step in steps:
        if isinstance(step, Created):
            yield step
        else:
            yield from _created(step.body)
