"""Method bodies: constructions replaced by attributes, calls of layers by NNX calls, what became unused
removed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TypeVar

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.factories import placeholder
from nnx_migrate.linen.model import Method
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import Closure, Instance, Layer
from nnx_migrate.nnx.layers import LAYERS, Refusal, rewritten_arguments, write_call
from nnx_migrate.nnx.writer.access import LoopAccess
from nnx_migrate.nnx.writer.carries import detached_carry
from nnx_migrate.nnx.writer.construction import ConstructionWriter
from nnx_migrate.nnx.writer.factories import given_flags
from nnx_migrate.nnx.writer.lifting import lifted_call
from nnx_migrate.nnx.writer.local_lists import LocalList
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.residual import assigned_names
from nnx_migrate.nnx.writer.state_edits import StateEditor
from nnx_migrate.nnx.writer.text import (
    call_text,
    line_limit,
    one_line,
    replacements,
    rewritten,
    without_double_gaps,
)
from nnx_migrate.sources.text import Edit

_Record = TypeVar("_Record")


class BodyEditor:
    """Edits one method of the class."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        writer: ConstructionWriter,
        method: Method,
        lists: Sequence[LocalList] = (),
    ) -> None:
        self.analysis, self.names, self.writer, self.method = analysis, names, writer, method
        self.source = names.module.source
        self.sites = by_node({k: v for k, v in analysis.facts.sites.items() if not inside_maker(analysis, v)})
        self.variables = by_node(analysis.facts.variables)
        self.calls = _reached(analysis)
        self.makers = _makers(analysis)
        self.streams = {node: stream for (_, node), stream in analysis.facts.rng_calls.items()}
        self.state = StateEditor(analysis, self)
        self.setup_variables = {
            v.attribute for v in analysis.variables if v.entry == "setup" and not v.is_reference
        }
        self.deleted: set[ast.stmt] = set()
        self.aliases: dict[str, Site | VariableSite | LocalList] = {made.name: made for made in lists}
        self.lists = lists
        self.loops: LoopAccess | None = None

    def edits(self) -> list[Edit]:
        """All edits of the body."""
        body = self.method.node.body
        self._find_aliases(body)
        self.deleted.update(self.state.definitions(body))
        self.deleted.update(s for made in self.lists for s in (made.definition, made.fill))
        self._find_dead(body)
        for loop in (made.creating for made in self.lists):
            if isinstance(loop, ast.For) and all(s in self.deleted for s in loop.body):
                self.deleted.add(loop)
        self.loops = LoopAccess(self, body)
        edits: list[Edit] = []
        for statement in body:
            edits += self.statement(statement)
        return without_double_gaps(self.source, edits)

    # ---- what is replaced -------------------------------------------------------------------------------

    def replace(self, node: ast.AST) -> str | None:
        """The new text of an expression, None where it stays as it is."""
        site = self.sites.get(node)
        if site is not None:
            return self.access(site)
        if node in self.streams:
            return f"self.{rng_attribute(self.streams[node])}()"
        state = self.state.replacement(node)
        if state is not None:
            return state
        if self._reads_variable(node):
            return f"{self.source.segment(node)}[...]"
        made = self.makers.get(node)
        if made is not None:
            return self.access(made)
        variable = self.variables.get(node)
        if variable is not None:
            return f"self.{variable.attribute}[...]"
        if isinstance(node, ast.Call) and node in self.calls:
            return self._module_call(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in self.aliases:
            alias = self.aliases[node.id]
            if isinstance(alias, VariableSite):
                return f"self.{alias.attribute}[...]"
            if isinstance(alias, LocalList):
                return f"self.{alias.attribute}"
            return self.access(alias)
        if isinstance(node, ast.Name | ast.Attribute):
            if self.loops is not None and node in self.loops.headers:
                return self.loops.headers[node]
            return self._tested_class(node) or self.names.replacement(node)
        if self.loops is not None and node in self.loops.headers:
            return self.loops.headers[node]
        return None

    def _tested_class(self, node: ast.Name | ast.Attribute) -> str | None:
        """The NNX class for the Linen layer in `isinstance(layer, nn.Dropout)`."""
        name = linen_name(self.names.qualified(node))
        spec = LAYERS.get(f"flax.linen.{name}")
        test: ast.AST | None = self.names.module.parents.get(node)
        if isinstance(test, ast.Tuple):
            test = self.names.module.parents.get(test)
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
        return (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and node.attr in self.setup_variables
        )

    def access(self, site: Site) -> str:
        """The expression that reads a submodule."""
        if self.loops is None or not site.loops:
            return f"self.{site.attribute}"
        return self.loops.access(site)

    def text(self, node: ast.AST) -> str:
        """An expression with everything replaced."""
        return placeholder(node) or rewritten(self.source, node, self.replace)

    def _module_call(self, call: ast.Call) -> str | None:
        """The call of a submodule, or of one of several that a loop takes in turn."""
        texts = {self._special_call(call, site) for site in self.calls[call]}
        if len(texts) > 1:
            raise Refuse("unsupported-syntax", "a loop over submodules that NNX calls differently", call)
        return texts.pop() or self._joined_call(call)

    def _special_call(self, call: ast.Call, site: Site) -> str | None:
        """The call of a submodule where NNX calls it in another way, None where only parts inside it change."""
        if any(
            lift.name != "jit" for lift in site.lifts
        ):  # a whole program is compiled, or each of its steps
            return lifted_call(self, call, site)
        if site.carry_only:
            return detached_carry(self, call, site)
        return self._layer_call(call, site) or self._flagged_call(call, site)

    def _layer_call(self, call: ast.Call, site: Site) -> str | None:
        """The call of a built-in layer in NNX's form, None where only parts inside it change."""
        if not isinstance(site.target, Layer):
            return None
        spec = LAYERS.get(f"flax.linen.{site.target_name}")
        if spec is None:
            raise Refuse("unsupported-layer", f"`nn.{site.target_name}`", call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in _LAYER_METHODS:
            return None
        _, bound = self.writer.bound(site)
        flag = bound.values.get(spec.call.flag or "")
        self._check_flag(flag, call)
        if flag is not None:
            self._check_direct(call)
        rewrite = write_call(
            spec,
            bound,
            call,
            self.text,
            nnx=self.names.nnx(),
            judge=self.names.judge(),
            helper=self.names.helper,
        )
        if isinstance(rewrite, Refusal):
            reason = "mode-flag" if rewrite.code == "missing-mode-flag" else "unsupported-layer"
            raise Refuse(reason, rewrite.reason, call)
        if not rewrite.edits:
            return None
        arguments = [one_line(text) for text in rewritten_arguments(call, rewrite, self.text)]
        return self.call_text(call, arguments)

    def _flagged_call(self, call: ast.Call, site: Site) -> str | None:
        """The call of a submodule that gets the mode flags which factories given to it bound in Linen."""
        flags = given_flags(self.writer, site)
        if not flags:
            return None
        for flag in flags.values():
            self._check_flag(flag, call)
            self._check_direct(call)
        texts = [*(self.text(a) for a in call.args)]
        texts += [f"{k.arg}={self.text(k.value)}" for k in call.keywords]
        texts += [f"{name}={self.text(flag)}" for name, flag in flags.items()]
        return self.call_text(call, [one_line(text) for text in texts])

    def _check_flag(self, flag: ast.expr | None, call: ast.Call) -> None:
        """Refuse to move a mode flag behind a statement that gives one of its variables another value."""
        if flag is None or placeholder(flag):
            return
        names = {n.id for n in ast.walk(flag) if isinstance(n, ast.Name)}
        for node in ast.walk(self.method.node):
            changed = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names
            if changed and isinstance(node, ast.Name) and node.lineno > flag.lineno:
                raise Refuse("mode-flag", f"`{node.id}` changes after the layer got it as its mode", call)

    def _joined_call(self, call: ast.Call) -> str | None:
        """A call whose construction took several lines, on one line if it fits; None where it stays."""
        if call.func not in self.sites or call.func.lineno == call.func.end_lineno:
            return None
        arguments = [one_line(self.text(node)) for node in call.args]
        arguments += [
            one_line(f"{k.arg}={self.text(k.value)}" if k.arg else f"**{self.text(k.value)}")
            for k in call.keywords
        ]
        if any("\n" in argument for argument in arguments) or "#" in self.source.segment(call):
            return None
        return self.call_text(call, arguments)

    def call_text(self, call: ast.Call, arguments: list[str], callee: str = "") -> str:
        """The call (of `callee`, if given), broken where the line would become too long."""
        start, end = self.source.span(call)
        line = self.source.text[self.source.line_start(call.lineno) : start]
        rest = self.source.text[end:].partition("\n")[0]
        indent = line[: len(line) - len(line.lstrip())]
        limit = line_limit(self.source)
        return call_text(callee or self.text(call.func), arguments, indent, line.lstrip(), limit, rest)

    def _check_direct(self, call: ast.Call) -> None:
        """Refuse to give a mode flag to `jax.tree.map(layer, x)`, which calls the layer for us."""
        called = self.names.qualified(call.func)
        if called is not None:
            raise Refuse("mode-flag", f"`{called}` calls a layer that needs its mode", call)

    # ---- what is removed --------------------------------------------------------------------------------

    def _find_aliases(self, body: Sequence[ast.stmt]) -> None:
        """Local names that only ever hold one submodule or parameter: read as `self.<attribute>` from now
        on.
        """
        stores: dict[str, list[ast.stmt]] = {}
        for statement in (n for s in body for n in ast.walk(s) if isinstance(n, ast.stmt)):
            if self.state.written_by(statement) is None:
                for name in assigned_names(statement):
                    stores.setdefault(name, []).append(statement)
        for name, statements in stores.items():
            if len(statements) != 1 or not isinstance(statements[0], ast.Assign):
                continue
            statement = statements[0]
            if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
                continue
            value = statement.value
            site = self.sites.get(value) or self.makers.get(value) or self.variables.get(value)
            if site is None:
                continue
            if isinstance(site, VariableSite) and not site.is_reference and self._reads(body, name) > 1:
                continue
            self.aliases[name] = site
            self.deleted.add(statement)

    def _reads(self, body: Sequence[ast.stmt], name: str) -> int:
        return sum(
            isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
            for s in body
            for n in ast.walk(s)
        )

    def _find_dead(self, body: Sequence[ast.stmt]) -> None:
        """Assignments of static locals that only constructions read."""
        while True:
            reads = self.remaining_reads(body)
            everything = {
                n.id
                for s in body
                for n in ast.walk(s)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
            }
            dead = [
                statement
                for statement in (n for s in body for n in ast.walk(s) if isinstance(n, ast.stmt))
                if statement not in self.deleted
                and isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.FunctionDef)
                and self._is_removable(statement)
                and (names := assigned_names(statement))
                and not names & reads
                and names <= everything
            ]
            if not dead:
                return
            self.deleted.update(dead)

    def _is_removable(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.FunctionDef) -> bool:
        facts = self.analysis.facts
        if isinstance(statement, ast.FunctionDef):
            return True
        if isinstance(statement.value, ast.Lambda):
            return True
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not all(isinstance(n, ast.Name | ast.Tuple | ast.List) for t in targets for n in [t]):
            return False
        if ((), statement) in facts.static_statements:
            return True
        value = statement.value
        is_shape = value is not None and _is_size(value)
        is_partial = isinstance(value, ast.Call) and self.names.qualified(value.func) == "functools.partial"
        return is_shape or is_partial

    def remaining_reads(self, body: Sequence[ast.stmt]) -> set[str]:
        """Names that the body still reads after constructions and deleted statements are gone."""
        reads: set[str] = set()
        stack: list[ast.AST] = list(body)
        while stack:
            node = stack.pop()
            if node in self.deleted or node in self.sites or node in self.variables or node in self.makers:
                if isinstance(node, ast.Call) and node in self.sites:
                    reads |= self._flag_reads(self.sites[node])
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in self.aliases:
                reads.add(node.id)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                reads.add(node.target.id)
            stack.extend(ast.iter_child_nodes(node))
        return reads

    def _flag_reads(self, site: Site) -> set[str]:
        """Names in a mode flag that moves from the construction to the call."""
        if site.classes:
            flags = given_flags(self.writer, site).values()
            return {n.id for flag in flags for n in ast.walk(flag) if isinstance(n, ast.Name)}
        if not isinstance(site.target, Layer):
            return set()
        spec, bound = self.writer.bound(site)
        node = bound.values.get(spec.call.flag or "")
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} if node is not None else set()

    # ---- statements -------------------------------------------------------------------------------------

    def statement(self, statement: ast.stmt) -> list[Edit]:
        """All edits of one statement and of what stands below it."""
        if statement in self.deleted:
            return [self.removal(statement)]
        state = self.state.statement(statement)
        if state is not None:
            return state
        bodies = [getattr(statement, name, None) for name in ("body", "orelse", "finalbody")]
        if not any(bodies) or isinstance(statement, ast.ClassDef):
            return self.expression_edits(statement)
        edits: list[Edit] = []
        for child in ast.iter_child_nodes(statement):
            if not isinstance(child, ast.stmt | ast.ExceptHandler):
                edits += self.expression_edits(child)
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
            if self._leads(statement):
                while text[line_end:].partition("\n")[0].strip() == "" and line_end < len(text):
                    line_end = text.find("\n", line_end) + 1 or len(text)
            return Edit(line_start, line_end, "")
        raise Refuse("unsupported-syntax", "several statements on one line", statement)


