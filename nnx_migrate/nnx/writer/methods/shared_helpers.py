"""Helpers that a compact method calls several times, or in a loop, each time with modules of their own.

    def block(self, x, features):                     def block(self, conv, batch_norm, x):
        x = nn.Conv(features, (3, 3))(x)         ->       x = conv(x)
        return nn.BatchNorm(...)(x)                       return batch_norm(x)

The constructor makes the modules of every call, and each call hands its own ones to the helper; parameters that
only the constructions read go. Of functions that a condition chooses, each gets the modules of all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.chosen.functions import ChosenFunction, own_names
from nnx_migrate.linen.sites import Context, Control, Site
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_self
from nnx_migrate.nnx.writer.methods.reached import is_outside
from nnx_migrate.nnx.writer.words import plural, snake_case

_Record = TypeVar("_Record")
_Function = ast.FunctionDef | ast.Lambda
_PURE = frozenset({"int", "float", "len", "max", "min", "round", "tuple", "list", "str"})


@dataclass(eq=False)
class SharedHelper:
    """A method, or a function in a method: `calls` in the order of the code; `names` by construction.

    Several `functions` are those of which a condition chooses one; all have the same parameters.
    """

    functions: tuple[_Function, ...]
    calls: tuple[ast.Call, ...]
    is_method: bool
    names: dict[ast.AST, str] = field(default_factory=dict)
    sites: dict[tuple[ast.AST, ast.AST], Site] = field(default_factory=dict)  # by call and construction
    dropped: frozenset[str] = frozenset()

    @property
    def nodes(self) -> set[ast.AST]:
        """Everything that stands in it."""
        return {node for function in self.functions for node in ast.walk(function)}

    @property
    def definition(self) -> ast.FunctionDef | None:
        """The one `def` that it is, None for lambdas and for several functions."""
        (first, *others) = self.functions
        return first if isinstance(first, ast.FunctionDef) and not others else None

    @property
    def parameters(self) -> list[ast.arg]:
        """Its parameters without `self`."""
        return self.functions[0].args.args[1 if self.is_method else 0 :]

    def split_loops(self, site: Site) -> tuple[tuple[Control, ...], tuple[Control, ...]]:
        """The loops around a module: those around the call of the helper, and the helper's own."""
        inside = self.nodes
        own = tuple(control for control in site.loops if control.node in inside)
        return tuple(control for control in site.loops if control not in own), own

    def given(self, call: ast.Call) -> dict[str, ast.expr]:
        """What a call gives its parameters."""
        names = [a.arg for a in self.parameters]
        found = dict(zip(names, call.args, strict=False))
        return found | {str(k.arg): k.value for k in call.keywords}

    def kept(self, call: ast.Call) -> list[ast.expr | ast.keyword]:
        """The arguments of a call that stay."""
        names = [a.arg for a in self.parameters]
        by_place = [node for name, node in zip(names, call.args, strict=False) if name not in self.dropped]
        return [*by_place, *(k for k in call.keywords if k.arg not in self.dropped)]

    def drop_unread(self, reads: Iterable[str]) -> None:
        """Drop the parameters that a `def` no longer reads, if no argument for them does anything."""
        own = [*self.parameters, *self.functions[0].args.kwonlyargs]
        unread = {a.arg for a in own} - set(reads)
        given = [self.given(call) for call in self.calls]
        self.dropped = frozenset(
            name for name in unread if all(name not in g or _is_pure(g[name]) for g in given)
        )


def shared_helpers(analysis: ClassAnalysis, module: Module, others: Iterable[Site]) -> list[SharedHelper]:
    """The helpers that make modules for each of several calls; `others` are made and called elsewhere."""
    facts, aside = analysis.facts, set(others)
    contexts: dict[ast.AST, dict[Context, Site]] = {}
    for (context, node), site in facts.sites.items():
        if site not in aside:
            contexts.setdefault(node, {})[context] = site
    helpers: dict[ast.AST, SharedHelper] = {}
    for found in contexts.values():
        in_loop = all(context and site.loops for context, site in found.items())
        for context, site in found.items() if len(found) > 1 or in_loop else ():
            function = _helper(analysis, module, context)
            if len(found) == 1 and (function is None or _only_own_loops(function, site)):
                continue
            if function is None:
                return []
            helpers.setdefault(function.functions[0], function)
    for helper in helpers.values():
        if not _fill(analysis, helper, contexts):
            return []
    return list(helpers.values())


