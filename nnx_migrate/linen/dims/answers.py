"""Answers to questions about two dims, remembered: models ask the same about the same sizes over and over."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from nnx_migrate.linen import dims
from nnx_migrate.linen.dims.terms import Atom, FloorDiv, Mod, Opaque, Symbol

Question = Callable[["dims.Dim", "dims.Dim"], bool | None]
_MOST = 100_000  # answers kept by each question


def remembered(question: Question) -> Question:
    """The question about two known dims, thought about once for all dims that are written alike."""
    answers: dict[tuple[dims.Written, dims.Written], bool | None] = {}

    @wraps(question)
    def ask(a: dims.Dim, b: dims.Dim) -> bool | None:
        key = written(a), written(b)
        if key not in answers:
            if len(answers) >= _MOST:
                answers.clear()
            answers[key] = question(a, b)
        return answers[key]

    return ask


def written(dim: dims.Dim) -> dims.Written:
    """All that answers depend on: unlike `==`, with the order of terms and with the minima of symbols."""
    if dim.written is None:
        dim.written = tuple(
            (tuple((_atom(atom), power) for atom, power in monomial.factors), number)
            for monomial, number in dim.terms.items()
        )
    return dim.written


def _atom(atom: Atom) -> dims.Written:
    if isinstance(atom, Symbol):
        return atom.text, atom.minimum
    if isinstance(atom, FloorDiv | Mod):
        return type(atom), written(atom.numerator), written(atom.denominator)
    args = tuple(written(arg) if isinstance(arg, dims.Dim) else arg for arg in atom.args)
    return (Opaque, atom.template, atom.minimum, args) if isinstance(atom, Opaque) else (type(atom), args)
