"""The pattern language of einops: `b (h w) c -> b h w c`, with ellipsis, ones and numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import NO_RANK, Shape, Unmodelled
from nnx_migrate.linen.dims import Dim, product
from nnx_migrate.linen.dims.division import exact_quotient

ELLIPSIS = "..."
_TOKEN = re.compile(r"\s*(\.\.\.|…|[A-Za-z_]\w*|\d+|[()])")

# One axis of an array, as the names (or numbers) that it is the product of; a bare name has one.
Group = tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One side of a pattern."""

    groups: tuple[Group, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, numbers and the ellipsis, in order."""
        return tuple(name for group in self.groups for name in group)


def parse_side(text: str) -> Side:
    """Read one side of a pattern. Raises Unmodelled for anything unusual."""
    groups: list[Group] = []
    inner: list[str] | None = None
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unmodelled(f"einops pattern {text!r}")
        at = match.end()
        word = ELLIPSIS if match[1] == "…" else match[1]
        if word == "(":
            if inner is not None:
                raise Unmodelled("nested parentheses in an einops pattern")
            inner = []
        elif word == ")":
            if inner is None:
                raise Unmodelled(f"einops pattern {text!r}")
            # The ellipsis in parentheses is one axis; alone, it stands for many.
            groups.append((ELLIPSIS, "1") if inner == [ELLIPSIS] else tuple(inner))
            inner = None
        elif inner is not None:
            inner.append(word)
        else:
            groups.append((word,))
    if inner is not None:
        raise Unmodelled(f"einops pattern {text!r}")
    side = Side(tuple(groups))
    named = [name for name in side.names if not name.isdigit()]
    if len(set(named)) != len(named) or "_" in named:
        raise Unmodelled(f"einops pattern {text!r}")
    return side


def parse(pattern: str) -> tuple[Side, Side]:
    """Both sides of a pattern."""
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise Unmodelled("an einops pattern without ->")
    return parse_side(left), parse_side(right)


def sizes_of(side: Side, shape: Shape, lengths: Mapping[str, Dim]) -> tuple[dict[str, Dim], Shape]:
    """The size of every name of the left side, and the axes that its ellipsis stands for."""
    groups = list(side.groups)
    if (ELLIPSIS,) in groups:
        at = groups.index((ELLIPSIS,))
        front, back = groups[:at], groups[at + 1 :]
    elif ELLIPSIS in side.names:
        raise Unmodelled("an ellipsis in parentheses on the left")
    else:
        front, back = [], groups
        if shape.exact and len(shape.dims) != len(back):
            raise Unmodelled(f"an einops pattern of {len(back)} axes for rank {len(shape.dims)}")
        if len(shape.with_last(len(back)).dims) != len(back):
            raise Unmodelled(f"an einops pattern of {len(back)} axes for a larger rank")
    behind, rest = shape.last(len(back)), shape.before(len(back))
    if front:
        if not rest.exact:
            raise Unmodelled(NO_RANK)
        if len(rest.dims) < len(front):
            raise Unmodelled("an einops pattern of too many axes")
    elif ELLIPSIS not in side.names:
        rest = Shape()
    found: dict[str, Dim] = {}
    for group, dim in zip((*front, *back), (*rest.dims[: len(front)], *behind), strict=True):
        _solve(group, dim, lengths, found)
    return found, Shape(rest.dims[len(front) :], rest.lead)


def _solve(group: Group, dim: Dim, lengths: Mapping[str, Dim], found: dict[str, Dim]) -> None:
    """Split an axis among its names, of which all but one must be known."""
    unknown = [name for name in group if not name.isdigit() and name not in lengths]
    if len(unknown) > 1:
        raise Unmodelled(f"einops can't infer {', '.join(unknown)}")
    known = product(
        Dim.of(int(name)) if name.isdigit() else lengths[name] for name in group if name not in unknown
    )
    for name in group:
        if name in lengths:
            found[name] = lengths[name]
    if unknown:
        quotient = exact_quotient(dim, known)
        # The axis is a multiple, or einops would refuse it.
        found[unknown[0]] = dim // known if quotient is None else quotient


def shape_of_side(side: Side, sizes: Mapping[str, Dim], ellipsis: Shape) -> Shape:
    """The shape that the right side describes."""
    result = Shape()
    for group in side.groups:
        if group == (ELLIPSIS,):
            result = result.concat(ellipsis)
            continue
        factors: list[Dim] = []
        for name in group:
            factors.extend(_factors(name, sizes, ellipsis))
        result = result.then(product(factors))
    return result


def _factors(name: str, sizes: Mapping[str, Dim], ellipsis: Shape) -> Sequence[Dim]:
    if name == ELLIPSIS:
        return [ellipsis.size]
    if name.isdigit():
        return [Dim.of(int(name))]
    if name not in sizes:
        raise Unmodelled(f"the size of {name} is not given")
    return [sizes[name]]
