"""Fields that hold classes of the project, or partials of one of them that may bind different fields.

critic_cls = partial(Critic, base_cls=partial(MLP, hidden_dims=(256, 256)))
safe_critic_cls = partial(Critic, base_cls=partial(MLP, hidden_dims=(256, 256), use_layer_norm=True))
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.activations import is_activation_name
from nnx_migrate.linen.analysis import field_symbol
from nnx_migrate.linen.factories.values import Factory, Given
from nnx_migrate.linen.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.values import ClassChoice, ClassRef, Expr, FieldFactory, FieldModule, Partial


@dataclass(frozen=True)
class ClassFactories:
    """Makes the factories of such fields. `field` tells what a field of another class is given."""

    program: LinenProgram
    field: Callable[[LinenClass, str], Factory | None]

    def of(self, name: str, found: list[Given]) -> Factory | None:
        """A field that gets classes of the project: as they are, or partials of one of them."""
        bound = frozenset(b for g in found for b in g.bound)
        always = frozenset(b for b in bound if all(b in g.bound for g in found))
        if any(not g.classes or (bound and not g.bound) for g in found):
            return None
        classes = tuple(sorted({c for g in found for c in g.classes}, key=lambda c: c.qualified))
        value = self._made_of(classes, name, bound, always)
        if value is None:
            return None
        return Factory(name, "", classes, bound, "", value, optional=bound - always)

    def _made_of(
        self, classes: tuple[LinenClass, ...], text: str, bound: frozenset[str], always: frozenset[str]
    ) -> Any:
        """What stands for classes, or for partials of one of them, that the constructor knows as `text`.

        All of these partials bind what is `always` bound.
        """
        if bound:
            return self._partial_of(classes[0], text, bound, always) if len(classes) == 1 else None
        return ClassRef(classes[0]) if len(classes) == 1 else ClassChoice(text, classes, text)

    def _partial_of(
        self, cls: LinenClass, name: str, bound: Iterable[str], always: frozenset[str]
    ) -> Partial | None:
        """What stands for partials of a class: what they bind is only known as the partial's own keywords."""
        values: list[tuple[str, Any]] = []
        for field in sorted(bound):
            item, inner = cls.field(field), self.field(cls, field)
            if item is None or (inner is not None and not inner.classes):
                return None  # layers would have to be rewritten within the partial
            text = f'{name}.keywords["{field}"]'
            if field not in always:
                value = self._optional(cls, item, name) if inner is None else None
            elif inner is None:
                value = field_symbol(cls, item, text)
            else:
                value = self._made_of(inner.classes, text, inner.bound, inner.bound - inner.optional)
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
