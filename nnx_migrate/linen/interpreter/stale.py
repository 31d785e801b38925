"""Local variables that get a new value: what was computed from the old one can't be named any more.

A token such as `f§s5` is written as `f`. Once `f` has been assigned anew that would be the new value, so sizes that
hold the token become unknown at that moment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import OpenTuple, TupleChoice, each_part
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Env, Frame, Slot
from nnx_migrate.linen.values import ArrayOrNumber, ClassChoice, Closure, Expr, Partial, Record

_LOCAL = re.compile(r"([A-Za-z_]\w*)§[sl]\d+")


def token_of(name: str, value: Any) -> str | None:
    """The token by which a variable is known, if it is known by nothing else."""
    dim = as_dim(value)
    if isinstance(value, Expr | ClassChoice):
        text = value.text
    elif dim is not None and dim.known:
        text = dim.text()
    else:
        return None
    match = _LOCAL.fullmatch(text)
    return text if match is not None and match[1] == name else None


def mentions(value: Any, token: str) -> bool:
    """Whether a value is computed from what a token stands for."""
    if isinstance(value, Expr | ClassChoice):
        return token in value.text
    if isinstance(value, Dim):
        return value.known and token in value.text()  # conditions that tell sizes apart are part of it
    if isinstance(value, Shape):
        return any(mentions(dim, token) for dim in value.dims)
    if isinstance(value, Array):
        return mentions(value.shape, token)
    if isinstance(value, ArrayOrNone | ArrayOrNumber):
        return mentions(value.array, token)
    if isinstance(value, TupleChoice):
        return mentions(value.alternatives, token)
    if isinstance(value, OpenTuple):
        return mentions(value.items, token)
    if isinstance(value, Record):
        return mentions(tuple(item for _, item in value.items), token)
    if isinstance(value, tuple | list):
        return any(mentions(item, token) for item in value)
    return isinstance(value, dict) and any(mentions(item, token) for item in value.values())


def forget(frame: Frame, name: str, token: str) -> None:
    """Nothing is known any more of what was computed from the old value of a variable."""
    for env in (frame.env, frame.session.attributes):
        forget_in(env, name, token)
    for site in frame.session.facts.sites.values():  # what its calls return depends on its arguments
        site.args = tuple(without(value, name, token) for value in site.args)
        site.kwargs = {key: without(value, name, token) for key, value in site.kwargs.items()}
        if isinstance(site.target, ClassChoice) and mentions(site.target, token):
            site.target = replace(site.target, text="")


def forget_functions(frame: Frame, name: str) -> None:
    """What was bound to a function when a variable had its old value can't be written any more.

    That is what `functools.partial` binds and defaults of arguments; the body of a function reads new values.
    """
    for env in (frame.env, frame.session.attributes):
        for other, slot in env.items():
            if any(isinstance(n, ast.Name) and n.id == name for n in _bound_to(slot.value)):
                reason = f"`{other}` was made with another value of `{name}`"
                env[other] = Slot(Unknown(reason), slot.static, slot.maybe_unbound)


def _bound_to(value: Any) -> Iterator[ast.AST]:
    """The code whose values a function got when it was made."""
    if isinstance(value, Partial):
        for argument in (*value.call.args, *(k.value for k in value.call.keywords)):
            yield from ast.walk(argument)
        yield from _bound_to(value.func)
    elif isinstance(value, Closure):
        args = value.node.args
        for default in (*args.defaults, *(d for d in args.kw_defaults if d is not None)):
            yield from ast.walk(default)


def forget_in(env: Env, name: str, token: str) -> None:
    """The same for some variables."""
    for other, slot in env.items():
        if other != name and mentions(slot.value, token):
            env[other] = Slot(without(slot.value, name, token), slot.static, slot.maybe_unbound)


def without(value: Any, name: str, token: str) -> Any:
    """A value without what was computed from the old value of a variable."""
    reason = f"`{name}` has got another value meanwhile"
    if not mentions(value, token):
        return value
    if isinstance(value, Dim):
        return Dim.unknown(reason)
    if isinstance(value, Shape):
        return Shape(tuple(without(dim, name, token) for dim in value.dims), value.lead)
    if isinstance(value, Array):
        return value.with_shape(without(value.shape, name, token))
    if isinstance(value, TupleChoice | Record):
        return each_part(value, lambda item: without(item, name, token))
    if isinstance(value, tuple | list):
        return type(value)(without(item, name, token) for item in value)
    if isinstance(value, dict):
        return {key: without(item, name, token) for key, item in value.items()}
    return Unknown(reason)
