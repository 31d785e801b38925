"""An optimizer triple (`opt_init, opt_update, get_params`) with all that hangs on it, moved to Optax."""

from __future__ import annotations

import ast
from functools import partial

from nnx_migrate.rules._jax_optimizers_calls import CallEdits
from nnx_migrate.rules._jax_optimizers_kinds import INIT, PARAMS, UPDATE, Semantics
from nnx_migrate.rules._jax_optimizers_table import MODULES, OPTIMIZERS, SCHEDULES, rewritten
from nnx_migrate.rules._sites import Patches, RefusalError, Site
from nnx_migrate.rules._step_count import counts_from_zero

from nnx_migrate.engine.callees import Callees
from nnx_migrate.engine.context import FixBuilder, ProjectContext
from nnx_migrate.engine.findings import Fix, Safety
from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import Element
from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module


class Restructuring:
    """One optimizer triple and all that hangs on it."""

    def __init__(self, project: ProjectContext, callees: Callees, site: Site) -> None:
        self.project, self.site, self.module = project, site, site.module
        self.semantics = Semantics()
        self.follower = Follower(project.project, self.semantics, callees)
        self.semantics.follower = self.follower
        self.patches = Patches(project)
        self.unsafe = ""

    def fix(self) -> Fix:
        """The fix. Raises RefusalError, CannotBind, CannotName."""
        call = call_of(self.site)
        assert call is not None
        statement = self.module.parents[call]
        targets = self._targets(statement)
        for index, kind in enumerate((INIT, UPDATE, PARAMS)):
            target = targets[index]
            if not (isinstance(target, ast.Name) and self._unread(target)):
                self.follower.add(self.module, call, Element(index, 3, kind))
        self.follower.run([])
        if self.follower.escapes:
            escape = self.follower.escapes[0]
            raise RefusalError(
                "not-followed", f"{escape.module.path.name}:{getattr(escape.node, 'lineno', 0)}: {escape.why}"
            )
        self._check_places(targets)
        self._check_index(call)
        builder = self.project.file(self.module).fix()
        name = self._free_name(targets[0])
        calls = CallEdits(self.semantics, self.patches, name)
        spell = partial(self._spell, builder)
        source = self.module.source
        texts = self._schedule(call, builder)
        text = rewritten(OPTIMIZERS[last(self.site)], call, source, partial(spell, call, self.module), texts)
        if "#" in source.segment(call):
            raise RefusalError("comment", "a comment stands between the arguments")
        assert isinstance(statement, ast.Assign)
        start, end = source.span(statement.targets[0])
        if source.text[start - 1 : start] == "(":
            raise RefusalError("parentheses", "the names stand in parentheses")
        self.patches.replace(self.module, (start, end), name)
        self.patches.replace(self.module, call, text)
        for init, module in self.semantics.inits.items():
            calls.init(init, module)
        done = {
            read
            for update, module in self.semantics.updates.items()
            for read in calls.update(update, module, builder)
        }
        for read, module in self.semantics.reads.items():
            if read not in done:
                self.patches.replace(module, read, f"{calls.atom(module, read.args[0])}[0]")
        self.patches.into(builder)
        if self.unsafe:
            return builder.build(f"restructure for Optax; {self.unsafe}", Safety.UNSAFE)
        return builder.build("restructure for Optax")

    # -- checks -------------------------------------------------------------------------------------------

    def _targets(self, statement: ast.AST) -> list[ast.expr]:
        target = (
            statement.targets[0]
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1
            else None
        )
        if not isinstance(target, ast.Tuple) or len(target.elts) != 3:
            raise RefusalError(
                "not-unpacked", "the optimizer isn't unpacked into its three functions where it is made"
            )
        names = all(isinstance(t, ast.Name) for t in target.elts)
        on_self = all(
            isinstance(t, ast.Attribute)
            and isinstance(t.value, ast.Name)
            and t.value.id == self_name(t, self.module)
            for t in target.elts
        )
        if not names and not on_self:
            raise RefusalError("not-unpacked", "the three functions are stored in different places")
        return target.elts

    def _unread(self, target: ast.Name) -> bool:
        scope = self.module.scope_at(target).binder(target.id)
        return not any(
            r.scope.binder(target.id) is scope for r in self.module.scopes.names.get(target.id, ())
        )

    def _check_places(self, targets: list[ast.expr]) -> None:
        """The functions are only called, by the names that they got where they were made."""
        spellings = {ast.unparse(t) for t in targets}
        for node, value in self.follower.values.items():
            if value.kind not in (INIT, UPDATE, PARAMS):
                continue
            parent = value.module.parents[node]
            called = isinstance(parent, ast.Call) and parent.func is node
            if value.module is not self.module or ast.unparse(node) not in spellings or not called:
                raise RefusalError("handed-on", "its functions are handed on instead of being called")
        if not self.semantics.updates or not self.semantics.inits:
            raise RefusalError("not-followed", "nothing in sight initialises and updates with it")

    def _check_index(self, call: ast.Call) -> None:
        """Optax counts steps by itself: where the count matters, the index has to be the same."""
        updates, inits = list(self.semantics.updates.items()), list(self.semantics.inits.items())
        if len(updates) == 1 and len(inits) == 1 and updates[0][1] is inits[0][1]:
            update, module = updates[0]
            if counts_from_zero(update.args[0], update, module, self.follower, inits[0][0]):
                return
        kind = self._step_size(call)
        if OPTIMIZERS[last(self.site)].counts or kind == "schedule":
            raise RefusalError(
                "step-index",
                "Optax counts steps by itself, and the index that is passed isn't provably 0, 1, 2, ...",
            )
        if kind == "unknown":
            self.unsafe = "right if the step size is a number; a schedule would see another step"

    def _step_size(self, call: ast.Call) -> str:
        """Whether the step size is a "number", a "schedule", or "unknown"."""
        rate = (
            call.args[0]
            if call.args
            else next((k.value for k in call.keywords if k.arg == "step_size"), None)
        )
        for _ in range(3):
            if not isinstance(rate, ast.Name):
                break
            bindings = self.module.scope_at(rate).lookup(rate.id)
            node = bindings[0].node if len(bindings) == 1 else None
            if isinstance(node, ast.arg):
                annotation = node.annotation
                return (
                    "number" if isinstance(annotation, ast.Name) and annotation.id == "float" else "unknown"
                )
            if isinstance(node, ast.FunctionDef):
                return "schedule"
            rate = bindings[0].value if len(bindings) == 1 else None
        if rate is None:
            return "unknown"
        if isinstance(rate, ast.Lambda | ast.Call):
            return "schedule"
        arithmetic = ast.Constant | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop
        return "number" if all(isinstance(n, arithmetic) for n in ast.walk(rate)) else "unknown"

    def _free_name(self, target: ast.expr) -> str:
        if isinstance(target, ast.Attribute):
            assert isinstance(target.value, ast.Name)
            owner = self.module.enclosing(target, ast.ClassDef)
            taken = {n.attr for n in ast.walk(owner) if isinstance(n, ast.Attribute)} if owner else set()
            name = next((n for n in ("tx", "optimizer") if n not in taken), None)
            prefix = f"{target.value.id}."
        else:
            used = {*self.module.scopes.names}.union(*(s.bindings for s in self.module.scopes.all_scopes()))
            name = next((n for n in ("tx", "optimizer", "opt") if n not in used), None)
            prefix = ""
        if name is None:
            raise RefusalError("name-taken", "`tx`, `optimizer` and `opt` already mean something else")
        return prefix + name

    # -- edits --------------------------------------------------------------------------------------------

    @staticmethod
    def _spell(builder: FixBuilder, at: ast.AST, module: Module, qualified: str) -> str:
        return builder.other_file(module).name(qualified, at=at)

    def _schedule(self, call: ast.Call, builder: FixBuilder) -> dict[str, str]:
        """The step size, if it is a schedule of the same old module."""
        rate = (
            call.args[0]
            if call.args
            else next((k.value for k in call.keywords if k.arg == "step_size"), None)
        )
        value, inline = rate, True
        if isinstance(rate, ast.Name):
            bindings = self.module.scope_at(rate).lookup(rate.id)
            value, inline = (bindings[0].value if len(bindings) == 1 else None), False
        if not isinstance(value, ast.Call):
            return {}
        name = self.follower.callees.name(self.module, value.func) or ""
        if name.rpartition(".")[0] not in MODULES:
            return {}
        if name.rpartition(".")[2] not in SCHEDULES:
            raise RefusalError("no-equivalent", f"Optax has no `{name.rpartition('.')[2]}`")
        row = SCHEDULES[name.rpartition(".")[2]]
        text = rewritten(row, value, self.module.source, partial(self._spell, builder, value, self.module))
        if inline:
            return {"step_size": text}
        assert isinstance(rate, ast.Name)
        if len([r for r in self.module.scopes.names.get(rate.id, ()) if r.node is not rate]) > 0:
            raise RefusalError("shared-schedule", "its schedule is used elsewhere as well")
        self.patches.replace(self.module, value, text)
        return {}


def last(site: Site) -> str:
    """`adam` of "jax.experimental.optimizers.adam"."""
    return site.qualified.rpartition(".")[2]


def call_of(site: Site) -> ast.Call | None:
    """The call of which a mention is the callee."""
    parent = site.module.parents.get(site.node)
    return parent if isinstance(parent, ast.Call) and parent.func is site.node else None
