"""Which statements of `setup` calls run, and what leads to each attribute that they give a value."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.names.nodes import is_of_self, is_self
from nnx_migrate.nnx.writer.constructor.computed.initial_reads import initial_reads
from nnx_migrate.nnx.writer.constructor.computed.statements import (
    Leaf,
    Statements,
    Uses,
    block_of,
    conditions,
    leaves,
    targets,
    uses,
    written,
)

_ASKING = frozenset({"delattr", "getattr", "hasattr", "setattr", "vars"})


class _Unsure(Exception):
    """What is computed can't be told from what is made once."""


@dataclass(eq=False)
class Slice:
    """Attributes that the same statements give their values, and all statements that lead to these."""

    names: tuple[str, ...]
    writers: frozenset[Leaf]
    needed: frozenset[Leaf]
    method: str = ""  # what gives the values of several attributes


@dataclass(eq=False)
class Computed:
    """What becomes of the statements of a `setup`."""

    body: list[ast.stmt] = field(default_factory=list)
    parameters: dict[Leaf, list[VariableSite]] = field(default_factory=dict)  # that calls compute with
    stored: dict[str, VariableSite] = field(default_factory=dict)  # attribute -> the parameter that it holds
    late: frozenset[Leaf] = frozenset()  # which only calls run
    gone: frozenset[Leaf] = frozenset()  # which the constructor doesn't need
    slices: list[Slice] = field(default_factory=list)


def computed(analysis: ClassAnalysis, setup: Method, alone: Collection[ast.stmt]) -> Computed:
    """What calls compute in place of `setup`; nothing where that isn't certain.

    `alone` are statements that are properties by themselves.
    """
    if analysis.cls.own_methods.get("setup") is not setup or len(analysis.cls.mro) > 1:
        return Computed()
    try:
        return _Search(analysis, Statements(analysis, setup), alone).run()
    except _Unsure:
        return Computed()


