"""Calls whose arguments change: renamed, dropped, added, made positional or keyword-only.

A call is edited where it stands, so that line breaks, comments and everything else stay as they were.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.reasons import MOVE_REASONS
from nnx_migrate.sources.text import Edit, SourceText

ANY = ("*",)


class CannotBind(Exception):
    """A use can't be rewritten with certainty; the message says why, `reason` is its documented id."""

    def __init__(self, message: str, reason: str = "unclear-arguments") -> None:
        super().__init__(message)
        assert reason in MOVE_REASONS, reason
        self.reason = reason


@dataclass(frozen=True)
class CallView:
    """A call of a function, or a `functools.partial` that binds some of its arguments."""

    node: ast.Call
    callee: ast.expr
    args: tuple[ast.expr, ...]
    keywords: tuple[ast.keyword, ...]

    @classmethod
    def of(cls, callee: ast.expr, file: FileContext) -> CallView | None:
        """The call of `callee`, None where it is used in another way."""
        parent = file.parent(callee)
        if not isinstance(parent, ast.Call):
            return None
        if parent.func is callee:
            return cls(parent, callee, tuple(parent.args), tuple(parent.keywords))
        if parent.args and parent.args[0] is callee and file.resolve(parent.func) == "functools.partial":
            return cls(parent, callee, tuple(parent.args[1:]), tuple(parent.keywords))
        return None

    @property
    def is_partial(self) -> bool:
        """True for `partial(f, ...)`, where further arguments may follow."""
        return self.node.func is not self.callee

    @property
    def has_star(self) -> bool:
        """`*args` or `**kwargs` hide what is passed."""
        return any(isinstance(a, ast.Starred) for a in self.args) or any(k.arg is None for k in self.keywords)

    @cached_property
    def by_keyword(self) -> dict[str, ast.keyword]:
        """Keyword arguments by name."""
        return {k.arg: k for k in self.keywords if k.arg is not None}


@dataclass(frozen=True)
class Arguments:
    """How the arguments of a call change.

    `signature`: the old function's positional parameters in order. `rename`: keywords with a new name.
    `drop`: keywords that go, with the literals (source text) at which they may, or ANY; any other value is a
    reason not to rewrite. `replace`: (keyword, literal) → the new "keyword=value". `positional`: parameters
    that may no longer be passed by keyword. `keyword`: parameters that may no longer be passed by position.
    `append`: "axis=0" texts that are added unless the parameter is given, "True" to calls without
    arguments. `suffix`: text behind the call. `only_if`: the call is outdated only if one of these
    parameters is given by keyword (parameters in `keyword`: by position).
    """

    signature: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replace: Mapping[tuple[str, str], str] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    keyword: tuple[str, ...] = ()
    append: tuple[str, ...] = ()
    suffix: str = ""
    only_if: tuple[str, ...] = ()

    def concerns(self, call: CallView) -> bool:
        """True where a call passes one of the `only_if` parameters in the outdated way."""
        if not self.only_if:
            return True
        by_position = set(self.signature[: len(call.args)]) & set(self.keyword)
        by_keyword = call.by_keyword.keys() - set(self.keyword)
        return not (by_position | by_keyword).isdisjoint(self.only_if)

    def edits(self, call: CallView, source: SourceText) -> list[Edit]:
        """The edits of the arguments. Raises CannotBind where the call leaves something open."""
        if call.has_star:
            raise CannotBind("`*args` or `**kwargs` hide which arguments are passed")
        positional = not call.by_keyword.keys().isdisjoint(self.positional)
        if call.is_partial and (self.append or self.suffix or positional):
            raise CannotBind("`functools.partial` leaves open which arguments follow")
        if self.signature and len(call.args) > len(self.signature):
            raise CannotBind(f"more positional arguments than the {len(self.signature)} that it had")
        edits = self._made_positional(call, source)
        edits += self._made_keywords(call, source)
        for name, keyword in call.by_keyword.items():
            edits += self._keyword_edits(name, keyword, call, source)
        edits += self._appended(call, source)
        if self.suffix:
            end = source.span(call.node)[1]
            edits.append(Edit(end, end, self.suffix))
        return edits

    def _made_positional(self, call: CallView, source: SourceText) -> list[Edit]:
        """Strip the names of leading keywords; they have to stand in the order of the signature."""
        given = [name for name in call.by_keyword if name in self.positional]
        expected = list(self.signature[len(call.args) : len(call.args) + len(given)])
        if given != expected or list(call.by_keyword)[: len(given)] != given:
            raise CannotBind("keyword arguments that are positional-only now stand in another order")
        edits = []
        for name in given:
            start = source.span(call.by_keyword[name])[0]
            edits.append(Edit(start, source.span(call.by_keyword[name].value)[0], ""))
        return edits

    def _made_keywords(self, call: CallView, source: SourceText) -> list[Edit]:
        edits = []
        for index, name in enumerate(self.signature[: len(call.args)]):
            if name in self.keyword:
                start = argument_start(call, index, source)
                edits.append(Edit(start, start, f"{self.rename.get(name, name)}="))
            elif name in self.drop:
                raise CannotBind(f"`{name}` is passed by position and no longer exists")
        return edits

    def _keyword_edits(
        self, name: str, keyword: ast.keyword, call: CallView, source: SourceText
    ) -> list[Edit]:
        text = source.segment(keyword.value)
        literal = ast.unparse(keyword.value) if isinstance(keyword.value, ast.Constant) else text
        if (name, literal) in self.replace:
            return [Edit(*source.span(keyword), self.replace[name, literal])]
        if any(name == replaced for replaced, _ in self.replace) and name not in self.drop:
            raise CannotBind(f"`{name}={text}` has no equivalent that is known for certain")
        if name in self.drop:
            if self.drop[name] != ANY and literal not in self.drop[name]:
                raise CannotBind(f"`{name}={text}` has no equivalent")
            return [drop_argument(call.node, keyword, source)]
        if name in self.rename:
            if self.rename[name] in call.by_keyword:
                raise CannotBind(f"both `{name}` and `{self.rename[name]}` are given")
            start = source.span(keyword)[0]
            return [Edit(start, start + len(name), self.rename[name])]
        return []

    def _appended(self, call: CallView, source: SourceText) -> list[Edit]:
        given = {self.rename.get(name, name) for name in call.by_keyword}
        given |= set(self.signature[: len(call.args)])
        empty = not (call.args or call.keywords)
        texts = [
            text
            for text in self.append
            if ("=" in text and text.partition("=")[0] not in given) or ("=" not in text and empty)
        ]
        return add_arguments(call.node, texts, source) if texts else []


