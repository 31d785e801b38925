"""Follows modules, variables and states through a program; a use that isn't of the usual shape ends it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.inputs.entry_calls import method_of
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import COMPREHENSIONS, Scope
from nnx_migrate.nnx.programs.idiomatic.functions import Functions
from nnx_migrate.nnx.programs.idiomatic.kinds import (
    Apply,
    Called,
    Creation,
    Facts,
    Function,
    FunctionNode,
    Kind,
    NotIdiomatic,
    OptaxStep,
    Update,
    Within,
)
from nnx_migrate.nnx.programs.idiomatic.states import STATE_FIELDS, StateClasses

COLLECTIONS = {"params": Kind.PARAMS, "batch_stats": Kind.STATS}
_LEAVES = frozenset({"jax.tree.leaves", "jax.tree_util.tree_leaves", "jax.tree_leaves"})
_READING_GRADS = _LEAVES | {"optax.global_norm"}
_MAPPING_GRADS = frozenset({"jax.tree.map", "jax.tree_util.tree_map", "jax.tree_map"})
_RETURNED = frozenset({Kind.STATE, Kind.UPDATES, Kind.GRADS, Kind.OPT_STATE, Kind.PARAMS, Kind.VARIABLES})
_MAX_FACTS = 4_000


class Tracker:
    """Collects the facts about the modules that `constructions` make. Raises NotIdiomatic."""

    def __init__(self, index: ProjectIndex) -> None:
        self.facts = Facts()
        self.index = index
        self.functions = Functions(index, self.facts, self._called)
        self.states = StateClasses(index.project)
        self._pending: list[tuple[Module, ast.expr, Within, Kind]] = []

    def run(self, constructions: Iterable[tuple[Module, ast.Call]]) -> Facts:
        """Follow everything to its last use."""
        for module, call in constructions:
            self.give(module, call, Kind.MODULE)
        steps = 0
        while self._pending:
            steps += 1
            module, node, within, kind = self._pending.pop()
            if steps > _MAX_FACTS:
                raise NotIdiomatic("the program is too large", module, node)
            self._context(module, node, within, kind)
        return self.facts

    def give(self, module: Module, node: ast.expr, kind: Kind, within: Within = ()) -> None:
        """An expression gives such a value, or a tuple with it at a place."""
        known = self.facts.kinds.setdefault(node, {})
        if known.get(within, kind) is not kind:
            raise NotIdiomatic("a value may be of two kinds", module, node)
        if within not in known:
            known[within] = kind
            self.facts.places[node] = module
            self._pending.append((module, node, within, kind))

    # ---- what the code around an expression does with it --------------------------------------------------

    def _context(self, module: Module, node: ast.expr, within: Within, kind: Kind) -> None:
        parent = module.parents[node]
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            if isinstance(node, ast.Name) and kind in (Kind.STATE, Kind.MODULE) and not within:
                raise NotIdiomatic(f"`{node.id}` gets a second name", module, parent)
            self._bind(module, parent.targets[0], within, kind)
        elif isinstance(parent, ast.Tuple):
            self.give(module, parent, kind, (parent.elts.index(node), *within))
        elif isinstance(parent, ast.Return | ast.Lambda):
            self._returned(module, parent, within, kind)
        elif isinstance(parent, ast.Call) and parent.func is not node:
            self._argument(module, parent, node, within, kind)
        elif isinstance(parent, ast.keyword):
            call = module.parents[parent]
            if not isinstance(call, ast.Call) or parent.arg is None:
                raise NotIdiomatic("a value is unpacked", module, node)
            self._argument(module, call, node, within, kind)
        elif within:
            raise NotIdiomatic("a tuple with it is used in an unusual way", module, node)
        elif isinstance(parent, ast.Call):
            self._applied(module, parent, kind)
        elif isinstance(parent, ast.Attribute):
            self._attribute(module, parent, kind)
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            self._subscript(module, parent, kind)
        elif isinstance(parent, ast.Dict):
            self._collection(module, parent, node, kind)
        elif not isinstance(parent, ast.Expr):
            raise NotIdiomatic(f"an unusual use of {kind.name.lower()}", module, node)

    def _bind(self, module: Module, target: ast.expr, within: Within, kind: Kind) -> None:
        if isinstance(target, ast.Tuple) and within and not _starred(target):
            if within[0] >= len(target.elts):
                raise NotIdiomatic("a tuple of another length", module, target)
            self._bind(module, target.elts[within[0]], within[1:], kind)
        elif isinstance(target, ast.Name):
            scope = module.scope_at(target)
            if target.id in scope.outer_names:
                raise NotIdiomatic("a global variable", module, target)
            self.facts.bound |= {target, module.statement_of(target)}
            self._name(module, scope, target.id, within, kind)
        else:
            raise NotIdiomatic(f"{kind.name.lower()} is stored", module, target)

    def _name(self, module: Module, scope: Scope, name: str, within: Within, kind: Kind) -> None:
        """Every read of a name that holds the value."""
        known = self.facts.names.setdefault((scope, name), {})
        self.facts.modules[scope] = module
        if known.get(within, kind) is not kind:
            raise NotIdiomatic(f"`{name}` may be of two kinds", module, scope.node)
        if within in known:
            return
        known[within] = kind
        if scope.is_class:
            raise NotIdiomatic("an attribute of a class", module, scope.node)
        for where, read in self.index.all_reads(module, scope, name):
            if where is not module:
                raise NotIdiomatic(f"another file reads `{name}`", where, read)
            self._enclosing(module, read, scope)
            self.give(module, read, kind, within)

    def _enclosing(self, module: Module, read: ast.expr, binder: Scope) -> None:
        """Functions between a read and the scope of the name: all their calls have to be known."""
        scope: Scope | None = module.scope_at(read)
        while scope is not None and scope is not binder:
            if isinstance(scope.node, FunctionNode):
                self.functions.tracked(module, scope.node)
            elif not isinstance(scope.node, COMPREHENSIONS):
                raise NotIdiomatic("a class's body reads it", module, read)
            scope = scope.parent

    # ---- calls ---------------------------------------------------------------------------------------------

    def _argument(self, module: Module, call: ast.Call, node: ast.expr, within: Within, kind: Kind) -> None:
        name = next((k.arg for k in call.keywords if k.value is node), None)
        if kind is Kind.NEW_STATS and isinstance(call.func, ast.Attribute):
            return  # of `replace` or `apply_gradients`: seen with the state
        if kind is Kind.GRADS and isinstance(call.func, ast.Attribute) and name == "grads":
            return
        if within == () and self._optax(module, call, node, name, kind):
            return
        if within == () and self.states.is_create(module, call):
            self._created(module, call, node, name, kind)
            return
        found = self.functions.find(module, call.func)
        if found is None and kind is Kind.VARIABLES and call.args[:1] == [node]:
            self.facts.applied.append((module, call))  # what is called may come to light later
            return
        if found is not None:
            function, _ = found
            parameter = function.parameter_of(call, node)
            if parameter is None or within:
                raise NotIdiomatic(f"an argument of `{function.name}`", module, node)
            if function.params.get(parameter, kind) is not kind:
                raise NotIdiomatic(f"`{parameter}` may be of two kinds", module, node)
            function.params[parameter] = kind
            self._name(function.module, function.scope, parameter, (), kind)
            return
        qualified = self.functions.qualified(module, call.func)
        if kind is Kind.GRADS and qualified in _MAPPING_GRADS and node in call.args[1:]:
            self.give(module, call, Kind.GRADS)
        elif kind in (Kind.PARAMS, Kind.VARIABLES) and qualified in _LEAVES and call.args == [node]:
            self.facts.leaves.add(node)
        elif not (kind is Kind.GRADS and qualified in _READING_GRADS):
            raise NotIdiomatic(f"{kind.name.lower()} is given to `{ast.unparse(call.func)}`", module, node)

    def _optax(self, module: Module, call: ast.Call, node: ast.expr, name: str | None, kind: Kind) -> bool:
        """Whether a call is one of optax: `tx.init(params)`, `tx.update(...)`, `optax.apply_updates(...)`."""
        if self.functions.qualified(module, call.func) == "optax.apply_updates" and len(call.args) == 2:
            if kind in (Kind.PARAMS, Kind.VARIABLES) and node is call.args[0]:
                self.facts.additions.append((module, call))
                self.give(module, call, kind)
                return True
            return kind is Kind.STEPS and node is call.args[1]
        if not isinstance(call.func, ast.Attribute) or not self.states.is_optax(module, call.func.value):
            return False
        if call.func.attr == "init" and kind in (Kind.PARAMS, Kind.VARIABLES) and call.args == [node]:
            self.facts.optimizers.append((module, call))
            self.give(module, call, Kind.OPT_STATE)
            return True
        if call.func.attr != "update" or len(call.args) < 2 or any(k.arg != "params" for k in call.keywords):
            return False
        if kind is Kind.OPT_STATE and node is call.args[1]:
            self.facts.optax_steps.append(OptaxStep(module, call, call.args[0], node))
            self.give(module, call, Kind.STEPS, (0,))
            self.give(module, call, Kind.OPT_STATE, (1,))
            return True
        if kind is Kind.GRADS:
            return node is call.args[0]
        return kind in (Kind.PARAMS, Kind.VARIABLES) and (name == "params" or node in call.args[2:3])

    def _called(self, function: Function, called: Called) -> None:
        """A call of a tracked function has come to light."""
        for within, kind in list(function.results):
            self._result(called, within, kind)
        if called.grad is not None:
            grads: Within = (1,) if called.grad.with_value else ((0,) if called.grad.has_aux else ())
            self.give(called.module, called.call, Kind.GRADS, grads)

    def _returned(self, module: Module, place: ast.Return | ast.Lambda, within: Within, kind: Kind) -> None:
        node = (
            place
            if isinstance(place, ast.Lambda)
            else module.enclosing(place, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        if not isinstance(node, FunctionNode):
            raise NotIdiomatic("it is returned in an unusual way", module, place)
        if kind not in _RETURNED:
            raise NotIdiomatic(f"{kind.name.lower()} is returned", module, place)
        function = self.functions.tracked(module, node)
        if (within, kind) not in function.results:
            function.results.add((within, kind))
            for called in list(function.calls):
                self._result(called, within, kind)

    def _result(self, called: Called, within: Within, kind: Kind) -> None:
        """What a call gives: with a gradient, `((loss, aux), grads)` or `(grads, aux)`."""
        grad = called.grad
        if grad is None:
            self.give(called.module, called.call, kind, within)
        elif not grad.has_aux or within[:1] != (1,):
            raise NotIdiomatic(f"{kind.name.lower()} in a loss", called.module, called.call)
        else:
            self.give(called.module, called.call, kind, (0, *within) if grad.with_value else within)

    # ---- Linen's methods -----------------------------------------------------------------------------------

    def _attribute(self, module: Module, node: ast.Attribute, kind: Kind) -> None:
        parent = module.parents[node]
        call = parent if isinstance(parent, ast.Call) and parent.func is node else None
        if kind is Kind.MODULE and node.attr == "init" and call is not None:
            self.facts.inits.append((module, call))
            self.give(module, call, Kind.VARIABLES)
        elif (kind, node.attr) in ((Kind.MODULE, "apply"), (Kind.STATE, "apply_fn")):
            self.give(module, node, Kind.APPLY)
        elif kind is Kind.STATE and node.attr in ("apply_gradients", "replace") and call is not None:
            self._updated(module, call, node)
        elif kind is Kind.STATE and node.attr == "step":
            self.facts.steps.append((module, node))
        elif kind is Kind.STATE and node.attr == "params" and self.states.params is not None:
            self.give(module, node, self.states.params)
        elif kind is Kind.STATE and node.attr in self.states.stats:
            self.give(module, node, Kind.STATS)
        else:
            raise NotIdiomatic(f"`.{node.attr}` of {kind.name.lower()}", module, node)

    def _subscript(self, module: Module, node: ast.Subscript, kind: Kind) -> None:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if kind is Kind.VARIABLES and key in COLLECTIONS:
            self.give(module, node, COLLECTIONS[key])
        elif kind is Kind.UPDATES and key == "batch_stats":
            self.give(module, node, Kind.NEW_STATS)
        else:
            raise NotIdiomatic(f"a part of {kind.name.lower()}", module, node)

    def _collection(self, module: Module, node: ast.Dict, value: ast.expr, kind: Kind) -> None:
        """`{"params": params, "batch_stats": stats}`."""
        for key, given in zip(node.keys, node.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) else None
            if name not in COLLECTIONS or (given is value and COLLECTIONS[name] is not kind):
                raise NotIdiomatic("a dictionary with it", module, node)
        self.give(module, node, Kind.VARIABLES)

    def _applied(self, module: Module, call: ast.Call, kind: Kind) -> None:
        if kind is not Kind.APPLY:
            raise NotIdiomatic(f"{kind.name.lower()} is called", module, call)
        unpacked = any(isinstance(a, ast.Starred) for a in call.args) or any(not k.arg for k in call.keywords)
        if unpacked or not call.args:
            raise NotIdiomatic("the arguments of `apply`", module, call)
        given = {k.arg: k.value for k in call.keywords}
        mutable = _mutable(module, given.get("mutable"))
        method = method_of(call)
        if not method:
            raise NotIdiomatic("the method of `apply`", module, call)
        keys = _dropout_key(module, given.get("rngs"))
        kept: list[ast.expr | ast.keyword] = [*call.args[1:]]
        kept += [k for k in call.keywords if k.arg not in ("mutable", "method", "rngs")]
        self.facts.applies.append(Apply(module, call, method, mutable, keys, tuple(kept)))
        if mutable:
            self.give(module, call, Kind.UPDATES, (1,))

    def _created(self, module: Module, call: ast.Call, node: ast.expr, name: str | None, kind: Kind) -> None:
        given = {k.arg: k.value for k in call.keywords}
        if call.args or name is None or not {"params", "tx"} <= given.keys():
            raise NotIdiomatic("the arguments of `TrainState.create`", module, call)
        if name == "params" and kind in (Kind.PARAMS, Kind.VARIABLES):
            if self.states.params not in (None, kind):
                raise NotIdiomatic("states with other trees of parameters", module, call)
            self.states.params = kind
            stats = {n for n in given if n not in STATE_FIELDS and n is not None}
            self.states.stats |= stats
            klass = self.states.klass(module, call)
            self.facts.creations.append(Creation(module, call, given["params"], given["tx"], klass))
            self.give(module, call, Kind.STATE)
        elif not (name == "apply_fn" and kind is Kind.APPLY) and kind is not Kind.STATS:
            raise NotIdiomatic(f"{kind.name.lower()} as `{name}` of a state", module, call)

    def _updated(self, module: Module, call: ast.Call, node: ast.Attribute) -> None:
        given = {k.arg: k.value for k in call.keywords}
        wanted = {"grads"} if node.attr == "apply_gradients" else set()
        if call.args or not wanted <= given.keys() or not given.keys() - wanted <= self.states.stats:
            raise NotIdiomatic(f"the arguments of `{node.attr}`", module, call)
        stats = next((value for name, value in given.items() if name in self.states.stats), None)
        self.facts.updates.append(Update(module, call, node.value, given.get("grads"), stats))
        self.give(module, call, Kind.STATE)


def _starred(target: ast.Tuple) -> bool:
    return any(isinstance(element, ast.Starred) for element in target.elts)


def _mutable(module: Module, node: ast.expr | None) -> bool:
    """Whether `apply` returns updates, too."""
    if node is None or (isinstance(node, ast.Constant) and node.value is False):
        return False
    names = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    if not all(isinstance(n, ast.Constant) and n.value == "batch_stats" for n in names):
        raise NotIdiomatic("`mutable` of other collections", module, node)
    return True


def _dropout_key(module: Module, node: ast.expr | None) -> ast.expr | None:
    """The key for dropout in `rngs={"dropout": key}`."""
    if node is None:
        return None
    if isinstance(node, ast.Dict):
        given = {
            k.value: v for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)
        }
        if "dropout" in given and len(given) == len(node.keys) and given.keys() <= {"params", "dropout"}:
            return given["dropout"]
    raise NotIdiomatic("`rngs` of `apply`", module, node)
