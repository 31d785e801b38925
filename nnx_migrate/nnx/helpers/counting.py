"""Entries of variables, for programs that count them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unlisted(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a tree of variables, with those of its lists one by one: Linen has no lists."""
    made: dict[str, Any] = {}
    for name, below in tree.items():
        if isinstance(below, Mapping) and below and all(str(key).isdecimal() for key in below):
            made |= {f"{name}/{index}": part for index, part in unlisted(below).items()}
        else:
            made[name] = below
    return made
