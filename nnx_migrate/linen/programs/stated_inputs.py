"""Shapes of inputs that the configuration states: `[tool.nnx-migrate.inputs]`, by class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from nnx_migrate.linen.model import LinenClass

_SHAPE = re.compile(r"\s*\w*\[([\d\s,]*)\]\s*")


class StatedInputs:
    """Looks classes up by `pkg.models:CNN`, `pkg.models.CNN`, the end of that (`models.CNN`) or `CNN`."""

    def __init__(self, inputs: Mapping[str, Sequence[str]] | None = None) -> None:
        self._inputs = {name.replace(":", "."): texts for name, texts in (inputs or {}).items()}

    def shapes(self, cls: LinenClass) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The arguments of `__call__` whose shapes are stated, in order."""
        parts = cls.qualified.split(".")
        names = [".".join(parts[start:]) for start in range(len(parts))]
        texts = next((self._inputs[name] for name in names if name in self._inputs), ())
        method = cls.method("__call__")
        for name, text in zip(method.parameters if method else (), texts, strict=False):
            match = _SHAPE.fullmatch(text)
            if match is not None:
                yield name, tuple(int(size) for size in match[1].split(",") if size.strip())
