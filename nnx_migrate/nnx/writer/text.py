"""Small tools for source text: parts of it replaced, joined to one line, wrapped again."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import pairwise
from keyword import iskeyword
from token import DEDENT, ENDMARKER, INDENT, NAME, NEWLINE, NL
from tokenize import TokenError, TokenInfo, generate_tokens

from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.names.nodes import children
from nnx_migrate.sources.text import Edit, SourceText

Replace = Callable[[ast.AST], str | None]


def rewritten(source: SourceText, node: ast.AST, replace: Replace) -> str:
    """The source of `node` with every outermost part replaced for which `replace` gives a text."""
    start, end = source.span(node)
    edits = sorted(replacements(source, node, replace))
    pieces: list[str] = []
    position = start
    for first, last, text in edits:
        pieces += (source.text[position:first], text)
        position = last
    pieces.append(source.text[position:end])
    return "".join(pieces)


def replacements(source: SourceText, node: ast.AST, replace: Replace) -> list[tuple[int, int, str]]:
    """Spans to replace, outermost first."""
    found: list[tuple[int, int, str]] = []
    stack = [node]
    while stack:
        current = stack.pop()
        text = replace(current) if hasattr(current, "lineno") else None
        if text is not None:
            found.append((*source.span(current), text))
        elif isinstance(current, ast.JoinedStr):
            stack.extend(v for v in current.values if isinstance(v, ast.FormattedValue))
        else:
            stack += children(current)
    return found


#: How far what stands in brackets is to the right of the line that opens them, whatever blocks have.
HANGING = "    "
_BLANK = frozenset({NL, NEWLINE, INDENT, DEDENT, ENDMARKER})
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def one_line(text: str) -> str:
    """Text of an expression on one line; left alone where a comment or a long string forbids it."""
    if "\n" not in text or "#" in text or '"""' in text or "'''" in text or "\\\n" in text:
        return text
    try:
        tokens = [t for t in generate_tokens(StringIO(f"({text}\n)").readline) if t.type not in _BLANK]
    except (TokenError, SyntaxError):
        return text
    pieces: list[str] = []
    for token, following in pairwise(tokens[1:-1]):
        if token.string == "," and following.string in _CLOSING and _may_go(tokens, token):
            continue
        pieces.append(token.string)
        if token.end[0] == following.start[0]:
            pieces.append(token.line[token.end[1] : following.start[1]])
        elif token.string not in _OPENING and following.string not in _CLOSING:
            pieces.append(" ")
    return "".join([*pieces, tokens[-2].string])


def _may_go(tokens: Sequence[TokenInfo], comma: TokenInfo) -> bool:
    """Whether a comma behind the last element says nothing: it does in a tuple of one element."""
    depth, inner = 0, 0
    before = tokens[: tokens.index(comma)]
    for index in range(len(before) - 1, -1, -1):
        text = before[index].string
        depth += (text in _CLOSING) - (text in _OPENING)
        inner += text == "," and depth == 0
        if depth < 0:
            previous = before[index - 1] if index else None
            called = previous is not None and (
                previous.string in _CLOSING or (previous.type == NAME and not iskeyword(previous.string))
            )
            return inner > 0 or text == "{" or (called if text == "(" else not called)
    return False


