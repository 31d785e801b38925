"""The size of the inputs of a layer that gets an argument where one is given, and something else where none is.

`self.key(x) if context is None else self.key(context)`: attention to something else, or to the inputs themselves. If
one module is called in both ways, the sizes are equal: Linen refuses other inputs than those that made the parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.interpreter.branches.fallbacks import stand_in
from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.sites import LayerCall
from nnx_migrate.linen.symbols import token
from nnx_migrate.linen.values import Input
from nnx_migrate.nnx.writer.render import InitRenderer


def given_or_instead(renderer: InitRenderer, calls: Sequence[LayerCall], dims: Sequence[Dim]) -> Dim | None:
    """The size where a test for None decides which calls are made; None where the calls differ in anything else."""
    if len(calls) != len(dims) or not all(dim.known for dim in dims):
        return None
    session = renderer.analysis.session
    for control in calls[0].controls:
        test = _test_at(session, calls[0], control.node)
        if test is None or not isinstance(control.node, ast.If | ast.IfExp):
            continue
        sides = [_is_given(test, call, control.node) for call in calls]
        given = [dim for dim, side in zip(dims, sides, strict=True) if side is True]
        instead = [dim for dim, side in zip(dims, sides, strict=True) if side is False]
        if None in sides or not _is_one(given) or not _is_one(instead):
            continue
        size = token(Input(test.path).text, "a", -1)
        if (
            size not in renderer.asked
            and given[0] == Dim.size(size)
            and stand_in(session, {size: instead[0]})
        ):
            return given[0]
        return Dim.opaque(
            f"({{0}} if {renderer.none_test(test)} else {{1}})", *_in_order(test, given[0], instead[0])
        )
    return None


def _test_at(session: Session, call: LayerCall, statement: ast.AST) -> NoneTest | None:
    """The test for None around a call, which may be one of several that its code stands for."""
    ways = (call.context[:length] for length in range(len(call.context), -1, -1))
    return next(
        (session.none_tests[way, statement] for way in ways if (way, statement) in session.none_tests), None
    )


def _is_given(test: NoneTest, call: LayerCall, statement: ast.AST) -> bool | None:
    """Whether the argument is given where a call is made; None where the test says nothing about that."""
    branch = next((control.branch for control in call.controls if control.node is statement), None)
    return None if branch not in ("body", "orelse") else (branch == "body") is not test.is_none


def _is_one(dims: Sequence[Dim]) -> bool:
    return bool(dims) and all(same(dim, dims[0]) for dim in dims)


def _in_order(test: NoneTest, given: Dim, instead: Dim) -> tuple[Dim, Dim]:
    """The sizes where a test holds, and where it doesn't."""
    return (instead, given) if test.is_none else (given, instead)
