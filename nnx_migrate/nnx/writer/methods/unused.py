"""What a method no longer needs: names of submodules, and locals that only constructions read."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.chosen.layers import LayerChoice, is_late, mode_of
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import Layer
from nnx_migrate.names.nodes import all_below, children, is_of_self
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.construction.factories import given_flags
from nnx_migrate.nnx.writer.construction.lifting import lifting_calls
from nnx_migrate.nnx.writer.residual.assigned import assigned_names

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


class Unused:
    """Finds the statements of one method that go."""

    def __init__(self, analysis: ClassAnalysis, editor: BodyEditor) -> None:
        self.analysis, self.editor, self.names, self.writer = analysis, editor, editor.names, editor.writer
        self.sites, self.variables, self.makers = editor.sites, editor.variables, editor.makers
        self.aliases, self.deleted = editor.aliases, editor.deleted
        self.lifting = lifting_calls(analysis)

    def find_aliases(self, body: Sequence[ast.stmt]) -> None:
        """Local names that only ever hold one submodule or parameter: read as `self.<attribute>` from now
        on.
        """
        stores: dict[str, list[ast.stmt]] = {}
        for statement in (n for s in body for n in all_below(s) if isinstance(n, ast.stmt)):
            if self.editor.state.written_by(statement) is None and statement not in self.deleted:
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
            for n in all_below(s)
        )

    def find_dead(self, body: Sequence[ast.stmt]) -> None:
        """Assignments of static locals that only constructions read."""
        while True:
            everything = _reads(body)
            reads = self.remaining_reads(body, but=self._idle_tests(body))
            reads -= self._only_renewed(body)
            dead: list[ast.stmt] = [
                statement
                for statement in (n for s in body for n in all_below(s) if isinstance(n, ast.stmt))
                if statement not in self.deleted
                and isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.FunctionDef)
                and self._is_removable(statement)
                and (names := assigned_names(statement))
                and not names & reads
                and names <= everything
            ]
            dead += self._are_dead(body)
            if not dead:
                return
            self.deleted.update(dead)

    def _idle_tests(self, body: Sequence[ast.stmt]) -> set[ast.expr]:
        """The test of `if init is None: init = ones`, where nothing else reads `init`: all of that condition goes."""
        found: dict[ast.expr, set[str]] = {}
        for node in (n for s in body for n in all_below(s) if isinstance(n, ast.If) and _is_size(n.test)):
            inner = [*node.body, *node.orelse]
            if all(
                s in self.deleted
                or (isinstance(s, ast.Assign | ast.AnnAssign | ast.AugAssign) and self._is_removable(s))
                for s in inner
            ):
                found[node.test] = {name for s in inner for name in assigned_names(s)}
        read = _reads(body, but=found.keys())  # what nothing has read stays as it was
        found = {test: names for test, names in found.items() if names <= read}
        while found:
            reads = self.remaining_reads(body, but=found.keys())
            needed = [test for test, names in found.items() if names & reads]
            if not needed:
                break
            for test in needed:
                del found[test]
        return set(found)

    def _only_renewed(self, body: Sequence[ast.stmt]) -> set[str]:
        """Names that nothing reads but statements that renew them, like `width *= 2`, all of which may go."""
        statements = [
            n for s in body for n in all_below(s) if isinstance(n, ast.stmt) and n not in self.deleted
        ]
        found = {name for s in statements if (name := self._renewed(s))}
        found -= self.remaining_reads(body, renewed=False)
        for statement in statements:
            binds = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
            if not (binds and self._is_removable(statement)):  # type: ignore[arg-type]
                found -= assigned_names(statement)
        return found

    def _renewed(self, node: ast.AST) -> str:
        """The variable that a statement gives a value from its old one: `width *= 2`, `block = nn.remat(block)`."""
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            return node.target.id
        if isinstance(node, ast.Assign) and node.value in self.lifting:
            (first, *more) = node.targets
            reads = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            return first.id if isinstance(first, ast.Name) and not more and first.id in reads else ""
        return ""

    def _are_dead(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Conditions on fields under which everything is dead, or raised by the constructor before."""
        gone = self.deleted | self.writer.renderer.raises
        return [
            node
            for statement in body
            for node in all_below(statement)
            if isinstance(node, ast.If)
            and node not in self.deleted
            and all(inner in gone for inner in [*node.body, *node.orelse])
            and any(inner in self.deleted for inner in ast.walk(node))
            and _is_size(node.test)
        ]

    def _is_removable(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign | ast.FunctionDef) -> bool:
        facts = self.analysis.facts
        if isinstance(statement, ast.FunctionDef):
            return True
        if isinstance(statement.value, ast.Lambda) or statement in self.writer.renderer.moved:
            return True
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if not all(isinstance(n, ast.Name | ast.Tuple | ast.List) for t in targets for n in [t]):
            return False
        function = self.editor.function
        contexts: list[Context] = [()] if function is None else function.calls
        if all((context, statement) in facts.static_statements for context in contexts):
            return True
        value = statement.value
        is_shape = value is not None and (_is_size(value) or isinstance(facts.values.get(((), value)), Sizes))
        return is_shape or self._makes_layers(value) or value in self.lifting

    def _makes_layers(self, node: ast.expr | None) -> bool:
        """Whether an expression is a partial, a layer, or one of such that a field decides about."""
        if isinstance(node, ast.IfExp):
            return _is_size(node.test) and self._makes_layers(node.body) and self._makes_layers(node.orelse)
        if isinstance(node, ast.Call):
            return self.names.qualified(node.func) == "functools.partial"
        short = linen_name(self.names.qualified(node)) if node is not None else None
        return short is not None and f"flax.linen.{short}" in LAYERS

    def remaining_reads(
        self, body: Sequence[ast.stmt], *, renewed: bool = True, but: Collection[ast.AST] = ()
    ) -> set[str]:
        """Names that the body still reads after constructions and deleted statements are gone, and expressions `but`.

        With `renewed`, `width *= 2` reads `width`, too.
        """
        reads: set[str] = set()
        stack: list[ast.AST] = list(body)
        while stack:
            node = stack.pop()
            if node in but:
                continue
            if node in self.deleted or node in self.sites or node in self.variables or node in self.makers:
                made = node.value if isinstance(node, ast.Assign) else node
                if isinstance(made, ast.Call) and made in self.sites:
                    reads |= self._flag_reads(self.sites[made])
                continue
            if isinstance(node, ast.Call) and node in self.editor.created:
                called = self.editor.creating.by_call[self.editor.created[node][0]]
                stack.extend(self.editor.function_editor(called).needed(node))
                continue
            if (created := self.editor.created_function(node)) is not None:
                reads |= self.editor.function_editor(created).reads
                continue
            if node in self.editor.functions:
                passed = self.editor.functions[node]
                stack.extend(passed.arguments[name] for name in self.editor.calls.parameters_read(passed))
                continue
            helper = self.editor.helpers.called.get(node)
            if helper is not None and isinstance(node, ast.Call):
                stack += [node.func, *helper.kept(node)]
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in self.aliases:
                reads.add(node.id)
            name = self._renewed(node)
            if renewed and name:
                reads.add(name)
            if name and isinstance(node, ast.Assign):
                reads |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name) and n.id != name}
                continue
            stack += children(node)
        return reads

    def _flag_reads(self, site: Site) -> set[str]:
        """Names in a mode flag that moves from the construction to the call."""
        if isinstance(site.target, LayerChoice):
            late = [m for m in site.target.makers if is_late(m, self.analysis.facts.late_modes)]
            modes = [mode.value for maker in late if (mode := mode_of(maker)) is not None]
            modes = [node for mode in modes for node in self.editor.calls.outside.read(mode)]
            return {n.id for node in modes for n in all_below(node) if isinstance(n, ast.Name)}
        if site.classes:
            flags = given_flags(self.writer, site).values()
            read = [node for flag in flags for node in self.editor.calls.outside.read(flag)]
            return {n.id for node in read for n in all_below(node) if isinstance(n, ast.Name)}
        if not isinstance(site.target, Layer):
            return set()
        spec, bound = self.writer.bound(site)
        node = bound.values.get(spec.call.flag or "")
        return {n.id for n in all_below(node) if isinstance(n, ast.Name)} if node is not None else set()


def _reads(body: Sequence[ast.stmt], but: Collection[ast.AST] = ()) -> set[str]:
    """Names that the method read before, elsewhere than in expressions `but`."""
    left_out = {n for node in but for n in all_below(node)}
    nodes = (n for statement in body for n in all_below(statement) if n not in left_out)
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


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
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("len", "max", "min")
    ):
        return not node.keywords and all(_is_size(argument) for argument in node.args)
    return is_of_self(node) or isinstance(node, ast.Name | ast.Constant)
