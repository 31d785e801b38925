"""What a loop leaves behind, as an expression: sizes that depend on the last round alone, or on none.

`for width in self.widths: x = nn.Dense(width)(x)` leaves `self.widths[-1]` behind, or what `x` was before where
there is no round.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, each_part
from nnx_migrate.linen.dims import Dim, at_least, same
from nnx_migrate.linen.given.arguments import OptionalArray
from nnx_migrate.linen.interpreter.attributes import atomic
from nnx_migrate.linen.interpreter.convert import as_dim, text_of
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.counted import counted_lists
from nnx_migrate.linen.interpreter.loops.gathered import rounds_of
from nnx_migrate.linen.interpreter.loops.variables import loop_variable
from nnx_migrate.linen.symbols import TOKEN, numbers
from nnx_migrate.linen.values import ArrayOrNumber, Expr, Iterated, ModuleList, Record, Rounds, VariableValue
from nnx_migrate.names.nodes import contains

_LAST_ITEM = re.compile(r"([\w.]+)\[len\(\1\) - 1\]")
_LENGTH = re.compile(r"len\(([\w.]+)\)")
_UNKNOWN = Dim.unknown("a size that a loop of another module changes")


class LastRound:
    """The values of a loop's variables in its last round, and the condition under which there is one."""

    def __init__(self, frame: Frame, statement: ast.For | ast.While, iterable: Any) -> None:
        self.frame, self.statement = frame, statement
        self.elements: dict[str, Dim] = {}
        self.condition: str | None = None  # "" where there surely is a round, None where that can't be said
        self.made: list[ast.AST] = []  # the loops that made what this one takes
        self.context = frame.context
        self.rounds = Dim.unknown("the number of rounds")
        self.counted: tuple[ModuleList, ...] = ()  # lists of which it takes one item in each round
        if isinstance(statement, ast.For):
            self._see(statement, statement.target, iterable)
            self.counted = counted_lists(frame, statement, iterable)
            for modules in self.counted:
                assert modules.rounds is not None
                self._see_modules(modules.rounds)
            self.rounds = rounds_of(statement, iterable)

    def result(self, first: Dim, last: Dim, symbol: str) -> Dim:
        """The size behind the loop: `first` before it, `last` at the end of a round, `symbol` at its beginning."""
        if same(first, last):
            return first
        if self._is_decided_within(last):
            return _UNKNOWN
        found = self.closed(last)
        if not found.known and first.known:
            found = self._of_equal_rounds(first, last, symbol)
        if not found.known and first.known:
            found = self._of_steps(first, last, symbol)
            if found.known:
                return found
        return self._or_before(first, found)

    def alone(self, first: Dim, last: Dim) -> Dim:
        """The size behind the loop that only the last round leaves, `first` where there is none."""
        return _UNKNOWN if self._is_decided_within(last) else self._or_before(first, self.closed(last))

    def _or_before(self, first: Dim, found: Dim) -> Dim:
        """A size of the last round, or that before the loop if there may be no round."""
        if not found.known or self.condition == "" or same(first, found):
            return found
        if self.condition is None or not first.known:
            return _UNKNOWN
        escaped = self.condition.replace("{", "{{").replace("}", "}}")
        return Dim.opaque(f"({{0}} if {escaped} else {{1}})", found, first)

    def _of_equal_rounds(self, first: Dim, last: Dim, symbol: str) -> Dim:
        """The size behind rounds of which all but the first change nothing: `max(width, x)` for a residual."""
        once, twice = (self._after(last, symbol, size) for size in (first, self._after(last, symbol, first)))
        settled = not self.own(once.symbols()) and same(once, twice)
        return once if settled else _UNKNOWN

    def _of_steps(self, first: Dim, last: Dim, symbol: str) -> Dim:
        """The size behind rounds that each add the same: `x = jnp.concatenate([x, layer(x)], axis=-1)`."""
        step = last - Dim.symbol(symbol)
        if not self.rounds.known or not step.known or self._varies(step):
            return _UNKNOWN
        return first + step * self.rounds

    def _varies(self, dim: Dim) -> bool:
        """Whether a size may be another one in each round."""
        if self.frame.foreign:
            return bool(self.own(dim.symbols()))
        return any(m["kind"] != "a" for text in dim.symbols() for m in TOKEN.finditer(text))

    def _after(self, last: Dim, symbol: str, size: Dim) -> Dim:
        """The size at the end of a round that begins with another one."""
        return last.substitute(lambda text: size if text == symbol else None)

    def closed(self, dim: Dim) -> Dim:
        """A size at the end of the last round; unknown where it depends on other rounds."""
        found = dim.substitute(self._in_last_round)
        return _UNKNOWN if any(TOKEN.search(text) for text in self.own(found.symbols())) else found

    def _in_last_round(self, text: str) -> Dim | None:
        """What a symbol is in the last round: the variable's value, or an item that the variable tells."""
        if text in self.elements or not any(variable in text for variable in self.elements):
            return self.elements.get(text)
        for variable, value in self.elements.items():
            if value.known:
                text = text.replace(f"[{variable}]", f"[{value.text()}]")
        return Dim.symbol(_LAST_ITEM.sub(r"\1[-1]", text))

    def _is_decided_within(self, dim: Dim) -> bool:
        """Whether a condition or loop of the loop's body decides a size."""
        phis = self.frame.session.facts.phis
        found = [phis[n].node for n in (numbers(dim.text(), "p") if dim.known else ()) if n in phis]
        return any(node is not self.statement and contains(self.statement, node) for node in found)

    def own(self, texts: frozenset[str]) -> list[str]:
        """The symbols among `texts` that mean nothing outside of the loop."""
        loops = (self.statement, *self.made)
        names = {name for loop in loops for name in self.frame.session.loop_symbols.get(id(loop), ())}
        return [text for text in texts if any(m.group() in names for m in TOKEN.finditer(text))]

    # ---- iterables ---------------------------------------------------------------------------------------

    def _see(self, loop: ast.AST, target: ast.expr, iterable: Any) -> None:
        if isinstance(iterable, Expr):
            self.condition = "" if iterable.filled else iterable.text
            last = iterable.element
            self._bind(loop, target, Expr(f"{atomic(iterable.text)}[-1]") if last is None else last)
        elif isinstance(iterable, tuple | list):
            self.condition = "" if iterable else None
            self._bind(loop, target, iterable[-1] if iterable else None)
        elif isinstance(iterable, Iterated):
            self._see_iterated(loop, target, iterable)
        elif isinstance(iterable, ModuleList) and iterable.rounds is not None:
            self._see_modules(iterable.rounds)

    def _see_modules(self, rounds: Rounds) -> None:
        """The last round of a loop over modules takes what the last round of another loop has made."""
        self.made.append(rounds.loop)
        self.context = rounds.context
        self._see(rounds.loop, rounds.target, rounds.iterable)
        self.context = self.frame.context

    def _see_iterated(self, loop: ast.AST, target: ast.expr, iterable: Iterated) -> None:
        parts = list(target.elts) if isinstance(target, ast.Tuple) else []
        if iterable.kind == "range" and len(iterable.args) == 1:
            count = as_dim(iterable.args[0])
            text = text_of(count) if count is not None else None
            if count is not None and text is not None:
                sequence = _LENGTH.fullmatch(text)
                more = sequence[1] if sequence is not None else f"{atomic(text)} > 0"
                self.condition = "" if at_least(count, 1) else more
                self._bind(loop, target, count - 1)
        elif iterable.kind == "range" and len(iterable.args) == 2:
            start, stop = (as_dim(arg) for arg in iterable.args)
            texts = [text_of(dim) if dim is not None else None for dim in (start, stop)]
            if start is not None and stop is not None and None not in texts:
                more = f"{atomic(str(texts[1]))} > {atomic(str(texts[0]))}"
                self.condition = "" if at_least(stop, start + 1) else more
                self._bind(loop, target, stop - 1)
        elif iterable.kind == "enumerate" and len(iterable.args) == 1 and len(parts) == 2:
            self._see(loop, parts[1], iterable.args[0])
            if isinstance(iterable.args[0], Expr):
                self._bind(loop, parts[0], Dim.symbol(f"len({iterable.args[0].text})", 0) - 1)
        elif iterable.kind == "zip" and all(isinstance(arg, Expr) for arg in iterable.args):
            self.condition = " and ".join(atomic(arg.text) for arg in iterable.args)

    def _bind(self, loop: ast.AST, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for index, part in enumerate(target.elts):
                if isinstance(value, Expr):
                    self._bind(loop, part, Expr(f"{value.text}[{index}]"))
                elif isinstance(value, tuple | list) and len(value) == len(target.elts):
                    self._bind(loop, part, value[index])
        elif isinstance(target, ast.Name):
            dim = as_dim(value)
            if dim is not None:
                self.elements[loop_variable(self.frame, loop, target.id, self.context)] = dim


def outside(value: Any, loop: LastRound, results: Mapping[str, Dim]) -> Any:
    """A value as code behind the loop sees it, without the loop's own symbols."""
    if isinstance(value, Dim):
        found = value.substitute(lambda text: results.get(text))
        return loop.closed(found)
    if isinstance(value, OptionalArray) and value.has_own_sizes:
        return value
    if isinstance(value, Array):
        return Array(outside(value.shape, loop, results), value.dtype, value.weak)
    if isinstance(value, Shape):
        return Shape(tuple(outside(dim, loop, results) for dim in value.dims), value.lead)
    if isinstance(value, Expr):
        if not loop.own(frozenset({value.text})):
            return value
        dim = loop.elements.get(value.text)
        return Expr(dim.text(), value.kind) if dim is not None else Unknown("a value of a loop")
    if isinstance(value, tuple | list):
        return type(value)(outside(item, loop, results) for item in value)
    if isinstance(value, dict):
        return {key: outside(item, loop, results) for key, item in value.items()}
    if isinstance(value, ArrayOrNone | ArrayOrNumber):
        return replace(value, array=outside(value.array, loop, results))
    if isinstance(value, TupleChoice | Record):
        return each_part(value, lambda item: outside(item, loop, results))
    if isinstance(value, VariableValue):
        return VariableValue(value.site, outside(value.value, loop, results))
    return value