def argument_start(call: CallView, index: int, source: SourceText) -> int:
    """Where a positional argument begins, parentheses around it included."""
    node = call.args[index]
    previous = call.args[index - 1] if index else call.callee
    start, opened = source.span(node)[0], source.span(previous)[1]
    separator = "," if index or call.is_partial else "("
    begin = source.text.index(separator, opened, start) + 1
    gap = re.compile(r"(?:\s|#[^\r\n]*)*").match(source.text, begin)
    assert gap is not None
    return gap.end()


def _in_order(call: ast.Call) -> list[ast.expr | ast.keyword]:
    """Arguments as they are written (`f(a=1, *b)` is allowed)."""
    arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    return sorted(arguments, key=lambda node: (node.lineno, node.col_offset))


def drop_argument(call: ast.Call, argument: ast.keyword | ast.expr, source: SourceText) -> Edit:
    """Remove one argument with the comma that belongs to it."""
    everything = _in_order(call)
    index = everything.index(argument)
    start, end = source.span(argument)
    if index > 0:
        previous_end = source.span(everything[index - 1])[1]
        return Edit(source.text.index(",", previous_end, start), end, "")
    comma = re.compile(r"\s*,\s*").match(source.text, end)
    return Edit(start, comma.end() if comma else end, "")


def add_arguments(call: ast.Call, texts: list[str], source: SourceText) -> list[Edit]:
    """Append arguments, on lines of their own where the call has each argument on its own line."""
    everything = _in_order(call)
    close = source.span(call)[1] - 1
    if not everything:
        return [Edit(close, close, ", ".join(texts))]
    last = everything[-1]
    if isinstance(last, ast.GeneratorExp) and source.span(last)[1] > close:
        raise CannotBind("a bare generator expression can't take a second argument beside it")
    closed = re.compile(r"(?:\s*\))*").match(source.text, source.span(last)[1], close)
    assert closed is not None
    end = closed.end()
    comma = re.compile(r"\s*,").match(source.text, end, close)
    rest = source.text[comma.end() if comma else end : close]
    line_start = source.line_start(last.lineno)
    lead = source.text[line_start : source.span(last)[0]]
    if "\n" in rest and not lead.strip():  # one argument per line: new lines above the closing parenthesis
        place = source.line_start(source.position(close)[0])
        lines = "".join(f"{lead}{text},\n" for text in texts)
        return [*([] if comma else [Edit(end, end, ",")]), Edit(place, place, lines)]
    if comma:
        return [Edit(comma.end(), comma.end(), f" {', '.join(texts)},")]
    return [Edit(end, end, f", {', '.join(texts)}")]
