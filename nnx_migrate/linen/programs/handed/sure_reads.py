"""What a method surely reads of `self` and calls, given what is known of its arguments.

Conditions over arguments that a call gives as constants, or leaves out, are decided: `reverse=False` chooses one
way through `if not reverse:`. Of other conditions both ways count, as far as they don't raise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.linen.programs.dataflow import dict_keys
from nnx_migrate.names.nodes import is_of_self, is_self
from nnx_migrate.names.parameters import defaults

UNKNOWN = object()
ITEMS = "[]"  # `flows[]` stands for each module of the list, or dictionary, `self.flows`
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_UNSURE = (ast.While, ast.Try, ast.BoolOp, *_FUNCTIONS)
_LEAVING = (ast.Return, ast.Break, ast.Continue)
_MAX_PATHS = 64


@dataclass(frozen=True)
class Given:
    """The arguments of a call, by position and name, as far as they are constants; others are UNKNOWN.

    Not `complete` where unpacking hides some.
    """

    positional: tuple[Any, ...] = ()
    named: frozenset[tuple[str, Any]] = frozenset()
    complete: bool = False

    def values(self, arguments: ast.arguments, bound: int = 1) -> dict[str, Any]:
        """The parameters of a function whose values are known."""
        names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][bound:]
        given = dict(zip(names, self.positional, strict=False)) | dict(self.named)
        if self.complete:
            given = {arg.arg: constant(default, {}) for arg, default in defaults(arguments)} | given
        own = {*names, *(a.arg for a in arguments.kwonlyargs)}
        return {name: value for name, value in given.items() if name in own and value is not UNKNOWN}


ANYTHING = Given()


def item_of(name: str, key: str) -> str:
    """What stands for the module under a key of the dictionary `self.name`; as a known field, that it is there."""
    return f"{name}[{key!r}]"


@dataclass(frozen=True)
class Read:
    """`self.name`, with what a call of it gives; `ANYTHING` where it isn't called."""

    name: str
    given: Given = ANYTHING


