"""Functions that join all arrays of an input: `flatten(observations)`, be it an array or a dictionary of such.

    def flatten(x):
        if hasattr(x, "values"):
            return jnp.concatenate([flatten(v) for _, v in sorted(x.items())], -1)
        return x

What an input holds is only known where a model is used, and so is what the function returns. Its last dimension is
the sum of those of all arrays in any case, which is a size like others: `x§j-1`.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.leads import axis_size
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.joining import joined
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.linen.values import Closure, Input
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

if TYPE_CHECKING:
    from nnx_migrate.linen.interpreter.frame import Frame

_METHODS = frozenset({"items", "keys", "values"})
_CONCATENATE = "jax.numpy.concatenate"
_DICTIONARIES = frozenset(
    {
        "dict", "builtins.dict", "collections.OrderedDict", "collections.abc.Mapping", "typing.Mapping",
        "flax.core.FrozenDict", "flax.core.frozen_dict.FrozenDict",
    }
)  # fmt: skip


def flattened(frame: Frame, function: Closure, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Array | None:
    """What such a function returns for an input, or for a dictionary of inputs and arrays; None for other calls."""
    if function.env is not None or function.self_value is not None or len(args) != 1 or kwargs:
        return None
    if not isinstance(args[0], Input | Array | dict):
        return None
    if not joins_all(frame.session.program.project, function.module, function.node):
        return None
    return all_joined(args[0])


def all_joined(value: Any) -> Array | None:
    """All arrays of a value, joined along their last axis; None where that isn't known to be what it holds."""
    if isinstance(value, Input):
        if value.has_default or value.number:
            return None
        return _summed(value.text)
    if isinstance(value, Array):
        name = _input_behind(value.shape)
        return _summed(name) if name else value
    if not isinstance(value, dict):
        return None
    parts = [all_joined(item) for item in value.values()]
    arrays = [part for part in parts if part is not None]
    if not arrays or len(arrays) < len(parts) or not all(isinstance(key, str) for key in value):
        return None
    try:
        return joined(arrays, -1)
    except Unmodelled:
        return None


def _input_behind(shape: Shape) -> str:
    """The input that has these sizes: modules are taken to get arrays where they get an input. "" for other shapes."""
    found = TOKEN.fullmatch(shape.dims[-1].text()) if shape.dims and shape.dims[-1].known else None
    name = found["name"] if found is not None else ""
    own = tuple(axis_size(name, axis) for axis in range(-len(shape.dims), 0))
    return name if shape.dims == own and (shape.exact or shape.whole == name) else ""


def _summed(name: str) -> Array:
    return Array(Shape((Dim.size(token(name, "j", -1)),), ""))


@cache
def joins_all(project: Project, module: Module, function: ast.AST) -> bool:
    """Whether a function joins what a dictionary holds, down to its arrays, and returns arrays as they are."""
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return False
    if module.parents.get(function) is not module.tree or not _is_bound_once(module, function.name):
        return False
    spec = function.args
    if (
        len(spec.args) != 1
        or spec.posonlyargs
        or spec.kwonlyargs
        or spec.vararg
        or spec.kwarg
        or spec.defaults
    ):
        return False
    return _Flattener(project, module, function).matches()


def _is_bound_once(module: Module, name: str) -> bool:
    return len(module.scopes.module.bindings.get(name, ())) == 1


