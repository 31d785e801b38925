"""Objects with named parts, such as named tuples: what replaces some of them, and what two of them share."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.frame import Frame, NeedTuple
from nnx_migrate.linen.values import Attribute, Input, LostModule, Record

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
    if is_table(value):
        return Unknown(f"`{name}` of a dict, of which other keys aren't known")
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
    """The arguments of a method whose attributes aren't those of an array (`graph.nodes`), or which are asked for
    their items: see `asked_by_items`.
    """
    names: set[str] = set()
    given = {name: name for name in method.parameters}
    for statement in method.node.body:  # `state = carry`
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            given |= {t.id: statement.value.id for t in statement.targets if isinstance(t, ast.Name)}
    names |= {given[name] for name in given if asked_by_items(method.node, name)} & set(method.parameters)
    for node in ast.walk(method.node):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            known = registry.attribute(node.attr) or registry.method(node.attr) or node.attr in _OF_ARRAYS
            if node.value.id in method.parameters and not known:
                names.add(node.value.id)
    return frozenset(names)


@cache
def asked_by_items(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """Whether code takes nothing of a name but several items by their numbers, and asks one of these for its shape.

    `state[0].shape` and `state[1].shape` are there whether that is a tuple of arrays or one array.
    """
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    reads = [n for n in parents if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    items = [i for i in map(parents.__getitem__, reads) if isinstance(i, ast.Subscript) and i.value in reads]
    numbers = {i.slice.value for i in items if isinstance(i.slice, ast.Constant)}
    uses = [parents[i] for i in items]
    is_asked = any(isinstance(use, ast.Attribute) and use.attr in ("shape", "ndim") for use in uses)
    are_numbers = all(isinstance(i.slice, ast.Constant) and isinstance(i.slice.value, int) for i in items)
    return len(items) == len(reads) and are_numbers and len(numbers) > 1 and is_asked


def is_tuple(frame: Frame, value: Input) -> None:
    """Code shows that an input is a tuple. Raises NeedTuple where what was taken of it before was one of an array."""
    if value.path in frame.session.items_taken:
        raise NeedTuple(value.path)
    frame.session.input_tuples.add(value.path)


def changed(value: Input | Record | dict[str, Any], parts: dict[str, Any]) -> Record:
    """The object with some of its parts replaced."""
    value = as_table(value) if isinstance(value, dict) else value
    base, items = (value, ()) if isinstance(value, Input) else (value.base, value.items)
    order, complete = (value.order, value.complete) if isinstance(value, Record) else ((), False)
    return Record(base, tuple({**dict(items), **parts}.items()), order, complete)


def is_table(value: Any) -> bool:
    """Whether a value is a dict of which only some entries are known: see `stored`."""
    return isinstance(value, Record) and value.base is None and not value.order and not value.complete


def stored(container: Any, key: Any, value: Any) -> Record | None:
    """A dict of arrays after `container[key] = value`, some key of which isn't known: `out[f"block{i}"] = x`.

    That entry may take the place of any other. None for anything else.
    """
    if not isinstance(container, dict) and not is_table(container):
        return None
    old = container if isinstance(container, dict) else dict(container.items)
    if not all(map(_is_plain, (value, *old.values()))):
        return None
    if not isinstance(key, str):
        return Record(None, ())
    return Record(None, tuple({**old, key: value}.items()))


def _is_plain(value: Any) -> bool:
    """Whether a value holds no submodules."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    if isinstance(value, dict | Record):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else dict(value.items).values()))
    is_known = isinstance(value, Array | Input | Dim | int | float | str) or value is None
    return is_known or (isinstance(value, Unknown) and not isinstance(value, LostModule))


def as_table(value: Any) -> Any:
    """A dict as one of which only some entries are known."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return Record(None, tuple(value.items()))
    return value


def parts_of_both(frame: Frame, a: Any, b: Any) -> dict[str, tuple[Any, Any]] | None:
    """The parts in which two objects may differ, where they come from the same one; None for others."""
    if not (isinstance(a, Record) or isinstance(b, Record)):
        return None
    if is_table(a) or is_table(b):
        a, b = as_table(a), as_table(b)
    if not isinstance(a, Input | Record) or not isinstance(b, Input | Record):
        return None
    first, second = changed(a, {}), changed(b, {})
    if (first.base, first.order, first.complete) != (second.base, second.order, second.complete):
        return None
    names = dict.fromkeys([*dict(first.items), *dict(second.items)])
    return {name: (part(frame, first, name), part(frame, second, name)) for name in names}
