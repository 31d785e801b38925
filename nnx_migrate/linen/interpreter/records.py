"""Objects with named parts, such as named tuples: what replaces some of them, and what two of them share."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.model import Method
from nnx_migrate.linen.shapes import Unknown
from nnx_migrate.linen.values import Attribute, Input, Record

_OF_ARRAYS = frozenset({"at", "shape", "ndim", "dtype", "size", "T", "mT"})
REPLACING = frozenset({"_replace", "replace"})


def part(frame: Frame, value: Input | Record, name: str) -> Any:
    """`value.name`."""
    base: Any = value
    if isinstance(value, Record):
        for key, item in value.items:
            if key == name:
                return item
        base = value.base
    if not isinstance(base, Input):
        return Unknown(f"an object without `{name}`")
    found = Input((*base.path, Attribute(name)))
    frame.session.inputs_seen.setdefault(found.path)
    return found


def part_of(frame: Frame, value: Any, key: str | int) -> Any:
    """An item of a container, or of an argument that is one; Unknown where there is none."""
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(value, tuple | list) and isinstance(key, int) and key < len(value):
        return value[key]
    if isinstance(value, Input):
        found = Input((*value.path, key))
        frame.session.inputs_seen.setdefault(found.path)
        return found
    return Unknown("a part of a container that isn't known")


def replaces_parts(node: ast.AST, name: str) -> bool:
    """Whether code calls `name._replace(...)`."""
    return any(
        isinstance(n, ast.Attribute)
        and n.attr in REPLACING
        and isinstance(n.value, ast.Name)
        and n.value.id == name
        for n in ast.walk(node)
    )


@cache
def objects_among(method: Method) -> frozenset[str]:
    """The arguments of a method whose attributes aren't those of an array: `graph.nodes`."""
    names: set[str] = set()
    for node in ast.walk(method.node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            known = registry.attribute(node.attr) or registry.method(node.attr) or node.attr in _OF_ARRAYS
            if node.value.id in method.parameters and not known:
                names.add(node.value.id)
    return frozenset(names)


def changed(value: Input | Record, parts: dict[str, Any]) -> Record:
    """The object with some of its parts replaced."""
    base, items = (value, ()) if isinstance(value, Input) else (value.base, value.items)
    order, complete = (value.order, value.complete) if isinstance(value, Record) else ((), False)
    return Record(base, tuple({**dict(items), **parts}.items()), order, complete)


def parts_of_both(frame: Frame, a: Any, b: Any) -> dict[str, tuple[Any, Any]] | None:
    """The parts in which two objects may differ, where they come from the same one; None for others."""
    if not (isinstance(a, Record) or isinstance(b, Record)):
        return None
    if not isinstance(a, Input | Record) or not isinstance(b, Input | Record):
        return None
    first, second = changed(a, {}), changed(b, {})
    if (first.base, first.order, first.complete) != (second.base, second.order, second.complete):
        return None
    names = dict.fromkeys([*dict(first.items), *dict(second.items)])
    return {name: (part(frame, first, name), part(frame, second, name)) for name in names}
