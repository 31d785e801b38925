"""The names of sizes that a loop of the constructor changes, next to parameters that may have the same name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from nnx_migrate.linen.symbols import TOKEN

_NUMBERED = re.compile(r"(?P<stem>.+)_size_\d+")
_AXES = ("depth", "height", "width", "length")


def named(
    text: str,
    parameters: Mapping[str, str],
    taken: Collection[str],
    later: Collection[str],
    local: Collection[str],
) -> tuple[str, dict[str, str]]:
    """The text of setup in a constructor with names for its tokens, and the names of those that loops change.

    `parameters` are those that the constructor has, `later` the tokens that are read behind the text, `local` the
    variables of setup itself. A loop may change a parameter that nothing reads any more. Else its size gets a name of
    its own.
    """
    text, names = _apart(text, {*parameters.values(), *taken})
    names |= _as_axes(text, parameters, {*parameters.values(), *taken, *names.values()})
    for match in list(TOKEN.finditer(text)):
        token, name = match.group(), match["name"]
        is_clear = name not in parameters.values() and (match["kind"] != "p" or name not in local)
        if token in parameters or token in names or is_clear:
            continue
        start = re.search(rf"^(?P<indent>[ \t]*){re.escape(token)} = (?P<first>\S+)\n", text, re.MULTILINE)
        is_free = start is not None and start["first"] not in later and _is_last_read(start, text)
        if start is not None and is_free and parameters.get(start["first"]) == name and name not in local:
            text = text[: start.start()] + text[start.end() :]
            names[token] = name
        else:
            names[token] = _free(name, {*parameters.values(), *taken, *names.values()}, text)
    sizes = {m.group(): names.get(m.group(), m["name"]) for m in TOKEN.finditer(text) if m["kind"] == "p"}
    return TOKEN.sub(lambda m: parameters.get(m.group()) or names.get(m.group()) or m["name"], text), sizes


def _apart(text: str, taken: Collection[str]) -> tuple[str, dict[str, str]]:
    """Names of their own for sizes that begin while another one of that name is still needed.

    One that begins with the last value of another one goes on under its name, and needs no assignment for that.
    """
    names: dict[str, str] = {}
    for match in list(TOKEN.finditer(text)):
        token, name = match.group(), match["name"]
        start = re.search(rf"^[ \t]*{re.escape(token)} = (?P<first>.*)\n", text, re.MULTILINE)
        if match["kind"] != "p" or token in names or start is None:
            continue
        others = {m.group() for m in TOKEN.finditer(text[: start.end()]) if m["kind"] == "p"} - {token}
        others = {other for other in others if names.get(other, _name(other)) == name}
        block = _block(text, start.start())
        left = (m for m in TOKEN.finditer(text) if m.group() in others and not _is_in(m, start))
        if any(_block(text, m.start()) >= block for m in left):
            names[token] = _free(name, {*taken, *names.values()}, text)
            continue
        names[token] = name
        if start["first"] in others and block == start.start():
            text = text[: start.start()] + text[start.end() :]
    return text, {token: found for token, found in names.items() if found != _name(token)}


def _as_axes(text: str, parameters: Mapping[str, str], taken: Collection[str]) -> dict[str, str]:
    """Names such as `out_height` for `out_size_3`, which begins as `in_height`."""
    names: dict[str, str] = {}
    for match in TOKEN.finditer(text):
        token, numbered = match.group(), _NUMBERED.fullmatch(match["name"])
        start = re.search(rf"^[ \t]*{re.escape(token)} = (?P<first>\S+)\n", text, re.MULTILINE)
        axis = parameters.get(start["first"], "").rpartition("_")[2] if start is not None else ""
        if match["kind"] != "p" or token in names or numbered is None or axis not in _AXES:
            continue
        name = f"{numbered['stem']}_{axis}"
        if name not in {*taken, *names.values()} and not re.search(rf"\b{name}\b", text):
            names[token] = name
    return names


def _name(token: str) -> str:
    match = TOKEN.fullmatch(token)
    return match["name"] if match is not None else ""


def _is_in(match: re.Match[str], around: re.Match[str]) -> bool:
    return around.start() <= match.start() < around.end()


def _block(text: str, position: int) -> int:
    """Where the outermost statement begins that has a position in it."""
    lines = list(re.finditer(r"^(?P<indent>[ \t]*)\S", text, re.MULTILINE))
    least = min((len(line["indent"]) for line in lines), default=0)
    starts = [line.start() for line in lines if len(line["indent"]) == least]
    return max((start for start in starts if start <= position), default=0)


def _is_last_read(start: re.Match[str], text: str) -> bool:
    """Whether nothing reads the parameter that an assignment reads when that has run, once and in any case."""
    is_outermost = not re.search(rf"^(?!{start['indent']})[ \t]*\S", text, re.MULTILINE)
    return is_outermost and all(m.group() != start["first"] for m in TOKEN.finditer(text, start.end()))


def _free(name: str, taken: Collection[str], text: str) -> str:
    number = 2
    while f"{name}_{number}" in taken or re.search(rf"\b{name}_{number}\b", text):
        number += 1
    return f"{name}_{number}"
