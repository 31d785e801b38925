"""Fields that become arguments of `__call__`: the class without them, and the calls with them."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nnx_migrate.engine.arguments import add_arguments
from nnx_migrate.engine.findings import FileChange, Fix, Safety
from nnx_migrate.linen.classes.docstrings import about_field
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_of_self
from nnx_migrate.nnx.preparation.late_partials import may_move
from nnx_migrate.nnx.writer.comments import comments_within
from nnx_migrate.nnx.writer.text import HANGING, rewritten
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit, SourceText

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, eq=False)
class Made:
    """A module that is made and called in one expression: `Block(8, train)(x)`."""

    holder: LinenClass
    call: ast.Call  # that makes it
    outer: ast.Call  # of what was made
    given: Mapping[str, ast.expr]  # by field
    partial: ast.Call | None = None  # what is called, if that isn't the class

    @classmethod
    def of(
        cls,
        made: LinenClass,
        holder: LinenClass,
        module: Module,
        call: ast.Call,
        partial: ast.Call | None = None,
    ) -> Made | None:
        """What a construction in a class makes, unless it isn't called at once, or what it gets is hidden."""
        outer = module.parents.get(call)
        if not isinstance(outer, ast.Call) or outer.func is not call:
            return None
        if module.enclosing(call, *_FUNCTIONS) is None or module is not holder.module:
            return None
        bound = partial.args[1:] if partial is not None else []
        more = partial.keywords if partial is not None else []
        arguments = [*bound, *call.args, *outer.args]
        if any(isinstance(argument, ast.Starred | ast.GeneratorExp) for argument in arguments):
            return None
        if any(keyword.arg is None for keyword in (*more, *call.keywords, *outer.keywords)):
            return None
        if any(isinstance(node, ast.NamedExpr | ast.Await | ast.Yield) for node in ast.walk(outer)):
            return None
        if not all(may_lose(module.source, one) for one in (call, partial) if one is not None):
            return None
        names = [item.name for item in made.fields]
        given = dict(zip(names, [*bound, *call.args], strict=False))
        given.update((k.arg, k.value) for k in (*more, *call.keywords) if k.arg is not None)
        if len(given) < len([*bound, *call.args, *more, *call.keywords]):
            return None
        return cls(holder, call, outer, given, partial)

    def may_move(self, name: str) -> bool:
        """Whether what a field gets is the same in the call."""
        value, bound = self.given.get(name), self.partial
        inside = (
            value is not None
            and bound is not None
            and value in (*bound.args, *(k.value for k in bound.keywords))
        )
        if value is None or bound is None or not inside:
            return True
        return may_move(self.holder.module, bound, value)


@dataclass(frozen=True, eq=False)
class LateClass:
    """A class with the fields that become arguments, and what makes it."""

    cls: LinenClass
    fields: tuple[Field, ...]
    made: tuple[Made, ...]


def may_be_written(cls: LinenClass, item: Field) -> bool:
    """Whether only `__call__` reads a field, and an argument of its name would mean nothing else there."""
    call, module, name = cls.own_methods["__call__"].node, cls.module, item.name
    source = module.source
    if (
        about_field(item) is not None
        or comments_within(source, item.node)
        or not _is_alone(source, item.node)
    ):
        return False
    if item.default is not None and not isinstance(item.default, ast.Constant):
        return False
    if _comment(source, item.node) or _has_comment_above(source, item.node):
        return False
    head = source.text[source.span(call)[0] : source.span(call.body[0])[0]]
    if "#" in head or (call.returns is not None and call.lineno != call.returns.lineno):
        return False
    inside = {id(node) for node in all_below(call)}
    for node in all_below(cls.node):
        if isinstance(node, ast.Attribute) and node.attr == name:
            around = module.enclosing(node, ast.JoinedStr)
            is_read = is_of_self(node) and isinstance(node.ctx, ast.Load) and id(node) in inside
            if not is_read or around is not None or _is_in_signature(call, node):
                return False
        elif isinstance(node, ast.Constant) and node.value == name:
            return False  # `getattr(self, "train")`
    return name not in {*_names(call), *cls.own_methods}


