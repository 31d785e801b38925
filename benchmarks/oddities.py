"""Ways to make ordinary code unusual: layout, encodings, names and damage that real files have and fixtures lack."""

from __future__ import annotations

import io
import json
import keyword
import random
import re
import tokenize
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]
_UNICODE_NAMES = ("größe", "модель", "変数", "ﬁlter", "ñ", "Ǆ", "x̂", "_ªb")
_CODECS = ("latin-1", "cp1252", "iso-8859-15", "utf-8", "shift_jis", "utf-8-sig", "klingon")


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def crlf(data: bytes, random: random.Random) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def old_mac(data: bytes, random: random.Random) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")


def mixed_line_ends(data: bytes, random: random.Random) -> bytes:
    return b"".join(line.rstrip(b"\r\n") + random.choice((b"\n", b"\r\n")) for line in _lines(data))


def byte_order_mark(data: bytes, random: random.Random) -> bytes:
    return b"\xef\xbb\xbf" + data


def no_final_line_end(data: bytes, random: random.Random) -> bytes:
    return data.rstrip(b"\r\n")


def tabs(data: bytes, random: random.Random) -> bytes:
    indent = re.compile(rb"^(?: {4})+", re.MULTILINE)
    return indent.sub(lambda match: b"\t" * (len(match.group()) // 4), data)


def form_feeds(data: bytes, random: random.Random) -> bytes:
    return b"".join((b"\f" + x if random.random() < 0.1 and x[:1].isalpha() else x) for x in _lines(data))


def another_codec(data: bytes, random: random.Random) -> bytes:
    """A coding line, and a comment that looks different in each codec."""
    codec = random.choice(_CODECS)
    return f"# -*- coding: {codec} -*-\n# ".encode() + random.choice((b"\xe9", b"\xc3\xa9")) + b"\n" + data


def comments_everywhere(data: bytes, random: random.Random) -> bytes:
    """A comment and a line end behind some opening brackets and commas inside of brackets."""

    def change(token: tokenize.TokenInfo, depth: int) -> str | None:
        inside = token.string in ("(", "[", "{") or (token.string == "," and depth)
        if token.type == tokenize.OP and inside and random.random() < 0.2:
            return f"{token.string}  # {random.choice(('why', 'größer', ')'))} {token.start[0]}\n"
        return None

    return _retokenized(data, change)


def parentheses(data: bytes, random: random.Random) -> bytes:
    """Redundant parentheses and odd spaces around plain names."""

    def change(token: tokenize.TokenInfo, depth: int) -> str | None:
        if token.type == tokenize.OP and token.string == "." and random.random() < 0.15:
            return " . "
        if token.type == tokenize.OP and token.string == "(" and random.random() < 0.15:
            return " ( "
        return None

    return _retokenized(data, change)


def continuations(data: bytes, random: random.Random) -> bytes:
    """Backslashes behind operators outside of brackets."""

    def change(token: tokenize.TokenInfo, depth: int) -> str | None:
        wanted = token.type == tokenize.OP and token.string in ("=", "+", "*", ".") and not depth
        return f"{token.string} \\\n        " if wanted and random.random() < 0.3 else None

    return _retokenized(data, change)


def unicode_names(data: bytes, random: random.Random) -> bytes:
    """One of the file's names, everywhere, becomes one that isn't ASCII (or that Python normalises)."""
    names = {m.decode() for m in re.findall(rb"\b[a-z_]\w{1,12}\b", data)} - set(keyword.kwlist)
    if not names:
        return data
    old, new = random.choice(sorted(names)), random.choice(_UNICODE_NAMES)
    return re.sub(rf"\b{old}\b".encode(), new.encode(), data)


def renamed(data: bytes, random: random.Random) -> bytes:
    """Two of the file's names are exchanged: imports get shadowed, arguments become functions."""
    names = sorted(set(re.findall(rb"\b[A-Za-z_]\w*\b", data)) - {k.encode() for k in keyword.kwlist})
    if len(names) < 2:
        return data
    one, other = random.sample(names, 2)
    swap = {one: other, other: one}
    return re.sub(rb"\b(?:%s|%s)\b" % (one, other), lambda match: swap[match.group()], data)


def lines_lost(data: bytes, random: random.Random) -> bytes:
    return b"".join(line for line in _lines(data) if random.random() > 0.03)


def lines_doubled(data: bytes, random: random.Random) -> bytes:
    return b"".join(line * (2 if random.random() < 0.05 else 1) for line in _lines(data))


def cut(data: bytes, random: random.Random) -> bytes:
    """The file ends at any line, or at any byte."""
    lines = _lines(data)
    if random.random() < 0.5:
        return b"".join(lines[: random.randrange(len(lines) + 1)])
    return data[: random.randrange(len(data) + 1)]


def nested(data: bytes, random: random.Random) -> bytes:
    """Everything moves into a function, a branch, or a `try` with a fallback."""
    head, tail = random.choice(
        (
            (b"def outer(jax=None):\n", b""),
            (b"if True:\n", b"else:\n    jax = None\n"),
            (b"try:\n", b"except ImportError:\n    pass\n"),
            (b"class Outer:\n", b""),
        )
    )
    body = b"".join(b"    " + line if line.strip() else line for line in _lines(data))
    return head + (body if body.endswith(b"\n") else body + b"\n") + tail


def one_line(data: bytes, random: random.Random) -> bytes:
    """Simple statements that follow each other share a line."""
    return re.sub(rb"(?m)^(\w[^\n:#\\('\"]*)\n(?=\w[^\n:#]*$)", rb"\1; ", data)


def odd_bytes(data: bytes, random: random.Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice((b"\0", b"\xff", b"\x0c", b"\xe2\x80\xa8", b"\x1a")) + data[place:]


def notebook(data: bytes, random: random.Random) -> bytes:
    """The file as a notebook: paragraphs become cells, some with magics."""
    text = data.decode(errors="replace")
    cells = []
    for part in re.split(r"\n\n\n+", text):
        lead = random.choice(("", "", "%matplotlib inline\n", "!pip install flax\n", "%%time\n"))
        source: object = lead + part
        if random.random() < 0.7:
            source = (lead + part).splitlines(keepends=True)
        cells.append({"cell_type": "code", "metadata": {}, "outputs": [], "source": source})
    return json.dumps({"cells": cells, "nbformat": 4}, indent=random.choice((None, 1))).encode()


def _retokenized(data: bytes, change: Callable[[tokenize.TokenInfo, int], str | None]) -> bytes:
    """The file with some tokens replaced; as it was where it can't be tokenized."""
    try:
        text = data.decode()
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return data
    lines = text.splitlines(keepends=True)
    depth, edits = 0, []
    for token in tokens:
        new = change(token, depth)
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        if new is not None:
            edits.append((token.start, token.end, new))
    for (row, start), (_, end), new in reversed(edits):
        lines[row - 1] = lines[row - 1][:start] + new + lines[row - 1][end:]
    return "".join(lines).encode()


LAYOUT: tuple[Mutation, ...] = (
    crlf, old_mac, mixed_line_ends, byte_order_mark, no_final_line_end, tabs, form_feeds, another_codec,
    comments_everywhere, parentheses, continuations, one_line, nested,
)  # fmt: skip
DAMAGE: tuple[Mutation, ...] = (
    unicode_names, renamed, lines_lost, lines_doubled, cut, odd_bytes,
)  # fmt: skip


def spliced(one: bytes, other: bytes, random: random.Random) -> bytes:
    """The first part of one file, a part of another, the rest of the first."""
    lines, others = _lines(one), _lines(other)
    at = random.randrange(len(lines) + 1)
    start = random.randrange(len(others) + 1)
    return b"".join([*lines[:at], *others[start : start + random.randrange(40)], *lines[at:]])
