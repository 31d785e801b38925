"""Whether a program whose values are known may be written with one model that changes in place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.scopes import Scope
from nnx_migrate.nnx.programs.idiomatic.kinds import (
    OF_MODEL,
    Apply,
    Facts,
    Function,
    Kind,
    NotIdiomatic,
    Update,
)
from nnx_migrate.nnx.programs.idiomatic.order import follows, happens_after, is_conditional, places_in

_OLD = (Kind.PARAMS, Kind.STATS, Kind.VARIABLES)  # trees that stay as they were, while a model goes on
_OF_OPTAX = (Kind.PARAMS, Kind.VARIABLES, Kind.OPT_STATE)
_STEP_READERS = frozenset({"jax.random.fold_in"})


class Checker:
    """Raises NotIdiomatic for what a model that changes in place would compute in another way."""

    def __init__(self, facts: Facts, qualified: Callable[[Module, ast.expr], str], has_stats: bool) -> None:
        self.facts, self.qualified, self.has_stats = facts, qualified, has_stats
        self.updating = self._updating()

    def check(self) -> None:
        """All of it."""
        self._calls()
        self._bindings()
        self._creations()
        for function in self.facts.functions.values():
            self._function(function)
        scopes = dict(self.facts.modules)
        for module, call, _ in self._all_changes():
            scopes.setdefault(module.scope_at(call), module)
        for scope, module in scopes.items():
            self._scope(module, scope)
        self._optax()
        for apply in self.facts.applies:
            self._apply(apply)

    # ---- every value is known ---------------------------------------------------------------------------

    def _calls(self) -> None:
        """Every call passes what the function's parameters are; every `apply` gets the variables."""
        for function in self.facts.functions.values():
            for called in function.calls:
                for name, kind in function.params.items():
                    if self.facts.kind(function.argument(called.call, name)) is not kind:
                        raise NotIdiomatic(f"`{name}` isn't always given", called.module, called.call)
                if called.grad is not None:
                    self._gradient(function, called.call, called.module, called.grad.argnums)
        for module, call in self.facts.applied:
            if self.facts.kind(call.func) is not Kind.APPLY:
                raise NotIdiomatic(f"variables are given to `{ast.unparse(call.func)}`", module, call)
        for apply in self.facts.applies:
            if self.facts.kind(apply.call.args[0]) is not Kind.VARIABLES:
                raise NotIdiomatic("`apply` with other variables", apply.module, apply.call)

    def _gradient(self, function: Function, call: ast.Call, module: Module, argnums: int) -> None:
        names = function.positional
        name = names[argnums] if argnums < len(names) else ""
        if function.params.get(name) not in (Kind.PARAMS, Kind.VARIABLES):
            raise NotIdiomatic("a gradient by other values", module, call)

    def _bindings(self) -> None:
        """A name of such a value has no other meaning."""
        for (scope, name), kinds in self.facts.names.items():
            module = self.facts.modules[scope]
            for binding in scope.bindings.get(name, ()):
                is_parameter = isinstance(binding.node, ast.arg)
                if binding.node not in self.facts.bound and not is_parameter:
                    raise NotIdiomatic(f"`{name}` has another meaning, too", module, binding.node)
            function = self.facts.function_of(scope.node)
            own = function.params.get(name) if function is not None else None
            if any(isinstance(b.node, ast.arg) for b in scope.bindings.get(name, ())) and own is None:
                raise NotIdiomatic(f"`{name}` is a parameter", module, scope.node)
            if len(kinds) > 1 and () in kinds:
                raise NotIdiomatic(f"`{name}` is a value and a tuple", module, scope.node)

    def _creations(self) -> None:
        for creation in self.facts.creations:
            for keyword in creation.call.keywords:
                kind = self.facts.kind(keyword.value)
                if keyword.arg == "apply_fn":
                    none = isinstance(keyword.value, ast.Constant) and keyword.value.value is None
                    known = kind is Kind.APPLY or none
                else:
                    known = keyword.arg in ("params", "tx") or kind is Kind.STATS
                if not known:
                    raise NotIdiomatic(f"`{keyword.arg}` of a state", creation.module, keyword.value)
            if self.facts.kind(creation.params) is Kind.VARIABLES and self.has_stats:
                raise NotIdiomatic("statistics among the parameters", creation.module, creation.call)
        for node in self.facts.leaves:
            if self.facts.kind(node) is Kind.VARIABLES and self.has_stats:
                raise NotIdiomatic("statistics among the parameters", self.facts.places[node], node)
        for module, node in self.facts.steps:
            parent = module.parents[node]
            call = module.parents[parent] if isinstance(parent, ast.keyword) else parent
            name = self.qualified(module, call.func) if isinstance(call, ast.Call) else ""
            if not (isinstance(call, ast.Call) and (name in _STEP_READERS or _is_int(call))):
                raise NotIdiomatic("`.step` of a state", module, node)

    def _optax(self) -> None:
        """Each step is taken whole, by the optimizer that made the state."""
        facts = self.facts
        if facts.optimizers and (self.has_stats or facts.creations):
            raise NotIdiomatic("statistics beside an optimizer", *facts.optimizers[0])
        makers = [*facts.optimizers, *((step.module, step.call) for step in facts.optax_steps)]
        names = {self._transformation(module, call) for module, call in makers}
        if len(names) > 1:
            raise NotIdiomatic("several optimizers", *makers[-1])
        added = list(facts.additions)
        for step in facts.optax_steps:
            module = step.module
            found = next(
                (call for m, call in added if m is module and follows(module, step.call, call)), None
            )
            if found is None or facts.kind(step.grads) is not Kind.GRADS:
                raise NotIdiomatic("a step that isn't taken at once", module, step.call)
            added.remove((module, found))
            given = [*step.call.args[2:], *(k.value for k in step.call.keywords)]
            texts = {ast.unparse(node) for node in (*given, found.args[0])}
            if len(texts) != 1 or not isinstance(found.args[0], ast.Name):
                raise NotIdiomatic("a step from other parameters", module, step.call)
        if added:
            raise NotIdiomatic("other updates", *added[0])

    @staticmethod
    def _transformation(module: Module, call: ast.Call) -> tuple[Scope | None, str]:
        assert isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
        name = call.func.value.id
        return module.scope_at(call).binder(name), name

    # ---- functions -----------------------------------------------------------------------------------------

    def _updating(self) -> set[Function]:
        """The functions that change their parameter's model."""
        places = [(p.module, p.call) for p in self.facts.updates]
        places += [(p.module, p.call) for p in self.facts.optax_steps]
        found = {f for module, call in places if (f := self.facts.function_at(module, call)) is not None}
        while True:
            more = {
                caller
                for function in found
                for called in function.calls
                if function.carries
                and (caller := self.facts.function_at(called.module, called.call)) is not None
            } - found
            if not more:
                return found
            found |= more

    def changes(self, function: Function) -> bool:
        """Whether it changes the state that it gets."""
        return function in self.updating and bool(function.carries)

    def _function(self, function: Function) -> None:
        module, node = function.module, function.node
        own = [k for k in function.params.values() if k in OF_MODEL]
        if function.has_model and own.count(Kind.MODULE) == 1:  # it has nothing to add
            own.remove(Kind.MODULE)
        separate = sorted(k.name for k in own) in (["PARAMS", "STATE"], ["STATE", "VARIABLES"])
        if len(own) > 1 and not separate:
            raise NotIdiomatic("a function of several models", module, node)
        if function.gets_module and (len(function.calls) != 1 or function.jits or function.grads):
            raise NotIdiomatic("a function of a module", module, node)
        if any(kind is Kind.UPDATES or kind is Kind.NEW_STATS for kind in function.params.values()):
            raise NotIdiomatic("a function of updates", module, node)
        if separate and self.changes(function):
            raise NotIdiomatic("a function of a state and its parameters", module, node)
        named = {arg.arg for arg, _ in defaults(node.args)}
        if named & function.params.keys():
            raise NotIdiomatic("a default for such a value", module, node)
        places = {within for within, kind in function.results if kind is not Kind.GRADS}
        returns = list(_returns(module, function))
        for place in returns if places or self.changes(function) else ():
            given = self.facts.kinds.get(place, {}) if place is not None else {}
            if {w for w, k in given.items() if k is not Kind.GRADS} != places:
                raise NotIdiomatic("it returns different things", module, node)
        found = [kind for _, kind in function.results]
        wanted = set(function.carries.values()) if self.changes(function) else set()
        if any(found.count(kind) != 1 for kind in wanted) or (wanted and not _always_returns(node)):
            raise NotIdiomatic(f"`{function.name}` keeps the new state to itself", module, node)
        if found.count(Kind.STATE) > 1 or any(k in _OF_OPTAX and k not in wanted for k in found):
            raise NotIdiomatic(f"`{function.name}` returns parts of a state", module, node)
        if {Kind.STATE, Kind.OPT_STATE} & set(found) and function.grads:
            raise NotIdiomatic("a gradient of a step", module, node)
        if function.jits and places and not own:
            raise NotIdiomatic("a state that is made in a compiled function", module, node)
        if function.jits or isinstance(node, ast.Lambda):
            outer = self._reads_outside(function)
            if function.jits and outer is not None:
                raise NotIdiomatic("a compiled function reads a model from outside", module, outer)

    def _reads_outside(self, function: Function) -> ast.AST | None:
        """A read, inside of the function, of a value that another scope holds."""
        for (scope, name), kinds in self.facts.names.items():
            module = self.facts.modules[scope]
            if set(kinds.values()) <= {Kind.MODULE, Kind.APPLY}:
                continue  # it has no variables
            if module is not function.module or _inside(module, scope.node, function.node):
                continue
            for reference in module.scopes.names.get(name, ()):
                if reference.scope.binder(name) is scope and _inside(module, reference.node, function.node):
                    return reference.node
        return None

    # ---- one scope -----------------------------------------------------------------------------------------

    def _scope(self, module: Module, scope: Scope) -> None:
        changes = list(self._changes_in(module, scope))
        followed: set[str] = set()  # names that hold the newest parameters all the time
        for call, states in changes:
            for state, kind in states:
                followed |= self._change(module, scope, call, state, kind)
        for (where, name), kinds in self.facts.names.items():
            if where is not scope or kinds.get(()) not in _OLD or name in followed:
                continue
            for binding in scope.bindings.get(name, ()):
                self._old_tree(module, scope, name, binding.node, [call for call, _ in changes])
        made = list(self._made_in(module, scope))
        function = self.facts.function_of(scope.node)
        if len(made) > 1 or (made and function is not None and function.carries):
            raise NotIdiomatic("several states in one place", module, made[-1])

    def _made_in(self, module: Module, scope: Scope) -> Iterator[ast.Call]:
        """New states: of `create`, `tx.init`, or of functions that return one without having got one."""
        made = [(c.module, c.call) for c in self.facts.creations] + self.facts.optimizers
        for function in self.facts.functions.values():
            if not function.carries and any(k is Kind.STATE for _, k in function.results):
                made += [(called.module, called.call) for called in function.calls]
        yield from (call for where, call in made if where is module and module.scope_at(call) is scope)

    def _changes_in(
        self, module: Module, scope: Scope
    ) -> Iterator[tuple[ast.Call, list[tuple[ast.expr, Kind]]]]:
        """Calls in a scope that change a state, with the expressions of that state."""
        for place, call, states in self._all_changes():
            if place is module and module.scope_at(call) is scope:
                yield call, states

    def _all_changes(self) -> Iterator[tuple[Module, ast.Call, list[tuple[ast.expr, Kind]]]]:
        for update in self.facts.updates:
            yield update.module, update.call, [(self._first_state(update), Kind.STATE)]
        for step in self.facts.optax_steps:
            yield step.module, step.call, [(step.opt_state, Kind.OPT_STATE)]
        for module, call in self.facts.additions:
            kind = self.facts.kind(call)
            assert kind is not None
            yield module, call, [(call.args[0], kind)]
        for function in self.facts.functions.values():
            for called in function.calls if self.changes(function) else ():
                given = [(function.argument(called.call, n), k) for n, k in function.carries.items()]
                yield called.module, called.call, [(node, k) for node, k in given if node is not None]

    def _first_state(self, update: Update) -> ast.expr:
        """`state` of `state.apply_gradients(...).replace(...)`."""
        node = update.state
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value
        return node

    def _change(self, module: Module, scope: Scope, call: ast.Call, state: ast.expr, kind: Kind) -> set[str]:
        """The new state replaces the old one: under its name, or under another one if nobody asks for it.

        The names of both.
        """
        if not isinstance(state, ast.Name) or scope.binder(state.id) is not scope:
            raise NotIdiomatic("a state that isn't a variable of this place", module, call)
        statement = module.statement_of(call)
        if isinstance(statement, ast.Return):
            return {state.id}
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        names = [n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and n in self.facts.bound]
        new = [n for n in names if kind in self.facts.names.get((scope, n.id), {}).values()]
        if len(new) != 1:
            raise NotIdiomatic("a new state is dropped", module, call)
        if new[0].id == state.id:
            return {state.id}
        for reference in module.scopes.names.get(state.id, ()):
            if reference.scope.binder(state.id) is not scope or reference.node is state:
                continue
            for place in places_in(self.facts, module, reference.node, scope):
                if happens_after(module, statement, place, statement, scope):
                    raise NotIdiomatic(f"the older `{state.id}` is used later", module, reference.node)
        if is_conditional(module, call, scope):
            raise NotIdiomatic("a new state beside the old one", module, call)
        return {state.id, new[0].id}

    def _old_tree(
        self, module: Module, scope: Scope, name: str, since: ast.AST, changes: list[ast.Call]
    ) -> None:
        """Parameters in a variable aren't read once the model has changed."""
        for reference in module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is not scope:
                continue
            for place in places_in(self.facts, module, reference.node, scope):
                if any(happens_after(module, change, place, since, scope) for change in changes):
                    raise NotIdiomatic(f"the older `{name}` is used later", module, reference.node)

    # ---- statistics and keys -------------------------------------------------------------------------------

    def _apply(self, apply: Apply) -> None:
        """The statistics that a call computes are kept, all of them, and nothing has a use for older ones."""
        if not apply.mutable or not self.has_stats:
            return
        module = apply.module
        stores = [u for u in self.facts.updates if u.stats is not None]
        function = self.facts.function_at(module, apply.call)
        scope = function.scope if function is not None else module.scopes.module
        place: ast.AST = apply.call
        while not any(u.module is module and module.scope_at(u.call) is scope for u in stores):
            if function is None or len(function.calls) != 1 or is_conditional(module, place, scope):
                raise NotIdiomatic("new statistics aren't kept", module, apply.call)
            place = function.calls[0].call
            module = function.calls[0].module
            function = self.facts.function_at(module, place)
            scope = function.scope if function is not None else module.scopes.module
        kept = [u for u in stores if u.module is module and module.scope_at(u.call) is scope]
        if len(kept) != 1 or any(is_conditional(module, n, scope) for n in (place, kept[0].call)):
            raise NotIdiomatic("new statistics aren't always kept", module, apply.call)
        if self.facts.kind(kept[0].stats) is not Kind.NEW_STATS:
            raise NotIdiomatic("other statistics are kept", module, kept[0].call)
        others = [
            other
            for other in self.facts.applies
            if other is not apply and list(places_in(self.facts, other.module, other.call, scope))
        ]
        if others:
            raise NotIdiomatic("several calls of the model in one step", module, others[0].call)


def _is_int(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "int" and len(call.args) == 1


def _inside(module: Module, node: ast.AST, outer: ast.AST) -> bool:
    current: ast.AST | None = node
    while current is not None:
        if current is outer:
            return True
        current = module.parents.get(current)
    return False


def _returns(module: Module, function: Function) -> Iterator[ast.expr | None]:
    """What a function returns, wherever it does."""
    if isinstance(function.node, ast.Lambda):
        yield function.node.body
        return
    for node in ast.walk(function.node):
        if isinstance(node, ast.Return) and module.scope_at(node) is function.scope:
            yield node.value


def _always_returns(node: ast.FunctionDef | ast.Lambda) -> bool:
    """Whether the last statement returns (branches of an `if` count)."""
    if isinstance(node, ast.Lambda):
        return True

    def ends(body: list[ast.stmt]) -> bool:
        last = body[-1] if body else None
        if isinstance(last, ast.If):
            return ends(last.body) and ends(last.orelse)
        return isinstance(last, ast.Return | ast.Raise)

    return ends(node.body)
