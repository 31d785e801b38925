"""What one of several modules returns, where a condition, a table or a field chooses their class."""

from __future__ import annotations

import ast
import functools
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.chosen import partials as chosen_partials
from nnx_migrate.linen.chosen.layers import alternatives
from nnx_migrate.linen.chosen.partials import PartialChoice
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.joined_results import one_of_results
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassChoice, ClassRef


def chosen_class(frame: Frame, site: Site, choice: ClassChoice, args: Any, kwargs: Any, method: str) -> Any:
    """What one of several classes returns: sizes that differ are told apart by the class."""
    from nnx_migrate.linen.interpreter.submodules.modules import call_project_class

    found = [
        (f"{choice.text} is {cls.name}" if choice.text and _is_visible(frame, cls) else "", result)
        for cls in reversed(choice.classes)
        for result in (call_project_class(frame, site, cls, args, kwargs, method),)
    ]
    return _told_apart(found[::-1], f"the classes that `{choice.field}` may be return different things")


def chosen_partial(
    frame: Frame, site: Site, choice: PartialChoice, args: Any, kwargs: Any, method: str
) -> Any:
    """What one of several partials of classes makes returns; of those that a field holds, the class tells."""
    from nnx_migrate.linen.interpreter.submodules.modules import call_project_class

    ways = chosen_partials.alternatives(site, choice)
    results = [call_project_class(frame, one, cls, args, kwargs, method) for cls, one in ways]
    if not choice.is_field:
        return _joined(site, results)
    names = {cls.name for cls, _ in ways}
    tests = [
        f"{choice.text}.func is {cls.name}"
        if _is_visible(frame, cls)
        else f'{choice.text}.func.__name__ == "{cls.name}"'
        if len(names) == len(ways)
        else ""
        for cls, _ in ways
    ]
    different = f"the modules that `{site.label}` may be return different things"
    return _told_apart(list(zip(tests, results, strict=True)), different)


def _is_visible(frame: Frame, cls: LinenClass) -> bool:
    """Whether the class whose constructor tells classes apart has one of them under its own name."""
    module = frame.session.instances_of[0].module
    return frame.session.program.project.resolve_name(cls.name, module.scopes.module, module) == cls.qualified


def _told_apart(found: list[tuple[str, Any]], different: str) -> Any:
    """One of several results: sizes that differ are told apart by the test of each, as far as there is one."""
    *rest, (_, result) = found
    for test, one in reversed(rest):
        if one == result:
            continue
        told = functools.partial(Dim.opaque, f"({{0}} if {test} else {{1}})")
        result = one_of_results(
            [one, result], told if test else functools.partial(_unknown_size, different), different
        )
    return result


def _unknown_size(reason: str, *_sizes: Dim) -> Dim:
    """The size that one of several modules leaves."""
    return Dim.unknown(reason)


def chosen_layer(frame: Frame, site: Site, args: Any, kwargs: Any, node: ast.Call | None, method: str) -> Any:
    """What one of several layers, or classes beside them, returns, if all return arrays of the same shape."""
    from nnx_migrate.linen.interpreter.submodules.derived import one_of_layers
    from nnx_migrate.linen.interpreter.submodules.modules import call_project_class

    def result(one: Site) -> Any:
        if isinstance(one.target, ClassRef):
            return call_project_class(frame, one, one.target.cls, args, kwargs, method)
        return one_of_layers(frame, one, args, kwargs, node, method)

    return _joined(site, [result(one) for one in alternatives(site).values()])


def _joined(site: Site, results: list[Any]) -> Any:
    """What one of several modules returns."""
    different = f"the modules that `{site.label}` may be return different things"
    joined = one_of_results(results, functools.partial(_unknown_size, different), different)
    same = all(result == results[0] for result in results)
    return Array(joined.shape, None) if isinstance(joined, Array) and not same else joined