def _names(function: ast.AST) -> Iterator[str]:
    """The names that a function's code binds or reads."""
    for node in all_below(function):
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif not isinstance(node, ast.Attribute | ast.keyword):
            names = (getattr(node, name, None) for name in ("id", "arg", "name", "rest"))
            yield from (name for name in names if isinstance(name, str))


def _is_in_signature(call: ast.AST, node: ast.AST) -> bool:
    arguments, decorators = getattr(call, "args", None), getattr(call, "decorator_list", [])
    return any(n is node for part in (arguments, *decorators) if part is not None for n in ast.walk(part))


def _is_alone(source: SourceText, statement: ast.stmt) -> bool:
    """Whether a statement has its lines for itself."""
    start, end = source.span(statement)
    before = source.text[:start].rpartition("\n")[2]
    behind = source.text[end:].partition("\n")[0].strip()
    return not before.strip() and (not behind or behind.startswith("#"))


def _has_comment_above(source: SourceText, statement: ast.stmt) -> bool:
    return statement.lineno > 1 and source.line_text(statement.lineno - 1).strip().startswith("#")


def _comment(source: SourceText, statement: ast.stmt) -> str:
    _, end = source.span(statement)
    return source.text[end:].partition("\n")[0].strip()


def fix(classes: Sequence[LateClass]) -> Fix:
    """All edits for classes that hand such fields on to each other."""
    edits: dict[Path, list[Edit]] = {}
    late = {one.cls: frozenset(item.name for item in one.fields) for one in classes}
    moved = {id(n) for one in classes for v in _moved(one, late[one.cls]) for n in ast.walk(v)}
    for one in classes:
        edits.setdefault(one.cls.module.path, []).extend(_class_edits(one, moved))
        for made in one.made:
            found = _call_edits(one, made, late.get(made.holder, frozenset()))
            edits.setdefault(made.holder.module.path, []).extend(found)
    # calls of one partial all take the same from it
    changes = {path: FileChange(tuple(dict.fromkeys(found))) for path, found in edits.items()}
    return Fix("give what only calls need to the calls", Safety.SAFE, changes, prepares=True)


def _moved(one: LateClass, names: frozenset[str]) -> Iterator[ast.expr]:
    """The arguments of constructions that go."""
    return (node for made in one.made for name, node in made.given.items() if name in names)


# ---- the class -------------------------------------------------------------------------------------------------


def _class_edits(one: LateClass, moved: Collection[int]) -> Iterator[Edit]:
    cls, source, names = one.cls, one.cls.module.source, {item.name for item in one.fields}
    call = cls.own_methods["__call__"].node
    for item in one.fields:
        yield _without(cls, item, names)
    yield _signature(one, call)
    for node in all_below(call):
        if is_of_self(node) and node.attr in names and id(node) not in moved:
            yield Edit(*source.span(node), node.attr)


def _without(cls: LinenClass, item: Field, names: Collection[str]) -> Edit:
    """A field's line goes; with the last one at the head of a class, the empty lines behind it."""
    source, body = cls.module.source, cls.node.body
    start, end = source.line_start(item.node.lineno), _line_end(source.text, source.span(item.node)[1])
    is_last = all(_is_field(statement, names) for statement in body[: body.index(item.node) + 1])
    while is_last and end < len(source.text) and not source.text[end:].partition("\n")[0].strip():
        end = _line_end(source.text, end)
    return Edit(start, end, "")


def _is_field(statement: ast.stmt, names: Collection[str]) -> bool:
    target = statement.target if isinstance(statement, ast.AnnAssign) else None
    return isinstance(target, ast.Name) and target.id in names


def _line_end(text: str, start: int) -> int:
    found = text.find("\n", start)
    return len(text) if found < 0 else found + 1


