"""Constructions outside of modules: `CNN(32)` becomes `Functional(CNN, 32, in_features=1)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from nnx_migrate.engine.context import PREFERRED_IMPORTS
from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.nnx.programs.sizes import Sizes
from nnx_migrate.nnx.writer.text import HANGING, folded, indentation
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit, SourceText

HELPER = "Functional"
CACHING_HELPER = "CachingFunctional"
BRIDGING_HELPER = "BridgingFunctional"
SHARING_HELPER = "SharingFunctional"
LISTING = "Listing"  # in front of a helper's name: it gives what lists hold Linen's names
VMAPPED = "vmapped"  # for `nn.vmap` of a class
_LINEN_ONLY = ("name", "parent")
_ENDED = re.compile(r"(?:\s*\))*(?P<comma>\s*,)?")  # what can stand behind the last argument


def functional_construction(instance: Instance, sizes: Sizes, helper: str = HELPER) -> Iterator[Edit]:
    """The edits of one construction; the user's arguments stay as they are."""
    call, source = instance.reference.call, instance.reference.module.source
    start, end = source.span(call)
    opening = _opening(source, call)
    kept: list[ast.expr | ast.keyword] = [*call.args, *(k for k in call.keywords if k.arg not in _LINEN_ONLY)]
    added = [f"{name}={text}" for name, text in sizes.arguments.items()]
    length = sum(len(text) + 2 for text in added)
    growth = len(helper) + length + (2 if kept else 0)
    line = len(source.line_text(call.lineno))
    at_once = f".sized({sizes.function})" if sizes.late else ""
    beside = [] if instance.holders else _beside(instance.reference.module, call)
    if beside and line + growth + len(at_once) > line_limit(source):  # each argument around gets a line
        line = len(indentation(source, call.lineno)) + _own_length(source, call, beside) + len(",")
        yield from _on_lines_of_their_own(source, beside, f"\n{indentation(source, call.lineno)}")
    else:
        beside = []
    late = _sized(source, call, sizes, growth, line) if sizes.late else ""
    cls = source.text[start:opening].rstrip()
    on_lines = bool(kept) and source.text[opening + 1] in "\r\n"
    if on_lines:  # the class comes first among the arguments
        yield Edit(start, opening, helper)
        line_break = "\n" + indentation(source, max(node.lineno for node in kept))
        longer = len(source.line_text(kept[0].lineno)) + len(cls) + 2 + length
    else:
        line_break = _inner_lines(source, call, line, growth + len(late.partition("\n")[0]))
        longer = len(line_break) + source.span(call)[1] - start + length if line_break else 0
    behind, comma = _behind_arguments(source, call)
    is_whole = len(kept) == len(call.args) + len(call.keywords)
    if longer > line_limit(source) and is_whole and not comma and _stand_on_one_line(kept):
        if on_lines:
            yield _in_front(source, call, f"{cls},{line_break}")
        else:
            yield Edit(start, start, f"{helper}({line_break}")
            yield Edit(opening, opening + 1, f",{line_break}" if kept else "")
        yield from _on_lines_of_their_own(source, kept, line_break)
        ending = "," if on_lines else f",{line_break[: -len(HANGING)]}"
        yield Edit(behind, behind, "".join(f",{line_break}{text}" for text in added) + ending)
    else:
        if on_lines:
            yield _class_before(source, call, cls)
        else:
            yield Edit(start, start, f"{helper}({line_break}")
            yield Edit(opening, opening + 1, ", " if kept else "")
        yield from _without_linen_arguments(source, call)
        if added and on_lines and comma and source.line_text(call.end_lineno or 0).lstrip().startswith(")"):
            yield Edit(behind, behind, "".join(f"{line_break}{text}," for text in added))
        elif added or (line_break and not on_lines):
            between = f",{line_break}" if on_lines and not _stand_on_one_line(kept) else ", "
            text = "".join(f"{between}{text}" for text in added)
            text = text[1:] if comma and kept else text
            yield Edit(behind, behind, text if on_lines else text + line_break[: -len(HANGING)])
    last = source.span(beside[-1])[1] if beside else end
    comma_behind = "," if beside and not source.text[last:].startswith(",") else ""
    if last != end and comma_behind:
        yield Edit(last, last, comma_behind)
        comma_behind = ""
    if late or comma_behind:
        yield Edit(end, end, late + comma_behind)


