"""Convolutions whose padding a field names (`padding: str = "VALID"`): sizes under either kind of padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim, single_atom
from nnx_migrate.linen.dims.terms import Opaque
from nnx_migrate.linen.values import Expr

_CHOICE = "({0} if {2}.upper() == 'VALID' else {1})"


def by_padding(padding: Expr, inputs: Sequence[Any], output: Callable[[str, Sequence[Any]], Any]) -> Any:
    """What the layer returns: as with "VALID", or as with any other name.

    "SAME", "CIRCULAR", "REFLECT" and "CAUSAL" all keep what strides leave (`lax.padtype_to_pads`, and
    `flax/linen/linear.py` for the names that only Linen knows).
    """
    name = Dim.symbol(padding.text)
    valid = output("VALID", [_under(name, value, 0) for value in inputs])
    kept = output("SAME", [_under(name, value, 1) for value in inputs])
    if not (isinstance(valid, Array) and isinstance(kept, Array)):
        return valid
    joined = valid.or_else(kept, lambda a, b: Dim.opaque(_CHOICE, a, b, name))
    return Unknown("a padding that changes the rank") if joined is None else joined


def _under(name: Dim, value: Any, index: int) -> Any:
    """An input whose sizes follow from the same name already, as it is under this kind of padding."""
    if not isinstance(value, Array):
        return value
    return Array(
        Shape(tuple(_part(name, dim, index) for dim in value.shape.dims), value.shape.lead), value.dtype
    )


def _part(name: Dim, dim: Dim, index: int) -> Dim:
    atom = single_atom(dim) if dim.known else None
    if isinstance(atom, Opaque) and atom.template == _CHOICE and atom.args[2] == name:
        chosen = atom.args[index]
        return chosen if isinstance(chosen, Dim) else dim
    return dim
