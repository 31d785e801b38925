"""Sizes that the fields choose, and that several layers need, get a variable:

features = self.out_ch if self.out_ch else in_features
self.conv_0 = nnx.Conv(in_features, features, (3, 3), rngs=rngs)
self.conv_1 = nnx.Conv(features, features, (3, 3), rngs=rngs)
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.nnx.writer.residual.nodes import Assign, Block, Line, Node

_NAMES = ("features", "hidden_features", "chosen_features")
_SHORTEST = 20
_SIZES = "afjpx"  # the kinds of their tokens
_KEYWORD = re.compile(r"(?:\w+=(?!=)|\*\*?)")
_INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def with_repeated_sizes(nodes: Sequence[Node], analysis: ClassAnalysis, taken: Collection[str]) -> list[Node]:
    """The nodes, with variables for such sizes: what the class calls one, or else a name that isn't `taken`."""
    changed = list(nodes)
    methods = [method.node for method in analysis.cls.own_methods.values() if method.is_compact]
    number = max(analysis.facts.phis, default=0) + 1
    for text, count in Counter(found.text for found in _choices(changed)).items():
        if count > 1 and len(TOKEN.sub(lambda m: m["name"], text)) >= _SHORTEST:
            name = _name(text, methods, taken, text in _assigned(changed))
            if name is not None:
                new = token(name, "p", number)
                placed = _placed(changed, text, new)
                if placed is not None:
                    changed, number, taken = placed, number + 1, {*taken, name}
    return changed


@dataclass(frozen=True)
class _Choice:
    """A conditional expression, or `width or in_features`, at a place of a text with the brackets around it."""

    text: str
    start: int
    end: int


def _choices(nodes: Sequence[Node]) -> Iterator[_Choice]:
    for node in nodes:
        if isinstance(node, Block):
            yield from _choices_in(_condition(node))
            yield from _choices([*node.body, *node.orelse])
        elif isinstance(node, Line):
            for argument in node.arguments:
                yield from _choices_in(argument)
        else:
            yield from _choices_in(node.text)


def _condition(block: Block) -> str:
    return "" if block.is_loop else block.header.removeprefix("if ").removesuffix(":")


def _choices_in(text: str) -> list[_Choice]:
    """The outermost ones of an argument."""
    if " if " not in text and " or " not in text:
        return []
    keyword = _KEYWORD.match(text)
    shift = keyword.end() if keyword else 0
    masked = TOKEN.sub(lambda m: re.sub(r"\W", "_", m.group()), text[shift:])
    if not masked.isascii() or "\n" in masked:
        return []
    try:
        tree = ast.parse(masked.strip(), mode="eval").body
    except SyntaxError:
        return []
    shift += len(masked) - len(masked.lstrip())
    found = []
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if _is_choice(node):
            start, end = node.col_offset + shift, (node.end_col_offset or 0) + shift
            inner = text[start:end]
            if re.search(r"(?<![\w\])])\($", text[:start]) and text[end : end + 1] == ")":
                start, end = start - 1, end + 1
            found.append(_Choice(inner, start, end))
        elif not isinstance(node, _INNER):
            stack += ast.iter_child_nodes(node)
    return sorted(found, key=lambda choice: choice.start)


def _is_choice(node: ast.AST) -> TypeGuard[ast.IfExp | ast.BoolOp]:
    if not isinstance(node, ast.BoolOp):
        return isinstance(node, ast.IfExp)
    plain = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant)
    return isinstance(node.op, ast.Or) and all(isinstance(value, plain) for value in node.values)


def _placed(nodes: list[Node], text: str, new: str) -> list[Node] | None:
    """The nodes with an assignment in front of the first one that needs it; None where its value may change."""
    uses = [i for i, node in enumerate(nodes) if _count([node], text)]
    if len(uses) == 1 and isinstance(nodes[uses[0]], Block):
        within = _placed_within(nodes, uses[0], text, new)
        if within is not None:
            return within
    first, rest = uses[0], nodes[uses[0] :]
    read = {m.group() for m in TOKEN.finditer(text)} | {*re.findall(r"\w+", TOKEN.sub("", text))}
    read |= {m["name"] for m in TOKEN.finditer(text) if m["kind"] in "ls"}  # the constructor's own variables
    for index, node in enumerate(rest):
        if read & _bound([node]) and _count(rest[index if isinstance(node, Block) else index + 1 :], text):
            tried = (_placed_within(nodes, use, text, new) for use in uses)
            return next((placed for placed in tried if placed is not None), None)
    return [*nodes[:first], Assign(new, text), *(_replaced(node, text, new) for node in rest)]


