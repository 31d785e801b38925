"""Sizes that all constructions of a class agree on.

`x + self.mlp(x)` has the size of the larger one where the class itself doesn't say that both are equal. Where they are
for every module that makes the class, the constructor takes the size of its input instead of `max(...)`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim, parts_of, same, single_atom
from nnx_migrate.linen.dims.maxima import Agreed
from nnx_migrate.linen.dims.terms import Max, Symbol
from nnx_migrate.linen.interpreter.calls.flatteners import all_joined
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import BUDGET, Frame, Slot
from nnx_migrate.linen.interpreter.submodules.modules import bind_fields
from nnx_migrate.linen.interpreter.summaries import inside
from nnx_migrate.linen.programs.constructions.references import ClassReference, Role
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef
from nnx_migrate.nnx.writer.construction.call_arguments import at_path, bound_argument
from nnx_migrate.nnx.writer.symbols import SizeParameter

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion, Conversions

Made = tuple["ClassConversion", Site]


class Agreement:
    """Finds the sizes that are equal wherever a class is made. `agreed` are those of the classes so far."""

    def __init__(self, conversions: Conversions, agreed: Mapping[LinenClass, Agreed]) -> None:
        self.conversions, self.agreed = conversions, agreed

    def of(self, conversion: ClassConversion) -> Agreed:
        """The maxima in the sizes of a class whose parts are always equal, each with the one to write."""
        if not conversion.open_maxima:
            return {}
        made = self._made.get(conversion.cls, [])
        if not made or not self._are_all(conversion.cls, made):
            return {}
        values = [self._values(holder, site, conversion) for holder, site in made]
        own = {size.token for size in conversion.sizes}
        return {
            maximum: min(maximum.args, key=lambda dim: (dim.text() not in own, len(dim.text())))
            for maximum in conversion.open_maxima
            if all(_are_equal(maximum, value, chosen) for value, chosen in values)
        }

    @cached_property
    def _made(self) -> Mapping[LinenClass, list[Made]]:
        """The places where converted classes make each class."""
        found: dict[LinenClass, list[Made]] = defaultdict(list)
        for holder in self.conversions.converted.values():
            for site in holder.analysis.sites if holder.analysis is not None else ():
                for cls in site.classes:
                    found[cls].append((holder, site))
        return found

    @cached_property
    def _references(self) -> Mapping[LinenClass, list[tuple[ClassReference, bool]]]:
        """All that names a class, but for annotations, and whether it stands in the code of a module."""
        found: dict[LinenClass, list[tuple[ClassReference, bool]]] = defaultdict(list)
        references = self.conversions.finder.references
        for places, is_inside in (
            (references.inside, True),
            (references.outside, False),
            (references.unclear, False),
        ):
            for reference in places:
                if reference.role is not Role.ANNOTATION:
                    found[reference.cls].append((reference, is_inside))
        return found

    def _are_all(self, cls: LinenClass, made: list[Made]) -> bool:
        """Whether nothing else makes modules of this class, those aside that stay Linen."""
        if any(not isinstance(site.target, ClassRef) or site.bridged is not None for _, site in made):
            return False
        calls = {site.call for _, site in made}
        for reference, is_inside in self._references.get(cls, ()):
            if not is_inside or reference.role is not Role.CONSTRUCTION:
                return False
            home = self.conversions.finder.references.enclosing_class(reference.module, reference.node)
            stays = home is not None and home.qualified in self.conversions.refused
            if reference.call not in calls and not stays:
                return False
        return True

    def _values(
        self, holder: ClassConversion, site: Site, conversion: ClassConversion
    ) -> tuple[Callable[[str], Dim], Agreed]:
        """What the symbols of a class mean where another one makes it, and what that one's sizes agree on."""
        assert holder.analysis is not None
        session, cls = holder.analysis.session, conversion.cls
        session.limit = max(session.limit, session.meter.steps + BUDGET)
        sizes = {size.token: size for size in conversion.sizes}
        try:
            around = Frame(session, holder.cls.module, {}, owner=holder.cls)
            inner, _ = inside(session, cls, bind_fields(around, site, cls), learns=False)
        except Refuse:
            return lambda text: Dim.unknown("fields that aren't known"), {}
        frame = Frame(inner, cls.module, {"self": Slot(inner.self_value)}, owner=cls, foreign=True)

        def value(text: str) -> Dim:
            size = sizes.get(text)
            if size is not None:
                return _size_given(holder, site, cls, size)
            try:
                found = as_dim(evaluate(frame, ast.parse(text, mode="eval").body))
            except (Refuse, SyntaxError):
                found = None
            return Dim.unknown(f"`{text}` isn't known") if found is None else found

        return value, self.agreed.get(holder.cls, {})


def _size_given(holder: ClassConversion, site: Site, cls: LinenClass, size: SizeParameter) -> Dim:
    """The size of an input in the calls of a module, unknown where it isn't one in all of them."""
    assert holder.analysis is not None
    found: list[Dim] = []
    for call in site.deciding_calls:
        if call.method == size.method:
            given = at_path(bound_argument(cls, call, str(size.path[0])), size.path[1:])
            array = all_joined(given) if size.joined else effect_value(holder.analysis.session, given)
            if not isinstance(array, Array) or size.listed is not None:
                return Dim.unknown("no size of an array")
            found.append(array.shape.elements(size.axis) if size.flat else array.shape.dim(size.axis))
    if found and all(same(found[0], other) is True for other in found):
        return found[0]
    return Dim.unknown("sizes of several calls")


def _are_equal(maximum: Max, value: Callable[[str], Dim], chosen: Agreed) -> bool:
    """Whether the parts of a maximum are one size where its symbols have these values."""
    equal = dict(_inputs_as_others(chosen))
    first, *others = (
        part.substitute(value).substitute(lambda symbol: None, chosen).substitute(equal.get)
        for part in maximum.args
    )
    return all(same(first, other) is True for other in others)


def _inputs_as_others(chosen: Agreed) -> Iterator[tuple[str, Dim]]:
    """Sizes of inputs, by their symbols, and what they are equal to."""
    for maximum, one in chosen.items():
        symbol, other = single_atom(one), next((part for part in parts_of(maximum) if part != one), None)
        if isinstance(symbol, Symbol) and other is not None:
            yield symbol.text, other
