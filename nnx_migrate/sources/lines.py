"""How long a file's lines may get."""

from __future__ import annotations

from functools import lru_cache

from nnx_migrate.sources.text import SourceText

_LONG_ENOUGH = 0.985  # of the lines: a few may stand out (links, texts)


@lru_cache(maxsize=64)
def line_limit(source: SourceText) -> int:
    """How long lines may get: the file's own habit, up to 120, from 88 on (80 where blocks have two spaces)."""
    lines = [line for line in source.text.splitlines() if line.strip()]
    if not lines:
        return 88
    lengths = sorted(map(len, lines))
    habit = lengths[int(len(lengths) * _LONG_ENOUGH)]
    inner = [len(line) - len(line.lstrip(" ")) for line in lines]
    limits = (80, 88, 100, 120) if inner.count(2) > inner.count(4) else (88, 100, 120)
    return next((limit for limit in limits if habit <= limit), 100)