def unwrapped(text: str) -> str:
    """An expression without the parentheses around all of it, which a value or an argument doesn't need."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    try:
        whole, inner = (ast.parse(TOKEN.sub("size", t), mode="eval").body for t in (text, text[1:-1]))
    except SyntaxError:
        return text
    needed = isinstance(inner, ast.Tuple | ast.GeneratorExp | ast.NamedExpr | ast.Yield | ast.Await)
    return text if needed or ast.dump(whole) != ast.dump(inner) else text[1:-1]


def call_text(
    callee: str, arguments: list[str], indent: str, prefix: str, limit: int, suffix: str = ""
) -> str:
    """`callee(arguments)`, broken after the parenthesis where the line would be longer than `limit`.

    `prefix` is what stands in front of it on the line (without the indentation), `suffix` what follows.
    """
    line = f"{callee}({', '.join(arguments)})"
    if "\n" not in line and len(indent) + len(prefix) + len(line) + len(suffix) <= limit:
        return line
    inner = indent + HANGING
    if " if " in callee and " else " in callee and _is_choice(line):
        return f"(\n{inner}{folded(line, inner, limit)}\n{indent})"
    if callee.endswith(")") and "\n" not in line and len(indent) + len(prefix) + len(callee) + 1 > limit:
        return _call_of_call(callee, arguments, indent, inner, limit)
    joined = ", ".join(arguments)
    if "\n" not in joined and len(inner) + len(joined) <= limit:
        return f"{callee}(\n{inner}{joined}\n{indent})"
    body = "".join(f"{inner}{folded(argument, inner, limit)},\n" for argument in arguments)
    return f"{callee}(\n{body}{indent})"


def _is_choice(text: str) -> bool:
    try:
        return isinstance(ast.parse(TOKEN.sub("size", text), mode="eval").body, ast.IfExp)
    except SyntaxError:
        return False


def append_text(target: str, element: str, indent: str, limit: int) -> str:
    """`target.append(element)`, the element on lines of its own where one line would be longer than `limit`."""
    text = one_line(element)
    line = f"{target}.append({text})"
    if "\n" in text or len(indent) + len(line) <= limit:
        return line
    inner = indent + HANGING
    return f"{target}.append(\n{inner}{folded(text, inner, limit)}\n{indent})"


def folded(text: str, indent: str, limit: int) -> str:
    """An argument broken where its line would be longer than `limit`: a call like the call around it, a dict into
    its items, a conditional expression in front of `if` and `else`; what a lambda returns, too.
    """
    if "\n" in text or len(indent) + len(text) + 1 <= limit:
        return text
    name = re.match(r"\w+=(?!=)|\*\*?|lambda [\w, ]*: ", text)
    start = name.end() if name else 0
    plain = TOKEN.sub(lambda token: "x" * len(token.group()), text)
    try:
        node = ast.parse(plain[start:], mode="eval").body
    except (SyntaxError, ValueError):
        return text
    if not plain.isascii():
        return text
    head, value = text[:start], text[start:]
    if isinstance(node, ast.IfExp):
        return head + _folded_choice(value, node, indent, limit)
    if isinstance(node, ast.Dict):
        _, items = _parts_of_call(f"({value[1:-1]})")
        inner = indent + HANGING
        return f"{head}{{\n" + "".join(f"{inner}{item},\n" for item in items if item) + f"{indent}}}"
    if not isinstance(node, ast.Call):
        return text
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    arguments = [value[p.col_offset : p.end_col_offset] for p in parts]
    callee = value[: value.index("(", node.func.end_col_offset)]  # `(lambda: x)` as a whole
    return head + call_text(callee, arguments, indent, head, limit, ",")


def _folded_choice(text: str, choice: ast.IfExp, indent: str, limit: int) -> str:
    parts = [text[n.col_offset : n.end_col_offset] for n in (choice.body, choice.test, choice.orelse)]
    for index, node in enumerate((choice.body, choice.test)):  # whose parentheses are no part of them
        if isinstance(node, ast.IfExp | ast.Lambda | ast.NamedExpr):
            parts[index] = f"({parts[index]})"
    body, test, orelse = (folded(part, indent, limit) for part in parts)
    return f"{body}\n{indent}if {test}\n{indent}else {orelse}"


def without_double_gaps(source: SourceText, edits: list[Edit]) -> list[Edit]:
    """Edits that remove whole lines between two blank ones remove one of these, too."""
    text = source.text
    starts = {edit.end: edit.start for edit in edits if not edit.new and edit.end > edit.start}
    result: list[Edit] = []
    for edit in edits:
        start, end = edit.start, text.find("\n", edit.end) + 1
        while start in starts:
            start = starts[start]
        gap = text[edit.end : end].isspace() and text[:start].endswith("\n\n")
        whole = edit.end in starts and text[edit.end - 1 : edit.end] == "\n"
        result.append(Edit(edit.start, end, "") if gap and whole else edit)
    return result


def _call_of_call(callee: str, arguments: list[str], indent: str, inner: str, limit: int) -> str:
    """`transform(function, option)(arguments)`, with each argument of the transform on a line of its own.

    So are the parts of a `(function if condition else other)` that is too long for one line.
    """
    name, parts = _parts_of_call(callee)
    if not name and len(inner) + len(parts[0]) > limit:
        head, _, other = parts[0].rpartition(" else ")
        function, _, condition = head.rpartition(" if ")
        function = folded(function, inner, limit)
        parts = [f"{function}\n{inner}if {condition}\n{inner}else {other}"]
    parts = [folded(part, inner, limit) for part in parts]
    body = f"{inner}{parts[0]}\n" if len(parts) == 1 else "".join(f"{inner}{part},\n" for part in parts)
    return f"{name}(\n{body}{indent})({', '.join(arguments)})"


def _parts_of_call(text: str) -> tuple[str, list[str]]:
    """The callee and the arguments of a call on one line; the commas of lambdas and brackets don't count."""
    start = text.index("(")
    parts, depth, begin, in_lambda = [""], 0, start + 1, False
    for position in range(begin, len(text) - 1):
        character = text[position]
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and text.startswith("lambda ", position) and not parts[-1].strip():
            in_lambda = True
        in_lambda = in_lambda and not (depth == 0 and character == ":")
        if character == "," and depth == 0 and not in_lambda:
            parts.append("")
        else:
            parts[-1] += character
    return text[:start], [part.strip() for part in parts]


def indentation(source: SourceText, line: int) -> str:
    """The white space in front of a line."""
    text = source.line_text(line)
    return text[: len(text) - len(text.lstrip())]


def rest_of_line(source: SourceText, offset: int) -> str:
    """What stands behind a place on its line."""
    return source.text[offset:].partition("\n")[0]


def dedented(text: str, old: str, new: str) -> str:
    """Text whose continuation lines move from one indentation to another."""
    first, *rest = text.split("\n")
    moved = [new + line[len(old) :] if line.startswith(old) else line for line in rest]
    return "\n".join([first, *moved])


def meaning(text: str) -> str:
    """The same text for statements that say the same."""
    try:
        return ast.dump(ast.parse(TOKEN.sub(lambda m: re.sub(r"\W", "_", m.group()), text)))
    except SyntaxError:
        return text


_KEY = re.compile(r"""\['([^'"\\\n]*)'\]""")


def with_quotes_of(source: SourceText, text: str) -> str:
    """Keys that code of our own reads (`config['width']`) in the quotes that the file has for them."""
    return _KEY.sub(lambda m: f'["{m[1]}"]' if f'["{m[1]}"]' in source.text else m[0], text)