def constant(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """The value of an expression; `known` are those of names, and of `self.x` under "self.x"."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id, UNKNOWN)
    if is_of_self(node):
        return known.get(f"self.{node.attr}", UNKNOWN)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        value = constant(node.operand, known)
        return UNKNOWN if value is UNKNOWN else not value
    if isinstance(node, ast.BoolOp):
        return _joined([constant(v, known) for v in node.values], isinstance(node.op, ast.Or))
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, table = constant(node.left, known), node.comparators[0]
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            there = known.get(f"self.{item_of(table.attr, left)}") if is_of_self(table) else None
            return UNKNOWN if there is None else isinstance(node.ops[0], ast.In)
        right = constant(table, known)
        comparable = type(left) is type(right) or left is None or right is None
        if UNKNOWN in (left, right) or not comparable:
            return UNKNOWN
        if isinstance(node.ops[0], ast.Is | ast.Eq | ast.IsNot | ast.NotEq):
            return (left == right) == isinstance(node.ops[0], ast.Is | ast.Eq)
    return UNKNOWN


def _joined(values: Sequence[Any], is_or: bool) -> Any:
    if any(value is not UNKNOWN and bool(value) is is_or for value in values):
        return is_or
    return UNKNOWN if UNKNOWN in values else not is_or


def given_by_call(call: ast.Call, known: Mapping[str, Any], skip: int = 0) -> Given:
    """What a call gives, but for the first `skip` arguments."""
    hidden = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    if any(isinstance(a, ast.Starred) for a in call.args[:skip]):
        return ANYTHING
    positional = []
    for argument in call.args[skip:]:
        if isinstance(argument, ast.Starred):
            break
        positional.append(_hashable(constant(argument, known)))
    named = {(k.arg, _hashable(constant(k.value, known))) for k in call.keywords if k.arg is not None}
    return Given(tuple(positional), frozenset(named), not hidden)


def _hashable(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else UNKNOWN


def sure_reads(function: ast.FunctionDef | ast.AsyncFunctionDef, known: Mapping[str, Any]) -> set[Read]:
    """All that a method surely reads in a call that returns; `known` as for `constant`."""
    assigned = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    changed = frozenset(assigned) | dict_keys.changed(function)
    walk = _Walk({n: value for n, value in known.items() if n not in assigned}, changed=changed)
    return walk.block(function.body) or set()


@dataclass
class _Walk:
    known: Mapping[str, Any]
    changed: frozenset[str] = frozenset()
    items: dict[str, str] = field(default_factory=dict)  # the variables of loops over `self.flows`
    keys: dict[str, str] = field(default_factory=dict)  # those that have each key of a dictionary in turn
    alike: dict[str, str] = field(default_factory=dict)  # local dictionaries with the keys of one of `self`
    paths: int = 0

    def block(self, statements: Sequence[ast.stmt]) -> set[Read] | None:
        """What statements surely read; None where they raise instead of going on."""
        alike = self.alike
        try:
            return self._block(statements)
        finally:
            self.alike = alike

    def _block(self, statements: Sequence[ast.stmt]) -> set[Read] | None:
        found: set[Read] = set()
        for index, statement in enumerate(statements):
            rest = statements[index + 1 :]
            if isinstance(statement, ast.If):
                found |= set(self.expression(statement.test))
                decided = constant(statement.test, self.known)
                if decided is not UNKNOWN:
                    ways = [statement.body if decided else statement.orelse]
                else:
                    ways = [statement.body, statement.orelse]
                if _leaves(statement) and self.paths < _MAX_PATHS:
                    self.paths += 1
                    return self._either(statement.test, found, [[*way, *rest] for way in ways])
                inner = self._either(statement.test, set(), ways)
                if inner is None:
                    return None
                found |= inner
                if not statement.orelse and self.block(statement.body) is None:
                    pairs = dict(dict_keys.same_keys(statement.test))
                    self.alike = self.alike | {n: own for n, own in pairs.items() if n not in self.changed}
            elif isinstance(statement, ast.Raise):
                return None
            else:
                found |= self._statement(statement)
            if _leaves(statement):
                break
        return found

    def _either(
        self, test: ast.expr, found: set[Read], ways: Sequence[Sequence[ast.stmt]]
    ) -> set[Read] | None:
        """What all ways that don't raise read, and the first what the test asks for: `if self.encoder is not None:`."""
        reads = [self.block(way) for way in ways]
        ended = [way for way in reads if way is not None]
        if not ended:
            return None
        asked = {read.name for read in self.expression(test)} if len(ways) == 2 else set()
        own = {read for read in reads[0] or () if read.name.removesuffix(ITEMS) in asked}
        return found | own | set.intersection(*ended)

    def _statement(self, statement: ast.stmt) -> set[Read]:
        found: set[Read] = set()
        if isinstance(statement, ast.For):
            found |= set(self.expression(statement.iter))
            name, target = _runs_over(statement)
            run = dict_keys.runs_over(statement, self.alike)
            if not _leaves(statement):
                self.items |= {target: name} if name else {run.item: run.table} if run.item else {}
                self.keys |= {run.key: run.table} if run.key else {}
            found |= self.block(statement.body) or set()
            for gone in (target, run.item):
                self.items.pop(gone, None)
            self.keys.pop(run.key, None)
        elif isinstance(statement, ast.With):
            for item in statement.items:
                found |= set(self.expression(item.context_expr))
            found |= self.block(statement.body) or set()
        elif not isinstance(statement, _UNSURE):
            found |= set(self.expression(statement))
        return found

    def expression(self, node: ast.AST) -> Iterator[Read]:
        """What an expression, or a simple statement, surely reads; `self(x)` reads `__call__`."""
        if isinstance(node, ast.Call):
            name = node.func.attr if is_of_self(node.func) else "__call__" if is_self(node.func) else ""
            if isinstance(node.func, ast.Name) and node.func.id in self.items:
                name = self.items[node.func.id] + ITEMS
            elif isinstance(node.func, ast.Subscript) and is_of_self(node.func.value):
                name = self._item(node.func.value.attr, node.func.slice)
            if name:
                yield Read(name, given_by_call(node, self.known))
                yield Read(name)
        elif is_of_self(node) and isinstance(node.ctx, ast.Load):
            yield Read(node.attr)
        if isinstance(node, ast.IfExp):
            yield from self._choice(node)
        elif not isinstance(node, _UNSURE):
            for child in ast.iter_child_nodes(node):
                yield from self.expression(child)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from self.expression(value)
                if constant(value, self.known) is not isinstance(node.op, ast.And):
                    break  # the next one may not be asked

    def _item(self, name: str, key: ast.expr) -> str:
        """What `self.name[key]` stands for: the module under that key, or each in turn."""
        if isinstance(key, ast.Name) and self.keys.get(key.id) == name:
            return name + ITEMS
        text = constant(key, self.known)
        return item_of(name, text) if isinstance(text, str) else ""

    def _choice(self, node: ast.IfExp) -> Iterator[Read]:
        tested = set(self.expression(node.test))
        decided = constant(node.test, self.known)
        yield from tested
        if decided is not UNKNOWN:
            yield from self.expression(node.body if decided else node.orelse)
            return
        first, second = set(self.expression(node.body)), set(self.expression(node.orelse))
        asked = {read.name for read in tested}
        yield from {read for read in first if read.name in asked} | (first & second)


def _leaves(statement: ast.stmt) -> bool:
    """Whether a statement may end the function, or the round of the loop that it stands in."""
    kinds = (ast.Return,) if isinstance(statement, ast.For | ast.While) else _LEAVING
    pending: list[ast.AST] = [] if isinstance(statement, _FUNCTIONS) else [statement]
    for node in pending:  # grows
        if isinstance(node, kinds):
            return True
        pending += [child for child in ast.iter_child_nodes(node) if not isinstance(child, _FUNCTIONS)]
    return False


def _runs_over(loop: ast.For) -> tuple[str, str]:
    """The list of `self` that a loop runs over from end to end, and the variable for its items."""
    node, target = loop.iter, loop.target
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        if node.func.id == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            target = target.elts[1]
        elif node.func.id != "reversed":
            return "", ""
        node = node.args[0]
    ends = any(isinstance(n, ast.Break | ast.Continue | ast.Return | ast.Raise) for n in ast.walk(loop))
    if ends or not is_of_self(node) or not isinstance(target, ast.Name):
        return "", ""
    return node.attr, target.id