def _only_own_loops(helper: SharedHelper, site: Site) -> bool:
    """Whether the loops around a module stand in the helper itself, which then is called once."""
    inside = helper.nodes
    return all(loop.node in inside for loop in site.loops)


def _helper(analysis: ClassAnalysis, module: Module, context: Context) -> SharedHelper | None:
    """The helper behind a context, if all of its calls can be rewritten."""
    facts, step = analysis.facts, context[-1] if context else None
    closure = facts.functions.get((context[:-1], step)) if step is not None else None
    if closure is None or not isinstance(closure.node, _Function) or is_outside(closure):
        return None
    is_method = closure.env is None
    call = call_around(context)
    chosen = facts.chosen.get((context[:-2], call)) if call is not step else None
    closures = chosen.functions if chosen is not None else (closure,)
    functions = tuple(c.node for c in closures if isinstance(c.node, _Function) and _is_plain(c.node))
    if len(functions) < len(closures) or any(c.module is not module for c in closures):
        return None
    if chosen is not None:
        calls = [key[1] for key, other in facts.chosen.items() if _nodes(other) == functions]
        reached = [key[1] for key, other in facts.functions.items() if other.node in functions]
        if any(isinstance(node, ast.Call) for node in reached):  # one of them is called below its condition
            return None
    else:
        calls = [key[1] for key, other in facts.functions.items() if other.node is closure.node]
    plain = all(
        isinstance(c, ast.Call)
        and not any(isinstance(a, ast.Starred) for a in c.args)
        and not any(k.arg is None for k in c.keywords)
        for c in calls
    )
    if not plain or len(set(calls)) < len(calls):  # each call is reached in one way
        return None
    found = SharedHelper(functions, tuple(c for c in calls if isinstance(c, ast.Call)), is_method)
    known = _is_only_called(analysis, module, found)
    return found if known and _entry_is_compact(analysis, module, found) else None


def call_around(context: Context) -> ast.AST:
    """The call that leads to code: one that may reach several functions has the function behind it."""
    return context[-2] if isinstance(context[-1], _Function) else context[-1]


def _nodes(chosen: ChosenFunction) -> tuple[ast.AST, ...]:
    return tuple(closure.node for closure in chosen.functions)


def _is_plain(function: _Function) -> bool:
    """Whether modules can be added to a function's parameters."""
    if isinstance(function, ast.Lambda):
        return bool(own_names(function))
    spec = function.args
    return not (function.decorator_list or spec.posonlyargs or spec.vararg or spec.kwarg)


def _name(module: Module, function: _Function) -> str | None:
    """The name by which a function is called."""
    if isinstance(function, ast.FunctionDef):
        return function.name
    bound = module.parents.get(function)
    target = bound.targets[0] if isinstance(bound, ast.Assign) and len(bound.targets) == 1 else None
    return target.id if isinstance(target, ast.Name) else None


def _is_only_called(analysis: ClassAnalysis, module: Module, helper: SharedHelper) -> bool:
    """Whether nothing else in the project uses the helper."""
    name, called = _name(module, helper.functions[0]), {call.func for call in helper.calls}
    if name is None or any(_name(module, function) != name for function in helper.functions):
        return False
    if not helper.is_method:
        scope = module.enclosing(helper.functions[0], ast.FunctionDef)
        names = [n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == name] if scope else []
        bound = [n for n in names if not isinstance(n.ctx, ast.Load)]
        lambdas = [function for function in helper.functions if isinstance(function, ast.Lambda)]
        return scope is not None and set(names) - set(bound) == called and len(bound) == len(lambdas)
    cls = analysis.cls
    related = [c for c in analysis.session.program if cls in c.mro or c in cls.mro]
    if cls.own_methods.get(name) is None or sum(name in c.own_methods for c in related) > 1:
        return False
    own = {c.node for c in related}
    return not any(
        _may_mean(other, node, name, own)
        for other in analysis.session.program.project.mentioning(name)
        for node in ast.walk(other.tree)
        if node not in called
    )


