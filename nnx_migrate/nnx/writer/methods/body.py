"""Method bodies: constructions replaced by attributes, calls of layers by NNX calls, what became unused
removed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.factories.values import placeholder
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Control, Site, VariableSite
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import Layer
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.construction.partitioning import annotated
from nnx_migrate.nnx.writer.construction.variables import read_text
from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
from nnx_migrate.nnx.writer.constructor.computed.reads import SharedReads
from nnx_migrate.nnx.writer.methods.access import LoopAccess
from nnx_migrate.nnx.writer.methods.alike_branches import without_alike_branches
from nnx_migrate.nnx.writer.methods.array_methods import as_function
from nnx_migrate.nnx.writer.methods.carries import handed_carry, static_carry
from nnx_migrate.nnx.writer.methods.creating_functions import CreatingFunction, CreatingFunctions
from nnx_migrate.nnx.writer.methods.function_edits import FunctionEditor
from nnx_migrate.nnx.writer.methods.given_kernels import given_kernel_call
from nnx_migrate.nnx.writer.methods.held_lists import joined_tuple
from nnx_migrate.nnx.writer.methods.helper_calls import HelperCalls
from nnx_migrate.nnx.writer.methods.late_layers import LateLayers
from nnx_migrate.nnx.writer.methods.layer_functions import FunctionCall
from nnx_migrate.nnx.writer.methods.listed_variables import ListedVariables
from nnx_migrate.nnx.writer.methods.module_calls import ModuleCalls
from nnx_migrate.nnx.writer.methods.parameter_reads import ParameterReads
from nnx_migrate.nnx.writer.methods.scans import scan_of_function
from nnx_migrate.nnx.writer.methods.shared_helpers import SharedHelper, of_one_call
from nnx_migrate.nnx.writer.methods.state_edits import StateEditor
from nnx_migrate.nnx.writer.methods.unused import Unused
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import rng_attribute
from nnx_migrate.nnx.writer.residual.built_lists import emptied, recipes
from nnx_migrate.nnx.writer.residual.local_lists import LocalList
from nnx_migrate.nnx.writer.text import replacements, rewritten, without_double_gaps
from nnx_migrate.nnx.writer.written import Outside, WrittenFunction
from nnx_migrate.sources.text import Edit


class BodyEditor:
    """Edits one method of the class, or one `function` that it calls and that created layers."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        writer: ConstructionWriter,
        method: Method,
        lists: Sequence[LocalList] = (),
        late: Mapping[ast.AST, Site] = MappingProxyType({}),
        helpers: Sequence[SharedHelper] = (),
        choice: int = 0,
        creating: CreatingFunctions | None = None,
        function: CreatingFunction | None = None,
    ) -> None:
        """`choice` is the number of the call as which the code of `helpers` is seen."""
        self.analysis, self.names, self.writer, self.method = analysis, names, writer, method
        self.creating = creating or CreatingFunctions(analysis)
        self.function = function
        self.shared: SharedReads | None = None
        self.source = names.module.source
        self.parameters: dict[str, str] = {}  # of the function whose code is written in place of its call
        self.helpers, self.choice = HelperCalls(self, helpers), choice
        self.functions: dict[ast.AST, FunctionCall] = self.creating.one_of_each(
            self.creating.layer_calls, function
        )
        self.makers: dict[ast.AST, Site] = self.creating.one_of_each(self.creating.made, function)
        sites = of_one_call(self.creating.own_sites, helpers, choice)
        self.sites: dict[ast.AST, Site] = self.creating.one_of_each(sites, function)
        self.created = self.creating.called_in(function)  # calls of functions that get layers
        self.function_editors: dict[CreatingFunction, FunctionEditor] = {}
        made = {k: v for k, v in analysis.facts.variables.items() if not v.by_calls}
        self.variables: dict[ast.AST, VariableSite] = self.creating.one_of_each(made, function)
        self.streams = {node: stream for (_, node), stream in analysis.facts.rng_calls.items()}
        self.state = StateEditor(analysis, self)
        self.parameter_reads = ParameterReads(analysis, self)
        self.setup_variables = {
            v.attribute
            for v in analysis.variables
            if v.entry == "setup" and not v.is_reference and not v.place
        }
        self.listed = ListedVariables(self)
        self.deleted: set[ast.stmt] = set()
        self.aliases: dict[str, Site | VariableSite | LocalList] = {made.name: made for made in lists}
        self.lists = lists
        self.calls = ModuleCalls(analysis, self)
        self.late = LateLayers(self, late)
        self.unused = Unused(analysis, self)
        self.loops: LoopAccess | None = None

    def edits(self) -> list[Edit]:
        """All edits of the body."""
        body, parents = self.method.node.body, self.names.module.parents
        built = recipes(self.analysis) if self.method.name != "setup" else []
        fills = {s for recipe in built for s in recipe.fills if isinstance(s, ast.stmt)}
        self.deleted.update(fills, (recipe.definition for recipe in built))
        self.unused.find_aliases(body)
        self.deleted.update(self.state.definitions(body))
        alone = (parents.get(node) for node in self.variables)  # parameters that nothing reads
        self.deleted.update(s for s in alone if isinstance(s, ast.Expr) and body != [s])
        self.deleted.update(s for made in self.lists for s in (made.definition, made.fill))
        self.unused.find_dead(body)
        while not (gone := emptied(body, self.deleted, fills)) <= self.deleted:
            self.deleted.update(gone)
            self.unused.find_dead(body)
        for loop in (made.creating for made in self.lists):
            if isinstance(loop, ast.For) and all(s in self.deleted for s in loop.body):
                self.deleted.add(loop)
        self.helpers.settle()
        self.unused.find_dead(body)
        self.loops = LoopAccess(self, body)
        edits: list[Edit] = []
        for statement in body:
            edits += self.statement(statement)
        edits += self.shared.edits(self.source) if self.shared is not None else []
        edits = without_double_gaps(self.source, [*self.calls.modes.edits(), *edits])
        return without_alike_branches(self.source, body, edits)

    def outside_functions(self) -> dict[Outside, WrittenFunction]:
        """The functions outside of the class that get their layers from it, as they are written."""
        return {
            function.node: self.function_editor(function).written()
            for function in self.creating.all
            if function.is_outside
        }

    # ---- what is replaced -------------------------------------------------------------------------------

    def replace(self, node: ast.AST) -> str | None:
        """The new text of an expression, None where it stays as it is."""
        if isinstance(node, ast.Name) and node.id in self.parameters:
            return self.parameters[node.id]
        if self.shared is not None and node in self.shared.names:
            return self.shared.names[node]
        site = self.sites.get(node)
        if site is not None:
            return self.access(site)
        made_late = self.late.replacement(node)
        if made_late is not None:
            return made_late
        helped = self.helpers.replacement(node)
        if helped is not None:
            return helped
        if node in self.streams:
            return f"self.{rng_attribute(self.streams[node])}()"
        state = self.state.replacement(node)
        state = state if state is not None else self.parameter_reads.replacement(node)
        if state is not None:
            return state
        if self._reads_variable(node):
            return self._read_of(node)
        listed = self.listed.replacement(node)
        if listed is not None:
            return listed
        made = self.makers.get(node)
        if made is not None:
            return self.access(made)
        if isinstance(node, ast.Call) and node in self.functions:
            return self.calls.of_function(node, self.functions[node])
        if isinstance(node, ast.Call) and node in self.created:
            called = self.creating.by_call[self.created[node][0]]
            return self.function_editor(called).call(self, node, self.created[node])
        variable = self.variables.get(node)
        if variable is not None:
            return read_text(self.names, variable, self.access(variable))
        if isinstance(node, ast.Call) and node in self.calls.calls:
            return self.calls.replacement(node)
        if isinstance(node, ast.Call) and node in self.analysis.facts.given_kernels:
            return given_kernel_call(self, node, self.analysis.facts.given_kernels[node])
        if isinstance(node, ast.Name) and self._is_alias(node):
            alias = self.aliases[node.id]
            if isinstance(alias, VariableSite):
                return read_text(self.names, alias, self.access(alias))
            if isinstance(alias, LocalList):
                return f"self.{alias.attribute}"
            return self.access(alias)
        joined = joined_tuple(self, node)
        if joined is not None:
            return joined
        if isinstance(node, ast.Name | ast.Attribute):
            if self.loops is not None and node in self.loops.headers:
                return self.loops.headers[node]
            return self._tested_class(node) or self.names.replacement(node)
        if self.loops is not None and node in self.loops.headers:
            return self.loops.headers[node]
        if isinstance(node, ast.Call):
            return (
                scan_of_function(self, node)
                or handed_carry(self, node)
                or static_carry(self, node)
                or as_function(self, node)
                or annotated(self.names, node, self.text)
            )
        return None

    def _is_alias(self, node: ast.Name) -> bool:
        """Whether a name is read that stands for a module or variable here: parameters of functions may shadow it."""
        if not isinstance(node.ctx, ast.Load) or node.id not in self.aliases:
            return False
        home = self.names.home_of(node)
        binder = home.scope_at(node).binder(node.id)
        return binder is None or binder is home.scopes.of_node.get(self.method.node)

    def _tested_class(self, node: ast.Name | ast.Attribute) -> str | None:
        """The NNX class for the Linen layer in `isinstance(layer, nn.Dropout)`."""
        name = linen_name(self.names.qualified(node))
        spec = LAYERS.get(f"flax.linen.{name}")
        parents = self.names.home_of(node).parents
        test: ast.AST | None = parents.get(node)
        if isinstance(test, ast.Tuple):
            test = parents.get(test)
        is_test = isinstance(test, ast.Call) and isinstance(test.func, ast.Name)
        if spec is None or not is_test or test.func.id != "isinstance":  # type: ignore[union-attr]
            return None
        stock = f"{self.names.nnx()}.{(spec.nnx or '').rpartition('.')[2]}"
        sites = [s for s in self.analysis.sites if s.target == Layer(str(name))]
        if spec.nnx is None or any(self.writer.parts(site)[0] != stock for site in sites):
            raise Refuse("unsupported-layer", f"a test for `nn.{name}`", node)
        return stock

    def _reads_variable(self, node: ast.AST) -> bool:
        """Whether `self.name` reads a parameter that setup made."""
        return is_of_self(node) and isinstance(node.ctx, ast.Load) and node.attr in self.setup_variables

    def _read_of(self, node: ast.AST) -> str:
        """How an attribute that holds a variable is read; one that may hold several in the way of all."""
        access, name = self.source.segment(node), getattr(node, "attr", "")
        variables = [v for v in self.analysis.variables if v.attribute == name]
        ways = {read_text(self.names, v, access) for v in variables}
        if len(ways) > 1 and any(v.has_axes for v in variables):
            raise Refuse(
                "unsupported-syntax", f"`{access}` holds several variables, some with named axes", node
            )
        return f"{access}[...]" if len(ways) != 1 else ways.pop()

    def access(self, site: Site | VariableSite) -> str:
        """The expression that reads a submodule or variable."""
        handed = self.helpers.access(site)
        if handed is not None:
            return handed
        if self.loops is None or not self.loops_around(site):
            return self.base(site)
        return self.loops.access(site)

    def base(self, site: Site | VariableSite) -> str:
        """What holds a submodule or variable, or the list to which it belongs."""
        if self.function is not None and self.creating.passed(site):
            return self.creating.parameter(site, self.function)
        return f"self.{site.attribute}"

    def loops_around(self, site: Site | VariableSite) -> tuple[Control, ...]:
        """The loops around the place that creates something, as far as they stand in the code at hand."""
        return self.creating.loops_around(site, self.function)

    def within(self, function: CreatingFunction, method: Method) -> BodyEditor:
        """The editor for a function that gets the layers which it created."""
        names = self.names.of(function.module)
        late = self.late.sites
        return BodyEditor(self.analysis, names, self.writer, method, (), late, (), 0, self.creating, function)

    def function_editor(self, function: CreatingFunction) -> FunctionEditor:
        """The definition of such a function."""
        if function not in self.function_editors:
            self.function_editors[function] = FunctionEditor(function, self)
        return self.function_editors[function]

    def text(self, node: ast.AST) -> str:
        """An expression with everything replaced."""
        if self.names.home_of(node) is not self.names.module:
            return self.names.written(node, self.replace)
        return placeholder(node) or rewritten(self.source, node, self.replace)

    # ---- statements -------------------------------------------------------------------------------------

    def statement(self, statement: ast.stmt) -> list[Edit]:
        """All edits of one statement and of what stands below it."""
        if statement in self.deleted:
            return [self.removal(statement)]
        created = self.created_function(statement)
        if created is not None:
            return self.function_editor(created).edits
        state = self.state.statement(statement)
        if state is not None:
            return state
        bodies = [getattr(statement, name, None) for name in ("body", "orelse", "finalbody")]
        if not any(bodies) or isinstance(statement, ast.ClassDef):
            return self.expression_edits(statement)
        edits: list[Edit] = []
        signature = self.helpers.signature(statement) if isinstance(statement, ast.FunctionDef) else []
        for child in ast.iter_child_nodes(statement):
            is_written = bool(signature) and isinstance(child, ast.arguments)
            if not isinstance(child, ast.stmt | ast.ExceptHandler) and not is_written:
                edits += self.expression_edits(child)
        edits += signature
        for handler in getattr(statement, "handlers", []):
            edits += [e for inner in handler.body for e in self.statement(inner)]
        for block in bodies:
            if block and all(s in self.deleted for s in block):
                edits += [Edit(*self.source.span(block[0]), "pass"), *(self.removal(s) for s in block[1:])]
            elif block:
                edits += [edit for inner in block for edit in self.statement(inner)]
        return edits

    def expression_edits(self, node: ast.AST) -> list[Edit]:
        """All edits within an expression."""
        return [Edit(*found) for found in replacements(self.source, node, self.replace)]

    def created_function(self, node: ast.AST) -> CreatingFunction | None:
        """The local function that a statement defines, if it gets layers."""
        if not isinstance(node, ast.FunctionDef):
            return None
        return next((f for f in self.creating.all if f.node is node and f is not self.function), None)

    def _leads(self, statement: ast.stmt) -> bool:
        """Whether nothing of the method is left in front of a removed statement."""
        body = self.method.node.body
        return statement in body and all(s in self.deleted for s in body[: body.index(statement)])

    def removal(self, statement: ast.stmt) -> Edit:
        """Remove a statement with its whole lines."""
        start, end = self.source.span(statement)
        line_start = self.source.line_start(statement.lineno)
        text = self.source.text
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end + 1
        rest = text[end:line_end].strip()
        if text[line_start:start].strip() == "" and (not rest or rest.startswith("#")):
            if self._leads(statement) or isinstance(statement, ast.FunctionDef):
                while text[line_end:].partition("\n")[0].strip() == "" and line_end < len(text):
                    line_end = text.find("\n", line_end) + 1 or len(text)
            return Edit(line_start, line_end, "")
        raise Refuse("unsupported-syntax", "several statements on one line", statement)
