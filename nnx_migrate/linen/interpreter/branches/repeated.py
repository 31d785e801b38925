"""Conditions that a method asks twice: `if self.window > 0: x = partition(x)`, and later the way back.

Below the second `if`, what the first one has decided is known. Only conditions over fields count: these are the same
wherever they are asked.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.configured import Configured, decided, terms
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.interpreter.frame import Choice, Env, Frame, Slot
from nnx_migrate.linen.sites import Context
from nnx_migrate.linen.symbols import TOKEN


def remember_asked(frame: Frame, node: ast.AST, condition: str | None) -> None:
    """Remember a condition as text, if it is the same however often this class asks it.

    Its own local variables and loop counters may change; those of a class around it stay during one call.
    """
    tokens = TOKEN.finditer(condition or "")
    if condition is None or any(
        int(m["id"]) > frame.session.first_number for m in tokens if m["kind"] != "a"
    ):
        frame.session.asked.pop((frame.context, node), None)
    else:
        frame.session.asked[frame.context, node] = condition


def remember_choice(
    frame: Frame, branch: tuple[Context, ast.AST], first: Dim, second: Dim, chosen: Dim
) -> Dim:
    """Remember that a condition decides which size one is: `chosen`, or what was there before the condition."""
    condition = frame.session.asked.get(branch)
    if condition is None:
        return chosen
    for one, other, earlier in frame.session.asked_again.get(branch, ()):
        if same(one, first) and same(other, second):
            return earlier
    choices = frame.session.choices.setdefault(condition, [])
    if not any(one == first and other == second and earlier is chosen for one, other, earlier in choices):
        choices.append((first, second, chosen))
    return chosen


def below(frame: Frame, env: Env, statement: ast.If, holds: bool) -> Env:
    """The variables where the condition of `statement` holds (or doesn't), if it was asked before."""
    condition = frame.session.asked.get((frame.context, statement))
    if condition is None:
        return dict(env)
    env = decided_by(frame, env, statement, holds)
    choices = frame.session.choices.get(condition, [])
    if not choices:
        return env
    found: Env = dict(env)
    met: list[Choice] = []
    for name, slot in env.items():
        value = slot.value
        for first, second, chosen in choices:
            decided = _decided(value, chosen, first if holds else second)
            if decided is not value and (decided != value or not chosen.known):
                value = decided
                met.append((first, second, chosen))
        if value is not slot.value:
            found[name] = Slot(value, slot.static, slot.maybe_unbound, slot.origins)
    frame.session.asked_again[frame.context, statement] = tuple(met)
    return found


def decided_by(frame: Frame, env: Env, node: ast.If | ast.IfExp, holds: bool) -> Env:
    """The variables where the condition of `node` holds (or doesn't), as far as it tells which values they have."""
    found: Env = dict(env)
    condition = frame.session.asked.get((frame.context, node))
    for name, slot in env.items() if condition is not None else ():
        if isinstance(slot.value, Configured | tuple):
            value = decided(slot.value, {**known_conditions(frame), **dict(terms(condition, holds))})
            found[name] = slot if value is slot.value else replace(slot, value=value)
    return found


def known_conditions(frame: Frame) -> dict[str, bool]:
    """What the statements around the code at hand have asked."""
    found: dict[str, bool] = {}
    for control in frame.controls:
        condition = frame.session.conditions.get((frame.context, control.node))
        if condition is not None and control.branch in ("body", "orelse"):
            found.update(terms(condition, control.branch == "body"))
    return found


def restored(after: Env, assumed: Env, before: Env) -> Env:
    """The variables behind a branch, those that it left alone as they were before it.

    What the branch has told of a value stays: the other one tells the rest.
    """
    return {
        name: before[name]
        if name in before and assumed.get(name) is slot and not isinstance(before[name].value, Configured)
        else slot
        for name, slot in after.items()
    }


def _decided(value: Any, chosen: Dim, instead: Dim) -> Any:
    """A value with one size for another."""
    if isinstance(value, Dim):
        if value is chosen or value == chosen:  # an unknown size is no other one
            return instead
        symbols = chosen.symbols()
        is_symbol = len(symbols) == 1 and chosen == Dim.size(next(iter(symbols)))
        return value.substitute({next(iter(symbols)): instead}.get) if is_symbol else value
    if isinstance(value, Shape):
        return Shape(tuple(_decided(dim, chosen, instead) for dim in value.dims), value.lead)
    if isinstance(value, Array):
        return Array(_decided(value.shape, chosen, instead), value.dtype, value.weak)
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_decided(item, chosen, instead) for item in value)
    return value
