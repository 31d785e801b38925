"""What an expression may be: computed from arrays, surely nothing with modules in it, or perhaps a module.

The code around is followed: variables and attributes to all that they are given, calls to what the functions return.
A variable of a loop is what the values are that it starts with, unless a round makes it something else.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.fields.activations import is_elementwise
from nnx_migrate.linen.interpreter.calls.array_arguments import is_array_argument
from nnx_migrate.linen.interpreter.calls.kept_results import returned
from nnx_migrate.linen.interpreter.calls.packages import CALLING
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import Expr, Input, VariableValue
from nnx_migrate.names.nodes import is_of_self, is_self, last_name
from nnx_migrate.names.parameters import arguments_by_name
from nnx_migrate.names.scopes import COMPREHENSIONS, Binding, BindingKind

if TYPE_CHECKING:
    from nnx_migrate.linen.interpreter.calls.origins import Origins

_NUMBERS_OF_ARRAYS = frozenset({"dtype", "itemsize", "nbytes", "ndim", "shape", "size"})
_NUMBER_FUNCTIONS = frozenset(
    {
        "abs", "all", "any", "bool", "divmod", "float", "format", "hasattr", "int", "isinstance", "len", "max", "min",
        "pow", "range", "repr", "round", "str", "sum",
    }
)  # fmt: skip
_CONTAINER_FUNCTIONS = frozenset(
    {"dict", "enumerate", "iter", "list", "next", "reversed", "set", "sorted", "tuple", "zip"}
)
_ARRAY_FUNCTIONS = ("jax.image.", "jax.lax.", "jax.nn.", "jax.numpy.", "jax.random.", "jax.scipy.")
# Among them those that give functions, types and numbers.
_OF_TYPES = ("jax.nn.initializers.",)
_TYPE_FUNCTIONS = frozenset(
    {"dtype", "finfo", "iinfo", "issubdtype", "ndim", "promote_types", "result_type", "shape", "size"}
)
# Of Linen: they give arrays, with names for the axes.
_WITH_AXES = frozenset({"param_with_axes", "with_logical_constraint", "with_sharding_constraint"})
# Methods that modules have, too, or texts.
_NOT_OF_ARRAYS = frozenset({"__getitem__", "copy", "split"})
_MOST_DEEP = 60  # expressions and functions within each other


class Nature(IntEnum):
    """What is known of a value; of several possible ones, the greatest counts."""

    NOTHING = 0  # so far: a variable that is made of itself
    ARRAY = 1
    PLAIN = 2  # no module, and nothing that holds one
    UNKNOWN = 3


@dataclass(frozen=True, eq=False)
class _Code:
    """Code at which is looked: `given` is what the parameters of its `function` may be, `depth` how deep it lies."""

    origins: Origins
    function: ast.AST | None = None
    given: Nature = Nature.UNKNOWN
    depth: int = 0


class Natures:
    """Finds the natures of expressions of one class. Variables are assumed to be nothing until they are seen to be
    more, and looked at until no more is found."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Nature] = {}
        self._visited: set[Hashable] = set()
        self._final: set[Hashable] = set()
        self._has_changed = False

    def of(self, origins: Origins, node: ast.expr) -> Nature:
        """What an expression of the code that `origins` looks at may be."""
        while True:
            self._visited, self._has_changed = set(), False
            found = self._of(_Code(origins), node)
            if not self._has_changed:
                self._final |= self._visited
                return found or Nature.UNKNOWN

    def _once(self, key: Hashable, find: Callable[[], Nature]) -> Nature:
        """The nature of a variable or of a function's result, which may depend on itself."""
        if key not in self._visited and key not in self._final:
            self._visited.add(key)
            before = self._known.get(key, Nature.NOTHING)
            self._known[key] = max(before, find())
            self._has_changed |= self._known[key] is not before
        return self._known.get(key, Nature.NOTHING)

    # -- expressions --------------------------------------------------------------------------------------

    def _of(self, code: _Code, node: ast.expr) -> Nature:
        if code.depth > _MOST_DEEP:
            return Nature.UNKNOWN
        code = replace(code, depth=code.depth + 1)
        recorded = _recorded(code.origins, node)
        if recorded is not None:
            return recorded
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.Compare | ast.Slice):
            return Nature.PLAIN
        if isinstance(node, ast.UnaryOp):
            return min(Nature.PLAIN, self._of(code, node.operand))
        if isinstance(node, ast.BinOp):
            return self._operation(code, node)
        if isinstance(node, ast.Subscript):
            return Nature.ARRAY if is_of_axes(node.slice) else self._of(code, node.value)
        if isinstance(node, ast.IfExp | ast.BoolOp):
            return self._one_of(code, code.origins.parts(node))
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            found = [self._of(code, part) for part in code.origins.parts(node)]
            return max(found, default=Nature.PLAIN)
        if isinstance(node, COMPREHENSIONS):
            return self._of(code, node.value if isinstance(node, ast.DictComp) else node.elt)
        if isinstance(node, ast.Starred | ast.NamedExpr):
            return self._of(code, node.value)
        if isinstance(node, ast.Attribute):
            return self._attribute(code, node)
        if isinstance(node, ast.Name):
            return self._variable(code, node)
        return self._call(code, node) if isinstance(node, ast.Call) else Nature.UNKNOWN

    def _one_of(self, code: _Code, values: Iterable[ast.expr]) -> Nature:
        """Of one of several values: beside arrays, a number or `None` stands for an array, `[]` for a list of them."""
        given = list(values)
        others = [value for value in given if not _is_start(value)]
        found = [self._of(code, value) for value in others]
        return max(found, default=Nature.PLAIN if given else Nature.UNKNOWN)

    def _operation(self, code: _Code, node: ast.BinOp) -> Nature:
        sides = [self._of(code, node.left), self._of(code, node.right)]
        if Nature.ARRAY in sides or Nature.NOTHING in sides:
            return Nature.ARRAY if Nature.ARRAY in sides else Nature.NOTHING
        return Nature.PLAIN if _is_number(node) else max(sides)  # of lists, perhaps

    def _attribute(self, code: _Code, node: ast.Attribute) -> Nature:
        if is_of_self(node):
            return self._once((code.origins.cls, node.attr), lambda: self._of_self(code, node))
        qualified = code.origins.qualified(node)
        if qualified is not None:
            return Nature.PLAIN if code.origins.gives_none(qualified) else Nature.UNKNOWN
        base = self._of(code, node.value)
        return Nature.PLAIN if base is Nature.ARRAY and node.attr in _NUMBERS_OF_ARRAYS else base

    def _of_self(self, code: _Code, node: ast.Attribute) -> Nature:
        if any(cls.module is not code.origins.module for cls in code.origins.cls.mro):
            return Nature.UNKNOWN
        own, values = replace(code, function=None), list(code.origins.parts(node))
        is_field = any(declares(cls.node, node.attr) for cls in code.origins.cls.mro)
        if is_field or not values:
            return Nature.UNKNOWN
        return max(self._of(own, value) for value in (*values, *code.origins.filled(node)))

    def _variable(self, code: _Code, node: ast.Name) -> Nature:
        scope = code.origins.module.scope_at(node).binder(node.id)
        if scope is None or is_self(node):
            return Nature.UNKNOWN
        if scope.is_module:
            qualified = code.origins.qualified(node)
            is_plain = qualified is not None and code.origins.gives_none(qualified)
            return Nature.PLAIN if is_plain else Nature.UNKNOWN
        given = code.given if scope.node is code.function else None
        key = (scope.node, code.origins.cls, node.id, given)
        return self._once(key, lambda: self._bound(code, node, scope.bindings[node.id]))

    def _bound(self, code: _Code, name: ast.Name, bindings: list[Binding]) -> Nature:
        parameters = [b for b in bindings if b.kind is BindingKind.PARAMETER]
        others = [b for b in bindings if b.kind is BindingKind.ASSIGNMENT]
        if len(parameters) + len(others) < len(bindings):
            return Nature.UNKNOWN
        found = [_parameter(code, parameter) for parameter in parameters]
        values = [value for binding in others for value in code.origins.given_by(binding)]
        values += code.origins.filled(name)
        if values or not found:
            found.append(self._one_of(code, values))
        return max(found)

    # -- calls --------------------------------------------------------------------------------------------

    def _call(self, code: _Code, call: ast.Call) -> Nature:
        function = call.func
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        given = [self._of(code, argument) for argument in arguments]
        is_method = isinstance(function, ast.Attribute) and code.origins.qualified(function) is None
        receiver = Nature.UNKNOWN
        if is_method and not is_of_self(function):
            receiver = self._of(code, function.value)  # type: ignore[attr-defined]
        name = last_name(function)
        if name == "partial":
            return Nature.UNKNOWN
        if Nature.ARRAY in (*given, receiver) or _is_of_arrays(call):
            return Nature.ARRAY
        if Nature.NOTHING in (*given, receiver):
            return Nature.NOTHING
        arguments_are = max(given, default=Nature.PLAIN)
        results = code.origins.results(function)
        if results is not None:
            return max(self._returned(code, *result, arguments_are) for result in results)
        if code.origins.is_layer(function):
            return Nature.ARRAY
        if is_of_self(function) and name in ("make_rng", "param", "perturb"):
            return Nature.ARRAY
        if receiver is Nature.PLAIN:
            return arguments_are
        return self._of_function(code, function, arguments_are)

    def _of_function(self, code: _Code, function: ast.expr, arguments: Nature) -> Nature:
        """What a function gives that is known by its name."""
        origins = code.origins
        if not isinstance(function, ast.Name | ast.Attribute):
            return Nature.UNKNOWN
        qualified = origins.qualified(function)
        if qualified is None:
            if not isinstance(function, ast.Name) or origins.module.scope_at(function).lookup(function.id):
                return Nature.UNKNOWN
            if function.id in _NUMBER_FUNCTIONS:
                return Nature.PLAIN
            return arguments if function.id in _CONTAINER_FUNCTIONS else Nature.UNKNOWN
        name = qualified.rpartition(".")[2]
        if name in CALLING:
            return Nature.UNKNOWN
        linen = linen_name(qualified)
        if qualified.startswith(_OF_TYPES) or name in _TYPE_FUNCTIONS:
            return arguments if origins.gives_none(qualified) else Nature.UNKNOWN
        if qualified.startswith(_ARRAY_FUNCTIONS) or (linen and is_elementwise(qualified)):
            return Nature.ARRAY
        if qualified.startswith("flax.linen.") and name in _WITH_AXES:
            return Nature.ARRAY
        return arguments if origins.gives_none(qualified) else Nature.UNKNOWN

    def _returned(self, code: _Code, origins: Origins, function: ast.AST, given: Nature) -> Nature:
        """What a function or method gives whose arguments are of one nature, or of a lesser one."""
        inner = _Code(origins, function, given, code.depth)
        values = list(returned(origins.module, function))
        return self._once(
            (function, origins.cls, given), lambda: self._one_of(inner, values) if values else Nature.PLAIN
        )


