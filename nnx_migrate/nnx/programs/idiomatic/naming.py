"""What the model and the optimizer are called in each scope, and which of them a function gets."""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Scope
from nnx_migrate.nnx.programs.idiomatic.kinds import OF_MODEL, Facts, Function, Kind, NotIdiomatic
from nnx_migrate.nnx.programs.idiomatic.order import loops_around

MODEL, OPTIMIZER = "model", "optimizer"
_CANDIDATES = {
    MODEL: ("model", "net", "module", "nnx_model"),
    OPTIMIZER: ("optimizer", "opt", "nnx_optimizer"),
}


class Naming:
    """The names of a program. Raises NotIdiomatic where none is free, or where there are several models."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._names: dict[tuple[Scope, str], str] = {}
        self._needs = self._find_needs()

    def parts(self, function: Function, parameter: str) -> list[str]:
        """What a function gets instead of a parameter: its model, its optimizer, both or neither."""
        kind = function.params[parameter]
        if kind in (Kind.PARAMS, Kind.VARIABLES):
            return [MODEL]
        if kind is Kind.STATE:
            needs = self._needs.get(function.scope, set())
            if not needs and not self._has_separate_model(function):
                return [MODEL]
            return [part for part in (MODEL, OPTIMIZER) if part in needs]
        if kind is Kind.MODULE:
            return [] if function.has_model else [MODEL]
        if kind is Kind.OPT_STATE:
            return [OPTIMIZER]
        return [parameter] if kind is Kind.GRADS else []

    def model(self, module: Module, node: ast.AST) -> str:
        """The name of the model where a node stands."""
        scope: Scope | None = module.scope_at(node)
        while scope is not None:
            if self._holds_model(scope):
                return self.name(module, scope, MODEL)
            scope = scope.parent
        raise NotIdiomatic("no model is known here", module, node)

    def optimizer(self, module: Module, node: ast.AST) -> str:
        """The name of the optimizer where a node stands."""
        scope: Scope | None = module.scope_at(node)
        while scope is not None:
            kinds = {k for key in self._names_in(scope) for k in self.facts.names[key].values()}
            if kinds & {Kind.STATE, Kind.OPT_STATE}:
                return self.name(module, scope, OPTIMIZER)
            scope = scope.parent
        raise NotIdiomatic("no optimizer is known here", module, node)

    def name(self, module: Module, scope: Scope, part: str) -> str:
        """The name of the model or the optimizer in a scope that holds it."""
        key = (scope, part)
        if key not in self._names:
            self._names[key] = self._find(module, scope, part)
        return self._names[key]

    def _find(self, module: Module, scope: Scope, part: str) -> str:
        made = [
            name
            for where, name in self._names_in(scope)
            if self.facts.names[where, name].get(()) is Kind.MODULE and not self._is_gone(scope, name)
        ]
        if part == MODEL and made:
            if len(made) > 1:
                raise NotIdiomatic("several models in one place", module, scope.node)
            return made[0]
        taken = {self._names.get((scope, other)) for other in (MODEL, OPTIMIZER)}
        for candidate in _CANDIDATES[part]:
            if candidate not in taken and self._is_free(module, scope, candidate):
                return candidate
        raise NotIdiomatic(f"no free name for the {part}", module, scope.node)

    def _is_free(self, module: Module, scope: Scope, name: str) -> bool:
        """Whether a scope and those in it have no other meaning for a name."""
        if name in scope.bindings:
            return self._is_gone(scope, name) or self._is_transformation(module, scope, name)
        for inner in module.scopes.all_scopes():
            if inner is not scope and _is_within(inner, scope) and name in inner.bindings:
                if not self._holds_model(inner):
                    return False
        return not any(
            _is_within(reference.scope, scope)
            and not _is_within(reference.scope.binder(name), scope)
            and self.facts.kind(reference.node) not in OF_MODEL
            for reference in module.scopes.names.get(name, ())
        )

    def _is_gone(self, scope: Scope, name: str) -> bool:
        """Whether a name is one of those that the model or the optimizer replaces."""
        kinds = self.facts.names.get((scope, name), {})
        if set(kinds) != {()} or kinds[()] is Kind.GRADS:
            return False
        function = self.facts.function_of(scope.node)
        needless = function is not None and function.has_model and name in function.params
        return needless or kinds[()] is not Kind.MODULE

    def _is_transformation(self, module: Module, scope: Scope, name: str) -> bool:
        """Whether a name is that of the optax optimizer, which nothing but the new optimizer asks for."""
        made = [(c.call, c.tx) for c in self.facts.creations if c.module is module]
        made += [
            (call, call.func.value)
            for where, call in self.facts.optimizers
            if where is module and isinstance(call.func, ast.Attribute)
        ]
        own = [
            (call, tx)
            for call, tx in made
            if isinstance(tx, ast.Name) and tx.id == name and module.scope_at(call) is scope
        ]
        (binding, *others) = scope.bindings[name]
        if len(own) != 1 or others or not isinstance(binding.value, ast.Call):
            return False
        used: set[ast.expr] = {own[0][1]}
        used |= {s.call.func.value for s in self.facts.optax_steps if isinstance(s.call.func, ast.Attribute)}
        reads = {r.node for r in module.scopes.names.get(name, ()) if r.scope.binder(name) is scope}
        return reads <= used and not loops_around(module, own[0][0], scope)

    def _names_in(self, scope: Scope) -> list[tuple[Scope, str]]:
        return [key for key in self.facts.names if key[0] is scope]

    def _holds_model(self, scope: Scope) -> bool:
        found = {kind for key in self._names_in(scope) for kind in self.facts.names[key].values()}
        function = self.facts.function_of(scope.node)
        if function is not None and self._has_separate_model(function):
            return True
        return bool(found & OF_MODEL) and (Kind.MODULE in found or self._binds_model(scope))

    def _binds_model(self, scope: Scope) -> bool:
        """Whether a scope gets a model itself, rather than parts of one from outside of it."""
        function = self.facts.function_of(scope.node)
        if function is not None and any(kind in OF_MODEL for kind in function.params.values()):
            return True
        return any(Kind.STATE in self.facts.names[key].values() for key in self._names_in(scope))

    @staticmethod
    def _has_separate_model(function: Function) -> bool:
        return any(kind in (Kind.PARAMS, Kind.VARIABLES) for kind in function.params.values())

    def _find_needs(self) -> dict[Scope, set[str]]:
        """Scope of a state -> what is needed of it there."""
        needs: dict[Scope, set[str]] = {}
        passed: list[tuple[Scope, Function]] = []
        for node, kinds in self.facts.kinds.items():
            if not isinstance(node, ast.Name) or kinds.get(()) is not Kind.STATE:
                continue
            scope, module = self._binder(node)
            found = needs.setdefault(scope, set())
            parent = module.parents[node]
            if isinstance(parent, ast.Attribute):
                if parent.attr == "step":
                    found.add(OPTIMIZER)
                elif parent.attr == "apply_gradients":
                    found.update((MODEL, OPTIMIZER))
                elif not self._is_separate(scope):
                    found.add(MODEL)
            call = module.parents[parent] if isinstance(parent, ast.keyword) else parent
            for function in self.facts.functions.values():
                if any(called.call is call for called in function.calls):
                    passed.append((scope, function))
        while True:
            before = {scope: set(found) for scope, found in needs.items()}
            for scope, function in passed:
                inner = set(needs.get(function.scope, set()))
                if not inner and not self._has_separate_model(function):
                    inner = {MODEL}
                needs[scope] |= inner
            if before == needs:
                return needs

    def _is_separate(self, scope: Scope) -> bool:
        function = self.facts.function_of(scope.node)
        return function is not None and self._has_separate_model(function)

    def _binder(self, node: ast.Name) -> tuple[Scope, Module]:
        module = self.facts.places[node]
        scope = module.scope_at(node).binder(node.id)
        assert scope is not None
        return scope, module


def _is_within(scope: Scope | None, outer: Scope) -> bool:
    while scope is not None:
        if scope is outer:
            return True
        scope = scope.parent
    return False
