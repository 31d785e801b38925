"""Methods that keep a decorator of the project: its callers see what the decorator takes, not the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis, field_symbol
from nnx_migrate.linen.classes.decorators import keeps_method
from nnx_migrate.linen.classes.wrappers import changed_arguments, wrapper
from nnx_migrate.linen.interpreter.frame import Session
from nnx_migrate.linen.reasons import Refuse

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion


def check_wrappers(conversion: ClassConversion, analysis: ClassAnalysis) -> None:
    """Raises Refuse where sizes that the class takes from its inputs may be others behind a decorator."""
    cls, session = analysis.cls, analysis.session
    project = session.program.project
    for method in (m for m in cls.own_methods.values() if m.transforms):
        around = [d for d in method.transforms if not keeps_method(d, cls.module, project)]
        found = [w for w in (wrapper(d, cls.module, project) for d in around) if w is not None]
        if not found:
            continue
        if len(around) > 1:
            raise Refuse("unsupported-layer", f"several decorators of `{method.name}`", method.node)
        fresh = Session(session.program, cls, meter=session.meter)
        fresh.instances_of = (cls,)
        fresh.fields = {item.name: field_symbol(cls, item) for item in cls.fields}
        changed = changed_arguments(found[0], method, fresh)
        shown = {*session.input_ranks, *conversion.assumed}
        sizes = [s for s in conversion.sizes if s.method == method.name and s.path[0] in changed]
        plain = all(s.axis == -1 and not (s.flat or s.joined) and len(s.path) == 1 for s in sizes)
        if not plain or any(path[0] in changed for path in shown):
            detail = f"sizes behind the decorator of `{method.name}` depend on what it makes of the inputs"
            raise Refuse("unsupported-layer", detail, method.node)
