"""Lists and dicts changed in place by their methods."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Shape, Unknown
from nnx_migrate.linen.interpreter.branches.joined_modules import is_alike
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame, mixes
from nnx_migrate.linen.interpreter.lists.aliases import forget_other_names
from nnx_migrate.linen.interpreter.lists.steps import appended
from nnx_migrate.linen.interpreter.statements.stores import is_module, loop_depth_since, store
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.mixed_lists import MixedList, joined
from nnx_migrate.linen.values import Either, Expr, Instance, Maybe, ModuleList, Record, Rounds

_CHANGING = frozenset({"append", "clear", "extend", "insert", "remove", "reverse", "sort", "update"})


def mutate(frame: Frame, call: ast.Call) -> None:
    """What a method call changes in the list or dict that it is called on."""
    assert isinstance(call.func, ast.Attribute)
    target, method = call.func.value, call.func.attr
    old = (
        frame.session.facts.values.get((frame.context, target))
        if not frame.foreign
        else evaluate(frame, target)
    )
    if method in _CHANGING:
        forget_other_names(frame, old, target)
    if method == "append" and len(call.args) == 1 and isinstance(old, list | ArrayList):
        item = _evaluated(frame, call.args[0])
        filled = appended(frame, call, old, item, loop_depth_since(frame, target))
        if filled is not None or isinstance(old, ArrayList):
            store(frame, target, filled or Unknown("a list of different arrays"), False)
            return
    mixed = _mixed(frame, call, old)
    if mixed is not None:
        store(frame, target, mixed, False)
    elif isinstance(old, list) and method in ("append", "extend", "insert") and call.args:
        item = _evaluated(frame, call.args[-1])
        if method == "append" and loop_depth_since(frame, target) and _are_modules(item):
            new: Any = ModuleList(item, _rounds(frame))
        elif method == "append":
            new = [*old, item] if not loop_depth_since(frame, target) else Unknown("a list filled in a loop")
        elif method == "extend" and isinstance(item, tuple | list) and not loop_depth_since(frame, target):
            new = [*old, *item]
        elif method == "extend" and isinstance(item, ModuleList) and not old:
            new = item
        else:
            new = Unknown("a list changed in place")
        store(frame, target, new, is_static(frame, call.args[-1]) and isinstance(new, Expr))
    elif isinstance(old, Maybe) and isinstance(old.value, ModuleList) and method == "append" and call.args:
        item = evaluate(frame, call.args[-1])
        if not (isinstance(item, Instance) and is_alike(item, old.value.element)):
            store(frame, target, Unknown("a list of different modules"), False)
    elif isinstance(old, MixedList):
        store(frame, target, Unknown("a list of modules changed in place"), False)
    elif isinstance(old, ModuleList) and method == "append" and call.args:
        item = evaluate(frame, call.args[-1])
        if item != old.element:
            store(frame, target, Unknown("a list of different modules"), False)
    elif isinstance(old, Shape) and method == "append" and call.args and not loop_depth_since(frame, target):
        size = as_dim(evaluate(frame, call.args[0]))
        store(frame, target, old.then(size) if size is not None else Unknown("a changed shape"), False)
    elif isinstance(old, list | dict | Shape | Expr | ArrayList | Record) and method in _CHANGING:
        store(frame, target, Unknown("a container changed in place"), False)


def _mixed(frame: Frame, call: ast.Call, old: Any) -> MixedList | None:
    """A list of modules that already has some, with what is appended; None for what isn't one of setup."""
    assert isinstance(call.func, ast.Attribute)
    if (
        not mixes(frame)
        or len(call.args) != 1
        or not isinstance(old, list | ModuleList | MixedList)
        or old == []
    ):
        return None
    in_loop = loop_depth_since(frame, call.func.value)
    if call.func.attr == "extend" and not in_loop:
        return joined(old, _evaluated(frame, call.args[0]))
    if call.func.attr != "append":
        return None
    item = _evaluated(frame, call.args[0])
    if not in_loop:
        return joined(old, [item])
    rounds = _rounds(frame)
    filling = {one.rounds.loop for one in getattr(joined(old), "items", ()) if _has_rounds(one)}
    if rounds is None or rounds.loop in filling or not _are_modules(item):
        return None
    return joined(old, ModuleList(item, rounds))


def _has_rounds(value: Any) -> bool:
    return isinstance(value, ModuleList) and value.rounds is not None


def _are_modules(item: Any) -> bool:
    """Whether a submodule is appended, or several, of which some may be missing or one of two."""
    if isinstance(item, tuple | list):
        return is_module([_possible(part) for part in item])
    return is_module(item)


def _possible(part: Any) -> Any:
    """The submodule that may be missing, and both of two."""
    if isinstance(part, Either):
        return part.values
    return part.value if isinstance(part, Maybe) else part


def _evaluated(frame: Frame, node: ast.expr) -> Any:
    """The value of an argument of the call that has just been evaluated: `hs.append(f(hs.pop()))` takes one away."""
    values = frame.session.facts.values
    if not frame.foreign and (frame.context, node) in values:
        return values[frame.context, node]
    if any(isinstance(n, ast.Attribute) and n.attr == "pop" for n in ast.walk(node)):
        return Unknown("an element taken from a list")
    # once more would take long where what is appended is computed by code that appends, and so on
    return frame.arguments[node] if node in frame.arguments else evaluate(frame, node)


def _rounds(frame: Frame) -> Rounds | None:
    """The rounds of the one loop around the statement at hand, if it runs in each of them."""
    loops = [control.node for control in frame.controls if control.is_loop]
    if len(loops) != 1 or frame.controls[-1].node is not loops[0] or not frame.rounds:
        return None
    left_early = any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(loops[0]))
    return frame.rounds[-1] if frame.rounds[-1].loop is loops[0] and not left_early else None
