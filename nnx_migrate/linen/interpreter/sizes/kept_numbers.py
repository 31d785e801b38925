"""What a submodule's `setup` keeps beside layers: `self.patch_embeddings.num_patches`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import ClassRef, Expr, Instance
from nnx_migrate.names.nodes import is_of_self


def kept_number(frame: Frame, module: Instance, name: str) -> Any:
    """The value of an attribute that a submodule computes from its fields; None where it is anything else.

    Linen computes it again in every call, to the same value: nothing but `setup` can set attributes.
    """
    target = module.site.target
    if not isinstance(target, ClassRef) or module.site.lifts or not _may_keep(target.cls, name):
        return None
    from nnx_migrate.linen.interpreter.attributes import self_attribute
    from nnx_migrate.linen.interpreter.functions import call_method
    from nnx_migrate.linen.interpreter.submodules.modules import bind_fields
    from nnx_migrate.linen.interpreter.summaries import inside, without_inner

    cls = target.cls
    if cls in frame.session.instances_of or cls is frame.session.cls:
        return None
    inner, around = inside(frame.session, cls, bind_fields(frame, module.site, cls), False)
    setup = cls.method("setup")
    try:
        if setup is not None:
            call_method(around, setup, (), {}, None)
        value = without_inner(self_attribute(around, name), inner.first_number)
    except Refuse as refusal:
        if refusal.reason == "budget":
            raise
        return None
    return value if is_plain(value) else None


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a text or a tuple of such, or an expression over fields."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    if isinstance(value, Dim):
        return value.known
    return isinstance(value, bool | int | float | str | Expr)


def _may_keep(cls: LinenClass, name: str) -> bool:
    """Whether an attribute is a property, or one that `setup` sets."""
    method = cls.method(name)
    if method is not None:
        return method.kind == "property"
    setup = cls.method("setup")
    stored = (n for n in ast.walk(setup.node) if is_of_self(n)) if setup is not None else ()
    return any(node.attr == name and isinstance(node.ctx, ast.Store) for node in stored)