def _signature(one: LateClass, call: ast.FunctionDef | ast.AsyncFunctionDef) -> Edit:
    """The parameters of `__call__` with these; required ones behind those with defaults are given by name."""
    source, arguments = one.cls.module.source, call.args
    declared = [(source.segment(item.annotation), item) for item in one.fields]
    required = [f"{item.name}: {kind}" for kind, item in declared if item.default is None]
    others = [
        f"{item.name}: {kind} = {source.segment(item.default)}"
        for kind, item in declared
        if item.default is not None
    ]
    by_name = bool(arguments.defaults) and bool(required) and not arguments.kwonlyargs
    more = [*(["*"] if by_name else []), *required, *others]
    nodes = [n for n in ast.iter_child_nodes(arguments) if hasattr(n, "lineno")]
    first, last = min(nodes, key=source.span), max(nodes, key=lambda n: source.span(n)[1])
    start, end = source.span(first)[0], source.span(last)[1]
    lead = source.text[source.line_start(last.lineno) : source.span(last)[0]]
    if not lead.strip():
        return Edit(end, end, "".join(f",\n{lead}{text}" for text in more))
    text = ", ".join([source.text[start:end], *more])
    rest = source.text[end:].partition("\n")[0]
    margin = source.text[source.line_start(call.lineno) : source.span(call)[0]]
    before = source.text[source.line_start(first.lineno) : start]
    limit = line_limit(source)
    if "\n" in text or len(before) + len(text) + len(rest) <= limit:
        return Edit(end, end, text[end - start :])
    return Edit(start, end, f"\n{margin}{HANGING}{text}\n{margin}")


# ---- what makes and calls it -------------------------------------------------------------------------------------


def _call_edits(one: LateClass, made: Made, late: Collection[str]) -> Iterator[Edit]:
    """The edits of a construction and its call; `late` are the fields of the class around that go, too."""
    source = made.holder.module.source
    names = [item.name for item in one.fields if item.name in made.given]
    for call in (made.call, *([made.partial] if made.partial is not None else [])):
        yield from without_arguments(source, call, [made.given[name] for name in names])

    def replaced(node: ast.AST) -> str | None:
        return node.attr if is_of_self(node) and node.attr in late else None

    texts = [f"{name}={rewritten(source, made.given[name], replaced)}" for name in names]
    if texts:
        yield from add_arguments(made.outer, texts, source)


def may_lose(source: SourceText, call: ast.Call) -> bool:
    """Whether only commas and spaces stand between the arguments of a call."""
    spans = [source.span(node) for node in _in_order(call)]
    if not spans:
        return True
    opened = source.text[source.span(call.func)[1] : spans[0][0]].strip()
    closed = source.text[spans[-1][1] : source.span(call)[1]].replace(",", "").strip()
    between = (source.text[one[1] : other[0]].strip() for one, other in pairwise(spans))
    return opened == "(" and closed == ")" and all(text == "," for text in between)


def without_arguments(source: SourceText, call: ast.Call, gone: Collection[ast.expr]) -> Iterator[Edit]:
    """A call without some of its arguments, and the commas that belong to them."""
    nodes = _in_order(call)
    goes = [getattr(node, "value", node) in gone or node in gone for node in nodes]
    close = source.span(call)[1] - 1
    index = 0
    while index < len(nodes):
        first = index
        while index < len(nodes) and goes[index]:
            index += 1
        if index == first:
            index += 1
        elif first > 0:
            yield Edit(source.span(nodes[first - 1])[1], source.span(nodes[index - 1])[1], "")
        else:
            end = source.span(nodes[index])[0] if index < len(nodes) else close
            yield Edit(source.span(nodes[0])[0], end, "")


def _in_order(call: ast.Call) -> list[ast.expr | ast.keyword]:
    """The arguments as they are written."""
    return sorted([*call.args, *call.keywords], key=lambda node: (node.lineno, node.col_offset))