def _placed_within(nodes: list[Node], index: int, text: str, new: str) -> list[Node] | None:
    """The nodes with such an assignment in one branch, or loop, that needs it more than once."""
    block = nodes[index]
    if not isinstance(block, Block) or (block.is_loop and len(block.body) == 1):
        return None
    if any(choice.text == text for choice in _choices_in(_condition(block))):
        return None
    for branch in (block.body, block.orelse):
        placed = _placed(branch, text, new) if _count(branch, text) > 1 else None
        if placed is not None:
            is_body = branch is block.body
            body, orelse = (placed, block.orelse) if is_body else (block.body, placed)
            return [*nodes[:index], replace(block, body=body, orelse=orelse), *nodes[index + 1 :]]
    return None


def _count(nodes: Sequence[Node], text: str) -> int:
    return sum(choice.text == text for choice in _choices(nodes))


def _bound(nodes: Sequence[Node]) -> set[str]:
    """The tokens and names that nodes give a value."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Assign):
            found.add(node.token)
        elif isinstance(node, Block):
            found |= {*node.binds, *_bound([*node.body, *node.orelse])}
            loop = re.match(r"for (.+?) in ", node.header)
            found |= {*re.findall(r"\w+", loop[1])} if loop else set()
        else:
            found |= {*re.findall(r"(?<![\w.])(\w+)(?=[^=\n]*=(?!=))", node.text)}
    return found - {"self"}


def _replaced(node: Node, text: str, new: str) -> Node:
    if isinstance(node, Block):
        condition = _condition(node)
        header = f"if {_in(condition, text, new)}:" if condition else node.header
        body, orelse = ([_replaced(inner, text, new) for inner in part] for part in (node.body, node.orelse))
        return replace(node, header=header, body=body, orelse=orelse)
    if isinstance(node, Line):
        return replace(node, arguments=[_in(argument, text, new) for argument in node.arguments])
    return replace(node, text=_in(node.text, text, new))


def _in(where: str, text: str, new: str) -> str:
    for choice in reversed(_choices_in(where)):
        if choice.text == text:
            where = f"{where[: choice.start]}{new}{where[choice.end :]}"
    return where


def _assigned(nodes: Sequence[Node]) -> Iterator[str]:
    """The sizes that sizes get."""
    for node in nodes:
        if isinstance(node, Assign):
            yield node.text
        elif isinstance(node, Block):
            yield from _assigned([*node.body, *node.orelse])


def _name(text: str, methods: Sequence[ast.AST], taken: Collection[str], is_size: bool) -> str | None:
    """What the methods call such a choice, or another free name."""
    masked = TOKEN.sub(lambda m: re.sub(r"\W", "_", m.group()), text)
    choice = ast.parse(masked, mode="eval").body
    own = []
    for node in (n for method in methods for n in ast.walk(method)):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            if _is_like(node.value, choice):
                own.append(node.targets[0].id)
    is_size = is_size or any(m["kind"] in _SIZES for m in TOKEN.finditer(text))
    if isinstance(choice, ast.IfExp):
        ways = (choice.body, choice.orelse)
        is_size = is_size and not any(isinstance(way, ast.Tuple | ast.List) for way in ways)
    return next((name for name in (*own, *(_NAMES if is_size else ())) if name not in taken), None)


def _is_like(value: ast.expr, choice: ast.expr) -> bool:
    """Whether an expression of the user's is the choice but for the sizes of inputs."""
    if isinstance(choice, ast.BoolOp):
        return (
            isinstance(value, ast.BoolOp)
            and len(value.values) == len(choice.values)
            and all(
                _same(one, other) for one, other in zip(value.values[:-1], choice.values[:-1], strict=True)
            )
        )
    if not isinstance(choice, ast.IfExp):
        return False
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or) and len(value.values) == 2:
        return _same(value.values[0], choice.test) and _same(choice.test, choice.body)
    if not isinstance(value, ast.IfExp) or not _same(value.test, choice.test):
        return False
    return _same(value.body, choice.body) or _same(value.orelse, choice.orelse)


def _same(one: ast.expr, other: ast.expr) -> bool:
    return ast.unparse(one) == ast.unparse(other)
