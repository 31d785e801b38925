"""From nodes of the residual constructor to lines of source."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.residual.allocation import NameAllocator
from nnx_migrate.nnx.writer.residual.nodes import Assign, Block, Line, Node
from nnx_migrate.nnx.writer.text import HANGING, call_text, folded, one_line, unwrapped

_ENUMERATE = re.compile(r"for (\w+), (.+) in enumerate\((.+)\):$", re.DOTALL)
_FOR = re.compile(r"for (\w+) in (range\(.+\)):$", re.DOTALL)


class Emitter:
    """Writes nodes with a given indentation unit and line length."""

    def __init__(self, allocator: NameAllocator, unit: str, limit: int) -> None:
        self.allocator, self.unit, self.limit = allocator, unit, limit

    def lines(self, nodes: Sequence[Node], indent: str) -> list[str]:
        """The source lines of nodes."""
        lines: list[str] = []
        index = 0
        while index < len(nodes):
            node = nodes[index]
            following = nodes[index + 1] if index + 1 < len(nodes) else None
            built = self._list_of(node, following, indent)
            if built is not None:
                lines += built
                index += 2
                continue
            is_function = isinstance(node, Line) and node.follows_indent
            if is_function and lines and lines[-1]:
                lines.append("")
            lines += self._node(node, indent)
            if is_function and following is not None:
                lines.append("")
            index += 1
        return lines

    def _node(self, node: Node, indent: str) -> list[str]:
        if isinstance(node, Line):
            return self._line(node, indent)
        if isinstance(node, Assign):
            target, text = self.allocator.name(node.token), unwrapped(self.allocator.text(node.text))
            return [] if target == text else self._assignment(target, text, indent)
        return self._block(node, indent)

    def _assignment(self, target: str, text: str, indent: str) -> list[str]:
        line, inner = f"{indent}{target} = {text}", indent + HANGING
        if "\n" in text or len(line) <= self.limit:
            return [line]
        if _is_call(text):
            called = folded(text, indent, self.limit - len(target) - 3)
            return f"{indent}{target} = {called}".split("\n")
        return [
            f"{indent}{target} = (",
            *f"{inner}{folded(text, inner, self.limit)}".split("\n"),
            f"{indent})",
        ]

    def _line(self, line: Line, indent: str) -> list[str]:
        name = self.allocator.text
        if line.follows_indent:
            return [f"{indent}{part}" if part else part for part in name(line.text).split("\n")]
        if line.is_display:
            return self._display(line, indent).split("\n")
        if not line.callee:
            return [
                f"{indent}{part}" if i == 0 else part
                for i, part in enumerate(f"{name(line.text)}{line.comment}".split("\n"))
            ]
        prefix, closing = name(line.text), line.closing
        text = self._call(line, indent, prefix, closing)
        if (
            closing and "\n" in text and not line.is_list
        ):  # the call is itself an argument: it moves to a line of its own
            inner = indent + HANGING
            text = self._call(line, inner)
            if text.startswith("(\n"):  # one of two calls, which has brackets around it already
                text = folded(one_line(text)[1:-1], inner, self.limit)
            return f"{indent}{prefix}\n{inner}{text}\n{indent}{closing}".split("\n")
        return f"{indent}{prefix}{text}{closing}".split("\n")

    def _call(self, line: Line, indent: str, prefix: str = "", closing: str = "") -> str:
        arguments = [self.allocator.text(a) for a in line.arguments]
        callee = self.allocator.text(line.callee)
        if not line.is_list:
            return call_text(callee, arguments, indent, prefix, self.limit, closing)
        text = call_text(callee, arguments, indent, prefix, self.limit, f"[]{closing}")
        return f"{callee}([{text[len(callee) + 1 : -1]}])"

    def _display(self, line: Line, indent: str) -> str:
        """A list display, broken like the arguments of a call."""
        prefix = self.allocator.text(line.text)
        text = call_text(
            "", [self.allocator.text(a) for a in line.arguments], indent, prefix, self.limit, line.closing
        )
        return f"{indent}{prefix}[{text[1:-1]}]{line.closing}"

    def _block(self, block: Block, indent: str) -> list[str]:
        block = self._joined(block, indent)
        body = self.lines(block.body, indent + self.unit)
        orelse = self.lines(block.orelse, indent + self.unit)
        header = self.allocator.text(block.header)
        if block.is_loop:
            return [f"{indent}{_without_unused(header, body)}", *body] if body else []
        if not body and not orelse:
            return []
        if not body:
            header, body, orelse = _negated(header), orelse, []
        lines = [f"{indent}{header}", *body]
        if not orelse:
            return lines
        if len(block.orelse) == 1 and isinstance(block.orelse[0], Block) and not block.orelse[0].is_loop:
            nested = self._block(block.orelse[0], indent)
            return [*lines, f"{indent}el{nested[0].lstrip()}", *nested[1:]]
        return [*lines, f"{indent}else:", *orelse]

    def _joined(self, block: Block, indent: str) -> Block:
        """One condition for two, where whatever either of them leaves out is None."""
        inner = block.body[0] if len(block.body) == 1 else None
        if block.is_loop or not isinstance(inner, Block) or inner.is_loop or inner.orelse != block.orelse:
            return block
        if not all(isinstance(node, Line) and node.leaves_out for node in block.orelse) or not block.orelse:
            return block
        header = f"if {_operand(block.header)} and {_operand(inner.header)}:"
        fits = "\n" not in header and len(indent + self.allocator.text(header)) <= self.limit
        return self._joined(Block(header, inner.body, block.orelse), indent) if fits else block

    def _list_of(self, node: Node, following: Node | None, indent: str) -> list[str] | None:
        """`self.x = nnx.List([... for ...])` where a loop does nothing but fill one list."""
        if not (isinstance(node, Line) and node.callee.endswith(".List") and not node.arguments):
            return None
        if not (isinstance(following, Block) and following.is_loop and len(following.body) == 1):
            return None
        (only,) = following.body
        attribute = node.text.removesuffix(" = ")
        if not (isinstance(only, Line) and only.callee and only.text == f"{attribute}.append("):
            return None
        inner = indent + HANGING
        element = self._call(only, inner)
        header = _without_unused(self.allocator.text(following.header), [element]).removesuffix(":")
        opening = f"{indent}{node.text}{node.callee}("
        short = f"{opening}[{element} {header}])"
        if "\n" not in short and len(short) <= self.limit:
            return [short]
        middle = f"{inner}[{element} {header}]"
        if "\n" not in middle and len(middle) <= self.limit:
            return [opening, middle, f"{indent})"]
        return None


def _negated(header: str) -> str:
    condition = header.removeprefix("if ").removesuffix(":")
    if condition.startswith("not ") and condition[4:].replace(".", "").isidentifier():
        return f"if {condition[4:]}:"
    return f"if not {condition}:" if condition.replace(".", "").isidentifier() else f"if not ({condition}):"


def _operand(header: str) -> str:
    """A condition as one side of `and`."""
    condition = header.removeprefix("if ").removesuffix(":")
    try:
        node = ast.parse(TOKEN.sub("_", condition), mode="eval").body
    except SyntaxError:
        return f"({condition})"
    is_loose = isinstance(node, ast.IfExp | ast.Lambda | ast.NamedExpr) or (
        isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    )
    return f"({condition})" if is_loose else condition


def _without_unused(header: str, body: Sequence[str]) -> str:
    """A loop header without counters that the body doesn't read."""
    text = "\n".join(body)
    enumerated = _ENUMERATE.match(header)
    if enumerated and not _mentions(text, enumerated[1]) and _is_one_argument(enumerated[3]):
        header = f"for {enumerated[2]} in {enumerated[3]}:"
    counted = _FOR.match(header)
    if counted and not _mentions(text, counted[1]):
        return f"for _ in {counted[2]}:"
    return header


def _is_one_argument(text: str) -> bool:
    """Whether what stands between a call's parentheses is one argument: no start of `enumerate` behind it."""
    call = ast.parse(f"f({text})", mode="eval").body
    return isinstance(call, ast.Call) and len(call.args) == 1 and not call.keywords


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _is_call(text: str) -> bool:
    try:
        return isinstance(ast.parse(TOKEN.sub("_", text), mode="eval").body, ast.Call)
    except (SyntaxError, ValueError):
        return False