def _may_mean(module: Module, node: ast.AST, name: str, classes: Collection[ast.AST]) -> bool:
    """Whether a node may stand for the method `name` of one of the classes, read or named in a text."""
    if isinstance(node, ast.Attribute) and node.attr == name:
        return not is_self(node.value) or module.enclosing(node, ast.ClassDef) in classes
    if isinstance(node, ast.Constant) and node.value == name:
        user = module.parents.get(node)
        is_label = isinstance(user, ast.Subscript) or (isinstance(user, ast.keyword) and user.arg == "name")
        return not is_label
    return False


def _entry_is_compact(analysis: ClassAnalysis, module: Module, helper: SharedHelper) -> bool:
    """Whether one compact method makes all the calls: others share the modules of a compact helper."""
    methods = {m.node: m for m in analysis.cls.own_methods.values()}
    entries = set()
    for call in helper.calls:
        node: ast.AST | None = call
        while node is not None and node not in methods:
            node = module.parents.get(node)
        entries.add(node)
    return len(entries) == 1 and all(node in methods and methods[node].is_compact for node in entries)


def _fill(
    analysis: ClassAnalysis, helper: SharedHelper, contexts: Mapping[ast.AST, Mapping[Context, Site]]
) -> bool:
    """Find the modules that a helper makes, and name its new parameters; false where some can't be handed over."""
    facts, inside = analysis.facts, helper.nodes
    if any(key[1] in inside for key in facts.variables):
        return False
    kinds: dict[ast.AST, Site] = {}
    for node, found in contexts.items():
        if node not in inside:
            continue
        for context, site in found.items():
            call = call_around(context) if context else None
            if call is None or call not in helper.calls or site.is_held or site.lifts:
                return False
            helper.sites[call, node] = site
            kinds.setdefault(node, site)
    ordered = sorted(kinds, key=lambda n: kinds[n].number)
    taken = {n.id for n in inside if isinstance(n, ast.Name)} | {
        n.arg for n in inside if isinstance(n, ast.arg)
    }
    wanted = [_wanted_name(helper, kinds[node]) for node in ordered]
    stores = [n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    taken -= {kinds[node].stored for node in ordered if stores.count(kinds[node].stored) == 1}
    seen: dict[str, int] = {}
    for node, name in zip(ordered, wanted, strict=True):
        number = seen.get(name, 0)
        seen[name] = number + 1
        final = f"{name}_{number}" if wanted.count(name) > 1 else name
        while final in taken:
            final += "_layer"
        taken.add(final)
        helper.names[node] = final
    return True


def _wanted_name(helper: SharedHelper, site: Site) -> str:
    """The parameter for a module: the name of the variable that holds it, or one that its class gives it."""
    if helper.split_loops(site)[1]:
        return plural(site.stored or snake_case(site.target_name))
    return site.stored or snake_case(site.target_name)


def of_one_call(
    table: Mapping[tuple[Context, ast.AST], _Record], helpers: Sequence[SharedHelper], choice: int
) -> dict[tuple[Context, ast.AST], _Record]:
    """The records of a table, those of each helper's code as one of its calls sees them."""
    calls = {call for helper in helpers for call in helper.calls}
    seen: dict[ast.AST, list[tuple[Context, ast.AST]]] = {}
    for key in table:
        if not calls.isdisjoint(key[0]):
            seen.setdefault(key[1], []).append(key)
    left = {keys[choice % len(keys)] for keys in seen.values()}
    return {k: v for k, v in table.items() if calls.isdisjoint(k[0]) or k in left}


def _is_pure(node: ast.expr) -> bool:
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    effects = ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom
    known = all(isinstance(c.func, ast.Name) and c.func.id in _PURE for c in calls)
    return known and not any(isinstance(n, effects) for n in ast.walk(node))
