"""An optimizer triple (`opt_init, opt_update, get_params`) with all that hangs on it, moved to Optax."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import partial

from nnx_migrate.rules._jax_optimizers_table import MODULES, OPTIMIZERS, SCHEDULES, rewritten
from nnx_migrate.rules._sites import Patches, RefusalError, Site
from nnx_migrate.rules._step_count import counts_from_zero

from nnx_migrate.engine.callees import Callees
from nnx_migrate.engine.context import FixBuilder, ProjectContext
from nnx_migrate.engine.findings import Fix, Safety
from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import DONE, Element, Kind, Value
from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module

INIT, UPDATE, PARAMS, STATE = "init_fn", "update_fn", "params_fn", "optimizer state"
_SAME = {"jax.device_put", "jax.device_get", "jax.block_until_ready", "copy.deepcopy", "copy.copy"}


@dataclass
class _Semantics:
    """What can be done with the three functions and the state."""

    follower: Follower | None = None
    inits: dict[ast.Call, Module] = field(default_factory=dict)
    updates: dict[ast.Call, Module] = field(default_factory=dict)
    reads: dict[ast.Call, Module] = field(default_factory=dict)

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """Neither functions nor state have attributes that code should use."""
        return None

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """The state is given to one of the three functions, or copied."""
        assert self.follower is not None
        function = self.follower.kind_of(call.func)
        if value.kind == STATE and function in (UPDATE, PARAMS):
            return STATE if function == UPDATE else DONE
        return STATE if value.kind == STATE and callee in _SAME and call.args[:1] == [value.node] else None

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """One of the three functions is called."""
        plain = not call.keywords and not any(isinstance(a, ast.Starred) for a in call.args)
        if value.kind == INIT and plain and len(call.args) == 1:
            self.inits[call] = value.module
            return STATE
        if value.kind == UPDATE and plain and len(call.args) == 3:
            self.updates[call] = value.module
            return STATE
        if value.kind == PARAMS and plain and len(call.args) == 1:
            self.reads[call] = value.module
            return DONE
        return None

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """`del opt_state`."""
        return DONE if isinstance(parent, ast.Delete) else None


class Restructuring:
    """One optimizer triple and all that hangs on it."""

    def __init__(self, project: ProjectContext, callees: Callees, site: Site) -> None:
        self.project, self.site, self.module = project, site, site.module
        self.semantics = _Semantics()
        self.follower = Follower(project.project, self.semantics, callees)
        self.semantics.follower = self.follower
        self.patches = Patches(project)
        self.name = ""
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
        self.name = self._free_name(targets[0])
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
        self.patches.replace(self.module, (start, end), self.name)
        self.patches.replace(self.module, call, text)
        for init, module in self.semantics.inits.items():
            self._init(init, module)
        done = {
            read
            for update, module in self.semantics.updates.items()
            for read in self._update(update, module, builder)
        }
        for read, module in self.semantics.reads.items():
            if read not in done:
                self.patches.replace(module, read, f"{self._atom(module, read.args[0])}[0]")
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

    def _atom(self, module: Module, node: ast.expr) -> str:
        text = module.source.segment(node)
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            raise RefusalError("not-followed", "the state is computed in the call that uses it")
        if any(n in self.semantics.updates or n in self.semantics.inits for n in ast.walk(node)):
            raise RefusalError("not-followed", "the state is computed in the call that uses it")
        return text

    def _init(self, call: ast.Call, module: Module) -> None:
        """`opt_init(params)` → `(params, tx.init(params))`."""
        source = module.source
        argument = call.args[0]
        statement = module.parents[call]
        if isinstance(argument, ast.Name | ast.Attribute):
            text = source.segment(argument)
        elif isinstance(statement, ast.Assign) and _begins_line(module, statement):
            text = self._fresh(module, call, ("params", "init_params", "initial_params"))
            margin = source.text[source.line_start(statement.lineno) : source.span(statement)[0]]
            start = source.span(statement)[0]
            self.patches.replace(module, (start, start), f"{text} = {source.segment(argument)}\n{margin}")
        else:
            raise RefusalError("not-followed", "the initial parameters have no name")
        self.patches.replace(module, call, f"({text}, {self.name}.init({text}))")

    def _update(self, call: ast.Call, module: Module, builder: FixBuilder) -> list[ast.Call]:
        """`opt_update(i, grads, opt_state)`; the calls of get_params that it takes care of."""
        source = module.source
        grads, state = call.args[1], call.args[2]
        statement = module.statement_of(call)
        holder = module.parents[call]
        if isinstance(holder, ast.Tuple):
            before = holder.elts[: holder.elts.index(call)]
            if any(isinstance(n, ast.Call) for e in before for n in ast.walk(e)):
                raise RefusalError(
                    "order", "what stands before the update in its tuple would be computed after it"
                )
            holder = module.parents[holder]
        if (
            not isinstance(holder, ast.Assign | ast.Return)
            or holder is not statement
            or not _begins_line(module, statement)
        ):
            raise RefusalError("not-a-statement", "the update isn't a statement of its own")
        if not isinstance(state, ast.Name | ast.Attribute):
            raise RefusalError("not-a-statement", "the state that is updated has no name")
        if "#" in source.segment(call):
            raise RefusalError("comment", "a comment stands between the arguments")
        margin = source.text[source.line_start(statement.lineno) : source.span(statement)[0]]
        tx_state = self._fresh(module, call, ("tx_state", "inner_state"))
        updates = self._fresh(module, call, ("updates", "param_updates"))
        read = self._reading(statement, state, module)
        lines = []
        if read is not None:
            target = read.targets[0]
            assert isinstance(target, ast.Name)
            params = target.id
            self.patches.replace(module, read, f"{params}, {tx_state} = {source.segment(state)}")
        else:
            params = self._fresh(module, call, ("params", "old_params"))
            lines.append(f"{params}, {tx_state} = {source.segment(state)}")
        gradients = self._with_reads(module, grads)
        lines.append(f"{updates}, {tx_state} = {self.name}.update({gradients}, {tx_state}, {params})")
        start = source.span(statement)[0]
        self.patches.replace(module, (start, start), "".join(f"{line}\n{margin}" for line in lines))
        apply = builder.other_file(module).name("optax.apply_updates", at=call)
        pair = f"{apply}({params}, {updates}), {tx_state}"
        bare = isinstance(statement, ast.Return) and statement.value is call
        self.patches.replace(module, call, pair if bare else f"({pair})")
        reads = [n for n in ast.walk(grads) if isinstance(n, ast.Call) and n in self.semantics.reads]
        if read is not None:
            assert isinstance(read.value, ast.Call)
            reads.append(read.value)
        return reads

    def _with_reads(self, module: Module, grads: ast.expr) -> str:
        """Source of the gradients, with `get_params(...)` inside of it rewritten."""
        for node in ast.walk(grads):
            if isinstance(node, ast.Call) and node in self.semantics.reads:
                self.patches.replace(module, node, f"{self._atom(module, node.args[0])}[0]")
        return self.patches.take(module, grads)

    def _reading(self, statement: ast.stmt, state: ast.expr, module: Module) -> ast.Assign | None:
        """`params = get_params(opt_state)` above the update, with nothing in between that changes either."""
        parent = module.parents[statement]
        block: list[ast.stmt] = parent.body if hasattr(parent, "body") and statement in parent.body else []
        spelled = ast.unparse(state)
        for earlier in reversed(block[: block.index(statement)] if block else []):
            is_read = (
                isinstance(earlier, ast.Assign)
                and isinstance(earlier.value, ast.Call)
                and earlier.value in self.semantics.reads
                and ast.unparse(earlier.value.args[0]) == spelled
                and len(earlier.targets) == 1
                and isinstance(earlier.targets[0], ast.Name)
            )
            if is_read:
                assert isinstance(earlier, ast.Assign) and isinstance(earlier.targets[0], ast.Name)
                between = block[block.index(earlier) + 1 : block.index(statement)]
                return earlier if not _stores(between, earlier.targets[0].id) else None
            if _stores([earlier], spelled):
                return None
        return None

    def _fresh(self, module: Module, at: ast.AST, names: tuple[str, ...]) -> str:
        """The first name that means nothing yet in the function around a node and those inside of it."""
        scope = module.scope_at(at)
        inner = [s for s in module.scopes.all_scopes() if s is scope or _inside(s.node, scope.node, module)]
        for name in names:
            read = any(r.scope in inner for r in module.scopes.names.get(name, ()))
            if not read and not any(name in s.bindings for s in inner):
                return name
        raise RefusalError("name-taken", f"`{names[0]}` already means something else")


def _inside(node: ast.AST, outer: ast.AST, module: Module) -> bool:
    current: ast.AST | None = node
    while current is not None and current is not outer:
        current = module.parents.get(current)
    return current is outer


def _stores(statements: list[ast.stmt], spelled: str) -> bool:
    """True where one of the statements assigns to a name or attribute."""
    for statement in statements:
        for node in ast.walk(statement):
            stores = isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load)
            if stores and ast.unparse(node) == spelled:
                return True
    return False


def _begins_line(module: Module, node: ast.stmt) -> bool:
    start = module.source.span(node)[0]
    return not module.source.text[module.source.line_start(node.lineno) : start].strip()


def last(site: Site) -> str:
    """`adam` of "jax.experimental.optimizers.adam"."""
    return site.qualified.rpartition(".")[2]


def call_of(site: Site) -> ast.Call | None:
    """The call of which a mention is the callee."""
    parent = site.module.parents.get(site.node)
    return parent if isinstance(parent, ast.Call) and parent.func is site.node else None
