"""What the statements of `setup` read and give values to, and which may run again and again without a difference."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.interpreter.calls.packages import CALLING
from nnx_migrate.linen.interpreter.calls.plain_code import is_free, plain_code
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.linen.values import Expr
from nnx_migrate.names.nodes import is_of_self, last_name

Leaf = ast.stmt
_NEVER = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom, ast.Starred)
_PURE_BUILTINS = frozenset({"abs", "float", "int", "len", "max", "min", "range", "sum", "tuple"})


def leaves(body: Iterable[ast.stmt]) -> Iterator[Leaf]:
    """The statements of a block, and of the branches of its conditions."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from leaves(statement.body)
            yield from leaves(statement.orelse)
        else:
            yield statement


def conditions(body: Iterable[ast.stmt]) -> Iterator[ast.If]:
    """The conditions between these statements."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield statement
            yield from conditions(statement.body)
            yield from conditions(statement.orelse)


@dataclass(frozen=True)
class Uses:
    """The local names and attributes of `self` that some code reads."""

    names: frozenset[str]
    attributes: frozenset[str]

    def meets(self, names: Iterable[str], attributes: Iterable[str]) -> bool:
        """Whether one of these is among them."""
        return not self.names.isdisjoint(names) or not self.attributes.isdisjoint(attributes)


def uses(nodes: Iterable[ast.AST]) -> Uses:
    """What these nodes read."""
    found = list(nodes)
    changed = {n.target for n in found if isinstance(n, ast.AugAssign)}
    read = [n for n in found if isinstance(getattr(n, "ctx", None), ast.Load) or n in changed]
    names = {n.id for n in read if isinstance(n, ast.Name)}
    attributes = {n.attr for n in read if is_of_self(n)}
    return Uses(frozenset(names - {"self"}), frozenset(attributes))


def targets(statement: Leaf) -> tuple[ast.expr, ...]:
    """The single names and attributes that a statement gives values, none where that isn't so plain."""
    if isinstance(statement, ast.Assign):
        if len(statement.targets) != 1:
            return ()
        (target,) = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and statement.value is not None:
        target = statement.target
    else:
        return ()
    parts = tuple(target.elts) if isinstance(target, ast.Tuple) else (target,)
    plain = all(isinstance(part, ast.Name) or is_of_self(part) for part in parts)
    return parts if plain and len({isinstance(part, ast.Name) for part in parts}) == 1 else ()


def written(statement: ast.AST) -> tuple[set[str], set[str]]:
    """All names and attributes of `self` that a statement gives values somewhere."""
    nodes = [n for n in ast.walk(statement) if isinstance(getattr(n, "ctx", None), ast.Store)]
    names = {n.id for n in nodes if isinstance(n, ast.Name)}
    return names | defined(statement), {n.attr for n in nodes if is_of_self(n)}


def defined(code: ast.AST) -> set[str]:
    """The names that definitions and imports in some code have, and errors that it catches."""
    found = {getattr(n, "name", None) for n in ast.walk(code) if not isinstance(n, ast.alias)}
    imported = [n for n in ast.walk(code) if isinstance(n, ast.alias)]
    found |= {alias.asname or alias.name.partition(".")[0] for alias in imported}
    return {name for name in found if isinstance(name, str)}


