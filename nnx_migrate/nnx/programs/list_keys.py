"""Names of modules that become two keys, as the modules move to a list: `params["fc_0"]` is `params["fcs"]["0"]`.

The same in dictionaries that a program writes (`{"fc_0": weights}`), and where it asks for one (`"fc_0" in params`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.writer.text import HANGING, indentation
from nnx_migrate.sources.text import Edit

_PARAMETERS = re.compile(r"param|variable|\.init\(", re.IGNORECASE)
#: What a name becomes: the keys, or None where it isn't clear. Names that stay are their own keys.
NewKeys = Callable[[str], list[str] | None]


def split_key(module: Module, node: ast.Constant, new: NewKeys) -> list[Edit] | None:
    """The edits for a string that names a module of a list; None where what it becomes can't be written."""
    keys, parent = new(str(node.value)), module.parents[node]
    quote = module.source.segment(node)[-1]
    if keys is None:
        return None
    if isinstance(parent, ast.Subscript) and parent.slice is node and isinstance(parent.ctx, ast.Load):
        text = f"{quote}][{quote}".join(keys)
        return [Edit(*module.source.span(node), f"{quote}{text}{quote}")]
    if len(keys) != 2:
        return None
    if isinstance(parent, ast.Dict) and node in parent.keys:
        return _in_display(module, parent, node, keys, quote, new)
    if isinstance(parent, ast.Compare) and parent.left is node and len(parent.ops) == 1:
        return _asked_for(module, parent, node, keys, quote)
    return None


def _asked_for(
    module: Module, test: ast.Compare, node: ast.Constant, keys: list[str], quote: str
) -> list[Edit] | None:
    """`"fc_0" in params` becomes `"0" in params.get("fcs", {})`, for what the file reads by such keys elsewhere."""
    tree = test.comparators[0]
    is_plain = isinstance(tree, ast.Name | ast.Attribute | ast.Subscript)
    if not isinstance(test.ops[0], ast.In | ast.NotIn) or not is_plain or not _is_read_by_keys(module, tree):
        return None
    end = module.source.span(tree)[1]
    return [
        Edit(*module.source.span(node), f"{quote}{keys[1]}{quote}"),
        Edit(end, end, f".get({quote}{keys[0]}{quote}, {{}})"),
    ]


def _is_read_by_keys(module: Module, tree: ast.expr) -> bool:
    """Whether an expression is a dictionary: `tree["kernel"]` stands somewhere in the file."""
    text = ast.unparse(tree)
    return any(
        isinstance(read.slice, ast.Constant)
        and isinstance(read.slice.value, str)
        and ast.unparse(read.value) == text
        for read in module.nodes(ast.Subscript)
    )


def _in_display(
    module: Module, display: ast.Dict, node: ast.Constant, keys: list[str], quote: str, new: NewKeys
) -> list[Edit] | None:
    """`{"fc_0": a, "fc_1": b}` becomes `{"fcs": {"0": a, "1": b}}`, where these stand side by side."""
    heads = [_head(key, new) for key in display.keys]
    same = [index for index, head in enumerate(heads) if head == keys[0]]
    if "" in heads or same != list(range(same[0], same[-1] + 1)):
        return None
    run = [key for key in display.keys[same[0] : same[-1] + 1] if key is not None]
    if not all(_holds_parameters(module, value) for value in display.values[same[0] : same[-1] + 1]):
        return None
    if any(len(new(str(key.value)) or ()) != 2 for key in run if isinstance(key, ast.Constant)):
        return None  # a name that stays and is called as the list
    source, last = module.source, display.values[same[-1]]
    inner = f"{quote}{keys[1]}{quote}"
    if node is not run[0]:
        return [Edit(*source.span(node), inner)]
    end = source.span(last)[1]
    lines = range(node.lineno + 1, (last.end_lineno or last.lineno) + 1)
    indent = indentation(source, node.lineno)
    first = source.line_text(node.lineno)[: len(indent)] == indent and source.span(node)[0] == (
        source.line_start(node.lineno) + len(indent)
    )
    if not first or not _ends_line(source.text, end) or _has_long_string(display):
        return [Edit(*source.span(node), f"{quote}{keys[0]}{quote}: {{{inner}"), Edit(end, end, "}")]
    starts = [source.line_start(line) for line in lines if source.line_text(line).strip()]
    return [
        Edit(*source.span(node), f"{quote}{keys[0]}{quote}: {{\n{indent}{HANGING}{inner}"),
        *(Edit(start, start, HANGING) for start in starts),
        Edit(end, end, f",\n{indent}}}"),
    ]


def _holds_parameters(module: Module, node: ast.expr) -> bool:
    """Whether a value is a tree of its own: not what a table has for the name of a layer."""
    if isinstance(node, ast.Dict):
        return bool(node.keys) and all(
            isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys
        )
    return is_of_parameters(module, node)


def is_of_parameters(module: Module, node: ast.expr) -> bool:
    """Whether a tree is called as parameters are, or is made by `init`: `params`, `variables["params"]["encoder"]`."""
    while isinstance(node, ast.Subscript) and not _PARAMETERS.search(module.source.segment(node)):
        node = node.value
    bindings = module.scope_at(node).lookup(node.id) if isinstance(node, ast.Name) else []
    made = [b.value for b in bindings if b.value is not None]
    return any(_PARAMETERS.search(module.source.segment(text)) for text in (node, *made))


def _head(key: ast.expr | None, new: NewKeys) -> str:
    """The first of a key's new keys; "" where the key isn't known."""
    if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
        return ""
    keys = new(key.value)
    return keys[0] if keys is not None else ""


def _ends_line(text: str, end: int) -> bool:
    return text[end : end + 1] in ("\n", "\r") or text[end : end + 2].rstrip() == ","


def _has_long_string(node: ast.AST) -> bool:
    """Whether a string runs over several lines, which nothing may indent."""
    return any(isinstance(n, ast.Constant) and n.lineno != n.end_lineno for n in ast.walk(node))
