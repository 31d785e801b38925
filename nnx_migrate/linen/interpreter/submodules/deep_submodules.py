"""Submodules of submodules of which code reads what only Linen has: `self.model.decoder.embed.variables["params"]`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import ClassRef, Either, Instance

_ONLY_LINEN = frozenset(
    {
        "apply", "bind", "clone", "get_variable", "has_variable", "init", "init_with_output", "is_initializing",
        "is_mutable_collection", "lazy_init", "make_rng", "module_paths", "put_variable", "scope", "tabulate",
        "unbind", "variables",
    }
)  # fmt: skip


def owner_of_variables(frame: Frame, node: ast.expr, name: str) -> Instance | None:
    """The submodule of a submodule of whose `variables` an expression reads; None for anything else.

    Raises Refuse where it isn't known which submodule that is, and where NNX has no such attribute.
    """
    if name not in _ONLY_LINEN or frame.foreign or not isinstance(node, ast.Attribute):
        return None
    found = submodule_below(frame, node.value)
    if found is None or _is_own(found, name):
        return None
    if name != "variables" or not isinstance(found, Instance):
        raise Refuse("unsupported-api", f"`{name}` of a submodule's submodule", node)
    return found


def submodule_below(frame: Frame, node: ast.expr) -> Any:
    """The submodule that `name.attribute.attribute` stands for, Unknown for what belongs to one otherwise; None for
    anything else."""
    return _below(frame, node) if not frame.foreign and _is_chain(node) else None


def _is_chain(node: ast.expr) -> bool:
    """Whether this is `name.attribute.attribute`, which can be evaluated once more."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _below(frame: Frame, node: ast.expr) -> Any:
    """The submodule that an expression stands for, Unknown for what belongs to one otherwise; None for the rest."""
    value = evaluate(frame, node)
    if isinstance(value, Instance) or not isinstance(node, ast.Attribute):
        return value if isinstance(value, Instance) else None
    above = _below(frame, node.value)
    if isinstance(above, Instance) and isinstance(above.site.target, ClassRef) and not above.site.lifts:
        from nnx_migrate.linen.interpreter.submodules.modules import bind_fields
        from nnx_migrate.linen.interpreter.summaries import submodules

        cls = above.site.target.cls
        held = submodules(frame.session, cls, bind_fields(frame, above.site, cls))[1].get(node.attr)
        if isinstance(held, Instance | Either):
            return held
    return None if above is None else Unknown("what belongs to a submodule")


def _is_own(found: Any, name: str) -> bool:
    """Whether the module's class defines that itself."""
    target = found.site.target if isinstance(found, Instance) else None
    return isinstance(target, ClassRef) and (
        target.cls.method(name) is not None or target.cls.field(name) is not None
    )
