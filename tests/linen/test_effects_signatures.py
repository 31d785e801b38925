"""Transfer functions bind arguments as the functions they model do, so their signatures must agree."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import Any

import pytest

from nnx_migrate.linen.effects.registry import effect, modelled
from tests.linen.oracle import real_object

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
LIBRARIES = ("jax.", "flax.", "einops.")

# Functions of older releases, which are gone from the current ones.
GONE = {
    "flax.linen.pooling.min_pool",
    "jax.nn.normalize",
    "jax.numpy.alltrue",
    "jax.numpy.product",
    "jax.numpy.row_stack",
    "jax.numpy.sometrue",
    # A static method in older releases; now its cell comes first.
    *(f"flax.linen.{name}.initialize_carry" for name in ("GRUCell", "LSTMCell", "OptimizedLSTMCell")),
    *(f"jax.ops.index_{name}" for name in ("update", "add", "min", "max", "mul")),
}


def _real_signature(name: str) -> inspect.Signature | None:
    """The signature of the modelled function, None for one that tells nothing (ufuncs: `*args`)."""
    signature = inspect.signature(real_object(name))
    first = next(iter(signature.parameters.values()), None)
    return None if first is not None and first.name == "args" else signature


def _differences(real: inspect.Signature, ours: inspect.Signature) -> list[str]:
    """Calls that the real function takes and that we would bind differently.

    An operand that can't be given by name is none: such a call is unknown, not wrong.
    """
    found = []
    mine = list(ours.parameters.values())
    by_name = {parameter.name: parameter for parameter in mine}
    takes_rest = any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in mine)
    for place, parameter in enumerate(real.parameters.values()):
        if parameter.kind in POSITIONAL:
            if place >= len(mine) or mine[place].kind not in POSITIONAL:
                if not takes_rest:
                    found.append(f"no positional {parameter.name}")
                continue
            same_place = mine[place]
            if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD and (
                same_place.name != parameter.name or same_place.kind is Parameter.POSITIONAL_ONLY
            ):
                other = by_name.get(parameter.name)
                if other is None and same_place.kind is not Parameter.POSITIONAL_ONLY:
                    found.append(f"{parameter.name} has another name")
            found += _default_difference(parameter, same_place)
        elif parameter.kind is Parameter.KEYWORD_ONLY:
            other = by_name.get(parameter.name)
            if other is None:
                found.append(f"no keyword {parameter.name}")
            else:
                found += _default_difference(parameter, other)
    return found


def _default_difference(real: Parameter, ours: Parameter) -> list[str]:
    if type(real.default) not in (bool, int, float, str, tuple, type(None)):
        return []
    if real.default != ours.default and not (real.default is None and ours.default is Parameter.empty):
        return [f"{real.name} is {ours.default!r} by default instead of {real.default!r}"]
    return []


def _cases() -> list[str]:
    return sorted(name for name in modelled() if name.startswith(LIBRARIES) and name not in GONE)


@pytest.mark.parametrize("name", _cases())
def test_the_signature_is_that_of_the_modelled_function(name: str) -> None:
    real = _real_signature(name)
    if real is None:
        return
    transfer: Any = effect(name)
    assert _differences(real, inspect.signature(transfer)) == []
