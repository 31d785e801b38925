"""Fields and variables that hold an activation, which keeps the shape of its input.

A project shows rarely everything that its users give such a field. One that changes sizes would make the first call
fail: the next layer refuses its input. What the project itself may give is known (`gated_units`).
"""

from __future__ import annotations

import re

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.symbols import linen_name

# `act`, `hidden_act`, `act_fn`, `actfn`, `preact`, `activation2`; not `factory`, `action`, `interaction`.
_NAME = re.compile(
    r"(?:^|_|pre|post)(?:act|activ|activate|activation|non_?linearity)(?:s|_?f|_?fn|_?func|_?function|er)?(?:_|\d|$)"
)
_DTYPE = re.compile(r"\.(?:bool|u?int|b?float|complex)\d*_?$")
_SAMPLE = Array(Shape((Dim.size("n"),), ""))  # of unknown rank


def is_activation_name(text: str) -> bool:
    """Whether a function is called like an activation."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.partition("§")[0].rpartition(".")[2])
    return _NAME.search(words.lower()) is not None


def is_elementwise(function: str) -> bool:
    """Whether a library function keeps the shape of its only input, by its qualified name."""
    if _DTYPE.search(function):
        return False
    linen = linen_name(function)
    effect = registry.effect(f"jax.nn.{linen}" if linen is not None else function)
    result = effect(_SAMPLE) if effect is not None else None
    return isinstance(result, Array) and result.shape == _SAMPLE.shape
