"""Linen's older functions for logical axes: `param_with_axes(name, init, *args, axes=(...))` is a parameter of the
module whose method runs, which names its axes in the collection `params_axes` beside it.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.state.variables import module_api
from nnx_migrate.linen.reasons import Refuse

PARAM_WITH_AXES = "flax.linen.partitioning.param_with_axes"


def param_with_axes(frame: Frame, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """The parameter's value, as `self.param` gives it; its site remembers what names the axes."""
    given = {k: v for k, v in kwargs.items() if k not in ("axes", "module")}
    if frame.foreign or node is None:
        return module_api(frame, "param", args, given, node) if node is not None else Unknown(PARAM_WITH_AXES)
    if "module" in kwargs or not _is_in_class(frame, node):
        raise Refuse("unsupported-api", "`param_with_axes` for another module than that of the method", node)
    value = module_api(frame, "param", args, given, node)
    site = frame.session.facts.variables[frame.context, node]
    if site.place:
        raise Refuse("unsupported-api", "`param_with_axes` in a list or dict of `setup`", node)
    site.axes = next((keyword.value for keyword in node.keywords if keyword.arg == "axes"), None)
    return value


def _is_in_class(frame: Frame, node: ast.Call) -> bool:
    """Whether the call stands in a method of the class that is read: there `self` is the module that runs."""
    around = frame.module.enclosing(node, ast.ClassDef)
    return any(around is owner.node for owner in frame.session.cls.mro)
