"""Which files can mention a trigger at all, judged by their words before anything is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nnx_migrate.sources.words import words

ECOSYSTEM = frozenset({b"jax", b"flax", b"nnx", b"optax", b"orbax", b"jax2onnx", b"torch"})
_STAR_IMPORT = re.compile(rb"import[\s\\(]*\*")


class Prefilter:
    """Compiled triggers, without those of packages that are the project's `own`: they are no uses there."""

    def __init__(self, triggers: Iterable[str], own: Callable[[str], bool]) -> None:
        names = [name.removesuffix(".*").encode().split(b".") for name in triggers]
        names = [parts for parts in names if not own(parts[0].decode())]
        self._roots = frozenset(parts[0] for parts in names)
        self._words = frozenset(word for parts in names for word in parts)
        self._by_last: dict[bytes, list[frozenset[bytes]]] = {}
        for parts in names:
            self._by_last.setdefault(parts[-1], []).append(frozenset(parts))

    def may_concern(self, data: bytes) -> bool:
        """False where no trigger can be meant anywhere in a file with these bytes.

        What a file means by its own imports it spells out part by part, in the import or where it is used. Only
        a star import can bring a name whose origin isn't written in the file.
        """
        starred = _STAR_IMPORT.search(data) is not None
        if not any(root in data for root in (self._roots | ECOSYSTEM if starred else self._roots)):
            return False
        found = self._words.intersection(words(data))
        if starred:
            return not found.isdisjoint(self._by_last)
        return any(parts <= found for last in found & self._by_last.keys() for parts in self._by_last[last])