def _is_number(node: ast.expr) -> bool:
    """Whether a result of arithmetic can't be a list: `low + (high - low) * t`."""
    if isinstance(node, ast.UnaryOp):
        return True
    if not isinstance(node, ast.BinOp):
        return isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    if isinstance(node.op, ast.Add):
        return _is_number(node.left) or _is_number(node.right)
    if isinstance(node.op, ast.Mult):
        return any(isinstance(n, ast.BinOp | ast.UnaryOp) and _is_number(n) for n in (node.left, node.right))
    return True


def _is_start(value: ast.expr) -> bool:
    """Whether a variable starts with something that says nothing of what it will be."""
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    return isinstance(value, ast.Constant) and not isinstance(value.value, str)


def is_of_axes(index: ast.expr) -> bool:
    """Whether a subscript can only be one of an array: `x[:, 0]`, `x[..., None]`."""
    if isinstance(index, ast.Constant):
        return index.value is ...
    if not isinstance(index, ast.Tuple):
        return False
    return any(
        isinstance(part, ast.Slice) or (isinstance(part, ast.Constant) and part.value is ...)
        for part in index.elts
    )


def declares(cls: ast.ClassDef, name: str) -> bool:
    """Whether a class has a field, or another value, of a name."""
    targets = (n.target for n in cls.body if isinstance(n, ast.AnnAssign))
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _is_of_arrays(call: ast.Call) -> bool:
    """Whether a method is called that only arrays have: `x.mean(axis=1)`, `x.at[0].set(y)`."""
    if not isinstance(call.func, ast.Attribute):
        return False
    holder, name = call.func.value, call.func.attr
    if isinstance(holder, ast.Subscript) and isinstance(holder.value, ast.Attribute):
        if holder.value.attr == "at" and f"at[].{name}" in modelled_methods():
            return True
    return name in modelled_methods() and name not in _NOT_OF_ARRAYS


