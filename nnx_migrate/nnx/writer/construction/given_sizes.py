"""What a submodule's constructor gets for other things than one size: a dtype, or the sizes at axes that it chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import sizes_given
from nnx_migrate.linen.interpreter.submodules.modules import bind_fields
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.nnx.writer.construction.call_arguments import at_path, bound_argument
from nnx_migrate.nnx.writer.symbols import SizeParameter

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def dtype_given(writer: ConstructionWriter, site: Site, cls: LinenClass, size: SizeParameter) -> str:
    """The dtype that a submodule's inputs have while the model is initialised. Raises Refuse."""
    found: set[str] = set()
    for call in site.deciding_calls:
        if call.method == size.method:
            value = at_path(bound_argument(cls, call, str(size.path[0])), size.path[1:])
            array = effect_value(writer.analysis.session, value)
            text = writer.renderer.dtype(array.dtype) if isinstance(array, Array) else None
            if text is None:
                detail = f"an input of `{site.label}`: the dtype of the array is not known"
                raise Refuse("unknown-size", detail, site.call)
            found.add(text)
    if len(found) != 1:
        raise Refuse("sizes-differ", f"`{site.label}` gets inputs of several dtypes", site.call)
    return found.pop()


def sequence_given(writer: ConstructionWriter, site: Site, cls: LinenClass, size: SizeParameter) -> str:
    """The sizes of a submodule's input at the axes that its fields choose. Raises Refuse."""
    assert size.listed is not None
    calls = [call for call in site.deciding_calls if call.method == size.method]
    if not calls:
        raise Refuse("unknown-size", f"`{site.label}` is never called in the class", site.call)
    session = writer.analysis.session
    around = Frame(session, writer.analysis.cls.module, {}, owner=writer.analysis.cls)
    fields = bind_fields(around, site, cls)
    found = [sizes_given(session, cls, fields, c.method, c.args, c.kwargs, size.listed) for c in calls]
    rows = [dims for dims in found if dims is not None]
    if len(rows) < len(found) or len({len(dims) for dims in rows}) != 1:
        detail = f"an input of `{site.label}`: its sizes at the axes that the fields choose can't be followed"
        raise Refuse("unknown-size", detail, site.call)
    texts = [writer.one_size(site, calls, list(column)) for column in zip(*rows, strict=True)]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