class _Search:
    def __init__(self, analysis: ClassAnalysis, statements: Statements, alone: Collection[ast.stmt]) -> None:
        self.analysis, self.statements = analysis, statements
        self.body = statements.setup.node.body
        self.leaves = [leaf for leaf in leaves(self.body) if leaf not in alone]
        self.storing = {leaf for leaf in self.leaves if statements.stores(leaf)}
        self.stored = {
            v.attribute: v
            for leaf in self.storing
            for v in statements.made(leaf)
            if v.attribute and v.is_param
        }
        self.reads = {leaf: uses(statements.outside(leaf)) for leaf in self.leaves}
        self.writes = {leaf: written(leaf) for leaf in self.leaves}
        self.initial = initial_reads(analysis, statements.setup)
        self.late: set[Leaf] = set()
        self.names: set[str] = set()  # of local variables that only calls know
        self.attributes: set[str] = set()

    def run(self) -> Computed:
        made = {leaf: self.statements.made(leaf) for leaf in self.leaves}
        self.late = {leaf for leaf in self.leaves if made[leaf] and leaf not in self.storing}
        if any(not self._is_plain(v) for leaf in self.late for v in made[leaf]):
            raise _Unsure
        while self._spread():
            pass
        if not self.attributes:
            raise _Unsure
        self._check()
        slices = [self._slice(names) for names in self._groups()]
        parameters = {leaf: made[leaf] for leaf in self.leaves if leaf in self.late and made[leaf]}
        gone = {leaf for leaf in self.late if leaf not in parameters}
        gone |= self._left_over(gone, {leaf for one in slices for leaf in one.needed})
        return Computed(self.body, parameters, self.stored, frozenset(self.late), frozenset(gone), slices)

    def _is_plain(self, variable: VariableSite) -> bool:
        unusual = variable.is_reference or variable.by_calls or variable.place or variable.loops
        return variable.is_param and bool(variable.name) and not unusual and variable.name_node is None

    def _spread(self) -> bool:
        """Find further statements that read what calls compute, or give the same variables other values."""
        before = len(self.late)
        for leaf in self.late:
            names, attributes = self.writes[leaf]
            self.names |= names
            self.attributes |= attributes
        for leaf in self.leaves:
            names, attributes = self.writes[leaf]
            reads = self.reads[leaf].meets(self.names, {*self.attributes, *self.stored})
            if reads or names & self.names or attributes & self.attributes:
                self.late.add(leaf)
        return len(self.late) > before

    def _check(self) -> None:
        if self.late & self.storing:
            raise _Unsure
        known = {*self.attributes, *self.stored}
        for leaf in self.storing | {leaf for leaf in self.late if self.statements.made(leaf)}:
            inside = [n for v in self.statements.made(leaf) for n in ast.walk(v.call)]
            inside = [n for n in inside if n not in self.initial]
            if uses(n for n in inside if n not in self.statements.variables).meets(self.names, known):
                raise _Unsure
        for condition in conditions(self.body):
            if uses(ast.walk(condition.test)).meets(self.names, known):
                raise _Unsure
        if not all(map(self.statements.repeats, self.late)):
            raise _Unsure
        numbers = {name for name, variable in self.stored.items() if variable.is_number}
        if any(self.writes[leaf][1] & numbers for leaf in self.leaves if leaf not in self.storing):
            raise _Unsure
        family: list[LinenClass] = [o for o in self.analysis.session.program if self.analysis.cls in o.mro]
        own = {target for leaf in self.late for target in targets(leaf)}
        for cls in family:
            if any(name in cls.own_methods or cls.field(name) for name in self.attributes):
                raise _Unsure
            for node in ast.walk(cls.node):
                is_own = is_of_self(node) and node.attr in self.attributes
                if is_own and not isinstance(node.ctx, ast.Load) and node not in own:  # type: ignore[attr-defined]
                    raise _Unsure
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ASKING:
                    if not node.args or is_self(node.args[0]):
                        raise _Unsure

    # -- what leads to an attribute ------------------------------------------------------------------------

    def _groups(self) -> list[tuple[str, ...]]:
        """The attributes, those together that one statement gives values."""
        groups: dict[tuple[str, ...], None] = {}
        for leaf in self.leaves:
            parts = targets(leaf) if leaf in self.late else ()
            names = tuple(part.attr for part in parts if isinstance(part, ast.Attribute))
            if names:
                groups[names] = None
        everything = [name for names in groups for name in names]
        if len(everything) != len(set(everything)):
            raise _Unsure
        return list(groups)

    def _slice(self, names: tuple[str, ...]) -> Slice:
        writers = {leaf for leaf in self.leaves if set(names) & self.writes[leaf][1]}
        if not all(isinstance(leaf, ast.Assign) for leaf in writers):
            raise _Unsure
        needed: set[Leaf] = set()
        waiting = sorted(writers, key=lambda leaf: leaf.lineno)
        while waiting:
            leaf = waiting.pop()
            if leaf in needed:
                continue
            needed.add(leaf)
            waiting += self._sources(leaf, self.reads[leaf], names)
            for _, statement in block_of(self.body, leaf)[:-1]:
                assert isinstance(statement, ast.If)
                waiting += self._sources(statement, uses(ast.walk(statement.test)), names)
        if not all(self._is_last(leaf, needed) for leaf in writers):
            raise _Unsure
        return Slice(names, frozenset(writers), frozenset(needed))

    def _sources(self, place: ast.stmt, reads: Uses, own: tuple[str, ...]) -> Iterable[Leaf]:
        """The statements before a place that give what is read there its value."""
        found: list[Leaf] = []
        for leaf in self.leaves:
            names, attributes = self.writes[leaf]
            if attributes & reads.attributes and (leaf.lineno >= place.lineno or attributes & set(own)):
                raise _Unsure  # it gets another value later on
            if not names & reads.names or leaf.lineno > place.lineno:
                continue
            if leaf is place:
                continue
            is_plain = all(isinstance(part, ast.Name) for part in targets(leaf))
            if not is_plain or not self.statements.repeats(leaf):
                raise _Unsure
            found.append(leaf)
        return found

    def _is_last(self, writer: Leaf, needed: Collection[Leaf]) -> bool:
        """Whether nothing of what leads to an attribute comes behind the statement that gives it a value."""
        for block, statement in block_of(self.body, writer):
            behind = block[list(block).index(statement) + 1 :]
            if any(leaf in needed for leaf in leaves(behind)):
                return False
        return True

    def _left_over(self, gone: set[Leaf], needed: set[Leaf]) -> set[Leaf]:
        """The statements of the constructor whose variables only calls read."""
        found: set[Leaf] = set()
        while True:
            kept = [leaf for leaf in leaves(self.body) if leaf not in gone | found]
            nodes = [n for leaf in kept for n in self._read_in_constructor(leaf)]
            nodes += [n for condition in conditions(self.body) for n in ast.walk(condition.test)]
            more: set[Leaf] = set()
            for leaf in kept:
                if leaf not in needed or leaf in self.late:
                    continue
                own = set(ast.walk(leaf))
                if not uses(n for n in nodes if n not in own).names & self.writes[leaf][0]:
                    more.add(leaf)
            if not more:
                return found
            found |= more

    def _read_in_constructor(self, leaf: Leaf) -> Iterable[ast.AST]:
        """Of a statement that calls run only what makes its parameters."""
        if leaf not in self.late:
            return ast.walk(leaf)
        return (n for v in self.statements.made(leaf) for n in ast.walk(v.call))
