"""How a loop of the method reaches the modules that the same loop of the constructor made."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Control, Site, VariableSite
from nnx_migrate.names.nodes import all_below, contains
from nnx_migrate.nnx.writer.text import call_text
from nnx_migrate.nnx.writer.words import singular, snake_case
from nnx_migrate.sources.lines import line_limit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


Loop = ast.For | ast.comprehension
_ALL = frozenset({"list", "sum", "tuple"})  # built-in functions that take all that a generator gives


@dataclass(frozen=True)
class Listed:
    """Modules in a list: the loops that go through it, outermost first, what it is called, and how it is read."""

    loops: tuple[Control, ...]
    name: str
    base: str


class LoopAccess:
    """For every loop: the new target and iterable, and the expression for each list's element.

    Where a loop counts anyway and the counter is still read, the list is indexed; else the loop runs over
    the list
    itself, with `zip` where its old variables are still needed.
    """

    def __init__(self, editor: BodyEditor, body: Sequence[ast.stmt]) -> None:
        self.editor = editor
        self.headers: dict[ast.AST, str] = {}
        self.elements: dict[tuple[ast.AST, str], str] = {}
        self.counters: dict[ast.AST, str] = {}  # names for loops that had none
        self.reads = editor.unused.remaining_reads(body)
        self.used = {n.id for s in body for n in all_below(s) if isinstance(n, ast.Name)}
        if editor.function is not None:
            self.used.update(editor.function.parameters.values())
        made: list[Site | VariableSite] = [*editor.sites.values(), *editor.makers.values()]
        made += [*(f.site for f in editor.functions.values()), *editor.variables.values()]
        made += [
            s for calls in editor.created.values() for c in calls for s in editor.creating.layers(c).values()
        ]
        sites = [s for s in made if editor.loops_around(s) and not s.is_held]
        sites = [s for s in sites if s.method == editor.method.name or editor.function is not None]
        plain = [self._listed(s) for s in sites if not handed(editor, s)]
        everything = [*plain, *editor.helpers.lists()]
        for node in (n for s in body for n in all_below(s)):
            loop = node if isinstance(node, ast.For) else self._only_generator(node)
            lists = [(s, k) for s in everything for k, c in enumerate(s.loops) if c.node is node]
            nested = any(len(made.loops) > 1 for made, _ in lists)
            if lists and loop is not None and not (nested and isinstance(loop, ast.comprehension)):
                self._loop(node, loop, lists)

    def access(self, site: Site | VariableSite) -> str:
        """The expression for the module, or variable, of the current round."""
        return self.element(self._listed(site))

    def element(self, listed: Listed) -> str:
        """The same for a list."""
        last = listed.loops[-1].node
        found = self.elements.get((last, listed.name))
        if found is not None:
            return found
        raise Refuse("unsupported-syntax", "a list of modules that is filled or read in an unusual way", last)

    def _loop(self, node: ast.AST, loop: Loop, lists: list[tuple[Listed, int]]) -> None:
        bases: dict[str, str] = {}
        for listed, level in lists:
            outer = listed.loops[level - 1].node if level else None
            bases[listed.name] = self.elements[outer, listed.name] if outer is not None else listed.base
        counter = loop_counter(loop.target, loop.iter)
        if counter is not None and _is_renewed(loop, counter):
            counter = None
        still = self._still_read(loop)
        others = still - {counter}
        single = len(bases) == 1
        if counter is not None and (counter in still or (not single and isinstance(loop.target, ast.Name))):
            if single and not others and is_enumerate(loop.target, loop.iter):
                ((attribute, base),) = bases.items()
                variable = self._variable(attribute, node)
                self.elements[node, attribute] = variable
                self.headers[loop.target] = f"{counter}, {variable}"
                self.headers[loop.iter] = f"enumerate({base})"
                return
            if not counter.strip("_") and counter not in still:
                self.headers[loop.target] = counter = self._fresh_counter(node)
            for attribute, base in bases.items():
                self.elements[node, attribute] = f"{base}[{counter}]"
            return
        variables = {attribute: self._variable(attribute, node) for attribute in bases}
        for attribute, variable in variables.items():
            self.elements[node, attribute] = variable
        self._iterate(node, loop, bases, variables, still)

    def _iterate(
        self, node: ast.AST, loop: Loop, bases: dict[str, str], variables: dict[str, str], still: set[str]
    ) -> None:
        targets, iterables = list(variables.values()), list(bases.values())
        if still:
            target, iterable = loop.target, loop.iter
            if is_enumerate(loop.target, loop.iter) and loop_counter(loop.target, loop.iter) not in still:
                assert isinstance(loop.target, ast.Tuple) and isinstance(loop.iter, ast.Call)
                target, iterable = loop.target.elts[1], loop.iter.args[0]
            segment = self.editor.source.segment
            if self._is_zip(iterable) and isinstance(target, ast.Tuple) and isinstance(iterable, ast.Call):
                targets = [segment(t) for t in target.elts] + targets
                iterables = [self.editor.text(a) for a in iterable.args] + iterables
            else:
                text = segment(target)
                nested = isinstance(target, ast.Tuple) and not text.startswith("(")
                targets = [f"({text})" if nested else text, *targets]
                iterables = [self.editor.text(iterable), *iterables]
        self.headers[loop.target] = joined = ", ".join(targets)
        zipped = f"zip({', '.join(iterables)})"
        if isinstance(loop, ast.For):
            source = self.editor.source
            indent = source.text[source.line_start(loop.lineno) : source.span(loop)[0]]
            zipped = call_text("zip", iterables, indent, f"for {joined} in ", line_limit(source), ":")
        self.headers[loop.iter] = iterables[0] if len(iterables) == 1 else zipped

    def _is_zip(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "zip"
            and not node.keywords
        )

    def _still_read(self, loop: Loop) -> set[str]:
        names = {n.id for n in all_below(loop.target) if isinstance(n, ast.Name)}
        return names & self.reads

    def _only_generator(self, node: ast.AST) -> ast.comprehension | None:
        """The loop of a comprehension that has one, and skips no round."""
        if isinstance(node, ast.GeneratorExp):
            user = self.editor.names.module.parents.get(node)
            function = user.func if isinstance(user, ast.Call) else None
            if not (isinstance(function, ast.Name) and function.id in _ALL):
                return None
        if not isinstance(node, ast.ListComp | ast.GeneratorExp) or len(node.generators) != 1:
            return None
        return None if node.generators[0].ifs else node.generators[0]

    def _listed(self, site: Site | VariableSite) -> Listed:
        base = self.editor.base(site)
        return Listed(self.editor.loops_around(site), base.removeprefix("self."), base)

    def _fresh_counter(self, loop: ast.AST) -> str:
        """A name for the counter of a loop that had none (`for _ in range(n)`)."""
        around = {name for other, name in self.counters.items() if contains(other, loop)}
        names = chain("ijk", (f"i_{number}" for number in count()))
        self.counters[loop] = name = next(n for n in names if n not in self.used | around)
        return name

    def _variable(self, attribute: str, loop: ast.AST) -> str:
        name = singular(snake_case(attribute) if attribute[:1].isupper() else attribute)
        helpers = [h for h in self.editor.helpers.helpers if loop in h.nodes]
        taken = self.used | set(self.counters.values())
        while name in taken or any(name in helper.names.values() for helper in helpers):
            name += "_"
        self.used.add(name)
        return name


def handed(editor: BodyEditor, site: Site | VariableSite) -> bool:
    """Whether a module is handed to a helper, whose loops and whose callers' go through different lists."""
    return editor.helpers.name(site) is not None


