"""Shapes of inputs that the configuration states: `[tool.nnx-migrate.inputs]`, by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nnx_migrate.array_notation import ArraySpec
from nnx_migrate.linen.model import LinenClass


class StatedInputs:
    """Looks classes up by `pkg.models:CNN`, `pkg.models.CNN`, the end of that (`models.CNN`) or `CNN`."""

    def __init__(self, inputs: Mapping[str, Sequence[ArraySpec]] | None = None) -> None:
        self._inputs = {name.replace(":", "."): arrays for name, arrays in (inputs or {}).items()}

    def shapes(self, cls: LinenClass) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The arguments of `__call__` whose shapes are stated, in order."""
        method = cls.method("__call__")
        for name, array in zip(method.parameters if method else (), self.arrays(cls), strict=False):
            yield name, array.shape

    def arrays(self, cls: LinenClass) -> Sequence[ArraySpec]:
        """What is stated of the arguments of `__call__`, in order."""
        parts = cls.qualified.split(".")
        names = [".".join(parts[start:]) for start in range(len(parts))]
        return next((self._inputs[name] for name in names if name in self._inputs), ())
