"""Layers of `setup` that methods call only where an argument is given, or where fields say so.

Linen makes their parameters where a call comes to them: `self.cond = nn.Dense(4)` has none in a model that was
initialised without the argument. The constructor asks for the argument's size, and makes the layer if it got one;
or it asks what the calls ask: `if self.use_cond:`.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.linen.values import Input
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.render import InitRenderer


def asked_test(renderer: InitRenderer, site: Site, construction: str, may_ask_fields: bool) -> str | None:
    """The condition under which the constructor makes a layer that `construction` makes; None for any other layer."""
    given = _needed_argument(renderer.analysis, site, construction, renderer.asked)
    if given is not None:
        return renderer.none_test(given)
    return needed_field(renderer.analysis, site) if may_ask_fields else None


def _needed_argument(
    analysis: ClassAnalysis, site: Site, construction: str, asked: Collection[str]
) -> NoneTest | None:
    """The argument that is given at every call of a layer, if its `construction` takes the argument's size.

    Another layer may have `asked` for that already, such as the attention that a norm comes after.
    """
    tests = [_given_at(analysis, call) for call in site.calls]
    first = tests[0] if tests else None
    if first is None or any(test != first for test in tests) or not _is_only_called(analysis, site):
        return None
    name = Input(first.path).text
    sizes = [match for match in TOKEN.finditer(construction) if match["kind"] in "af"]
    is_known = any(match["name"] == name for match in sizes) or token(name, "a", -1) in asked
    return first if is_known else None


def needed_field(analysis: ClassAnalysis, site: Site) -> str | None:
    """The condition on fields under which every call of a layer stands, if any."""
    conditions = [_asked_at(analysis, call) for call in site.calls]
    first = conditions[0] if conditions else []
    common = [one for one in first if all(one in others for others in conditions)]
    return common[0] if common and _is_only_called(analysis, site) else None


def _asked_at(analysis: ClassAnalysis, call: LayerCall) -> list[str]:
    """The conditions around a call that read nothing but fields."""
    found: list[str] = []
    for control in call.controls:
        if not call.context and isinstance(control.node, ast.If | ast.IfExp) and control.branch != "after":
            test = control.node.test
            names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
            read = [node for node in ast.walk(test) if isinstance(node, ast.Attribute)]
            fields = all(_is_of_field(analysis, node) for node in read)
            if names == {"self"} and fields:
                text = ast.unparse(test)
                plain = isinstance(test, ast.Name | ast.Attribute)
                found.append(text if control.branch == "body" else f"not {text if plain else f'({text})'}")
    return found


def _is_of_field(analysis: ClassAnalysis, node: ast.Attribute) -> bool:
    """Whether an attribute is a field of the class, or belongs to what one holds: `self.config.use_bias`."""
    while isinstance(node.value, ast.Attribute):
        node = node.value
    return is_of_self(node) and analysis.cls.field(node.attr) is not None


def _given_at(analysis: ClassAnalysis, call: LayerCall) -> NoneTest | None:
    """The condition around a call that says that an argument is given."""
    for control in call.controls:
        if call.context or not isinstance(control.node, ast.If | ast.IfExp):
            continue
        test = analysis.facts.values.get(((), control.node.test))
        if isinstance(test, NoneTest) and test.is_none == (control.branch == "orelse"):
            return test.negated if test.is_none else test
    return None


def _is_only_called(analysis: ClassAnalysis, site: Site) -> bool:
    """Whether nothing but those calls reads the attribute, which the module may lack."""
    calls = [call.node for call in site.calls]
    functions: set[ast.AST] = {call.func for call in calls if call is not None}
    for call, applied in analysis.facts.given_kernels.items():
        if applied is site and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            functions.add(call.func.value)
    nodes = [node for owner in analysis.cls.mro for node in ast.walk(owner.node)]
    reads = {n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    return None not in calls and {n for n in reads if n.attr == site.attribute} == functions
