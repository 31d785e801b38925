"""Functions that call themselves: a call that is met again below itself shows nothing new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.records import is_table
from nnx_migrate.linen.making_functions import makes_modules
from nnx_migrate.linen.values import Closure

if TYPE_CHECKING:
    from nnx_migrate.linen.interpreter.frame import Frame

TOO_DEEP = "calls nested too deeply (or recursion)"


@dataclass(frozen=True)
class Call:
    """A call of a function that is being followed."""

    function: Closure
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def goes_round(frame: Frame, call: Call) -> bool:
    """Whether the same call is being followed: `flatten(v)` for whatever is within something unknown.

    To follow it once more, in each round of the loops around it, takes far longer, and ends where nothing is
    known anyway. A function that makes modules is followed, to see that it can't be written; so are functions
    that may change what they get.
    """
    function = call.function
    if function.env is not None or function.self_value is not None:
        return False
    if any(isinstance(v, list | dict) or is_table(v) for v in [*call.args, *call.kwargs.values()]):
        return False
    above = [one for one in frame.session.calls if one.function.node is function.node]
    if not any(_same(one.args, call.args) and _same(one.kwargs, call.kwargs) for one in above):
        return False
    return not makes_modules(frame.session.program, function.module, function.node)


def _same(value: Any, other: Any) -> bool:
    """Whether a function gets the same; what is unknown is, whatever the reason."""
    if type(value) is not type(other):
        return False
    if isinstance(value, tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_same(item, other[key]) for key, item in value.items())
    return type(value) is Unknown or bool(value == other)