def _recorded(origins: Origins, node: ast.expr) -> Nature | None:
    """What the analysis knows of an expression's value."""
    return _known(origins, origins.value(node))


def _known(origins: Origins, value: Any) -> Nature | None:
    if isinstance(value, Input):
        return Nature.ARRAY if is_array_argument(origins.entry, value) else None
    if isinstance(value, bool | int | float | str | Dim | Shape):
        return Nature.PLAIN
    if isinstance(value, Expr):
        return Nature.PLAIN if value.kind in ("bool", "float", "int", "str") else None
    if isinstance(value, VariableValue):
        value = effect_value(origins.frame.session, value)
    return Nature.ARRAY if isinstance(value, Array) else None


def _parameter(code: _Code, binding: Binding) -> Nature:
    origins = code.origins
    function = origins.module.enclosing(binding.node, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    if code.function is not None and function is code.function:
        return code.given
    if origins.is_own and (nature := _known(origins, _given(origins, function, binding.name))) is not None:
        return nature
    is_input = origins.is_own and origins.entry is not None and function is origins.entry.node
    is_array = is_input and is_array_argument(origins.entry, Input((binding.name,)))
    return Nature.ARRAY if is_array else Nature.UNKNOWN


def _given(origins: Origins, function: ast.AST | None, parameter: str) -> object:
    """What the call that the frame follows gives to a parameter of its function, if that is known."""
    facts, context = origins.frame.session.facts, origins.frame.context
    call = context[-1] if context else None
    closure = facts.functions.get((context[:-1], call)) if isinstance(call, ast.Call) else None
    if not isinstance(call, ast.Call) or closure is None or closure.self_value is not None:
        return None
    spec = closure.node.args
    if closure.node is not function:
        return None
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    given = arguments_by_name(call, names)
    return facts.values.get((context[:-1], given[parameter])) if parameter in given else None
