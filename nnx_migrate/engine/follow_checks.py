"""Whether what carries followed values carries nothing else: the second half of `Follower`'s promise."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.engine.callees import PARTIAL
from nnx_migrate.engine.follow_kinds import Function, Kind
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.scopes import BindingKind

if TYPE_CHECKING:
    from nnx_migrate.engine.follow import Follower


def check_unmixed(follower: Follower) -> None:
    """Add an escape for each name, parameter, attribute, field and return that also carries other things."""
    _check_names(follower)
    _check_arguments(follower)
    _check_partials(follower)
    _check_attributes(follower)
    _check_returns(follower)
    _check_fields(follower)
    _check_choices(follower)


def _check_names(follower: Follower) -> None:
    for (scope, name), (module, _) in list(follower.names.items()):
        for binding in scope.bindings[name]:
            deleted = isinstance(binding.node, ast.Name) and isinstance(binding.node.ctx, ast.Del)
            known = (scope, name, binding.node) in follower.bound
            if not (known or deleted or is_none(binding.value)):
                follower.escape(module, binding.node, f"`{name}` is something else at other times")
        first = scope.bindings[name][0]
        declared = any(name in s.outer_names for s in module.scopes.all_scopes())
        if declared and first.kind is not BindingKind.PARAMETER:
            follower.escape(module, first.node, f"`{name}` is assigned through global or nonlocal")


def _check_arguments(follower: Follower) -> None:
    for (function, parameter), kind in follower.parameters.items():
        for module, call, callee in follower.calls[function]:
            argument = callee.argument(call, parameter)
            given = parameter.arg in callee.keywords or (
                parameter in callee.parameters and callee.parameters.index(parameter) < callee.bound
            )
            if given and argument is None:
                continue  # by functools.partial (`_check_partials`), or self
            if argument is None:
                argument = next((d for a, d in defaults(function.args) if a is parameter), None)
            if not _is(follower, argument, kind):
                follower.escape(module, call, f"parameter `{parameter.arg}` gets something else here")


def _check_partials(follower: Follower) -> None:
    """`functools.partial(step, optimizer)`: what it binds."""
    for value in list(follower.values.values()):
        call = value.node
        if not isinstance(value.kind, Function) or not isinstance(call, ast.Call):
            continue
        if follower.callees.name(value.module, call.func) != PARTIAL or not call.args:
            continue
        inner = follower.callees.of(value.module, call.args[0])
        for (function, parameter), kind in follower.parameters.items():
            if inner is None or function is not value.kind.callee.node:
                continue
            argument = next((k.value for k in call.keywords if k.arg == parameter.arg), None)
            if parameter in inner.parameters:
                index = inner.parameters.index(parameter) - inner.bound
                argument = call.args[1:][index] if 0 <= index < len(call.args) - 1 else argument
            if argument is not None and not _is(follower, argument, kind):
                follower.escape(value.module, call, f"parameter `{parameter.arg}` gets something else here")


def _check_attributes(follower: Follower) -> None:
    for (owner, attr), (module, _) in follower.attributes.items():
        for node in ast.walk(owner):
            if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.withitem):
                continue
            for target in _targets(node):
                is_it = isinstance(target, ast.Attribute) and target.attr == attr
                if is_it and target not in follower.stores and not is_none(getattr(node, "value", None)):
                    follower.escape(module, target, f"`.{attr}` is something else at other times")


def _check_returns(follower: Follower) -> None:
    for function, kinds in follower.returns.items():
        home = follower.functions[function]
        returns = [n for n in ast.walk(function) if isinstance(n, ast.Return)]
        own = [r for r in returns if home.enclosing(r, ast.FunctionDef, ast.AsyncFunctionDef) is function]
        name = getattr(function, "name", "lambda")
        for places in kinds.values():
            for statement in own:
                if statement not in places:
                    follower.escape(home, statement, f"`{name}` returns other things too")


def _check_fields(follower: Follower) -> None:
    for (owner, name), kind in follower.fields.followed.items():
        for module, call in follower.fields.constructed.get(owner, ()):
            names = follower.fields.names(owner)
            initial = next((k.value for k in call.keywords if k.arg == name), None)
            index = names.index(name)
            if initial is None and index < len(call.args):
                initial = call.args[index]
            if not _is(follower, initial, kind):
                follower.escape(module, call, f"field `{name}` gets something else here")
        for module, call in follower.fields.replaced.get(owner, ()):
            for keyword in call.keywords:
                if keyword.arg == name and not _is(follower, keyword.value, kind):
                    follower.escape(module, call, f"field `{name}` gets something else here")


def _check_choices(follower: Follower) -> None:
    for node, value in list(follower.values.items()):
        choice = value.module.parents[node]
        if not isinstance(choice, ast.IfExp) or node is choice.test:
            continue
        if follower.kind_of(choice.body) != follower.kind_of(choice.orelse):
            follower.escape(value.module, choice, "it is only one of two possible values")


def _is(follower: Follower, node: ast.expr | None, kind: Kind) -> bool:
    """True for a value of the kind, and for None, which stands for one that isn't there yet."""
    return node is not None and (follower.kind_of(node) == kind or is_none(node))


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    else:
        target = getattr(node, "target", None) or getattr(node, "optional_vars", None)
        targets = [target] if target is not None else []
    return [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
