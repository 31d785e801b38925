"""The names of sizes that a loop of the constructor changes, next to parameters that may have the same name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from nnx_migrate.linen.symbols import TOKEN


def named(text: str, parameters: Mapping[str, str], taken: Collection[str]) -> str:
    """The text of a constructor with names for its tokens; `parameters` are those that the constructor has.

    A loop may change a parameter that nothing reads any more. Else its size gets a name of its own.
    """
    names: dict[str, str] = {}
    for match in list(TOKEN.finditer(text)):
        token, name = match.group(), match["name"]
        if token in parameters or token in names or name not in parameters.values():
            continue
        start = re.search(rf"^(?P<indent>[ \t]*){re.escape(token)} = (?P<first>\S+)\n", text, re.MULTILINE)
        if start is not None and parameters.get(start["first"]) == name and _is_last_read(start, text):
            text = text[: start.start()] + text[start.end() :]
            names[token] = name
        else:
            names[token] = _free(name, {*parameters.values(), *taken, *names.values()}, text)
    return TOKEN.sub(lambda m: parameters.get(m.group()) or names.get(m.group()) or m["name"], text)


def _is_last_read(start: re.Match[str], text: str) -> bool:
    """Whether nothing reads the parameter that an assignment reads when that has run, once and in any case."""
    is_outermost = not re.search(rf"^(?!{start['indent']})[ \t]*\S", text, re.MULTILINE)
    return is_outermost and all(m.group() != start["first"] for m in TOKEN.finditer(text, start.end()))


def _free(name: str, taken: Collection[str], text: str) -> str:
    number = 2
    while f"{name}_{number}" in taken or re.search(rf"\b{name}_{number}\b", text):
        number += 1
    return f"{name}_{number}"
