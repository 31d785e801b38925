"""Names of the axes in front of those that are spelled out: `x[:-1]`, all axes of `x` but the last (`Shape.lead`)."""

from __future__ import annotations

import re
from zlib import crc32

from nnx_migrate.linen.dims import Dim

_AS_MANY = "~"


def split_lead(lead: str) -> tuple[str, int]:
    """`("x", 2)` for `x[:-2]`: the array and how many axes are cut off; no array (empty) for other leads."""
    match = re.fullmatch(r"(.+)\[:-(\d+)\]", lead)
    return (match[1], int(match[2])) if match else ("", 0)


def behind_front(lead: str) -> str:
    """The name of a lead without its first axis; "" where it has no name: `x[1:][:-1]` for `x[:-1]`."""
    base, cut = split_lead(lead)
    return f"{base}[1:][:-{cut}]" if base and _AS_MANY not in lead else ""


def with_front(lead: str) -> str:
    """The name of a lead with the first axis that `behind_front` took; "" for others."""
    base, cut = split_lead(lead)
    whole = base.removesuffix("[1:]")
    return f"{whole}[:-{cut}]" if whole != base and _AS_MANY not in lead else ""


def split_front(name: str) -> tuple[str, int]:
    """`("x", 2)` for `x[1:][1:]`: an array, and how many of its first axes are cut off."""
    whole = name
    while whole.endswith("[1:]"):
        whole = whole.removesuffix("[1:]")
    return whole, (len(name) - len(whole)) // len("[1:]")


def as_many(lead: str, mark: str) -> str:
    """A lead of as many axes as another one has, whose sizes are others."""
    if _AS_MANY in lead:
        mark = _sum(f"{lead} {mark}")
    return f"{counted_lead(lead)}{_AS_MANY}{mark}" if lead else ""


def as_many_as_both(first: str, second: str) -> str:
    """The lead of what two arrays with as many leading axes give together; "" where that isn't known."""
    if not first or counted_lead(first) != counted_lead(second):
        return ""
    return as_many(first, _sum(second))


def _sum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def counted_lead(lead: str) -> str:
    """The lead that has as many axes as this one, and names the array whose they are."""
    return lead.partition(_AS_MANY)[0]


def cut_lead(lead: str, count: int) -> str:
    """The name of `lead` without its last `count` axes."""
    if not count:
        return lead
    counted, _, mark = lead.partition(_AS_MANY)
    base, cut = split_lead(counted)
    shorter = f"{base}[:-{cut + count}]" if base else ""
    return as_many(shorter, mark) if mark else shorter


def axis_size(name: str, axis: int) -> Dim:
    """The size of an axis of a named array, as a symbol that is no Python source: `x§a-2`."""
    whole, front = split_front(name)
    return Dim.size(f"{whole}§a{axis + front if axis >= 0 else axis}")


def flat_size(name: str, start: int) -> Dim:
    """The number of elements behind the first axes of a named array, as a symbol: `x§f1` for all but the first."""
    whole, front = split_front(name)
    return Dim.size(f"{whole}§f{start + front}")
