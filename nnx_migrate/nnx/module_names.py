"""Explicit module names that are made of text and numbers: f-strings, `str(i)`, `%`, `format` and sums of them."""

from __future__ import annotations

import ast
import re
import string

Part = str | ast.expr
_PADDED = re.compile(r"0[1-9]\d?d?")
_PERCENT = re.compile(r"%(?:(0[1-9]\d?)d|[ds])")


def name_parts(node: ast.expr | None) -> list[Part] | None:
    """The literal pieces of a name and the expressions between them; None for any other expression.

    A number that is filled with zeros (`{i:02d}`) is the whole FormattedValue.
    """
    found = _parts(node)
    return None if found is None else [_text(part) for part in found]


def text_pattern(node: ast.expr | None) -> str | None:
    """A regular expression for the texts that such an expression may give; None where no piece of it is written out."""
    parts = name_parts(node)
    if parts is None or not any(isinstance(part, str) and part for part in parts):
        return None
    return "".join(re.escape(part) if isinstance(part, str) else ".*" for part in parts)


def _text(part: Part) -> Part:
    """Constants between the pieces are pieces, too."""
    if isinstance(part, str):
        return part
    value, width = padding(part)
    if not isinstance(value, ast.Constant) or type(value.value) not in (int, str):
        return part
    return f"{value.value:0{width}}" if width and isinstance(value.value, int) else str(value.value)


def _parts(node: ast.expr | None) -> list[Part] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return _joined([_formatted(value) for value in node.values])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _joined([_parts(node.left), _parts(node.right)])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _percent(node.left, node.right)
    if isinstance(node, ast.Call) and not node.keywords:
        if isinstance(node.func, ast.Name) and node.func.id == "str" and len(node.args) == 1:
            return [node.args[0]]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            return _format(node.func.value, node.args)
    return None


def _joined(parts: list[list[Part] | None]) -> list[Part] | None:
    return None if any(part is None for part in parts) else [p for part in parts for p in part or ()]


def _formatted(value: ast.expr) -> list[Part] | None:
    if not isinstance(value, ast.FormattedValue):
        return _parts(value)
    spec = ast.unparse(value.format_spec).strip("f'\"") if value.format_spec is not None else ""
    if value.conversion == -1 and _PADDED.fullmatch(spec):
        return [value]
    return [value.value] if value.conversion in (-1, ord("s")) and spec in ("", "d") else None


def padding(part: ast.expr) -> tuple[ast.expr, int]:
    """The number that a part of a name shows, and its least width in digits (0: as long as it is)."""
    if not isinstance(part, ast.FormattedValue) or part.format_spec is None:
        return part, 0
    return part.value, int(ast.unparse(part.format_spec).strip("f'\"d"))


def _percent(template: ast.expr, values: ast.expr) -> list[Part] | None:
    """`"block%d" % i`."""
    if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
        return None
    first, *rest = _PERCENT.split(template.value)
    specs, pieces = rest[::2], rest[1::2]
    items = list(values.elts) if isinstance(values, ast.Tuple) else [values]
    if len(pieces) != len(items) or any("%" in piece for piece in [first, *pieces]):
        return None
    numbers = [_padded(item, spec) for item, spec in zip(items, specs, strict=True)]
    return [first, *(part for pair in zip(numbers, pieces, strict=True) for part in pair)]


def _padded(number: ast.expr, spec: str | None) -> ast.expr:
    """A number that is filled with zeros, as an f-string has it."""
    if not spec:
        return number
    return ast.FormattedValue(number, -1, ast.JoinedStr([ast.Constant(spec)]))


def _format(template: ast.expr, values: list[ast.expr]) -> list[Part] | None:
    """`"block{:d}".format(i + 1)`."""
    if not (isinstance(template, ast.Constant) and isinstance(template.value, str)):
        return None
    found: list[Part] = []
    try:
        for index, (text, name, spec, conversion) in enumerate(string.Formatter().parse(template.value)):
            found.append(text)
            if name is None:
                continue
            is_padded = _PADDED.fullmatch(spec or "") is not None
            if name not in ("", str(index)) or not (is_padded or spec in ("", "d")) or conversion:
                return None
            if index >= len(values):
                return None
            found.append(_padded(values[index], spec if is_padded else None))
    except ValueError:
        return None
    return found


def counter(target: ast.expr, iterable: ast.expr) -> tuple[str, int, int] | None:
    """The variable that counts a loop's rounds, its first value and its step, where the code states them."""
    if not (isinstance(iterable, ast.Call) and isinstance(iterable.func, ast.Name)):
        return None
    if iterable.func.id == "range" and isinstance(target, ast.Name) and not iterable.keywords:
        bounds = iterable.args
        first = _number(bounds[0]) if len(bounds) > 1 else 0
        step = _number(bounds[2]) if len(bounds) == 3 else 1
        return (target.id, first, step) if first is not None and step is not None else None
    if iterable.func.id == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        start = [*iterable.args[1:], *(k.value for k in iterable.keywords if k.arg == "start")]
        first = _number(start[0]) if start else 0
        name = target.elts[0]
        return (name.id, first, 1) if isinstance(name, ast.Name) and first is not None else None
    return None


def _number(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if type(value) is int else None
