from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.moves import Move, MovesRule

_INITIALIZERS = "flax.linen.initializers."


class _Same(Move):
    """A function that both libraries have."""

    @property
    def message(self) -> str:
        """What a finding says."""
        return f"`{self.old}` is `{self.new}` too, and nothing else of Linen is used here"


class LinenFunctions(MovesRule):
    """Activations, pooling and initializers that NNX code still takes from Linen.

    What it finds
    -------------
    `nn.relu`, `nn.max_pool`, `nn.initializers.lecun_normal` and their like from `flax.linen`, in files that use
    NNX and take nothing else from Linen. Files with Linen modules, or with functions that NNX lacks or that
    compute otherwise there, are left alone.

    Why
    ---
    They are the same functions in NNX; the second library is imported for nothing.

    Example
    -------
    ::

        import flax.linen as nn
        from flax import nnx

        ACTIVATIONS = {"relu": nn.relu, "gelu": nn.gelu}
        # becomes
        from flax import nnx

        ACTIVATIONS = {"relu": nnx.relu, "gelu": nnx.gelu}

    Fix safety
    ----------
    Safe: the same functions, measured equal.

    Since
    -----
    Flax 0.12.

    References
    ----------
    https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/activations.html
    """

    id = "linen-functions"
    group = "linen"
    since = "flax>=0.12"
    moves = ()  # they come with the layer tables, which are imported when a file needs them
    triggers = frozenset({"flax.linen", "flax.linen.*"})

    @cached_property
    def _by_name(self) -> dict[str, Move]:
        from nnx_migrate.nnx.layers.functions import FUNCTIONS

        rows = (row for row in FUNCTIONS.values() if row.nnx and row.same_call)
        return {r.linen: _Same(r.linen, r.nnx or "") for r in rows if not (r.note or r.helper)}

    def move_of(self, qualified: str) -> Move | None:
        """The row of a function under any of the names that Linen gives it."""
        from nnx_migrate.nnx.layers.aliases import canonical

        return super().move_of(canonical(qualified))

    def new_name(self, move: Move, qualified: str, file: FileContext) -> str:
        """NNX's one name; `flax.nnx.initializers` is an attribute, which nothing can be imported from."""
        bindings = (b for found in file.module.scopes.module.bindings.values() for b in found)
        if any(b.target.startswith(_INITIALIZERS) for b in bindings):
            return move.new.replace("flax.nnx.initializers.", "flax.nnx.nn.initializers.")
        return move.new

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings where NNX is used and nothing of Linen but these functions."""
        bindings = (b for found in file.module.scopes.module.bindings.values() for b in found)
        if any(b.target == "flax.nnx" or b.target.startswith("flax.nnx.") for b in bindings):
            uses = [use.qualified for use in file.uses(*self.triggers)]
            if all(map(self.move_of, uses)):
                yield from super().check(file)
