"""The residual constructor: the part of a compact method that creates modules, with the control flow it needs.

The method's statements are walked in order. What stays is: constructions (as `self.<attribute> = ...`), the static
local variables that they read, the loops and conditions around them, and assignments of sizes that control flow
changes (`Phi`). Texts hold tokens for sizes until `NameAllocator` gives them names.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Sequence

from nnx_migrate.linen.alternatives import shared_lists
from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.interpreter.statements.matching import as_conditions
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.construction.variables import variable_parts
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.methods.creating_functions import CreatingFunctions
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual.array_lists import ListMirror
from nnx_migrate.nnx.writer.residual.assigned import assigned_names
from nnx_migrate.nnx.writer.residual.built_lists import BuiltLists
from nnx_migrate.nnx.writer.residual.by_default import conjunction, open_parts
from nnx_migrate.nnx.writer.residual.called import called
from nnx_migrate.nnx.writer.residual.carried_sizes import CarriedSizes
from nnx_migrate.nnx.writer.residual.exits import needs_exit
from nnx_migrate.nnx.writer.residual.free import is_free
from nnx_migrate.nnx.writer.residual.imports import needed_imports
from nnx_migrate.nnx.writer.residual.local_lists import LocalList
from nnx_migrate.nnx.writer.residual.nodes import (
    Block,
    Line,
    Node,
    align,
    appended_twice,
    merged,
    sets_sizes,
    within,
)
from nnx_migrate.nnx.writer.residual.raises import with_raises
from nnx_migrate.nnx.writer.residual.setup_rounds import as_own_numbers
from nnx_migrate.nnx.writer.text import unwrapped


class Residual:
    """Builds the constructor body of one compact method."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        renderer: InitRenderer,
        writer: ConstructionWriter,
        context: Context = (),
        lists: Sequence[LocalList] = (),
        creating: CreatingFunctions | None = None,
    ) -> None:
        self.analysis, self.renderer, self.writer, self.context = analysis, renderer, writer, context
        self.sizes = CarriedSizes(analysis, renderer, lists, context)
        self.sites: dict[int, list[Site | VariableSite]] = {}
        self.emitted_loops: set[int] = set()
        self.lists, self.creating = lists, creating
        self.array_lists = ListMirror(self)
        self.built = BuiltLists(writer)
        self.imports: set[ast.stmt] = set()  # local ones that the constructor needs, too

    def build(self, body: Sequence[ast.stmt], sites: Sequence[Site | VariableSite]) -> list[Node]:
        """The nodes for a method body. Repeated until no further local or size turns out to be needed."""
        self.sites = {}
        for site in (s for s in sites if not (isinstance(s, Site) and s.is_held)):
            statement = self.statement_of(site)
            self.sites.setdefault(id(statement), []).append(site)
        while True:
            before = self._progress()
            nodes = self.block(body)
            self._collect(nodes)
            self.imports |= needed_imports(body, nodes)
            if self._progress() == before:
                self.sizes.resolve(nodes)
                return nodes

    def _progress(self) -> tuple[int, ...]:
        renderer = self.renderer
        sizes = len(self.sizes.phis), len(self.writer.partials), len(self.imports), len(renderer.layers)
        return len(renderer.needed), len(renderer.moved), *sizes

    def below(self, context: Context) -> Residual:
        """What builds the code of a function that this code calls."""
        inner = Residual(self.analysis, self.renderer, self.writer, context, creating=self.creating)
        inner.sizes.phis = self.sizes.phis
        inner.sites = {}
        return inner

    def statement_of(self, site: Site | VariableSite) -> ast.stmt:
        """The statement of this code that creates something, or calls what does."""
        level = len(self.context)
        node: ast.AST = site.context[level] if len(site.context) > level else site.call
        return self.writer.names.home_of(node).statement_of(node)

    def _collect(self, nodes: Sequence[Node]) -> None:
        """Find the tokens in the texts: phis that need assignments, locals that need their statements."""
        for node in nodes:
            text = (
                node.full if isinstance(node, Line) else node.header if isinstance(node, Block) else node.text
            )
            for match in TOKEN.finditer(text):
                if match["kind"] == "p":
                    self.sizes.phis.add(int(match["id"]))
            self.renderer.see(text)
            if isinstance(node, Block):
                self._collect(node.body)
                self._collect(node.orelse)

    # ---- statements -------------------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt]) -> list[Node]:
        """What the constructor needs of statements one after the other."""
        nodes: list[Node] = []
        for index, statement in enumerate(body):
            if self.context and isinstance(statement, ast.If) and self._leaves(statement):
                return [*nodes, *self._if(statement, body[index + 1 :])]
            nodes += self._statement_nodes(statement)
        return nodes

    def _leaves(self, statement: ast.If) -> bool:
        """Whether an `if` may leave the function in front of what creates modules."""
        exits = self.analysis.facts.exits.get((self.context, statement))
        decided = (self.context, statement) in self.analysis.facts.decided
        return exits is not None and not decided and needs_exit(self.writer, self.context, statement)

    def _statement_nodes(self, statement: ast.stmt) -> list[Node]:
        if isinstance(statement, ast.If):
            return self._if(statement)
        if isinstance(statement, ast.Match):
            return self.block(as_conditions(statement))
        if isinstance(statement, ast.For):
            return self._for(statement)
        if isinstance(statement, ast.While):
            return self._while(statement)
        if isinstance(statement, ast.With):
            return [*self._own(statement), *self.block(statement.body)]
        if isinstance(statement, ast.FunctionDef):
            return self._function(statement)
        if isinstance(statement, ast.Try):
            return self.block(statement.body)
        return self._own(statement)

    def _own(self, statement: ast.stmt) -> list[Node]:
        """A simple statement: its constructions, then the assignment itself if a local is needed."""
        filled = next((item for item in self.lists if statement in (item.definition, item.fill)), None)
        if filled is not None:
            return self._filling(filled, statement)
        if statement in self.built.statements:
            return [self.built.line(statement)]
        if statement in self.imports:
            return [Line(self.writer.names.module.source.segment(statement))]
        created = self._created(statement)
        kept = self.sizes.at_once(self.sizes.decided_at(statement), 0, statement)
        nodes = [*kept, *self.array_lists.reads(statement), *created, *self.array_lists.changes(statement)]
        names = assigned_names(statement)
        value = getattr(statement, "value", None)
        if isinstance(statement, ast.Assign) and value in self.writer.partials:
            target, source = statement.targets[0], self.writer.names.home_of(statement).source
            texts = self.writer.partials[value]
            nodes.append(Line(f"{source.segment(target)} = ", source.segment(value.func), texts))
        elif names & self.renderer.needed and self._is_repeated(statement):
            text = self.renderer.statement(statement, self.context)
            nodes.append(Line(text, comment=self._comment(statement)))
        return nodes

    def _filling(self, made: LocalList, statement: ast.stmt) -> list[Node]:
        """The attribute for a local list of modules, or the line that adds an element to it."""
        nnx = self.renderer.names.nnx()
        empty = Line(f"self.{made.attribute} = ", f"{nnx}.List", [])
        if statement is made.definition and statement is not made.fill:
            return [empty]
        element = made.element
        line = Line(f"self.{made.attribute}.append(", f"{nnx}.List", [], ")", is_list=True)
        if isinstance(element, ast.List | ast.Tuple):
            line.arguments = [self._element(item) for item in element.elts]
        else:
            line.is_list = False
            line.callee, line.arguments = self.writer.parts(made.sites[0])
        if not isinstance(made.creating, ast.ListComp):
            return [line]
        before, after = self.sizes.of_loop(made.creating)
        (generator,) = made.creating.generators
        header = self._loop_header(generator.target, generator.iter)
        return [*before, empty, Block(header, [line, *after], is_loop=True)]

    def _element(self, node: ast.expr) -> str:
        """An element of a list of modules; lists in it are lists of NNX, too."""
        if isinstance(node, ast.List | ast.Tuple):
            items = ", ".join(self._element(item) for item in node.elts)
            return f"{self.renderer.names.nnx()}.List([{items}])"
        return self.renderer.text(node, self.context)

    def _is_repeated(self, statement: ast.stmt) -> bool:
        """Whether the constructor executes the statement as it stands, or with sizes for what it reads of inputs."""
        if statement in self.renderer.moved:
            return True
        value = getattr(statement, "value", None)
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) or value is None:
            return False
        return (self.context, statement) in self.analysis.facts.static_statements

    def _comment(self, statement: ast.stmt) -> str:
        line = self.writer.names.home_of(statement).source.line_text(statement.end_lineno or 0)
        rest = line.encode()[statement.end_col_offset or 0 :].decode()
        return rest.rstrip() if rest.strip().startswith("#") else ""

    def wrapped(self, site: Site | VariableSite, around: ast.AST) -> list[Node]:
        """A construction under the conditional expressions that stand `around` it, in its statement or lambda."""
        nodes = self._creation(site)
        inner = [c for c in site.controls if within(c, around)]
        for control in reversed(inner):
            if isinstance(control.node, ast.IfExp):
                header = self.condition(control.node.test, control.branch == "orelse", [site])
                other: list[Node] = []
                if isinstance(site, Site) and site.loops:
                    align(nodes, other)
                nodes = [Block(f"if {header}:", nodes, other)] if header else nodes
            elif isinstance(control.node, ast.ListComp | ast.GeneratorExp):
                nodes = self._comprehension(control.node, nodes, site)
            else:
                raise Refuse("unsupported-syntax", "a module created inside a comprehension", site.call)
        return nodes

    def _comprehension(
        self, node: ast.ListComp | ast.GeneratorExp, body: list[Node], site: Site | VariableSite
    ) -> list[Node]:
        generator = node.generators[0]
        if generator.ifs:
            raise Refuse("unsupported-syntax", "modules created in a comprehension with a condition", node)
        before, after = self.sizes.of_loop(node)
        lists = [Line(f"self.{site.attribute} = ", f"{self.renderer.names.nnx()}.List", [])]
        header = self._loop_header(generator.target, generator.iter)
        return [*before, *lists, Block(header, [*body, *after], is_loop=True)]

    def _creation(self, site: Site | VariableSite) -> list[Node]:
        depth = len([c for c in site.controls if c.is_loop])
        if isinstance(site, VariableSite):
            with self.renderer.writing_variable():
                callee, arguments = variable_parts(self.renderer, site)
        else:
            callee, arguments = self.writer.parts(site)
        if depth:
            last = "[-1]" * (depth - 1)
            return [Line(f"self.{site.attribute}{last}.append(", callee, arguments, ")")]
        return [Line(f"self.{site.attribute} = ", callee, arguments)]

    # ---- control flow -----------------------------------------------------------------------------------

    def _if(self, statement: ast.If, rest: Sequence[ast.stmt] = ()) -> list[Node]:
        """`rest` are the statements behind one that may leave a function: they stand in its other branch."""
        decided = self.analysis.facts.decided.get((self.context, statement))
        if decided is not None:
            return [
                *self._created(statement),
                *self.block(statement.body if decided else statement.orelse),
            ]
        exits = self.analysis.facts.exits.get((self.context, statement))
        leaves = self._leaves(statement)
        body = self.block([*statement.body, *(rest if exits != "body" else ())])
        orelse = self.block([*statement.orelse, *(rest if exits == "body" else ())])
        phis = self.sizes.decided_at(statement)
        body += self.sizes.at_once(phis, 0, statement)
        orelse += self.sizes.at_once(phis, 1, statement)
        if leaves and not self.context:
            (body if exits == "body" else orelse).append(Line("return"))
        if not body and not orelse:
            return []
        sites = self._sites_below(statement)
        decides = sets_sizes([*body, *orelse]) or self.built.below(statement)
        test = self.condition(statement.test, False, sites, decides or leaves)
        if test is None and decides:
            detail = "a condition of the call decides about sizes or lists"
            raise Refuse("dynamic-construction", detail, statement.test)
        if test is None:  # only modules without parameters below: they may exist in any case
            return [*body, *orelse]
        if self.context or self._in_loop(statement):
            align(body, orelse)
        if not self.context:
            body, orelse = with_raises(self.renderer, statement, test, body, orelse)
        return [Block(f"if {test}:", body, orelse)]

    def _in_loop(self, statement: ast.stmt) -> bool:
        return self.writer.names.home_of(statement).enclosing(statement, ast.For, ast.While) is not None

    def _created(self, statement: ast.stmt) -> list[Node]:
        """What a statement's own expressions create, in the helper functions that it calls, too."""
        nodes: list[Node] = []
        level = len(self.context)
        for call, group in itertools.groupby(
            self.sites.get(id(statement), []), lambda s: s.context[level] if len(s.context) > level else None
        ):
            members = list(group)
            if call is None:
                for site in members:
                    nodes += self.wrapped(site, statement)
            else:
                nodes += called(self, call, members, statement)
        return merged(nodes)

    def condition(
        self,
        test: ast.expr,
        negate: bool,
        sites: Sequence[Site | VariableSite],
        decides: bool = False,
        context: Context | None = None,
    ) -> str | None:
        """A condition's text; None where a call decides it but nothing below has parameters (nor `decides` sizes).

        `context` is where it stands, if that isn't the code at hand.
        """
        context = self.context if context is None else context
        try:
            if not decides and all(is_free(self.writer, site) for site in sites) and self._asks(test):
                return None
            asked = self.analysis.facts.values.get((context, test))
            if negate and isinstance(asked, NoneTest):
                return self.renderer.none_test(asked.negated)
            text = self.renderer.text(test, context)
        except Refuse as refusal:
            if all(is_free(self.writer, site) for site in sites):
                return None
            parts = None if decides else open_parts(self.analysis, context, test)
            if not parts:
                raise Refuse("dynamic-construction", refusal.detail, test) from None
            text = conjunction([self.renderer.text(part, context) for part in parts])
        return f"not ({unwrapped(text)})" if negate else unwrapped(text)

    def _asks(self, test: ast.expr) -> bool:
        """Whether a condition asks which arguments are given, which may differ from call to call."""
        values = self.analysis.facts.values
        return any(isinstance(values.get((self.context, node)), NoneTest) for node in ast.walk(test))

    def _sites_below(self, statement: ast.stmt) -> list[Site | VariableSite]:
        inside = {id(n) for n in ast.walk(statement)}
        return [s for group in self.sites.values() for s in group if id(self.statement_of(s)) in inside]

    def _for(self, statement: ast.For) -> list[Node]:
        body = self.block(statement.body)
        before, after = self.sizes.of_loop(statement)
        own = self._created(statement)
        if not body and not after:
            return own
        if any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(statement)):
            raise Refuse(
                "unsupported-syntax", "modules are created in a loop that may be left early", statement
            )
        lists_of_branches = shared_lists(self.analysis.sites)
        if any(text.split(".")[1].partition("[")[0] in lists_of_branches for text in appended_twice(body)):
            detail = "a condition that the constructor doesn't know decides which module a loop makes"
            raise Refuse("dynamic-construction", detail, statement)
        mirrored = self.array_lists.header(statement)
        header, binds = mirrored or (self._loop_header(statement.target, statement.iter), ())
        lists, sublists = self._lists(statement)
        as_own_numbers(self.analysis, statement, [*body, *after])
        return [*own, *before, *lists, Block(header, [*sublists, *body, *after], is_loop=True, binds=binds)]

    def _loop_header(self, target: ast.expr, iterable: ast.expr) -> str:
        names = self.writer.names.home_of(target).source.segment(target)
        return f"for {names} in {self.renderer.text(iterable, self.context)}:"

    def _lists(self, loop: ast.AST) -> tuple[list[Node], list[Node]]:
        """Empty lists for the modules that a loop creates: before it, and at the start of each round."""
        nnx = self.renderer.names.nnx()
        before: list[Node] = []
        inside: list[Node] = []
        one_each = {s.attribute: s for group in self.sites.values() for s in group}
        for site in one_each.values():
            for level, control in enumerate(site.loops):
                if control.node is not loop:
                    continue
                if level == 0:
                    before.append(Line(f"self.{site.attribute} = ", f"{nnx}.List", []))
                if level + 1 < len(site.loops):
                    inside.append(Line(f"self.{site.attribute}{'[-1]' * level}.append({nnx}.List())"))
        return before, inside

    def _while(self, statement: ast.While) -> list[Node]:
        nodes = self.block(statement.body)
        if nodes:
            raise Refuse("unsupported-syntax", "modules are created in a `while` loop", statement)
        return []

    def _function(self, statement: ast.FunctionDef) -> list[Node]:
        is_static = (self.context, statement) in self.analysis.facts.static_statements
        if statement in self.renderer.moved or (is_static and statement.name in self.renderer.needed):
            return [Line(self.renderer.function(statement), follows_indent=True)]
        return []
