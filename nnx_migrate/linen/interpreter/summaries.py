"""What methods of other modules return: their code is interpreted with the values that they get."""

from __future__ import annotations

import ast
from dataclasses import replace
from itertools import count
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import ArrayOrNone
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, each_part
from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.configured import Configured
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame, Session
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import TOKEN, linen_name
from nnx_migrate.linen.values import ArrayOrNumber, Expr, Instance, ModuleList, Record
from nnx_migrate.names.nodes import is_none

_MAX_NESTING = 12
_KEEPING = frozenset({"checkpoint", "jit", "remat"})  # lifted transforms that compute the same


def run_class(
    session: Session,
    cls: LinenClass,
    fields: dict[str, Any],
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    learns: bool = True,
) -> Any:
    """The result of `cls(**fields).method(*args, **kwargs)`; Unknown where it can't be followed.

    `learns`: whether it runs whatever the ranks of the inputs are.
    """
    if (cls in session.instances_of and session.instances_of.count(cls) > 2) or len(
        session.instances_of
    ) > _MAX_NESTING:
        return Unknown(f"`{cls.name}` contains itself")
    key = _key(cls, fields, method, args, kwargs) if not _hold_modules(fields, args, kwargs) else None
    if key is not None and key in session.results:
        return session.results[key]
    result = _run(session, cls, fields, method, args, kwargs, learns)
    if key is not None:
        session.results[key] = result
    return result


def _hold_modules(*values: Any) -> bool:
    """Whether modules are handed on: what is called with which sizes has to be recorded each time."""
    for value in values:
        if isinstance(value, dict):
            value = tuple(value.values())
        if isinstance(value, tuple | list) and _hold_modules(*value):
            return True
        if isinstance(value, Instance | ModuleList | MixedList):
            return True
    return False


def _key(cls: LinenClass, fields: Any, method: str, args: Any, kwargs: Any) -> Any:
    key = (
        cls,
        tuple(sorted(fields.items(), key=lambda i: i[0])),
        method,
        args,
        tuple(sorted(kwargs.items(), key=lambda i: i[0])),
    )
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _run(
    session: Session, cls: LinenClass, fields: Any, method: str, args: Any, kwargs: Any, learns: bool
) -> Any:
    if cls.is_subclass_of_layer:
        return Unknown(f"`{cls.name}` changes a built-in layer")
    if _is_mapped(cls):
        return Unknown(f"what a decorator makes of `{cls.name}`")
    inner, frame = inside(session, cls, fields, learns)
    try:
        for setup in (m for m in (cls.method("__post_init__"), cls.method("setup")) if m is not None):
            call_method(frame, setup, (), {}, None)
        found = cls.method(method)
        if found is None:
            return Unknown(f"`{cls.name}` has no method `{method}`")
        return without_inner(call_method(frame, found, args, kwargs, None), inner.first_number)
    except Refuse as refusal:
        if refusal.reason == "budget":
            raise
        return Unknown(f"`{cls.name}`: {refusal.detail}")


def _is_mapped(cls: LinenClass) -> bool:
    """Whether a decorator makes another class of it, by a lifted transform that changes what it returns."""
    for decorator in cls.node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = cls.resolve_in_class(function)
        if name == "functools.partial" and isinstance(decorator, ast.Call) and decorator.args:
            name = cls.resolve_in_class(decorator.args[0])
        linen = linen_name(name)
        if name is None or (linen is not None and linen.rpartition(".")[2] not in _KEEPING):
            return True
    return False


def inside(session: Session, cls: LinenClass, fields: Any, learns: bool) -> tuple[Session, Frame]:
    """The analysis of another class's code, where its fields have these values."""
    from nnx_migrate.linen.interpreter.submodules.modules import default_value

    inner = Session(
        session.program,
        cls,
        meter=session.meter,
        limit=session.limit,
        results=session.results,
        recording=False,
    )
    inner.caller, inner.may_learn = session, learns
    inner.instances_of = (*session.instances_of, cls)
    inner.numbers = count(inner.first_number + 1)
    frame = Frame(inner, cls.module, {}, owner=cls, foreign=True)
    for item in cls.fields:
        given = item.name in fields
        value = fields[item.name] if given else default_value(frame, cls, item.name)
        inner.fields[item.name] = _as_declared(item, value) if given else value
    return inner, frame


def _as_declared(item: Field, value: Any) -> Any:
    """What a field is given: where it is declared to hold an integer, that isn't None, as in the class itself."""
    is_number = ast.unparse(item.annotation) == "int" and not is_none(item.default)
    unclear = isinstance(value, Expr) and not value.kind and value.maybe_int
    return as_dim(value) if is_number and unclear else value


def submodules(
    session: Session, cls: LinenClass, fields: dict[str, Any]
) -> tuple[list[Site], dict[str, Any]]:
    """The submodules that `cls(**fields)` makes, in order, and what its attributes hold; as far as that is known."""
    inner, frame = inside(session, cls, fields, False)
    for method in (cls.method("setup"), cls.method("__call__")):
        if method is not None:
            given = tuple(Unknown("an argument") for _ in method.parameters)
            try:
                call_method(frame, method, given, {}, None)
            except Refuse as refusal:
                if refusal.reason == "budget":
                    raise
    sites = [site for site in inner.facts.ordered_sites() if site.number >= inner.first_number]
    return sites, {name: slot.value for name, slot in inner.attributes.items()}


def without_inner(value: Any, first: int) -> Any:
    """A value as the class around may see it: without sizes that only the inner one can name.

    `first` is the least number of the inner class's tokens (loop variables, sizes that control flow changes).
    """
    if isinstance(value, Dim):
        inner = value.known and _names_inner(value.text(), first)
        return Dim.unknown("a size that a loop or condition of another module decides") if inner else value
    if isinstance(value, Shape):
        return Shape(tuple(without_inner(dim, first) for dim in value.dims), value.lead)
    if isinstance(value, Array):
        return value.with_shape(without_inner(value.shape, first))
    if isinstance(value, Expr) and _names_inner(value.text, first):
        return Unknown("a value that only another module knows")
    if isinstance(value, ArrayOrNone | ArrayOrNumber):
        return replace(value, array=without_inner(value.array, first))
    if isinstance(value, Configured):
        return value.each(lambda one: without_inner(one, first))
    if isinstance(value, TupleChoice | Record):
        return each_part(value, lambda item: without_inner(item, first))
    if isinstance(value, tuple | list):
        return type(value)(without_inner(item, first) for item in value)
    if isinstance(value, dict):
        return {key: without_inner(item, first) for key, item in value.items()}
    return value


def _names_inner(text: str, first: int) -> bool:
    return any(m["kind"] in "lps" and int(m["id"]) >= first for m in TOKEN.finditer(text))