class _Flattener:
    """One function that may be such a one."""

    def __init__(self, project: Project, module: Module, function: ast.FunctionDef) -> None:
        self.project, self.module, self.function = project, module, function
        self.name = function.args.args[0].arg

    def matches(self) -> bool:
        body = [s for s in self.function.body if not _is_text(s)]
        first, rest = body[0] if body else None, body[1:]
        if not isinstance(first, ast.If):
            return False
        if first.orelse:
            rest = [*first.orelse, *rest]
        is_last = len(rest) == 1 and isinstance(rest[0], ast.Return) and _is(rest[0].value, self.name)
        return is_last and self._asks(first.test) and self._joins(first.body)

    def _asks(self, test: ast.expr) -> bool:
        """`hasattr(x, "values")`, `isinstance(x, dict)`."""
        if not isinstance(test, ast.Call) or len(test.args) != 2 or test.keywords:
            return False
        if not _is(test.args[0], self.name):
            return False
        asked, function = test.args[1], self._resolved(test.func)
        if function == "hasattr":
            return isinstance(asked, ast.Constant) and asked.value in _METHODS
        kinds = asked.elts if isinstance(asked, ast.Tuple) else [asked]
        return function == "isinstance" and all(self._resolved(kind) in _DICTIONARIES for kind in kinds)

    def _joins(self, body: list[ast.stmt]) -> bool:
        """One `return` of the joined parts, or a list of them first."""
        *before, last = body
        if not isinstance(last, ast.Return) or (given := self._concatenated(last.value)) is None:
            return False
        if not before:
            return self._lists(given)
        if not isinstance(given, ast.Name) or given.id == self.name:
            return False
        made, *loop = before
        if not (isinstance(made, ast.Assign) and len(made.targets) == 1 and _is(made.targets[0], given.id)):
            return False
        if not loop:
            return self._lists(made.value)
        is_empty = isinstance(made.value, ast.List) and not made.value.elts
        return is_empty and len(loop) == 1 and isinstance(loop[0], ast.For) and self._fills(loop[0], given.id)

    def _concatenated(self, node: ast.expr | None) -> ast.expr | None:
        """What `jnp.concatenate(..., axis=-1)` joins."""
        if not isinstance(node, ast.Call) or self._resolved(node.func) != _CONCATENATE or not node.args:
            return None
        given = {k.arg: k.value for k in node.keywords}
        axis = node.args[1] if len(node.args) == 2 else given.pop("axis", None)
        is_last = axis is not None and ast.unparse(axis) == "-1"
        return node.args[0] if is_last and len(node.args) <= 2 and not given else None

    def _lists(self, node: ast.expr) -> bool:
        """`[flatten(v) for _, v in sorted(x.items())]`."""
        if not isinstance(node, ast.ListComp) or len(node.generators) != 1:
            return False
        (generator,) = node.generators
        part = self._part(generator.target, generator.iter)
        return (
            part is not None
            and not generator.ifs
            and not generator.is_async
            and self._is_flat(node.elt, part)
        )

    def _fills(self, loop: ast.For, filled: str) -> bool:
        """`for _, v in x.items(): parts.append(flatten(v))`."""
        part = self._part(loop.target, loop.iter)
        if part is None or loop.orelse or len(loop.body) != 1 or not isinstance(loop.body[0], ast.Expr):
            return False
        call = loop.body[0].value
        if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
            return False
        return ast.unparse(call.func) == f"{filled}.append" and self._is_flat(call.args[0], part)

    def _part(self, target: ast.expr, iterated: ast.expr) -> str | None:
        """The text of one item of the dictionary, in a loop over its items, values or keys."""
        given, is_sorted = iterated, False
        if isinstance(given, ast.Call) and self._resolved(given.func) == "sorted":
            if len(given.args) != 1 or given.keywords:
                return None
            given, is_sorted = given.args[0], True
        text = ast.unparse(given)
        names = [*target.elts] if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(name, ast.Name) for name in names) or self.name in map(ast.unparse, names):
            return None
        if text == f"{self.name}.items()" and len(names) == 2:
            return ast.unparse(names[1]) if ast.unparse(names[0]) != ast.unparse(names[1]) else None
        if isinstance(target, ast.Tuple):
            return None
        if text == f"{self.name}.values()" and not is_sorted:
            return ast.unparse(target)
        return f"{self.name}[{ast.unparse(target)}]" if text in (self.name, f"{self.name}.keys()") else None

    def _is_flat(self, node: ast.expr, part: str) -> bool:
        """Whether an expression is an item, or what the function itself makes of it."""
        if isinstance(node, ast.Call) and _is(node.func, self.function.name):
            scope = self.module.scope_at(node.func).binder(self.function.name)
            is_own = scope is self.module.scopes.module
            return is_own and len(node.args) == 1 and not node.keywords and ast.unparse(node.args[0]) == part
        return ast.unparse(node) == part

    def _resolved(self, node: ast.expr) -> str | None:
        """What a name means; that of a builtin function is its own."""
        scope = self.module.scope_at(node)
        if isinstance(node, ast.Name) and scope.binder(node.id) is None:
            return node.id
        return (
            self.project.resolve(node, scope, self.module)
            if isinstance(node, ast.Name | ast.Attribute)
            else None
        )


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
