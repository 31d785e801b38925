"""The body of `setup` as the constructor's: the user's lines, with the constructions replaced."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.chosen.layers import is_maker
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.classes.post_init import is_super_call
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.values import ClassRef, Instance, Layer, Lifted, Maybe, ModuleList, Partial
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.construction.given_factories import tell_layers
from nnx_migrate.nnx.writer.construction.handed import check_plain_call, is_in_sequence
from nnx_migrate.nnx.writer.construction.lifting import lifting_calls
from nnx_migrate.nnx.writer.construction.partitioning import annotated
from nnx_migrate.nnx.writer.construction.variables import variable_parts
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.constructor.asked_layers import asked_test
from nnx_migrate.nnx.writer.constructor.carrying import CarryingLoops
from nnx_migrate.nnx.writer.constructor.chosen_makers import check_places, written_choice
from nnx_migrate.nnx.writer.constructor.computed.initial_reads import initial_reads
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed, computed
from nnx_migrate.nnx.writer.constructor.computed.texts import constructor_edits
from nnx_migrate.nnx.writer.constructor.derived_arrays import derived_arrays
from nnx_migrate.nnx.writer.constructor.dicts import check_dict
from nnx_migrate.nnx.writer.constructor.held_arrays import HELPER, array_container, holds_arrays
from nnx_migrate.nnx.writer.constructor.nested import Display, is_nested, is_unpacked_list, joins_lists
from nnx_migrate.nnx.writer.constructor.once import check_runs_once
from nnx_migrate.nnx.writer.constructor.same_branches import without_branches
from nnx_migrate.nnx.writer.constructor.setup_helpers import SetupHelpers
from nnx_migrate.nnx.writer.constructor.uncalled import whole_lines
from nnx_migrate.nnx.writer.methods.reached import by_node, choosers, closures, inside_maker, makers
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import holds_modules
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.text import (
    call_text,
    dedented,
    indentation,
    one_line,
    replacements,
    rewritten,
)


class SetupWriter:
    """Writes one class's setup body."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        renderer: InitRenderer,
        writer: ConstructionWriter,
        setup: Method,
        helpers: SetupHelpers,
        context: Context = (),
    ) -> None:
        """`setup` may be a method that does a part of its work; `context` is the way that leads there."""
        self.analysis, self.names, self.renderer = analysis, names, renderer
        self.writer, self.setup = writer, setup
        self.helpers, self.context = helpers, context
        self.source = names.module.source
        self.limit = 100
        self.derived = derived_arrays(analysis, setup) if not context else {}
        self.computed = computed(analysis, setup, self.derived) if not context else Computed()
        if not context:
            renderer.initial_reads = initial_reads(analysis, setup)
            derived = {v.call for made in self.derived.values() for v in made}
            check_runs_once(analysis, setup, derived, self.computed)
        made = {key: s for key, s in analysis.facts.sites.items() if s.method == "setup"}
        direct = {key: site for key, site in made.items() if not inside_maker(analysis, site)}
        own = set(ast.walk(setup.node))
        for way, node in direct:
            if way != self.context and node in own:
                raise Refuse("unsupported-syntax", "a module is created in a function of `setup`", node)
        self.makers = {call: site for call, site in makers(analysis).items() if site.method == "setup"}
        self.choosers = choosers(analysis)
        check_places(names.module, self.choosers)
        self.sites = {**by_node(direct), **self.makers}
        self.carrying = CarryingLoops(self)
        self.variables = {n: v for (_, n), v in analysis.facts.variables.items() if v.method == "setup"}

    def text(self, limit: int, later: Sequence[str] = ()) -> str:
        """The lines of the body; sizes appear as tokens.

        Written again while it turns out that a size is carried through a loop over modules that setup
        creates:
        the loop that creates them then carries it, too. So it does with those that are read `later`.
        """
        self.limit = limit
        tell_layers(self.writer, self.sites.values())
        while True:
            text = self._text()
            if not self.carrying.find(" ".join((text, *later))):
                self.carrying.check(text)
                return text

    def _text(self) -> str:
        body = self.setup.node.body
        if ast.get_docstring(self.setup.node) is not None:
            body = body[1:]
        if not body:
            return ""
        start = self.source.line_start(self.first_line(body[0]))
        end = self.source.line_start((body[-1].end_lineno or 0) + 1)
        edits = sorted(constructor_edits(self, body, self._edits), key=lambda e: e[0])
        pieces: list[str] = []
        position = start
        for first_offset, last, text in edits:
            pieces += (self.source.text[position:first_offset], text)
            position = last
        pieces.append(self.source.text[position:end])
        return re.sub(r"\A(?:[ \t]*\n)+", "", "".join(pieces))  # what stood there first may be gone

    def _edits(self, statement: ast.stmt) -> list[tuple[int, int, str]]:
        if isinstance(statement, ast.Assign) and statement in self.derived:
            return [(*self.source.span(statement), self._parameters(statement))]
        if statement in self.analysis.uncalled.values():
            return [(*whole_lines(self.source, statement), "")]
        goes = isinstance(statement, ast.Pass) or is_super_call(statement) or self.only_constructs(statement)
        if not goes:
            return replacements(self.source, statement, self.replace)
        return [(*self.source.line_span(statement), "")]

    def _where_given(self, statement: ast.AST) -> str | None:
        """The statement under a condition, if it makes a layer for an argument that may be None."""
        around = self.names.module.parents.get(statement)
        if not isinstance(statement, ast.Assign) or statement.value not in self.sites:
            return None
        if not isinstance(around, ast.If | ast.FunctionDef):
            return None
        text = self.inner(statement)
        site = self.sites[statement.value]
        asks = around is self.setup.node and not any(isinstance(c.node, ast.If) for c in site.controls)
        test = asked_test(self.renderer, site, text, asks)
        if test is None or statement.value in self.makers or len(statement.targets) > 1:
            return None
        indent = indentation(self.source, statement.lineno)
        outer = indentation(self.source, self.setup.node.lineno)
        inner = indent + indentation(self.source, self.setup.node.body[0].lineno)[len(outer) :]
        return f"if {test}:\n{inner}{dedented(text, indent, inner)}"

    def only_constructs(self, statement: ast.stmt) -> bool:
        """Whether a statement names a layer, a partial or a function of one that only constructions read."""
        if isinstance(statement, ast.FunctionDef):
            return self._is_maker(statement.name, statement)
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
            target = statement.targets[0]
            return isinstance(target, ast.Name) and self._is_maker(target.id, statement.value)
        if isinstance(statement, ast.If) and not statement.orelse:
            return all(self.only_constructs(inner) for inner in statement.body)
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            return False
        value = self.analysis.facts.values.get((self.context, statement.value))
        if value is None:
            value = next(
                (v for (_, n), v in self.analysis.facts.values.items() if n is statement.value), None
            )
        if is_maker(value) and (statement.value in self.renderer.layers or value in self.renderer.layers):
            return False
        while isinstance(value, Partial):
            value = value.func
        if isinstance(value, Lifted | ClassRef):
            return self._names_lifted_class(statement.targets[0].id)
        if not isinstance(value, Layer) or statement.value in self.writer.partials:
            return False
        return self._feeds_constructions(statement.targets[0].id)

    def _names_lifted_class(self, name: str) -> bool:
        """Whether only constructions of modules with lifted transforms read a variable: they name the class itself."""
        reading = [
            site
            for call, site in self.sites.items()
            if any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(call))
        ]
        return bool(reading) and all(site.lifts for site in reading) and self._feeds_constructions(name)

    def _is_maker(self, name: str, function: ast.FunctionDef | ast.Lambda) -> bool:
        """Whether a local function only makes modules, which the constructor makes where it is called."""
        functions = self.analysis.facts.functions.items()
        calls = {call for (_, call), closure in functions if closure.node is function}
        return bool(calls) and calls <= self.makers.keys() and self._feeds_constructions(name)

    def _feeds_constructions(self, name: str) -> bool:
        """Whether only constructions read a variable."""
        made = {n for call in (*self.sites, *lifting_calls(self.analysis)) for n in ast.walk(call)}
        names = [n for n in ast.walk(self.setup.node) if isinstance(n, ast.Name) and n.id == name]
        return all(n in made or isinstance(n.ctx, ast.Store) for n in names)

    def first_line(self, statement: ast.stmt) -> int:
        """The first line of the body, comments above the first statement included."""
        line = statement.lineno
        while line - 1 > self.setup.node.lineno and self.source.line_text(line - 1).strip().startswith("#"):
            line -= 1
        return line

    def replace(self, node: ast.AST) -> str | None:
        """The text that takes the place of a node, None where that stays as it is."""
        if isinstance(node, ast.Call):
            if node in self.analysis.setup_helpers:
                return self.helpers.call(self, node)
            site = self.sites.get(node)
            if site is not None:
                return self._construction(node, site)
            variable = self.variables.get(node)
            if variable is not None:
                return self._variable(variable)
        if isinstance(node, ast.Assign) and node.value in self.choosers:
            sites = self.choosers[node.value]
            return written_choice(self.writer, node, sites, self.setup.node, self.limit)
        asked = self._where_given(node)
        if asked is not None:
            return asked
        if isinstance(node, ast.If) and (text := without_branches(self, node)) is not None:
            return text
        if isinstance(node, ast.expr) and (text := self.helpers.returned(self, node)) is not None:
            return text
        if is_nested(node, self.sites, self.names.module.parents):
            return self._nested(node)
        if isinstance(node, ast.Assign) and node.value in self.carrying.sizes:
            return self.carrying.comprehension(node)
        if isinstance(node, ast.Assign) and self.carrying.is_joined(node):
            return self.carrying.joined(node)
        if isinstance(node, ast.For) and node in self.carrying.sizes:
            return self.carrying.loop(node)
        if isinstance(node, ast.expr) and is_unpacked_list(self, node):
            return f"{self.names.nnx()}.List({self.inner(node)})"
        if isinstance(node, ast.Assign) and self._is_filled_later(node):
            start, end = self.source.span(node)[0], self.source.span(node.value)[0]
            return f"{self.source.text[start:end]}{self.names.nnx()}.data(None)"
        if isinstance(node, ast.Assign) and self._holds_arrays(node):
            start, end = self.source.span(node)[0], self.source.span(node.value)[0]
            return f"{self.source.text[start:end]}{self.names.helper(HELPER)}({self.inner(node.value)})"
        kind = array_container(self.analysis, node) if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and kind is not None and not self._needs_container(node):
            if kind == "Dict" and isinstance(node.targets[0], ast.Attribute):
                check_dict(self.analysis, node.targets[0].attr, node.value, of_arrays=True)
            start, end = self.source.span(node)[0], self.source.span(node.value)[0]
            return f"{self.source.text[start:end]}{self.names.nnx()}.{kind}({self._as_argument(node.value)})"
        if isinstance(node, ast.Assign) and self._needs_container(node):
            return self._container(node)
        made = self.renderer.layers.get(node)
        if made is not None:
            return made
        if isinstance(node, ast.Name | ast.Attribute):
            value = self.analysis.facts.values.get((self.context, node))
            made = self.renderer.layers.get(value) if isinstance(value, Layer) else None
            return made or self.names.replacement(node)
        if isinstance(node, ast.Call):
            return annotated(self.names, node, lambda n: rewritten(self.source, n, self.replace))
        return None

    def _holds_arrays(self, node: ast.Assign) -> bool:
        """Whether an attribute gets a dict of arrays."""
        target = node.targets[0]
        if len(node.targets) > 1 or isinstance(node.value, ast.Constant) or not is_of_self(target):
            return False
        return holds_arrays(self.analysis.cls, target.attr)

    def _nested(self, node: Display) -> str:
        """A list of an element as an `nnx.List`, a dict of one as an `nnx.Dict`."""
        if isinstance(node, ast.Dict):
            return f"{self.names.nnx()}.Dict({self.inner(node)})"
        indent = indentation(self.source, node.lineno)
        start, _ = self.source.span(node)
        prefix = self.source.text[self.source.line_start(node.lineno) : start].strip()
        callee = f"{self.names.nnx()}.List"
        items = [one_line(self.element(item)) for item in node.elts]
        text = call_text(callee, items, indent, prefix, self.limit, "[])")
        return f"{callee}([{text[len(callee) + 1 : -1]}])"

    def _as_argument(self, node: ast.expr) -> str:
        """The text of a value as an argument: `a, b` gets its parentheses."""
        text = self.inner(node)
        bare = isinstance(node, ast.Tuple) and node.col_offset == node.elts[0].col_offset
        return f"({text})" if bare else text

    def element(self, node: ast.expr) -> str:
        """The text of an element of a container."""
        return rewritten(self.source, node, self.replace)

    def _construction(self, node: ast.Call, site: Site) -> str:
        if is_in_sequence(site):
            check_plain_call(self.writer, site)
        parts = self.writer.parts(site)
        for closure in closures(self.analysis, site.context) if node in self.makers else ():
            if _stored_names(closure.node) & self.renderer.needed:
                detail = "a construction depends on a variable of the function that makes it"
                raise Refuse("unsupported-syntax", detail, node)
        return self.wrapped(node, *parts)

    def wrapped(self, node: ast.Call, callee: str, arguments: list[str]) -> str:
        """The call that replaces another one, broken where the line becomes too long."""
        indent = indentation(self.source, node.lineno)
        start, _ = self.source.span(node)
        prefix = self.source.text[self.source.line_start(node.lineno) : start].strip()
        return call_text(callee, arguments, indent, prefix + " ", self.limit)

    def _variable(self, variable: VariableSite) -> str:
        text = self.wrapped(variable.call, *variable_parts(self.renderer, variable))
        is_alone = isinstance(self.names.module.parents.get(variable.call), ast.Expr)
        return f"self.{variable.attribute} = {text}" if is_alone else text

    def _parameters(self, statement: ast.Assign) -> str:
        """The parameters from which an attribute is computed, one after the other."""
        indent, lines = indentation(self.source, statement.lineno), list[str]()
        for variable in self.derived[statement]:
            prefix = f"self.{variable.attribute} = "
            parts = variable_parts(self.renderer, variable)
            lines.append(prefix + call_text(*parts, indent, prefix, self.limit))
        return f"\n{indent}".join(lines)

    def inner(self, node: ast.AST) -> str:
        """The text of a node with the parts below it replaced."""
        start, end = self.source.span(node)
        pieces: list[str] = []
        position = start
        own = self.replace(node) if node in self.sites else None
        if own is not None:
            return own
        for first, last, text in sorted(
            f for c in ast.iter_child_nodes(node) for f in replacements(self.source, c, self.replace)
        ):
            pieces += (self.source.text[position:first], text)
            position = last
        return "".join([*pieces, self.source.text[position:end]])

    def _is_filled_later(self, node: ast.Assign) -> bool:
        """`self.down = None`, where a condition may put a module there: NNX has to be told beforehand."""
        target = node.targets[0]
        if not (isinstance(target, ast.Attribute) and node in self.setup.node.body):
            return False
        slot = self.analysis.session.attributes.get(target.attr)
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        held = slot.value.value if slot is not None and isinstance(slot.value, Maybe) else None
        return is_none and isinstance(held, Instance | ModuleList)

    def _needs_container(self, node: ast.Assign) -> bool:
        """Whether an attribute of self gets a list, tuple or dict that holds modules."""
        target = node.targets[0]
        if not is_of_self(target):
            return False
        assert isinstance(target, ast.Attribute)
        slot = self.analysis.session.attributes.get(target.attr)
        if isinstance(node.value, ast.Constant):
            return False
        if slot is None or not holds_modules(slot.value) or node.value in self.sites:
            return False
        if node.value in self.analysis.setup_helpers:
            return False  # what it returns is put into one
        return not (isinstance(node.value, ast.Call) and node.value in self.sites)

    def _container(self, node: ast.Assign) -> str:
        value = node.value
        targets = self.source.text[self.source.span(node)[0] : self.source.span(value)[0]]
        target = node.targets[0]
        assert isinstance(target, ast.Attribute)
        slot = self.analysis.session.attributes[target.attr]
        start, end = self.source.span(value)
        pieces: list[str] = []
        position = start
        for first, last, text in sorted(replacements(self.source, value, self.replace)):
            pieces += (self.source.text[position:first], text)
            position = last
        inner = "".join([*pieces, self.source.text[position:end]])
        if isinstance(slot.value, Instance):
            return targets + inner
        nnx = self.names.nnx()
        if isinstance(value, ast.Dict | ast.DictComp):
            check_dict(self.analysis, target.attr, value)
            return f"{targets}{nnx}.Dict({inner})"
        if isinstance(value, ast.Tuple):
            inner = f"[{inner[1:-1].rstrip().removesuffix(',')}]" if inner.startswith("(") else f"[{inner}]"
        if isinstance(value, ast.BinOp) and not joins_lists(value):
            raise Refuse("unsupported-syntax", "a container of modules that isn't written out", node)
        if isinstance(value, ast.List | ast.ListComp | ast.Tuple | ast.Name | ast.BinOp):
            line = f"{targets}{nnx}.List({inner})"
            indent = indentation(self.source, node.lineno)
            if isinstance(value, ast.List | ast.Tuple) and "\n" not in line:
                if len(indent) + len(line) > self.limit:
                    items = "".join(f"{indent}    {self.element(item)},\n" for item in value.elts)
                    return f"{targets}{nnx}.List([\n{items}{indent}])"
            return line
        raise Refuse("unsupported-syntax", "a container of modules that isn't written out", node)


def _stored_names(function: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
