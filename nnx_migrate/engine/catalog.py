"""What the rules say of themselves, known without importing them.

Importing all rules takes longer than checking a small project, and most runs call few of them. So what is needed to
choose rules and files is kept in the user's cache folder, and made anew when one of the sources has changed. Rules
of plugins and of the user's own project are simply imported.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
from binascii import crc32
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from nnx_migrate import __version__
from nnx_migrate.engine.registry import builtin_rules, local_rules, plugin_rules
from nnx_migrate.engine.rule import ProjectRule, Rule

_PACKAGE = "nnx_migrate.rules"


@dataclass(frozen=True)
class Card:
    """One rule: what `Rule` and `ProjectRule` document, and where it is defined."""

    id: str
    group: str
    since: str
    triggers: frozenset[str]
    whole_project: bool
    texts: tuple[str, ...]
    module: str
    name: str
    file: str

    @classmethod
    def of(cls, rule: Rule) -> Card:
        """The card of a rule that is imported already."""
        kind = type(rule)
        file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
        whole = isinstance(rule, ProjectRule)
        texts = rule.texts if isinstance(rule, ProjectRule) else ()
        place = (kind.__module__, kind.__name__, file)
        card = cls(rule.id, rule.group, rule.since, frozenset(rule.triggers), whole, texts, *place)
        card.__dict__["rule"] = rule
        return card

    @cached_property
    def rule(self) -> Rule:
        """The rule itself, imported when it is first asked for."""
        rule: Rule = getattr(import_module(self.module), self.name)()
        return rule


def all_cards(local: Iterable[Path] = (), *, use_cache: bool = True) -> dict[str, Card]:
    """The rules that can be selected, by id: built in, plugins, local files."""
    cards = _kept_cards() if use_cache else {name: Card.of(rule) for name, rule in builtin_rules().items()}
    others = {**plugin_rules(), **local_rules(local)}
    return {**cards, **{name: Card.of(rule) for name, rule in others.items()}}


def _kept_cards() -> dict[str, Card]:
    folder = Path(import_module(_PACKAGE).__path__[0])
    sources = [__version__, *_stamps(folder), *_stamps(Path(__file__).parent)]
    stored = _cache_folder() / f"rules-{crc32(str(folder).encode()):08x}.{sys.implementation.cache_tag}"
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
        known_sources, rows = marshal.loads(stored.read_bytes())
        if known_sources == sources:
            return {row[0]: Card(*row) for row in rows}
    cards = {name: Card.of(rule) for name, rule in builtin_rules().items()}
    _store(stored, marshal.dumps((sources, [_row(card) for card in cards.values()])))
    return cards


def _row(card: Card) -> tuple[Any, ...]:
    return tuple(getattr(card, field.name) for field in fields(card))


def _stamps(folder: Path) -> list[tuple[str, int, int]]:
    """Name, modification time and size of each Python file of a folder."""
    with os.scandir(folder) as entries:
        files = [(e.name, e.stat()) for e in entries if e.name.endswith(".py")]
    return sorted((name, status.st_mtime_ns, status.st_size) for name, status in files)


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  (never raises)
    return Path(root, "nnx-migrate")


def _store(path: Path, data: bytes) -> None:
    from nnx_migrate.sources.writing import write_atomically

    with contextlib.suppress(OSError):  # without a home, each run imports the rules
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
