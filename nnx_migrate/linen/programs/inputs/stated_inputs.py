"""What is stated of inputs, by class: shapes in `[tool.nnx-migrate.inputs]`, ranks that `fix --trace` has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nnx_migrate.array_notation import ArraySpec
from nnx_migrate.linen.classes.model import LinenClass

Ranks = Mapping[tuple[str | int, ...], int]


class StatedInputs:
    """Looks classes up by `pkg.models:CNN`, `pkg.models.CNN`, the end of that (`models.CNN`) or `CNN`."""

    def __init__(
        self,
        inputs: Mapping[str, Sequence[ArraySpec]] | None = None,
        traced: Mapping[str, Ranks] | None = None,
    ) -> None:
        self._inputs = {name.replace(":", "."): arrays for name, arrays in (inputs or {}).items()}
        self._traced = {name.replace(":", "."): ranks for name, ranks in (traced or {}).items()}

    def shapes(self, cls: LinenClass) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The arguments of `__call__` whose shapes are stated, in order."""
        method = cls.method("__call__")
        for name, array in zip(method.parameters if method else (), self.arrays(cls), strict=False):
            yield name, array.shape

    def arrays(self, cls: LinenClass) -> Sequence[ArraySpec]:
        """What is stated of the arguments of `__call__`, in order."""
        return next((self._inputs[name] for name in names_of(cls) if name in self._inputs), ())

    def ranks(self, cls: LinenClass) -> Iterator[tuple[tuple[str | int, ...], int]]:
        """The ranks of its inputs (or of arrays in them, by path), as stated and as seen."""
        yield from (((name,), len(shape)) for name, shape in self.shapes(cls))
        yield from next((self._traced[name] for name in names_of(cls) if name in self._traced), {}).items()


def names_of(cls: LinenClass) -> list[str]:
    """What a class may be called: its qualified name, and every end of that, the longest first."""
    parts = cls.qualified.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]
