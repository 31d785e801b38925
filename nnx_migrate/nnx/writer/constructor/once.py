"""What `setup` may do: Linen runs it in every call, with the values that the variables then have.

A constructor runs once. So what `setup` computes from variables, by submodules or by random draws can't move there.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.interpreter.sizes.kept_numbers import is_plain
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import ClassRef, Instance
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.parents import Parents
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.constructor.computed.initial_reads import initial_reads
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed

_WHY = "Linen does so in every call, a constructor once"
_DISPLAYS = (ast.List, ast.Tuple, ast.Dict, ast.ListComp, ast.DictComp)
_METHODS = frozenset({"__call__", "attend", "initialize_carry"})
#: What a module can be asked only while it is bound, in a call.
_OF_CALLS = frozenset(
    {"has_rng", "has_variable", "is_initializing", "is_mutable_collection", "make_rng", "sow"}
)


def check_runs_once(
    analysis: ClassAnalysis, setup: Method, derived: Collection[ast.AST], computed: Computed
) -> None:
    """Refuse a `setup` that does something else in the next call than in the first one.

    `derived` are the variables from which properties will compute what `setup` has; so they do what is `computed`.
    """
    own = dict.fromkeys(node for method in _reached(analysis, setup) for node in ast.walk(method))
    for node in (n for leaf in computed.late for n in ast.walk(leaf)):
        own.pop(node, None)
    for node in initial_reads(analysis, setup):
        own.pop(node, None)
    facts, parents = analysis.facts, setup.owner.module.parents
    for (_, node), variable in facts.variables.items():
        if (
            variable.method == "setup"
            and node in own
            and node not in derived
            and not (variable.place or _is_stored(node, parents))
        ):
            raise Refuse("unsupported-syntax", f"`setup` computes with `{variable.name}`: {_WHY}", node)
    _check_alternatives(analysis, own, parents)
    for _, node in facts.parameter_reads:
        if node in own:
            raise Refuse("unsupported-syntax", f"`setup` reads `{ast.unparse(node)}`: {_WHY}", node)
    for site in analysis.sites:
        for call in site.calls:
            if call.entry == "setup" or call.node in own:
                raise Refuse(
                    "unsupported-syntax", f"`setup` calls `{site.label}`: {_WHY}", call.node or site.call
                )
    for (context, node), value in list(facts.values.items()):
        if node in own and isinstance(node, ast.Attribute) and not is_plain(value):
            held = facts.values.get((context, node.value))
            if isinstance(held, Instance) and not _is_fixed(held, node.attr):
                raise Refuse("unsupported-syntax", f"`setup` reads `{ast.unparse(node)}`: {_WHY}", node)
    names = {variable.attribute for variable in facts.variables.values()}
    for node in own:
        if is_of_self(node) and isinstance(node.ctx, ast.Load) and node.attr in names | _OF_CALLS:
            raise Refuse("unsupported-syntax", f"`setup` reads `self.{node.attr}`: {_WHY}", node)


def _check_alternatives(analysis: ClassAnalysis, own: Collection[ast.AST], parents: Parents) -> None:
    """Refuse an attribute that holds a variable in some models, and something that is no array in others.

    Methods would have to read it in two ways: `self.bias[...]` fails where it is None or a number.
    """
    facts = analysis.facts
    made: set[ast.AST] = {node for _, node in facts.variables}
    names = {v.attribute for (_, node), v in facts.variables.items() if v.entry == "setup" and node in own}
    names -= {variable.attribute for variable in facts.variables.values() if variable.place}
    for node in own:
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        known = [target.attr for target in targets if is_of_self(target) and target.attr in names]
        if not known or not made.isdisjoint(ast.walk(node.value)):
            continue
        values = [value for (_, n), value in facts.values.items() if n is node.value]
        is_array = bool(values) and all(isinstance(value, Array) for value in values)
        if isinstance(node, ast.AugAssign) or not is_array:
            detail = f"`self.{known[0]}` is a variable in some models, and something else in others"
            raise Refuse("unsupported-syntax", detail, node)
    for node in own:
        if node in made and isinstance(parents.get(node), ast.IfExp):
            raise Refuse("unsupported-syntax", "`setup` makes a variable in a conditional expression", node)


def _is_fixed(module: Instance, name: str) -> bool:
    """Whether an attribute of a submodule is a field or a method."""
    target = module.site.target
    if isinstance(target, ClassRef):
        method = target.cls.method(name)
        return target.cls.field(name) is not None or (method is not None and method.kind != "property")
    spec = LAYERS.get(f"flax.linen.{module.site.layer_name}")
    return spec is not None and (name in spec.fields or name in _METHODS)


def _reached(analysis: ClassAnalysis, setup: Method) -> Iterator[ast.AST]:
    """`setup`, the methods of its class that it calls, and the properties that it reads."""
    found = {setup.name: setup}
    waiting = [setup]
    while waiting:
        method = waiting.pop()
        parents = method.owner.module.parents
        for node in ast.walk(method.node):
            other = analysis.cls.method(node.attr) if is_of_self(node) else None
            if other is None or other.name in found:
                continue
            called = parents.get(node)
            if other.kind == "property" or (isinstance(called, ast.Call) and called.func is node):
                found[other.name] = other
                waiting.append(other)
    yield from (method.node for method in found.values())


def _is_stored(node: ast.AST, parents: Parents) -> bool:
    """Whether attributes get a variable as it is, alone or in a list, or nothing gets it."""
    around = parents.get(node)
    if isinstance(around, ast.Expr):
        return True
    while isinstance(around, _DISPLAYS) or (isinstance(around, ast.IfExp) and node is not around.test):
        node, around = around, parents.get(around)
    targets = around.targets if isinstance(around, ast.Assign) else []
    if isinstance(around, ast.AnnAssign):
        targets = [around.target]
    return bool(targets) and all(map(is_of_self, targets))
