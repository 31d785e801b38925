"""Where the parameters of a function stand."""

from __future__ import annotations

import ast
from io import StringIO
from token import COMMENT, OP
from tokenize import generate_tokens

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.sources.text import SourceText


def parentheses(source: SourceText, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int, bool]:
    """Where the parentheses around a function's parameters stand, and whether no comments are in them."""
    begin = source.span(node)[0]
    lines = source.text[begin:].splitlines(keepends=True)
    starts = [begin]
    for line in lines:
        starts.append(starts[-1] + len(line))
    depth, start, plain = 0, -1, True
    for token in generate_tokens(StringIO("".join(lines)).readline):
        plain &= not (token.type == COMMENT and depth > 0)
        if token.type == OP and (token.string == "(" or (depth and token.string in "[{")):
            if depth == 0:
                start = starts[token.start[0] - 1] + token.start[1]
            depth += 1
        elif depth and token.type == OP and token.string in ")]}":
            depth -= 1
            if depth == 0:
                return start, starts[token.start[0] - 1] + token.start[1], plain
    raise Refuse("unsupported-syntax", f"the parameters of `{node.name}`", node)
