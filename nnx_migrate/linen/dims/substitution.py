"""Dims with their symbols replaced by others, atom by atom."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims.terms import Atom, FloorDiv, Max, Mod, Opaque, Symbol

Value = Callable[[str], "dims.Dim | float | None"]
Chosen = Mapping[Atom, "dims.Dim"]


def of_atom(atom: Atom, value: Value, chosen: Chosen) -> dims.Dim | float:
    """An atom with its symbols replaced; a number that isn't an integer where one stands for the atom."""
    if atom in chosen:
        return chosen[atom]
    if isinstance(atom, Symbol):
        new = value(atom.text)
        if new is None:
            return dims.dim_of_atom(atom)
        return dims.Dim.of(new) if isinstance(new, int) else new
    if isinstance(atom, Opaque):
        new = dims.Dim.opaque(atom.template, *(_of_argument(arg, value, chosen) for arg in atom.args))
        return new if atom.minimum is None else new.as_size()
    if isinstance(atom, FloorDiv):
        return atom.numerator.substitute(value, chosen) // atom.denominator.substitute(value, chosen)
    if isinstance(atom, Mod):
        return atom.numerator.substitute(value, chosen) % atom.denominator.substitute(value, chosen)
    args = [arg.substitute(value, chosen) for arg in atom.args]
    if isinstance(atom, Max):
        return dims.fitting(*args) if atom.fits else dims.maximum(*args)
    return dims.minimum(*args)


def _of_argument(arg: dims.Dim | float, value: Value, chosen: Chosen) -> dims.Dim | float:
    """An argument of an opaque expression, which may be a bare symbol for a float."""
    if not isinstance(arg, dims.Dim):
        return arg
    atom = dims.single_atom(arg)
    return arg.substitute(value, chosen) if atom is None else of_atom(atom, value, chosen)