def _is_size(node: ast.expr) -> bool:
    """Whether an expression is made of shapes, sizes and arithmetic alone, so that nothing misses it."""
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "ndim", "size"):
        return True
    if isinstance(node, ast.Subscript):
        return _is_size(node.value) and _is_size(node.slice)
    if isinstance(node, ast.Tuple | ast.List):
        return all(_is_size(item) for item in node.elts)
    if isinstance(node, ast.BinOp):
        return _is_size(node.left) and _is_size(node.right)
    if isinstance(node, ast.UnaryOp):
        return _is_size(node.operand)
    if isinstance(node, ast.Slice):
        return all(part is None or _is_size(part) for part in (node.lower, node.upper, node.step))
    if isinstance(node, ast.Starred):
        return _is_size(node.value)
    if isinstance(node, ast.IfExp | ast.BoolOp | ast.Compare):
        return all(_is_size(n) for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr))
    is_field = (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    )
    return is_field or isinstance(node, ast.Name | ast.Constant)


def rng_attribute(stream: str) -> str:
    """The attribute that holds a random stream."""
    return f"{stream}_rng"


_LAYER_METHODS = frozenset({"attend", "initialize_carry"})


def by_node(table: Mapping[tuple[Context, ast.AST], _Record]) -> dict[ast.AST, _Record]:
    """Records by node alone; a node that several contexts see differently is refused."""
    found: dict[ast.AST, _Record] = {}
    for (_, node), value in table.items():
        if node in found and found[node] is not value:
            raise Refuse(
                "unsupported-syntax", "code that is reached in several ways creates or calls modules", node
            )
        found[node] = value
    return found


