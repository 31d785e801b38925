"""Texts that a program builds, which may be names of parameters: `f"Dense_{i}"`, `"Dense_%d" % i`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.module_names import name_parts

#: What gets texts for people: names of traces, messages.
SHOWING = frozenset({"name_scope", "named_scope", "TraceAnnotation", "print", "info", "warning", "debug"})
_PLACEHOLDER = re.compile(r"\{\w*\}|%[ds]")
# What Flax calls variables: no class has to spell these.
_OF_FLAX = re.compile(
    r"kernel|bias|scale|embedding|mean|var|count|param|stats|cached?|key|value|query|out|carry|cell|\d"
)
_OF_PATTERNS = re.compile(r"[\\*+?()|^$\[\]]")


def builds_name(module: Module, node: ast.Constant, stems: Iterable[str]) -> bool:
    """Whether what is built of a text begins as names that change do, and is more than shown."""
    template = _template(module, node)
    if template is None:
        return False
    call = module.parents[template]
    if isinstance(call, ast.Call) and template in call.args:
        if ast.unparse(call.func).rpartition(".")[2] in SHOWING:
            return False
    start = _PLACEHOLDER.split(str(node.value))[0]
    return any(start.rstrip("_") == stem or start.endswith(f"{stem}_") for stem in stems)


def _template(module: Module, node: ast.Constant) -> ast.AST | None:
    """`f"Dense_{i}"`, `"Dense_" + str(i)`, `"Dense_%d" % i`, `"Dense_{}".format(i)`."""
    parent: ast.AST = module.parents[node]
    if isinstance(parent, ast.Attribute) and parent.attr == "format":
        return module.parents[parent]
    return parent if isinstance(parent, ast.JoinedStr | ast.BinOp) else None


def goes_on_otherwise(module: Module, node: ast.Constant, classes: Iterable[str]) -> bool:
    """Whether a text that is built goes on, behind a placeholder, with words that no name of a parameter has:
    `"block_%s_position" % color`, where the texts of all classes, and Flax, never say `position`.
    """
    if _template(module, node) is None:
        return False
    pieces = list(_pieces_behind(module, node))
    if any(_OF_PATTERNS.search(piece) for piece in pieces):
        return False
    words = [word for piece in pieces for word in re.findall(r"[A-Za-z]+", piece)]
    texts = list(classes)
    return any(not _OF_FLAX.search(word) and not any(word in text for text in texts) for word in words)


def _pieces_behind(module: Module, node: ast.Constant) -> Iterator[str]:
    """The literal pieces of a template behind the first placeholder that follows a text."""
    yield from _PLACEHOLDER.split(str(node.value))[1:]
    parent = module.parents[node]
    if isinstance(parent, ast.JoinedStr):
        for piece in parent.values[parent.values.index(node) + 1 :]:
            if isinstance(piece, ast.Constant):
                yield str(piece.value)


def keys_behind_values(module: Module) -> Iterator[tuple[ast.expr, re.Pattern[str]]]:
    """Keys that begin with a value and go on with a text, `params[f"{tower}_fc_{i}"]`, and the names they may give."""
    for node in (*module.nodes(ast.JoinedStr), *module.nodes(ast.BinOp)):
        parent = module.parents[node]
        if not isinstance(parent, ast.Subscript) or parent.slice is not node:
            continue
        pieces = list(_sum(node))
        if pieces[0] is None and any(re.search(r"[A-Za-z]{2}", piece) for piece in pieces if piece):
            yield node, re.compile("".join(".+" if piece is None else _any_number(piece) for piece in pieces))


def _sum(node: ast.expr) -> Iterator[str | None]:
    """The texts that an expression joins, with None for what isn't written out."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _sum(node.left)
        yield from _sum(node.right)
        return
    for piece in name_parts(node) or (None,):
        yield piece if isinstance(piece, str) else None


def _any_number(text: str) -> str:
    return re.sub(r"\d+", r"\\d+", re.escape(text))
