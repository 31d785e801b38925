"""`isinstance(value, kinds)`, where both are known."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.fields.configured_types import declared_type
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.values import ClassRef, Closure, DerivedLayer, Expr, Instance, Layer

# Abstract classes of Python's own, with the types known here that are instances of them.
_ABSTRACT: dict[str, tuple[type, ...]] = {
    "Iterable": (tuple, list, dict, str),
    "Collection": (tuple, list, dict, str),
    "Sequence": (tuple, list, str),
    "Mapping": (dict,),
}
_MODULES = ("collections.abc.", "collections.", "typing.")
_CHECKS = {"int": int, "str": str, "float": float, "bool": bool, "tuple": tuple, "list": list, "dict": dict}


def is_instance(frame: Frame, value: Any, kinds: Any, node: ast.Call | None) -> Any:
    """`isinstance(value, int)` and the like, where both are known."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if frame.foreign and isinstance(value, Expr) and _declared(frame, value) == "int":
        value = value.dim
    if isinstance(value, Instance):
        outcome = _is_module_of(value, wanted)
        if outcome is not None:
            return outcome
    if isinstance(value, Closure | Layer) and all(isinstance(k, Layer | ClassRef) for k in wanted):
        return False  # a function
    names = [
        k.name.rpartition(".")[2] if isinstance(k, Global) and k.name.startswith("builtins.") else None
        for k in wanted
    ]
    if None not in names and all(n in _CHECKS for n in names):
        types = tuple(_CHECKS[n] for n in names if n)
        if isinstance(value, bool | int | str | float | tuple | list | dict | None):
            return isinstance(value, types)
        if isinstance(value, Dim):
            return int in types
        if isinstance(value, Array):
            return False
    abstract = [_abstract(k) for k in wanted]
    if None not in abstract and isinstance(
        value, bool | int | str | float | tuple | list | dict | None | Dim
    ):
        return any(isinstance(value, types) for types in abstract if types is not None)
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "bool")
    return Unknown("a type test that can't be decided")


def _declared(frame: Frame, value: Expr) -> str:
    """The type that the configuration of the class which is converted declares for a part of it, "" for others."""
    return declared_type(frame.session.instances_of[0], value.text)


def _abstract(kind: Any) -> tuple[type, ...] | None:
    """The types that are instances of an abstract class, None where that isn't known."""
    if not isinstance(kind, Global):
        return None
    prefix, dot, name = kind.name.rpartition(".")
    return _ABSTRACT.get(name) if prefix + dot in _MODULES else None


def _is_module_of(value: Instance, kinds: tuple[Any, ...]) -> bool | None:
    """Whether a submodule is an instance of one of several classes; None where that can't be told."""
    target = value.site.target
    found = False
    for kind in kinds:
        if not isinstance(kind, Layer | ClassRef):
            return None
        if kind == Layer("Module") or kind == target:
            found = True
        elif isinstance(target, ClassRef):
            found = found or (isinstance(kind, ClassRef) and kind.cls in target.cls.mro)
            if isinstance(kind, Layer) and any(c.layer_base for c in target.cls.mro):
                return None
        elif isinstance(target, DerivedLayer):
            return None
        elif not isinstance(target, Layer) or (isinstance(kind, Layer) and "Attention" in kind.name):
            return None  # attention layers derive from each other
    return found
