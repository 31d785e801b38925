"""The constructor's parameters for sizes of inputs: how they are declared, and what they can't be."""

from __future__ import annotations

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import comprehension_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.symbols import SizeParameter


def size_annotation(size: SizeParameter, names: FileNames) -> str:
    """What stands behind the parameter's name and a colon."""
    if size.optional:
        return "int | None = None"
    if size.is_dtype:
        return f"{names.jnp()}.dtype"
    return "int" if size.listed is None else "tuple[int, ...]"


def check_kind(cls: LinenClass, size: SizeParameter) -> None:
    """Sizes at chosen axes have to be those of an array that the method gets which lists them, and inputs that may be
    dictionaries have to be given. Raises Refuse.
    """
    if size.joined and size.optional:
        raise Refuse("unknown-size", f"sizes of `{size.path[0]}`, which may hold nothing", cls.node)
    if size.listed is not None and (size.optional or comprehension_of(cls, size.method, size.listed) is None):
        raise Refuse("unknown-size", f"sizes of `{size.path[0]}` that not every call gives", cls.node)
