"""Sizes of the inputs that a program hands to `init` and `apply`, as expressions.

Only what the code states counts: shapes of arrays that are created in sight, and `x.shape[-1]` for the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from nnx_migrate.linen.programs.inputs.sample_kinds import kind_of_call, number_in
from nnx_migrate.linen.values import Attribute, part_text
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Scope

_SHAPE_FIRST = {"ones", "zeros", "empty", "full"}
_SAME_SHAPE = {"ones_like", "zeros_like", "empty_like", "full_like", "asarray", "array", "float32", "astype"}
_RANDOM = {"normal": 1, "uniform": 1, "truncated_normal": 3, "bernoulli": 2, "randint": 1, "categorical": 99}
_ARRAY_MODULES = ("jax.numpy.", "numpy.", "jax.numpy.numpy.")
_MAX_DEPTH = 12


@dataclass(frozen=True)
class Size:
    """A size: `text` is an expression, evaluated where `node` stands; `value` the number if it is one."""

    text: str
    module: Module
    node: ast.expr | None = None
    value: int | None = None


@dataclass(frozen=True)
class _Star:
    """An unknown number of dimensions in the middle of a shape: those of `node`."""

    node: ast.expr


@dataclass(frozen=True)
class _Some:
    """One dimension of a size that nobody asks for: that of a batch, or of a part of an array."""


_Dims = list[ast.expr | _Star | _Some]


class SampleInputs:
    """Answers what size an axis of an argument has."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def size(self, module: Module, node: ast.expr, path: tuple[str | int, ...], axis: int) -> Size | None:
        """The size of one axis of an array expression (or of the part of it at `path`)."""
        for key in path:
            inner = self._part(module, node, key)
            if inner is None:
                return self._read(module, node, path[path.index(key) :], axis)
            module, node = inner
        dims = self._shape(module, node, 0)
        if dims is None:
            return None if self.is_number(module, node) else self._read(module, node, (), axis)
        where, items = dims
        return self._item(where, items, axis)

    def is_number(self, module: Module, node: ast.expr) -> bool:
        """Whether an expression, or what its name was given, is a number as Python writes it: it has no axes."""
        for _ in range(_MAX_DEPTH):
            value = self._value(module, node) if isinstance(node, ast.Name | ast.Attribute) else None
            if value is None:
                break
            module, node = value
        return number_in(node) is not None

    def rank(self, module: Module, node: ast.expr) -> int | None:
        """The number of axes of an array expression, None where the code doesn't state it."""
        dims = self._shape(module, node, 0)
        if dims is None or any(isinstance(item, _Star) for item in dims[1]):
            return None
        return len(dims[1])

    def leaves(
        self, module: Module, node: ast.expr, depth: int = 0
    ) -> Iterator[tuple[tuple[str | int, ...], Module, ast.expr]]:
        """The parts of nested tuples, lists and dicts that the code displays, each with its path."""
        display = self.display(module, node)
        if display is None or depth > _MAX_DEPTH:
            yield (), module, node
            return
        where, shown = display
        items: list[tuple[str | int, ast.expr]]
        if isinstance(shown, ast.Dict):
            items = [
                (key.value, value)
                for key, value in zip(shown.keys, shown.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
        else:
            starred = (i for i, e in enumerate(shown.elts) if isinstance(e, ast.Starred))
            items = list(enumerate(shown.elts[: next(starred, None)]))
        for key, item in items:
            for path, inner, leaf in self.leaves(where, item, depth + 1):
                yield (key, *path), inner, leaf

    def display(
        self, module: Module, node: ast.expr
    ) -> tuple[Module, ast.Tuple | ast.List | ast.Dict] | None:
        """The tuple, list or dict that an expression displays, itself or as the value of a name."""
        for _ in range(_MAX_DEPTH):
            if isinstance(node, ast.Tuple | ast.List | ast.Dict):
                return module, node
            value = self._value(module, node) if isinstance(node, ast.Name) else None
            if value is None:
                return None
            module, node = value
        return None

    def kind(self, module: Module, node: ast.expr) -> str | None:
        """What an array expression holds: "int", "float" or "bool"; None where the code doesn't state it."""
        for _ in range(_MAX_DEPTH):
            if isinstance(node, ast.Call):
                return kind_of_call(self.project, module, node)
            value = self._value(module, node) if isinstance(node, ast.Name | ast.Attribute) else None
            if value is None:
                return None
            module, node = value
        return None

    def elements(
        self, module: Module, node: ast.expr, path: tuple[str | int, ...], start: int
    ) -> Size | None:
        """The product of the sizes from the axis `start` on, as a number where all are."""
        for key in path:
            inner = self._part(module, node, key)
            if inner is None:
                return None
            module, node = inner
        dims = self._shape(module, node, 0)
        if dims is None or any(isinstance(item, _Star) for item in dims[1]):
            return None
        wanted = dims[1][start:]
        sizes = [self._expression(dims[0], item) for item in wanted if isinstance(item, ast.expr)]
        values = [size.value for size in sizes if size is not None and size.value is not None]
        if len(values) < len(wanted):
            return None
        total = prod(values)
        return Size(str(total), dims[0], None, total)

    # ---- shapes -----------------------------------------------------------------------------------------

    def _shape(self, module: Module, node: ast.expr, depth: int) -> tuple[Module, _Dims] | None:
        """The dimensions of an array expression; None where the code doesn't state them."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(node, ast.Name | ast.Attribute):
            value = self._value(module, node)
            return self._shape(value[0], value[1], depth + 1) if value else None
        if isinstance(node, ast.Call):
            return self._shape_of_call(module, node, depth)
        if isinstance(node, ast.Subscript):
            return self._shape_of_subscript(module, node, depth)
        return (module, []) if isinstance(number_in(node), float) else None  # others may be settings

    def _shape_of_call(self, module: Module, node: ast.Call, depth: int) -> tuple[Module, _Dims] | None:
        name = self.project.resolve(node.func, module.scope_at(node.func), module) or ""
        short = name.rpartition(".")[2]
        keywords = {k.arg: k.value for k in node.keywords}
        if any(isinstance(a, ast.Starred) for a in node.args):
            return None
        if name.startswith(_ARRAY_MODULES) and short in _SHAPE_FIRST:
            return self._dims(module, node.args[0] if node.args else keywords.get("shape"), depth + 1)
        if name == "jax.ShapeDtypeStruct":
            return self._dims(module, node.args[0] if node.args else keywords.get("shape"), depth + 1)
        if name.startswith("jax.random.") and short in _RANDOM:
            index = _RANDOM[short]
            shape = node.args[index] if len(node.args) > index else keywords.get("shape")
            return self._dims(module, shape, depth + 1)
        if name.startswith(_ARRAY_MODULES) and short in _SAME_SHAPE and node.args:
            literal = self._literal(node.args[0])
            if literal is not None:
                return module, literal
            return self._shape(module, node.args[0], depth + 1)
        if name.startswith(_ARRAY_MODULES) and short == "expand_dims" and node.args:
            axis = node.args[1] if len(node.args) > 1 else keywords.get("axis")
            inner = self._shape(module, node.args[0], depth + 1)
            if inner and isinstance(axis, ast.Constant) and axis.value == 0:
                return inner[0], [ast.Constant(1), *inner[1]]
            return None
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            return self._shape(module, node.func.value, depth + 1)
        return None

    def _shape_of_subscript(
        self, module: Module, node: ast.Subscript, depth: int
    ) -> tuple[Module, _Dims] | None:
        inner = self._shape(module, node.value, depth + 1)
        if inner is None:
            return None
        where, dims = inner
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        result: _Dims = []
        rest = list(dims)
        for item in items:
            if isinstance(item, ast.Constant) and item.value is None:
                result.append(ast.Constant(1))
            elif isinstance(item, ast.Constant) and item.value is Ellipsis and item is items[-1]:
                break
            elif not rest or isinstance(rest[0], _Star):
                return None
            elif isinstance(item, ast.Constant) and isinstance(item.value, int):
                rest.pop(0)
            elif isinstance(item, ast.Slice) and item.lower is item.upper is item.step is None:
                result.append(rest.pop(0))
            elif isinstance(item, ast.Slice):
                rest.pop(0)
                result.append(_Some())
            else:
                return None
        return where, [*result, *rest]

    def _dims(self, module: Module, node: ast.expr | None, depth: int) -> tuple[Module, _Dims] | None:
        """The dimensions that a shape expression lists."""
        if node is None or depth > _MAX_DEPTH:
            return None
        if isinstance(node, ast.Tuple | ast.List):
            items: _Dims = []
            for element in node.elts:
                if not isinstance(element, ast.Starred):
                    items.append(element)
                    continue
                inner = self._dims(module, element.value, depth + 1)
                items += inner[1] if inner and inner[0] is module else [_Star(element.value)]
            return module, items
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return module, [node]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._dims(module, node.left, depth + 1), self._dims(module, node.right, depth + 1)
            before = left[1] if left and left[0] is module else [_Star(node.left)]
            after = right[1] if right and right[0] is module else [_Star(node.right)]
            return module, [*before, *after]
        if isinstance(node, ast.Name):
            value = self._value(module, node)
            if value is not None and isinstance(value[1], ast.Tuple | ast.List | ast.BinOp | ast.Constant):
                return self._dims(value[0], value[1], depth + 1)
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return self._shape(module, node.value, depth + 1) or (module, [_Star(node)])
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("tuple", "list")
        ):
            return self._dims(module, node.args[0], depth + 1) if len(node.args) == 1 else None
        name = last_name(node)
        # `jnp.ones(n)` may also mean a vector of length n
        return (module, [_Star(node)]) if "shape" in name else None

    @staticmethod
    def _literal(node: ast.expr) -> _Dims | None:
        """The shape of nested lists of numbers."""
        dims: _Dims = []
        while isinstance(node, ast.List | ast.Tuple):
            if any(isinstance(e, ast.Starred) for e in node.elts) or not node.elts:
                return None
            dims.append(ast.Constant(len(node.elts)))
            node = node.elts[0]
        return dims if dims and isinstance(node, ast.Constant | ast.UnaryOp) else None

    def _item(self, module: Module, dims: _Dims, axis: int) -> Size | None:
        """The size at an axis."""
        steps = range(len(dims)) if axis >= 0 else range(-1, -len(dims) - 1, -1)
        left = axis if axis >= 0 else -axis - 1
        for index in steps:
            item = dims[index]
            if isinstance(item, _Star):
                return self._element(module, item.node, -left - 1) if axis < 0 else None
            if left == 0:
                return self._expression(module, item) if isinstance(item, ast.expr) else None
            left -= 1
        return None

    def _element(self, module: Module, shape: ast.expr, index: int) -> Size | None:
        """`shape[-1]`, where a shape is only known by name."""
        if not _is_plain(shape) or not hasattr(shape, "lineno"):
            return None
        return Size(f"{module.source.segment(shape)}[{index}]", module, shape)

    def _expression(self, module: Module, node: ast.expr) -> Size | None:
        if isinstance(node, ast.Constant):
            return Size(str(node.value), module, None, node.value) if type(node.value) is int else None
        if isinstance(node, ast.Name):
            value = self._value(module, node)
            if value is not None and isinstance(value[1], ast.Constant) and type(value[1].value) is int:
                return Size(str(value[1].value), value[0], None, value[1].value)
        if not _is_plain(node, arithmetic=True):
            return None
        return Size(module.source.segment(node), module, node)

    # ---- values -----------------------------------------------------------------------------------------

    def _value(self, module: Module, node: ast.Name | ast.Attribute) -> tuple[Module, ast.expr] | None:
        """The one expression that a name is assigned, in whatever file."""
        scope = module.scope_at(node)
        if isinstance(node, ast.Attribute):
            return self._defined(module, scope, node)
        bindings = scope.lookup(node.id)
        if len(bindings) != 1:
            return None
        (binding,) = bindings
        if binding.kind is BindingKind.IMPORT:
            return self._defined(module, scope, node)
        if binding.kind is not BindingKind.ASSIGNMENT or binding.value is None:
            return None
        return module, binding.value

    def _defined(self, module: Module, scope: Scope, node: ast.expr) -> tuple[Module, ast.expr] | None:
        """The value of a variable of another file."""
        qualified = self.project.resolve(node, scope, module)
        definition = self.project.definition(qualified) if qualified else None
        if definition is None or definition.binding.value is None:
            return None
        return definition.module, definition.binding.value

    def _part(self, module: Module, node: ast.expr, key: str | int) -> tuple[Module, ast.expr] | None:
        """The element of a dict or tuple display, or what a constructor is given by name."""
        if isinstance(node, ast.Name):
            value = self._value(module, node)
            return self._part(*value, key) if value else None
        if isinstance(key, Attribute):
            named = node.keywords if isinstance(node, ast.Call) and not node.args else []
            plain = all(k.arg is not None for k in named)
            return next(((module, k.value) for k in named if plain and k.arg == key), None)
        if isinstance(node, ast.Dict):
            for name, value_node in zip(node.keys, node.values, strict=True):
                if isinstance(name, ast.Constant) and name.value == key:
                    return module, value_node
        if isinstance(node, ast.Tuple | ast.List) and isinstance(key, int) and key < len(node.elts):
            return module, node.elts[key]
        return None

    @staticmethod
    def _read(module: Module, node: ast.expr, path: tuple[str | int, ...], axis: int) -> Size | None:
        """`x["image"].shape[-1]` for an array that comes from elsewhere."""
        if not _is_plain(node) or not hasattr(node, "lineno"):
            return None
        part = part_text(path, '"')
        return Size(f"{module.source.segment(node)}{part}.shape[{axis}]", module, node)


def visible_at(size: Size, module: Module, place: ast.AST) -> bool:
    """Whether an expression means the same, and is known, where `place` stands."""
    if size.node is None:
        return True
    if size.module is not module:
        return False
    scope = module.scope_at(place)
    return all(
        _bound_before(module, scope, name, place)
        for name in ast.walk(size.node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)
    )


def _bound_before(module: Module, scope: Scope, name: ast.Name, place: ast.AST) -> bool:
    here, there = scope.binder(name.id), module.scope_at(name).binder(name.id)
    if here is not there:
        return False
    if here is None or (here.is_module and not scope.is_module):
        return True
    line = getattr(place, "lineno", 0)
    parameters = [b for b in here.bindings[name.id] if b.kind is BindingKind.PARAMETER]
    if here is not scope:
        return len(here.bindings[name.id]) == 1
    if parameters:
        return len(here.bindings[name.id]) == 1
    return (
        len(here.bindings[name.id]) == 1
        and getattr(here.bindings[name.id][0].node, "end_lineno", line) < line
    )


def _is_plain(node: ast.expr, arithmetic: bool = False) -> bool:
    """Names, attributes, constant subscripts (and integer arithmetic of these): free of effects."""
    if isinstance(node, ast.Name | ast.Constant):
        return True
    if isinstance(node, ast.Attribute):
        return _is_plain(node.value)
    if isinstance(node, ast.Subscript):
        return _is_plain(node.value) and isinstance(node.slice, ast.Constant | ast.UnaryOp | ast.Name)
    if arithmetic and isinstance(node, ast.BinOp):
        return _is_plain(node.left, True) and _is_plain(node.right, True)
    return False
