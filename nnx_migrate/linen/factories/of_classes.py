"""Fields that hold classes of the project, or partials of them that may bind different fields.

critic_cls = partial(Critic, base_cls=partial(MLP, hidden_dims=(256, 256)))
safe_critic_cls = partial(Critic, base_cls=partial(MLP, hidden_dims=(256, 256), use_layer_norm=True))
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.analysis import field_symbol
from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.chosen.partials import PartialChoice
from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.factories.modes import give_mode, late_flags
from nnx_migrate.linen.factories.values import BoundFields, Factory, Given
from nnx_migrate.linen.fields.activations import is_activation_name
from nnx_migrate.linen.values import ClassChoice, ClassRef, Expr, FieldFactory, FieldModule, Partial


@dataclass(frozen=True)
class ClassFactories:
    """Makes the factories of such fields. `field` tells what a field of another class is given."""

    program: LinenProgram
    field: Callable[[LinenClass, str], Factory | None]

    def of(self, name: str, found: list[Given]) -> Factory | None:
        """A field that gets classes of the project: as they are, or partials of them."""
        given = [one for several in found for one in several.several or (several,)]
        bound = frozenset(b for g in given for b in g.bound)
        if any(not g.classes or (bound and not g.bound) for g in given):
            return None
        by_class = _by_class(given)
        parts = tuple(by_class) if bound and len(by_class) > 1 else ()
        always = frozenset.intersection(*(one.always for one in by_class))
        flags = late_flags(given, {cls.node for cls in self.program}) if bound else []
        if len(flags) > 1 or any(not give_mode(found, flag) for flag in flags):
            return None
        flag = "".join(flags)
        value = self._made_of([one.cls for one in by_class], name, bound, always, parts, flag)
        if value is None:
            return None
        classes = tuple(one.cls for one in by_class)
        return Factory(name, "", classes, bound, flag, value, optional=bound - always, by_class=parts)

    def _made_of(
        self,
        classes: Sequence[LinenClass],
        text: str,
        bound: frozenset[str],
        always: frozenset[str],
        by_class: Sequence[BoundFields],
        flag: str = "",
    ) -> Any:
        """What stands for classes, or for partials of them, that the constructor knows as `text`.

        All of these partials bind what is `always` bound; only calls know the `flag`.
        """
        if not bound:
            return ClassRef(classes[0]) if len(classes) == 1 else ClassChoice(text, tuple(classes), text)
        if not by_class:
            return self._partial_of(classes[0], text, bound, always, flag) if len(classes) == 1 else None
        partials = [self._partial_of(one.cls, text, one.bound, one.always) for one in by_class]
        found = tuple(partial for partial in partials if partial is not None)
        return PartialChoice(text, tuple(classes), text, found) if len(found) == len(partials) else None

    def _partial_of(
        self, cls: LinenClass, name: str, bound: Iterable[str], always: frozenset[str], flag: str = ""
    ) -> Partial | None:
        """What stands for partials of a class: what they bind is only known as the partial's own keywords."""
        values: list[tuple[str, Any]] = []
        for field in sorted(bound):
            item, inner = cls.field(field), self.field(cls, field)
            if item is None or (inner is not None and (inner.several or inner.flag or not inner.classes)):
                return None  # layers would have to be rewritten within the partial
            text = f'{name}.keywords["{field}"]'
            if field == flag:
                value: Any = Unknown("what a factory binds")
            elif field not in always:
                value = self._optional(cls, item, name) if inner is None else None
            elif inner is None:
                value = field_symbol(cls, item, text)
            else:
                always_there = inner.bound - inner.optional
                value = self._made_of(inner.classes, text, inner.bound, always_there, inner.by_class)
            if value is None or isinstance(value, FieldFactory | FieldModule):
                return None
            values.append((field, value))
        keywords = [ast.keyword(field, ast.Name(field)) for field, _ in values]
        call = ast.Call(func=ast.Name("partial"), args=[ast.Name(cls.name)], keywords=keywords)
        return Partial(ClassRef(cls), call, (), tuple(values))

    def _optional(self, cls: LinenClass, item: Field, name: str) -> Any:
        """What a field holds that only some partials bind: the default of the others, which is no name of a file."""
        if isinstance(item.default, ast.Constant):
            return field_symbol(cls, item, f'{name}.keywords.get("{item.name}", {ast.unparse(item.default)})')
        keeps_shape = is_activation_name(item.name) and not self.program.gated_units.exist
        is_known = item.default is not None and keeps_shape
        return Expr(f'{name}.keywords.get("{item.name}")', "elementwise") if is_known else None


def _by_class(given: Iterable[Given]) -> list[BoundFields]:
    """Which fields the partials of each class bind."""
    found: dict[LinenClass, BoundFields] = {}
    for one in given:
        optional = one.source.optional if one.source is not None else frozenset()
        own = one.source.by_class if one.source is not None else ()
        parts = own or [BoundFields(cls, one.bound, one.bound - optional) for cls in one.classes]
        for part in parts:
            known = found.setdefault(part.cls, part)
            found[part.cls] = BoundFields(part.cls, known.bound | part.bound, known.always & part.always)
    return sorted(found.values(), key=lambda part: part.cls.qualified)