@dataclass(eq=False)
class Statements:
    """The statements of one class's `setup`."""

    analysis: ClassAnalysis
    setup: Method

    @cached_property
    def variables(self) -> dict[ast.AST, VariableSite]:
        """The calls that make variables."""
        return {n: v for (context, n), v in self.analysis.facts.variables.items() if not context}

    @cached_property
    def _recorded(self) -> set[ast.AST]:
        """What makes, calls or draws something, or reads it by its name."""
        facts = self.analysis.facts
        records = (facts.sites, facts.calls, facts.rng_calls, facts.sown, facts.parameter_reads)
        return {node for record in records for _, node in record} | set(facts.late_modes)

    def made(self, statement: ast.AST) -> list[VariableSite]:
        """The variables that a statement makes."""
        found = [self.variables[n] for n in ast.walk(statement) if n in self.variables]
        return sorted(found, key=lambda v: v.number)

    def outside(self, statement: ast.AST) -> list[ast.AST]:
        """The nodes of a statement that are no parts of the calls which make variables."""
        found: list[ast.AST] = []
        waiting = [statement]
        while waiting:
            node = waiting.pop()
            if node not in self.variables:
                found.append(node)
                waiting += ast.iter_child_nodes(node)
        return found

    def stores(self, statement: Leaf) -> bool:
        """Whether a statement only makes a variable that an attribute holds, or that nothing gets."""
        if isinstance(statement, ast.Expr):
            return statement.value in self.variables
        if not isinstance(statement, ast.Assign) or statement.value not in self.variables:
            return False
        return all(map(is_of_self, statement.targets))

    def repeats(self, statement: Leaf) -> bool:
        """Whether a statement does no more than compute data, which it may do in each call."""
        parts, source = targets(statement), self.setup.owner.module.source
        value = getattr(statement, "value", None)
        if not parts or value is None or not self._is_alone(statement):
            return False
        if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.Lambda):
            return False
        nodes = self.outside(statement)
        inside = set(ast.walk(statement)) - set(nodes)
        if any(isinstance(n, _NEVER) or n in self._recorded for n in nodes):
            return False
        if any("\n" in source.segment(n) for n in nodes if isinstance(n, ast.Constant | ast.JoinedStr)):
            return False
        if inside and any(
            isinstance(n, ast.Lambda | ast.comprehension | ast.IfExp | ast.BoolOp) for n in nodes
        ):
            return False
        return self._gives_data(value) and all(self._is_plain(n) for n in nodes if isinstance(n, ast.Call))

    def _is_alone(self, statement: Leaf) -> bool:
        """Whether a statement shares its lines with no other one."""
        source = self.setup.owner.module.source
        start, end = source.span(statement)
        before = source.text[source.line_start(statement.lineno) : start]
        behind = source.text[end:].partition("\n")[0].strip()
        return not before.strip() and (not behind or behind.startswith("#"))

    def _gives_data(self, value: ast.expr) -> bool:
        found = [v for (_, n), v in self.analysis.facts.values.items() if n is value]
        return all(map(_is_data, found))

    def _is_plain(self, call: ast.Call) -> bool:
        """Whether a function neither makes modules nor gives what unknown code has made."""
        function, module = call.func, self.setup.owner.module
        if not isinstance(function, ast.Name | ast.Attribute) or self._makes(call):
            return False
        scope, project = module.scope_at(function), self.analysis.session.program.project
        qualified = project.resolve(function, scope, module)
        if qualified is None:
            if isinstance(function, ast.Name):
                return function.id in _PURE_BUILTINS and not scope.lookup(function.id)
            return function.attr in modelled_methods() and not is_of_self(function)
        if last_name(function) in CALLING and not all(isinstance(a, ast.Lambda) for a in call.args[:1]):
            return False
        definition = project.definition(qualified)
        if definition is None:
            return is_free(qualified)
        if not isinstance(definition.node, ast.FunctionDef):
            return False
        return plain_code(self.analysis.session.program).gives_none(definition.module, definition.node)

    def _makes(self, call: ast.Call) -> bool:
        """Whether a function that is called makes modules or variables."""
        facts = self.analysis.facts
        return any(call in context for context, _ in (*facts.sites, *facts.variables))


def _is_data(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_data, value))
    return isinstance(value, Array | Dim | bool | int | float | str) or type(value) in (Unknown, Expr)


def block_of(body: Sequence[ast.stmt], leaf: Leaf) -> list[tuple[Sequence[ast.stmt], ast.stmt]]:
    """The blocks around a statement, outermost first, each with the one of its statements that it is or lies in."""
    for statement in body:
        if statement is leaf:
            return [(body, statement)]
        if isinstance(statement, ast.If):
            for branch in (statement.body, statement.orelse):
                found = block_of(branch, leaf)
                if found:
                    return [(body, statement), *found]
    return []
