"""The source of a class before and after, line by line beside each other."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from nnx_migrate.names.layout import files_of_name
from nnx_migrate.sources.files import load_source
from nnx_migrate.sources.text import SourceError
from nnx_migrate.verification.cases import import_root


@dataclass(frozen=True)
class Row:
    """A line of each side; None where the other side has one more. `changed` if they aren't the same."""

    before: str | None
    after: str | None
    changed: bool


@dataclass(frozen=True)
class Listing:
    """A class on both sides."""

    title: str
    rows: list[Row]


def side_by_side(key: str, old: Path, new: Path) -> Listing | None:
    """The class `module:Qualified.name`; None where either side lacks it."""
    before, after = class_lines(key, old), class_lines(key, new)
    return None if before is None or after is None else Listing(key, align(before, after))


def align(before: list[str], after: list[str]) -> list[Row]:
    """Lines that stayed beside each other, replaced ones side by side."""
    rows = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        left: list[str | None] = [*before[a:b]]
        right: list[str | None] = [*after[c:d]]
        left += [None] * (len(right) - len(left))
        right += [None] * (len(left) - len(right))
        rows += [Row(x, y, kind != "equal") for x, y in zip(left, right, strict=True)]
    return rows


def class_lines(key: str, root: Path) -> list[str] | None:
    """The lines of a class below `root`, decorators included."""
    module, _, qualified = key.partition(":")
    name, folder = import_root(root, module)
    candidates = (root / folder / tail for tail in files_of_name(name))
    file = next((f for f in candidates if f.is_file()), None)
    if file is None:
        return None
    try:
        source = load_source(file)
        body: list[ast.stmt] = ast.parse(source.text).body
    except (OSError, SourceError, SyntaxError, ValueError):
        return None
    node: ast.ClassDef | None = None
    for part in qualified.split("."):
        node = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == part), None)
        if node is None:
            return None
        body = node.body
    assert node is not None
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return source.text.splitlines()[first - 1 : node.end_lineno]