def _is_renewed(loop: Loop, name: str) -> bool:
    """Whether the body of a loop gives its counter another value."""
    if isinstance(loop, ast.comprehension):
        return False
    names = (n for statement in loop.body for n in all_below(statement) if isinstance(n, ast.Name))
    return any(n.id == name and not isinstance(n.ctx, ast.Load) for n in names)


def is_enumerate(target: ast.expr, iterable: ast.expr) -> bool:
    """Whether a loop is `for i, x in enumerate(xs)`."""
    return (
        isinstance(iterable, ast.Call)
        and isinstance(iterable.func, ast.Name)
        and iterable.func.id == "enumerate"
        and len(iterable.args) == 1
        and not iterable.keywords
        and isinstance(target, ast.Tuple)
        and len(target.elts) == 2
        and isinstance(target.elts[0], ast.Name)
    )


def loop_counter(target: ast.expr, iterable: ast.expr) -> str | None:
    """The variable that counts a loop's rounds from 0."""
    if is_enumerate(target, iterable):
        assert isinstance(target, ast.Tuple)
        first = target.elts[0]
        return first.id if isinstance(first, ast.Name) else None
    if (
        isinstance(iterable, ast.Call)
        and isinstance(iterable.func, ast.Name)
        and iterable.func.id == "range"
        and isinstance(target, ast.Name)
    ):
        args = iterable.args
        zero = len(args) == 2 and isinstance(args[0], ast.Constant) and args[0].value == 0
        return target.id if len(args) == 1 or zero else None
    return None


__all__ = ["LoopAccess", "Refuse"]
