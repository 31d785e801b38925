"""Classes used as values: `partial(ResNet, ...)` becomes `partial(Functional.maker(ResNet, ...), ...)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.programs.sizes import Sizes
from nnx_migrate.nnx.writer.text import HANGING, folded, indentation
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit, SourceText

_Texts = dict[ast.expr, str]
_Span = tuple[int, int]


def functional_values(
    values: Sequence[ClassValue], conversions: Mapping[str, ClassConversion], helpers: Mapping[str, str]
) -> Iterator[tuple[Module, Edit]]:
    """The edits of classes used as values: what stands there afterwards makes `Functional`s when called.

    `conversions` and `helpers` (the helper's name) are by qualified name of the class.
    """
    by_place: dict[tuple[Module, ast.AST], _Texts] = {}
    for value in values:
        module, node = value.reference.module, value.reference.node
        name = value.cls.qualified
        outer = module.parents[node]
        around = module.parents[outer] if isinstance(outer, ast.keyword) else outer
        by_place.setdefault((module, around), {})[node] = _maker(
            module, node, conversions[name], helpers[name]
        )
    for (module, around), texts in by_place.items():
        for edit in _placed(module.source, around, texts):
            yield module, edit


def _maker(module: Module, node: ast.expr, conversion: ClassConversion, helper: str) -> str:
    sizes = Sizes()
    for parameter in conversion.sizes:
        sizes.add_late(parameter)
    arguments = [module.source.segment(node), *([sizes.function] if sizes.late else [])]
    return f"{helper}.maker({', '.join(arguments)})"


def _placed(source: SourceText, around: ast.AST, texts: _Texts) -> Iterator[Edit]:
    """The edits that write some parts of an expression anew, on lines of their own where it gets too long."""
    limit = line_limit(source)
    items = _items(source, around)
    lines = {node.lineno for node in texts}
    growth = {
        line: sum(_growth(source, n, t) for n, t in texts.items() if n.lineno == line) for line in lines
    }
    if all(len(source.line_text(line)) + growth[line] <= limit for line in lines):
        yield from (Edit(*source.span(node), text) for node, text in texts.items())
        return
    if items and isinstance(around, ast.expr) and around.lineno == around.end_lineno:
        yield from _unfolded(source, around, items, texts)
        return
    for node, text in texts.items():
        indent, line = indentation(source, node.lineno), source.line_text(node.lineno)
        starts_line = not line[: node.col_offset].strip()
        length = len(indent) + len(text) + 1 if starts_line else len(line) + growth[node.lineno]
        if length > limit:
            text = text.replace("(", f"(\n{indent}{HANGING}", 1)[:-1] + f"\n{indent})"
        yield Edit(*source.span(node), text)
        end = source.span(node)[1]
        behind = next((start for start, _ in items if start > end), None)
        if starts_line and behind is not None and "\n" not in source.text[end:behind]:
            yield Edit(end, behind, f",\n{indent}")


def _unfolded(source: SourceText, around: ast.expr, items: list[_Span], texts: _Texts) -> Iterator[Edit]:
    """The parts of a call or display on lines below: on one, if they fit, or else each on its own."""
    indent = indentation(source, around.lineno)
    inner = f"\n{indent}{HANGING}"
    first, last, end = items[0][0], items[-1][1], source.span(around)[1] - 1
    length = len(indent) + len(HANGING) + last - first
    together = length + sum(_growth(source, n, t) for n, t in texts.items()) <= line_limit(source)
    yield Edit(first, first, inner)
    for node, text in texts.items():
        fits = together or not isinstance(around, ast.Call | ast.List | ast.Set | ast.Tuple)
        yield Edit(*source.span(node), text if fits else folded(text, indent + HANGING, line_limit(source)))
    if not together:
        for (_, before), (after, _) in pairwise(items):
            yield Edit(before, after, f",{inner}")
    yield Edit(last, end, f"\n{indent}" if together else f",\n{indent}")


def _growth(source: SourceText, node: ast.expr, text: str) -> int:
    start, end = source.span(node)
    return len(text) - (end - start)


def _items(source: SourceText, around: ast.AST) -> list[_Span]:
    """Where the arguments of a call, or the entries of a display, stand; none where parentheses are around one."""
    found: list[_Span] = []
    if isinstance(around, ast.Call):
        found = sorted(source.span(node) for node in [*around.args, *around.keywords])
    elif isinstance(around, ast.List | ast.Set) or (
        isinstance(around, ast.Tuple) and len(around.elts) > 1 and source.segment(around).startswith("(")
    ):
        found = [source.span(node) for node in around.elts]
    elif isinstance(around, ast.Dict):
        pairs = zip(around.keys, around.values, strict=True)
        found = [(source.span(k)[0], source.span(v)[1]) for k, v in pairs if k is not None]
        found = found if len(found) == len(around.keys) else []
    plain = all(source.text[before:after].strip() == "," for (_, before), (after, _) in pairwise(found))
    closes = bool(found) and source.text[found[-1][1] : source.span(around)[1] - 1].strip() in ("", ",")
    return found if plain and closes and source.text[found[0][0] - 1] in "([{ \n" else []
