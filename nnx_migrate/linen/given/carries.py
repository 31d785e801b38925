"""Cells of the project whose carry always comes from outside: they have no `initialize_carry`.

Linen's built-in cells compute with the carry that they get, whatever their own `features` say; inside of such a class
the size of the carry decides (flax's seq2seq example makes a decoder of 15 `features` run with a carry of 512).
"""

from __future__ import annotations

from nnx_migrate.linen.classes.model import LinenClass

CELLS = frozenset({"GRUCell", "LSTMCell", "MGUCell", "OptimizedLSTMCell", "SimpleCell"})


def takes_carries(cls: LinenClass) -> bool:
    """Whether a class is such a cell."""
    if cls.method("num_feature_axes") is None or any(owner.layer_base for owner in cls.mro):
        return False
    return cls.method("initialize_carry") is None
