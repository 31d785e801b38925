"""`*args` and `**kwargs` that a function only hands on: `def dense(n, **kwargs): return nn.Dense(n, **kwargs)`.

A construction behind such a function gets what the function's callers have written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import cache

from nnx_migrate.linen.sites import Context, Facts, Forwarded


def shows_all(facts: Facts, call: ast.Call, context: Context, count: int, names: Iterable[str]) -> bool:
    """Whether a call shows all arguments that a function gets: a partial of it would have bound more."""
    shown, given = positional(facts, call, context), named(facts, call, context)
    if shown is None or given is None:
        return False
    return len(shown) == count and sorted(one.name for one in given) == sorted(names)


def remember_forwarded(
    facts: Facts,
    call: ast.Call,
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
    by_position: Sequence[str],
    outer: Context,
    context: Context,
) -> None:
    """Remember what a call gives to the parameters of a function that take any arguments."""
    spec = function.args
    shown, given = positional(facts, call, outer), named(facts, call, outer)
    if spec.vararg is not None and shown is not None and only_spread(function, spec.vararg.arg):
        facts.forwarded[context, spec.vararg.arg] = tuple(shown[len(by_position) :])
    if spec.kwarg is not None and given is not None and only_spread(function, spec.kwarg.arg):
        own = {a.arg for a in [*spec.args, *spec.kwonlyargs]}
        facts.forwarded[context, spec.kwarg.arg] = tuple(one for one in given if one.name not in own)


def unfolded(facts: Facts, call: ast.Call, context: Context) -> tuple[ast.Call, dict[ast.AST, Context]]:
    """A call with what functions hand on to it written out, and where the interpreter met these expressions."""
    spread = [k.value for k in call.keywords if k.arg is None]
    spread += [a.value for a in call.args if isinstance(a, ast.Starred)]
    args, keywords = positional(facts, call, context), named(facts, call, context)
    if not spread or args is None or keywords is None:
        return call, {}
    written = ast.Call(
        call.func, [one.node for one in args], [ast.keyword(one.name, one.node) for one in keywords]
    )
    elsewhere: dict[ast.AST, Context] = {
        one.node: one.context for one in (*args, *keywords) if one.context != context
    }
    return ast.copy_location(written, call), elsewhere


def positional(facts: Facts, call: ast.Call, context: Context) -> list[Forwarded] | None:
    """The arguments of a call by position, those of the functions around it in place of `*args`. None: not shown."""
    found: list[Forwarded] = []
    for node in call.args:
        if isinstance(node, ast.Starred):
            behind = _behind(facts, node.value, context)
            if behind is None:
                return None
            found += behind
        else:
            found.append(Forwarded("", node, context))
    return found


def named(facts: Facts, call: ast.Call, context: Context) -> list[Forwarded] | None:
    """The arguments of a call by name, those of the functions around it in place of `**kwargs`. None: not shown."""
    found: list[Forwarded] = []
    for keyword in call.keywords:
        if keyword.arg is None:
            behind = _behind(facts, keyword.value, context)
            if behind is None:
                return None
            found += behind
        else:
            found.append(Forwarded(keyword.arg, keyword.value, context))
    return found


def _behind(facts: Facts, node: ast.expr, context: Context) -> tuple[Forwarded, ...] | None:
    return facts.forwarded.get((context, node.id)) if isinstance(node, ast.Name) else None


@cache
def only_spread(function: ast.AST, name: str) -> bool:
    """Whether all that a function does with a parameter is to hand it on, by `*` or `**`."""
    spread: set[ast.AST] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            spread.update(a.value for a in node.args if isinstance(a, ast.Starred))
            spread.update(k.value for k in node.keywords if k.arg is None)
    return all(n in spread for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name)
