"""Calls of an optimizer triple's functions (`opt_init`, `opt_update`, `get_params`) in Optax's form."""

from __future__ import annotations

import ast

from nnx_migrate.rules._jax_optimizers_kinds import Semantics
from nnx_migrate.rules._sites import Patches, RefusalError

from nnx_migrate.engine.context import FixBuilder
from nnx_migrate.names.modules import Module


class CallEdits:
    """Rewrites the calls for an optimizer of this name. The methods raise RefusalError."""

    def __init__(self, semantics: Semantics, patches: Patches, name: str) -> None:
        self.semantics, self.patches, self.name = semantics, patches, name

    def atom(self, module: Module, node: ast.expr) -> str:
        """The source of an expression that can be computed once more."""
        text = module.source.segment(node)
        if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            raise RefusalError("not-followed", "the state is computed in the call that uses it")
        if any(n in self.semantics.updates or n in self.semantics.inits for n in ast.walk(node)):
            raise RefusalError("not-followed", "the state is computed in the call that uses it")
        return text

    def init(self, call: ast.Call, module: Module) -> None:
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

    def update(self, call: ast.Call, module: Module, builder: FixBuilder) -> list[ast.Call]:
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
                self.patches.replace(module, node, f"{self.atom(module, node.args[0])}[0]")
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