def _reached(analysis: ClassAnalysis) -> dict[ast.AST, tuple[Site, ...]]:
    """The submodules that each call reaches: several only where a loop takes one after the other."""
    found: dict[ast.AST, dict[Context, Site]] = {}
    for (context, node), site in analysis.facts.calls.items():
        found.setdefault(node, {})[context] = site
    rounds = set(analysis.session.round_markers.values())
    for node, sites in found.items():
        paths = {tuple(step for step in context if step not in rounds) for context in sites}
        if len(paths) > 1 and len(set(sites.values())) > 1:
            raise Refuse(
                "unsupported-syntax", "code that is reached in several ways creates or calls modules", node
            )
    return {node: tuple(dict.fromkeys(sites.values())) for node, sites in found.items()}


def _is_method(closure: Closure) -> bool:
    return closure.env is None and closure.self_value is not None


def inside_maker(analysis: ClassAnalysis, site: Site) -> bool:
    """Whether a construction stands in a function of which only the result matters."""
    return bool(site.context) and site.context[-1] in _makers(analysis)


def _makers(analysis: ClassAnalysis) -> dict[ast.AST, Site]:
    """Calls of local functions that do nothing but create and return a module."""
    found: dict[ast.AST, Site] = {}
    for (context, call), closure in analysis.facts.functions.items():
        value = analysis.facts.values.get((context, call))
        if isinstance(value, Instance) and value.site.context == (*context, call) and not _is_method(closure):
            found[call] = value.site
    return found
