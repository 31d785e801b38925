"""Whether a submodule is called, and with the ranks and kinds of arrays that its class was converted for."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.effects.arguments import is_integer
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.interpreter.ranks.patterns import ranks_of_inputs
from nnx_migrate.linen.reasons import RankUnknown, Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.names.nodes import last_name
from nnx_migrate.nnx.writer.construction.call_arguments import at_path, bound_argument

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion


def check_called(analysis: ClassAnalysis, site: Site, conversion: ClassConversion) -> None:
    """Refuse a submodule with variables that nothing in the class reads: Linen makes variables in calls alone."""
    handed = site.is_held or site.lent or site.called_by_others
    if site.calls or handed or not conversion.needs_rngs:
        return
    if any(analysis.cls in other.mro[1:] for other in analysis.session.program):
        return  # a subclass may call it
    names = {site.attribute, site.stored} - {""}
    for node in (node for owner in analysis.cls.mro for node in ast.walk(owner.node)):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            if last_name(node) in names:
                return
    raise Refuse("unknown-call", f"`{site.label}` is never called in the class", site.call)


def check_ranks(session: Session, site: Site, cls: LinenClass, conversion: ClassConversion) -> None:
    """A class that is converted for one rank, which other callers showed, gets inputs of that rank."""
    for path, rank in conversion.assumed.items():
        for call in site.deciding_calls:
            value = at_path(bound_argument(cls, call, str(path[0]), optional=True), path[1:])
            array = effect_value(session, value)
            if value is not None and not (isinstance(array, Array) and array.shape.rank == rank):
                detail = f"`{site.label}` works for inputs of rank {rank}, and the rank here isn't known"
                needed = ranks_of_inputs(session, array, rank) if isinstance(array, Array) else {}
                raise RankUnknown(detail, site.call, needed)


def check_kinds(session: Session, site: Site, conversion: ClassConversion) -> None:
    """A class that is converted for integers, as other callers give it, gets integers."""
    kinds = conversion.analysis.session.input_kinds if conversion.analysis is not None else None
    for path in kinds or ():
        for call in site.deciding_calls:
            method, name = conversion.cls.method(call.method), str(path[0])
            given = method.parameters[: len(call.args)] if method is not None else []
            if name not in [*given, *call.kwargs]:
                continue
            value = at_path(bound_argument(conversion.cls, call, name), path[1:])
            array = effect_value(session, value)
            if isinstance(array, Array) and is_integer(array):
                continue
            detail = f"`{site.label}` works for integers, and what it gets here isn't known"
            raise Refuse("unknown-size", detail, site.call)