def _beside(module: Module, call: ast.Call) -> list[ast.expr | ast.keyword]:
    """The arguments that share a line of their own with a construction, itself among them; none where another one
    may become longer, too.
    """
    source, parent = module.source, module.parents[call]
    outer = module.parents[parent] if isinstance(parent, ast.keyword) else parent
    if not isinstance(outer, ast.Call) or outer.func is call or outer.end_lineno == call.lineno:
        return []
    given: list[ast.expr | ast.keyword] = [*outer.args, *outer.keywords]
    given.sort(key=lambda node: source.span(node)[0])
    first, last = source.span(given[0])[0], source.span(given[-1])[1]
    start = source.line_start(call.lineno)
    around = source.text[start:first] + source.text[last : start + len(source.line_text(call.lineno))]
    between = {source.text[end:then].strip() for (_, end), (then, _) in pairwise(map(source.span, given))}
    others = [n for node in given if node not in (call, parent) for n in ast.walk(node)]
    classes = [n for n in others if isinstance(n, ast.Call) and _names_class(n.func)]
    is_plain = _stand_on_one_line(given) and between == {","} and around.strip() in ("", ",")
    return given if is_plain and given[0].lineno == call.lineno and not classes else []


def _names_class(function: ast.expr) -> bool:
    name = last_name(function)
    return bool(name[:1].isupper())


def _own_length(source: SourceText, call: ast.Call, arguments: Sequence[ast.expr | ast.keyword]) -> int:
    """How long the one of these arguments is that is a construction, the keyword included."""
    start, end = source.span(call)
    spans = map(source.span, arguments)
    return next(last - first for first, last in spans if first <= start and end <= last)


def _stand_on_one_line(arguments: Sequence[ast.expr | ast.keyword]) -> bool:
    return len({line for node in arguments for line in (node.lineno, node.end_lineno)}) <= 1


def _on_lines_of_their_own(
    source: SourceText, arguments: Sequence[ast.expr | ast.keyword], line_break: str
) -> Iterator[Edit]:
    """Line breaks behind the commas between arguments."""
    spans = sorted(source.span(node) for node in arguments)
    for (_, end), (start, _) in pairwise(spans):
        gap = source.text[end:start]
        comma = end + gap.index(",") + 1
        yield Edit(comma, comma + len(gap[comma - end :]) - len(gap[comma - end :].lstrip()), line_break)


def _class_before(source: SourceText, call: ast.Call, cls: str) -> Edit:
    """The class in front of arguments that stand on lines of their own: on the first one's line, if that is shared."""
    given: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    first, *others = sorted(given, key=lambda node: source.span(node)[0])
    line = source.line_text(first.lineno)
    exploded = source.segment(call)[:-1].rstrip().endswith(",")
    if others:
        exploded = others[0].lineno != first.end_lineno
    if not exploded and len(line) + len(cls) + 2 <= line_limit(source):
        return _in_front(source, call, f"{cls}, ")
    return _in_front(source, call, f"{cls},\n{indentation(source, first.lineno)}")


def _in_front(source: SourceText, call: ast.Call, text: str) -> Edit:
    """A text in front of the first argument, with the space before: that argument may be another construction, with
    an edit that starts where it does, and may stand in parentheses.
    """
    position = min(source.span(node)[0] for node in [*call.args, *call.keywords])
    while source.text[position - 1] == "(":
        position -= 1
    return Edit(position - 1, position, source.text[position - 1] + text)


def _inner_lines(source: SourceText, call: ast.Call, length: int, longer: int) -> str:
    """The line break for arguments that would make their line, of some length, too long; "" where there is no need."""
    line, (_, end) = source.line_text(call.lineno), source.span(call)
    behind = source.text[end : source.line_start(call.lineno) + len(line)]
    # A comment may stand out, and often has to stay on the line.
    comment = behind[len(behind.partition("#")[0].rstrip()) :]
    if call.lineno != call.end_lineno or length - len(comment) + longer <= line_limit(source):
        return ""
    return f"\n{indentation(source, call.lineno)}{HANGING}"


