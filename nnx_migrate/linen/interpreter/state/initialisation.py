"""Conditions that tell a model's initialisation from its later calls.

NNX modules are initialised by their constructor and then only called, so such a condition has the value that it
has in Linen's later calls, and code that only an initialisation reaches is left out of the NNX method.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import InitFlag
from nnx_migrate.names.nodes import is_self

_HARMLESS_METHODS = frozenset({"is_initializing", "has_variable", "is_mutable_collection", "make_rng"})
_HARMLESS_STATEMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Pass, ast.Raise, ast.Assert, ast.If)


def negated(flag: InitFlag) -> InitFlag:
    """`not flag`."""
    initially, later = (None if value is None else not value for value in (flag.initially, flag.later))
    return InitFlag(initially, later)


def combined(values: Sequence[Any], is_or: bool) -> InitFlag:
    """`a and b`, `a or b` where one of them is a flag."""
    return InitFlag(
        _decided([_part(v, True) for v in values], is_or), _decided([_part(v, False) for v in values], is_or)
    )


def _part(value: Any, initially: bool) -> bool | None:
    if isinstance(value, InitFlag):
        return value.initially if initially else value.later
    return value if isinstance(value, bool) else None


def _decided(values: Sequence[bool | None], is_or: bool) -> bool | None:
    if is_or in values:
        return is_or
    return None if None in values else not is_or


@contextmanager
def after_init(frame: Frame, flag: Any, branch: bool) -> Iterator[None]:
    """Interpret the branch of a condition: `flag` may say that an initialisation doesn't reach it."""
    session = frame.session
    saved = session.after_init
    skipped = isinstance(flag, InitFlag) and flag.initially is (not branch)
    session.after_init = saved or skipped
    try:
        yield
    finally:
        session.after_init = saved


def only_initially(frame: Frame, nodes: Sequence[ast.AST]) -> None:
    """Code that only an initialisation reaches: refused where it does more than compute values.

    What it would create has no place in the NNX constructor, and what it would change has no time.
    """
    if frame.foreign:
        return
    for node in nodes:
        frame.session.facts.only_initial.append(node)
        if (
            isinstance(node, ast.stmt)
            and not isinstance(node, _HARMLESS_STATEMENTS)
            and not _is_harmless(node)
        ):
            raise Refuse(
                "unsupported-api", "code that only an initialisation reaches does more than compute", node
            )
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and _may_create(frame, inner):
                raise Refuse(
                    "unsupported-api", "code that only an initialisation reaches may create variables", inner
                )
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                raise Refuse(
                    "unsupported-api", "code that only an initialisation reaches changes variables", inner
                )


def _is_harmless(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        value = statement.value
        is_print = (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print"
        )
        return isinstance(value, ast.Constant) or is_print
    return False


def _may_create(frame: Frame, call: ast.Call) -> bool:
    """Whether a call may reach a module: calls of library functions and of arrays' methods don't."""
    from nnx_migrate.linen.arrays.shapes import Global
    from nnx_migrate.linen.interpreter.attributes import named_value, qualified_name
    from nnx_migrate.linen.values import Layer

    function = call.func
    if isinstance(function, ast.Attribute):
        root = function.value
        if is_self(root):
            return function.attr not in _HARMLESS_METHODS
    elif not isinstance(function, ast.Name):
        return True
    qualified = qualified_name(frame, function)
    if qualified is None:
        slot = frame.lookup(function.id) if isinstance(function, ast.Name) else None
        return slot is not None
    value = named_value(frame, qualified, function)
    return not (isinstance(value, Global) or (isinstance(value, Layer) and not value.is_class))
