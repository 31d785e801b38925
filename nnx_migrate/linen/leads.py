"""Names of the axes in front of those that are spelled out: `x[:-1]`, all axes of `x` but the last (`Shape.lead`)."""

from __future__ import annotations

import re

_AS_MANY = "~"


def split_lead(lead: str) -> tuple[str, int]:
    """`("x", 2)` for `x[:-2]`: the array and how many axes are cut off; no array (empty) for other leads."""
    match = re.fullmatch(r"(.+)\[:-(\d+)\]", lead)
    return (match[1], int(match[2])) if match else ("", 0)


def as_many(lead: str, mark: str) -> str:
    """A lead of as many axes as another one has, whose sizes are others."""
    return f"{lead}{_AS_MANY}{mark}" if lead and _AS_MANY not in lead else ""


def counted_lead(lead: str) -> str:
    """The lead that has as many axes as this one, and names the array whose they are."""
    return lead.partition(_AS_MANY)[0]


def cut_lead(lead: str, count: int) -> str:
    """The name of `lead` without its last `count` axes."""
    base, cut = split_lead(lead)
    if not count:
        return lead
    return f"{base}[:-{cut + count}]" if base else ""