def applied_function(module: Module, outer: ast.Call) -> Iterator[Edit]:
    """`nn.apply(function, model)(variables)` becomes `model.apply(variables, method=function)`."""
    source, inner = module.source, outer.func
    assert isinstance(inner, ast.Call)
    function, model = inner.args
    start, end = source.span(inner)
    model_start, model_end = source.span(model)
    yield Edit(start, model_start, "")
    yield Edit(model_end, end, ".apply")
    behind, comma = _behind_arguments(source, outer)
    joint = " " if comma else ", " if outer.args or outer.keywords else ""
    yield Edit(behind, behind, f"{joint}method={source.segment(function)}")


def _behind_arguments(source: SourceText, call: ast.Call) -> tuple[int, bool]:
    """Where one more argument goes, before any comment, and whether a comma stands there already."""
    close = source.span(call)[1] - 1
    last = max((source.span(node)[1] for node in [*call.args, *call.keywords]), default=None)
    if last is None:
        return _opening(source, call) + 1, False
    match = _ENDED.match(source.text, min(last, close), close)
    assert match is not None
    return match.end(), match["comma"] is not None


def tabulated(module: Module, call: ast.Call) -> tuple[Edit, list[ImportRequest]]:
    """`nn.tabulate(model, key)` becomes `functools.partial(model.tabulate, key)`."""
    source = module.source
    model = source.segment(call.args[0])
    start, end = source.span(call)[0], source.span(call.args[0])[1]
    return Edit(start, end, f"functools.partial({model}.tabulate"), [PREFERRED_IMPORTS["functools"]]


def asked_for_class(module: Module, call: ast.Call, kinds: Sequence[ast.expr]) -> Iterator[Edit]:
    """`isinstance(model, nn.Module)` asks for `nnx.Module`, too; `type(model)` becomes `model.__class__`."""
    source = module.source
    for kind in kinds:
        text = source.segment(kind)
        parent = module.parents[kind]
        if isinstance(parent, ast.BinOp):
            new = f"{text} | nnx.Module"
        else:
            new = f"{text}, nnx.Module" if isinstance(parent, ast.Tuple) else f"({text}, nnx.Module)"
        yield Edit(*source.span(kind), new)
    if not kinds:
        text = source.segment(call.args[0])
        simple = isinstance(call.args[0], ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        yield Edit(*source.span(call), f"{text if simple else f'({text})'}.__class__")


def _sized(source: SourceText, call: ast.Call, sizes: Sizes, longer: int, line: int) -> str:
    """`.sized(...)`, on lines of its own where it would make the line too long."""
    text = f".sized({sizes.function})"
    is_one_line = call.end_lineno == call.lineno
    length = line + longer if is_one_line else len(source.line_text(call.end_lineno or call.lineno))
    if length + len(text) <= line_limit(source):
        return text
    indent = indentation(source, call.end_lineno or call.lineno)
    is_broken = is_one_line and line + longer + len(".sized(") > line_limit(
        source
    )  # it ends on a line of its own
    if is_broken and len(indent) + len(")") + len(text) <= line_limit(source):
        return text
    function = folded(sizes.function, indent + HANGING, line_limit(source))
    return f".sized(\n{indent}{HANGING}{function}\n{indent})"


def _opening(source: SourceText, call: ast.Call) -> int:
    """Where the call's parenthesis opens."""
    position = source.span(call.func)[1]
    while source.text[position] != "(":
        position += 1
    return position


def _without_linen_arguments(source: SourceText, call: ast.Call) -> Iterator[Edit]:
    """Remove `name=` and `parent=`, each with the comma before it (or behind it, if it is the first)."""
    everything: list[ast.expr | ast.keyword] = sorted(
        [*call.args, *call.keywords], key=lambda node: source.span(node)[0]
    )
    for index, node in enumerate(everything):
        if not (isinstance(node, ast.keyword) and node.arg in _LINEN_ONLY):
            continue
        start, end = source.span(node)
        if index > 0:
            start = source.span(everything[index - 1])[1]
        elif len(everything) > 1:
            end = source.span(everything[1])[0]
        yield Edit(start, end, "")
