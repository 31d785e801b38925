"""Which arrays of a norm's method have the sizes of the features: means and variances, whatever is computed of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.names.nodes import is_of_self

_AXES = "flax.linen.normalization._canonicalize_axes"
_STATISTICS = "flax.linen.normalization._compute_stats"
# What keeps the shape of the array that it gets.
_ELEMENTWISE = frozenset(
    {"jax.numpy.sqrt", "jax.numpy.clip", "jax.numpy.maximum", "jax.numpy.minimum", "jax.numpy.where"}
    | {"jax.numpy.abs", "jax.numpy.square", "jax.numpy.exp", "jax.numpy.log", "jax.numpy.asarray"}
    | {"jax.lax.stop_gradient", "jax.lax.rsqrt", "jax.lax.square", "jax.lax.sqrt"}
)


class Statistics:
    """What the variables of a method hold, by all that assigns them."""

    def __init__(self, cls: LinenClass, method: Method) -> None:
        self.cls, self.node = cls, method.node
        self.values: dict[str, list[ast.expr | None]] = {a.arg: [None] for a in _parameters(method.node)}
        for target, value in _bindings(method.node):
            self.values.setdefault(target, []).append(value)

    def feature_shape(self, x: ast.expr, axes: ast.expr, line: int) -> str | None:
        """The text, on a line, for the sizes of an array at its feature axes, put in order by Linen's function."""
        ordered = self._only(axes)
        if not isinstance(x, ast.Name) or not isinstance(axes, ast.Name) or not self._is_call(ordered, _AXES):
            return None
        assert isinstance(ordered, ast.Call)
        first = ordered.args[0] if ordered.args else None
        if not (isinstance(first, ast.Attribute) and first.attr == "ndim" and _name(first.value) == x.id):
            return None
        if len(self.values[x.id]) > 1:
            return None
        wanted = f"[{x.id}.shape[ax] for ax in {axes.id}]"
        same = (n for n, values in self.values.items() if self._is_listing(values, x.id, axes.id, line))
        return next(same, wanted)

    def has_one(self, node: ast.expr, above: frozenset[str] = frozenset()) -> bool:
        """Whether an array has these sizes."""
        if isinstance(node, ast.Name):
            values = self.values.get(node.id, [])
            known = [value for value in values if value is not None]
            inner = above | {node.id}
            return node.id in above or (
                len(known) == len(values) > 0 and all(self.has_one(value, inner) for value in known)
            )
        if isinstance(node, ast.BinOp):
            return any(self.has_one(side, above) for side in (node.left, node.right))
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return self._is_variable(self._only(node.value))
        if not isinstance(node, ast.Call):
            return False
        if self._is_call(node, _STATISTICS):
            return True
        is_kept = self.cls.resolve_in_class(node.func) in _ELEMENTWISE
        return is_kept and any(self.has_one(argument, above) for argument in node.args)

    def _only(self, node: ast.expr) -> ast.expr | None:
        """What a variable holds that is assigned once."""
        values = self.values.get(node.id, []) if isinstance(node, ast.Name) else []
        return values[0] if len(values) == 1 else None

    def _is_call(self, node: ast.expr | None, name: str) -> bool:
        return isinstance(node, ast.Call) and self.cls.resolve_in_class(node.func) == name

    def _is_variable(self, node: ast.expr | None) -> bool:
        """Whether this is `self.variable(collection, name, init, sizes)` with sizes of features."""
        if not isinstance(node, ast.Call) or not is_of_self(node.func, "variable") or len(node.args) < 4:
            return False
        sizes = self._only(node.args[3])
        return isinstance(sizes, ast.ListComp | ast.Tuple | ast.List | ast.Call)

    def _is_listing(self, values: list[ast.expr | None], x: str, axes: str, line: int) -> bool:
        """Whether a variable holds `[x.shape[ax] for ax in axes]` from a line above on, and nothing else."""
        (node,) = values if len(values) == 1 else (None,)
        if not isinstance(node, ast.ListComp) or len(node.generators) != 1 or node.generators[0].ifs:
            return False
        assigned = self.cls.module.parents[node]
        if self.cls.module.parents.get(assigned) is not self.node or node.lineno >= line:
            return False
        generator, element = node.generators[0], node.elt
        if not isinstance(element, ast.Subscript) or not isinstance(element.value, ast.Attribute):
            return False
        is_size = element.value.attr == "shape" and _name(element.value.value) == x
        is_size &= bool(_name(element.slice)) and _name(element.slice) == _name(generator.target)
        return is_size and _name(generator.iter) == axes and generator.is_async == 0


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.arg]:
    return (one for one in ast.walk(node.args) if isinstance(one, ast.arg))


def _bindings(function: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that a function binds, each with its value; of a call that gives several, each has the call."""
    stored = {n for n in ast.walk(function) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        (target,), value = node.targets, node.value
        if isinstance(target, ast.Name):
            stored.discard(target)
            yield target.id, value
        elif isinstance(target, ast.Tuple) and all(isinstance(item, ast.Name) for item in target.elts):
            alike = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
            values = value.elts if isinstance(value, ast.Tuple) and alike else [value] * len(target.elts)
            for item, part in zip(target.elts, values, strict=True):
                if isinstance(item, ast.Name) and isinstance(part, ast.Call | ast.Name | ast.Attribute):
                    stored.discard(item)
                    yield item.id, part
    yield from ((name.id, None) for name in stored)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""
