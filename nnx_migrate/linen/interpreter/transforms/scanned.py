"""Functions that `nn.scan` runs with a module, all rounds with the same parameters.

def step(cell, carry, x): return cell(carry, x)

nn.scan(step, variable_broadcast="params", split_rngs={"params": False})(self.cell, carry, xs)
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.classes.lifts import Lift, ScanOfFunction, read_lift
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_closure
from nnx_migrate.linen.interpreter.transforms.lifting import joined_result, member_arguments
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Closure, FieldModule, Instance, SelfValue


@dataclass(frozen=True)
class Scanned:
    """A local function with `nn.scan` around it."""

    lift: Lift
    function: Closure


def scanned(function: Closure, node: ast.Call) -> Scanned:
    """The function that `nn.scan(function, ...)` returns. Raises Refuse."""
    options = {str(k.arg): k.value for k in node.keywords}
    found = read_lift("scan", node, options)
    arguments = function.node.args
    plain = not (arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults)
    if not plain or isinstance(function.node, ast.AsyncFunctionDef):
        raise Refuse("unsupported-layer", "`nn.scan` of a function whose arguments aren't plain", node)
    streams = options.get("split_rngs")
    shares = not found.stacked and "variable_axes" not in options and "metadata_params" not in options
    if not shares or (isinstance(streams, ast.Dict) and len(streams.keys) > 1):
        detail = "`nn.scan` of a function that has more than parameters which all rounds share"
        raise Refuse("unsupported-layer", detail, node)
    return Scanned(found, function)


def call_scanned(
    frame: Frame, target: Scanned, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """What all rounds return together, from what one returns. Raises Refuse."""
    parameters = target.function.node.args
    count = len(parameters.posonlyargs) + len(parameters.args)
    module, *arrays = args or (None,)
    if (
        kwargs
        or len(args) != count
        or count < 2
        or not isinstance(module, Instance | FieldModule | SelfValue)
    ):
        raise Refuse("unsupported-layer", "`nn.scan` of a function that isn't called with a module", node)
    found = [target.lift.axis(position) for position in range(1, len(arrays))]
    axes = tuple(axis for axis in found if axis is not None)
    if len(axes) < len(found):
        raise Refuse(
            "unsupported-layer", "`nn.scan` of a function, with arguments that all rounds share", node
        )
    rows = member_arguments(frame, [target.lift], arrays)
    result = call_closure(frame, target.function, (module, *rows), {}, node)
    facts = frame.session.facts
    for context, _ in (*facts.sites, *facts.variables, *facts.rng_calls, *facts.sown):
        if node in context[len(frame.context) :]:
            detail = "a function that `nn.scan` runs creates modules or variables, or draws"
            raise Refuse("unsupported-layer", detail, node)
    if frame.session.recording:
        scan = ScanOfFunction(target.lift, module, axes)
        if facts.scans.setdefault(target.lift.call, scan) != scan:
            raise Refuse(
                "unsupported-layer", "one `nn.scan` of a function, called with several modules", node
            )
    return joined_result(frame, [target.lift], result)
