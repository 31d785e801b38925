"""What code knows of arguments that a call may leave out: tests for None, and what is made of those that are given."""

from __future__ import annotations

from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.symbols import token
from nnx_migrate.linen.values import Input


@dataclass(frozen=True)
class NoneTest(Unknown):
    """`argument is None` (else `argument is not None`) of the argument that `path` names."""

    path: tuple[str | int, ...] = ()
    is_none: bool = True

    @property
    def negated(self) -> NoneTest:
        """The opposite."""
        return NoneTest(self.reason, self.path, not self.is_none)


@dataclass(frozen=True)
class OptionalArray(Array):
    """What code makes of the argument that `path` names where it is given; None where it isn't.

    The constructor's sizes of it are None then, too, unless `is_sized`.
    """

    path: tuple[str | int, ...] = ()
    is_sized: bool = False

    @property
    def text(self) -> str:
        """The expression by which the method's code reads that argument."""
        return Input(self.path).text

    @property
    def has_own_sizes(self) -> bool:
        """Whether its sizes are still those of the argument: no loop changes them."""
        own = (Dim.size(token(self.text, "a", axis)) for axis in range(-len(self.shape.dims), 0))
        return not self.is_sized and self.shape.dims == tuple(own)
