"""Classes that programs hand to `nn.vmap`: `nn.vmap(Critic, variable_axes={"params": 0}, ...)(hidden)`.

Often a function does it for any class (`ensemblize(Critic, 2)`): all classes that it gets move together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.instances import SUPPORTED
from nnx_migrate.names.modules import Module

#: What the helper takes, as `nn.vmap` does.
_OPTIONS = frozenset({"variable_axes", "split_rngs", "in_axes", "out_axes", "axis_size"})
#: What members together offer of a module's interface.
_OFFERED = frozenset({"init", "lazy_init", "init_with_output", "apply"})

Place = tuple[Module, ast.Call]


def shared_places(values: Sequence[ClassValue]) -> dict[Place, list[ClassValue]]:
    """The calls of `nn.vmap`, each with all classes that reach it."""
    found: dict[Place, list[ClassValue]] = {}
    for value in values:
        for place in value.flow.vmapped:
            found.setdefault(place, []).append(value)
    return found


def problem(finder: FlowFinder, place: Place, values: Sequence[ClassValue]) -> str:
    """What stands in the way of one call of `nn.vmap` with all the classes that it gets, "" if nothing does."""
    module, call = place
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown or len(call.args) != 1 or "variable_axes" not in given or "split_rngs" not in given:
        return f"`nn.vmap` with {', '.join(f'`{name}`' for name in unknown) or 'other arguments than usual'}"
    axes = given["variable_axes"]
    if not (isinstance(axes, ast.Dict) and all(map(_is_zero, axes.values)) and all(map(_is_text, axes.keys))):
        return "`nn.vmap` with `variable_axes` other than 0 for named collections"
    function = module.enclosing(call, ast.FunctionDef)
    for keyword in call.keywords:
        if keyword.arg is None and not _only_options(finder, module, function, keyword.value):
            return "`nn.vmap` gets keyword arguments that can't be followed"
    known = {reference for value in values for reference in _expressions(value)}
    origins = Origins(finder, known).of(module, call.args[0])
    if any(origin is None or origin[1] not in known for origin in origins):
        return "`nn.vmap` gets classes that can't be told"
    return ""


def misuse(instance: Instance) -> str:
    """What a program asks of members together that only one of them offers, "" if nothing."""
    for _, attribute in instance.flow.attributes():
        is_method = instance.cls.method(attribute.attr) is not None
        if attribute.attr in SUPPORTED - _OFFERED or (
            is_method and instance.cls.field(attribute.attr) is None
        ):
            return f"`.{attribute.attr}` of a class that `nn.vmap` maps"
    if instance.asked or any(node.attr == "__class__" for _, node in instance.flow.attributes()):
        return "the class of a module whose class `nn.vmap` maps is asked for"
    if instance.flow.held or instance.tabulated or instance.applied:
        return "a class that `nn.vmap` maps is handed to another module"
    for _, call in (*instance.inits, *instance.applies):
        if any(k.arg not in ("rngs", "mutable", None) for k in call.keywords):
            return "a class that `nn.vmap` maps is called by keyword"
    return ""


def _expressions(value: ClassValue) -> Iterator[ast.expr]:
    """The reference to a class, and the `partial` around it."""
    node = value.reference.node
    yield node
    parent = value.reference.module.parents[node]
    if isinstance(parent, ast.Call) and parent.args[:1] == [node]:
        yield parent


def _only_options(finder: FlowFinder, module: Module, function: ast.AST | None, unpacked: ast.expr) -> bool:
    """Whether `**kwargs` of a function only ever holds what the helper takes."""
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return False
    if not (isinstance(unpacked, ast.Name) and unpacked.id == function.args.kwarg.arg):
        return False
    flow = finder.function(module, function)
    own = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
    calls = [node for _, node in flow.results]
    return not flow.escapes and all(
        isinstance(call, ast.Call) and all(k.arg in own | _OPTIONS for k in call.keywords) for call in calls
    )


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
