"""Python's built-in functions."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array, Global, NumberArray, Shape, Unknown
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice
from nnx_migrate.linen.dims import Dim, maximum, minimum
from nnx_migrate.linen.interpreter import attributes
from nnx_migrate.linen.interpreter.calls.arguments import escapes
from nnx_migrate.linen.interpreter.calls.type_tests import is_instance
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value, input_array
from nnx_migrate.linen.interpreter.expressions.arithmetic import binary
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.elements import known_items
from nnx_migrate.linen.interpreter.loops.gathered import alike_arrays
from nnx_migrate.linen.interpreter.ranks.patterns import inner_axes
from nnx_migrate.linen.interpreter.sizes.number_functions import INTEGERS
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import number_of_axes
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules import modules
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.symbols import numbers as numbers_in
from nnx_migrate.linen.values import (
    ClassRef,
    Expr,
    FunctionChoice,
    Input,
    Iterated,
    Layer,
    ModuleList,
    SuperValue,
)

_ITERATORS = frozenset({"range", "enumerate", "zip", "reversed"})
# What `getattr(jax.nn, name)` gives, if it is called as a function of one array.
_KINDS_BY_NAMESPACE = {
    "jax.nn": "elementwise",
    "flax.linen": "elementwise",
    "flax.linen.activation": "elementwise",
    "jax.nn.initializers": "initializer",
    "flax.linen.initializers": "initializer",
}


def call_builtin(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """A call of the built-in function of this name."""
    if name == "enumerate" and "start" in kwargs:
        args = (*args, kwargs["start"])
    if name in _ITERATORS:
        return Iterated(name, args, inner_axes(frame, node) if name == "range" and node is not None else None)
    first = args[0] if args else None
    if name == "super" and not args:
        return SuperValue(frame.owner) if frame.owner is not None else Unknown("super()")
    if name == "super" and len(args) == 2 and isinstance(first, ClassRef):
        return SuperValue(first.cls)
    if name == "map" and len(args) >= 2:
        return _map(frame, args, node)
    if name == "len" and len(args) == 1:
        axes = number_of_axes(frame, node.args[0]) if node is not None and len(node.args) == 1 else None
        return _length(frame, first) if axes is None else axes
    if name in ("list", "tuple") and len(args) <= 1:
        return _container(frame, name, args, node)
    if name == "dict" and not args:
        return dict(kwargs)
    if name == "dict" and isinstance(first, dict):
        return {**first, **kwargs}
    if name in ("max", "min") and len(args) > 1 and not kwargs:
        dims = [as_dim(a) for a in args]
        if all(d is not None for d in dims):
            return (maximum if name == "max" else minimum)(*(d for d in dims if d is not None))
    if name == "int" and len(args) == 1:
        return _integer(frame, first, node)
    if name == "isinstance" and len(args) == 2:
        return is_instance(frame, first, args[1], node)
    if name in ("getattr",) and len(args) >= 2 and isinstance(args[1], str) and node is not None:
        return attributes.get(frame, first, args[1], node)
    is_named = name == "getattr" and (len(args) == 2 or (len(args) == 3 and args[2] is None))
    if is_named and isinstance(first, Global | Layer) and node is not None:
        namespace = first.name if isinstance(first, Global) else f"flax.linen.{first.name}"
        return _from_namespace(frame, namespace, node)
    if name in ("print", "setattr", "breakpoint"):
        if name == "setattr" and len(args) == 3:
            return modules.set_attribute(frame, args, node)
        return None
    if name == "sum" and len(args) == 1 and not kwargs:
        first = alike_arrays(first) or first
    if name in ("sum",) and isinstance(first, tuple | list) and first and not kwargs:
        total = first[0]
        for item in first[1:]:
            total = binary(frame, ast.Add(), total, item)
        return total
    if node is not None and is_static(frame, node):
        kind = {
            "float": "float",
            "bool": "bool",
            "str": "str",
            "round": "int",
            "max": "int",
            "min": "int",
        }.get(name, "")
        return static_or_unknown(frame, node, kind)
    if name == "round" and len(args) == 1 and not kwargs and isinstance(first, Dim | Expr):
        return rounded(first, "round")
    if escapes(args) or escapes(tuple(kwargs.values())):
        if name in ("callable", "hasattr", "isinstance", "type", "id", "repr", "str"):
            return Unknown(f"`{name}` of a submodule")
        raise Refuse("unknown-call", f"a submodule is handed to `{name}`", node)
    if name in ("float", "abs", "round"):
        array = effect_value(frame.session, first)
        return array if isinstance(array, Array) else Unknown(name)
    return Unknown(f"`{name}(...)` can't be followed")


def _from_namespace(frame: Frame, namespace: str, node: ast.Call) -> Any:
    """`getattr(jax.nn, name)` for a name that only the configuration tells."""
    kind = _KINDS_BY_NAMESPACE.get(namespace, "")
    keeps_shape = kind == "elementwise" and not frame.session.program.gated_units.exist
    if frame.foreign and keeps_shape:
        return Global("jax.nn.relu")  # only shapes matter here, and all activations keep them
    found = static_or_unknown(frame, node, kind)
    if isinstance(found, Unknown) and keeps_shape:
        return FunctionChoice((Global("jax.nn.gelu"), Global("jax.nn.relu")), ast.unparse(node))  # and others
    return found


def _map(frame: Frame, args: tuple[Any, ...], node: ast.Call | None) -> Any:
    """`map(function, xs)` over values that are known one by one, in order."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    columns = [known_items(arg) for arg in args[1:]]
    known = [column for column in columns if column is not None]
    if len(known) < len(columns):
        return Unknown("`map` over an iterable that can't be followed")
    before = len(frame.session.facts.sites)
    results = tuple(apply(frame, args[0], row, {}, node) for row in zip(*known, strict=False))
    if len(frame.session.facts.sites) != before and not frame.foreign:
        raise Refuse("unsupported-syntax", "modules are created within `map`", node)
    return results


def _integer(frame: Frame, value: Any, node: ast.Call | None) -> Any:
    if isinstance(value, bool | int | float):
        return int(value)
    if isinstance(value, Dim):
        known = all(_is_whole(frame, symbol) for symbol in value.symbols())
        return value if known else Dim.symbol(f"int({value.text()})")
    if isinstance(value, Expr):
        return Dim.symbol(f"int({value.text})", 0 if _is_root(value.text) else None)
    return Unknown("an int that only a run can tell")


def _is_whole(frame: Frame, symbol: str) -> bool:
    """Whether a part of a size can't be a fraction: what only configurations know may be one."""
    if "self." not in symbol or _function_called(symbol) in INTEGERS:
        return True
    field = frame.session.fields.get(symbol.removeprefix("self."))
    return isinstance(field, Dim)


def rounded(value: Dim | Expr, function: str) -> Dim:
    """A number after `round`, `math.ceil` or the like: the same one if it can't have been a fraction."""
    if isinstance(value, Expr):
        return Dim.symbol(f"{function}({value.text})")
    may_be_fraction = any("self." in symbol for symbol in value.symbols())  # whatever annotations say
    return Dim.symbol(f"{function}({value.text()})") if may_be_fraction else value


def _is_root(text: str) -> bool:
    """Whether an expression is a square root, which is no real number below zero (and `int` takes no others)."""
    node = _parsed(text)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return isinstance(node.right, ast.Constant) and node.right.value == 0.5
    return _function_called(text).rpartition(".")[2] == "sqrt"


def _function_called(text: str) -> str:
    """The name of the function whose call an expression is as a whole; empty if it is none."""
    node = _parsed(text)
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(TOKEN.sub("x", text), mode="eval").body
    except SyntaxError:
        return None


def _length(frame: Frame, value: Any) -> Any:
    if isinstance(value, tuple | list | dict | str):
        return len(value)
    if isinstance(value, Shape):
        return len(value.dims) if value.exact else Unknown("the rank isn't known")
    if isinstance(value, Expr):
        return Dim.symbol(f"len({value.text})", 0)
    if isinstance(value, Array | Input):
        array = input_array(frame.session, value) if isinstance(value, Input) else value
        return array.shape.dim(0)
    return Unknown("a length that isn't known")


def _container(frame: Frame, name: str, args: tuple[Any, ...], node: ast.Call | None) -> Any:
    kind = list if name == "list" else tuple
    if not args:
        return kind()
    value = args[0]
    if isinstance(value, tuple | list | dict):
        return kind(value)
    if isinstance(value, TupleChoice) and kind is tuple:
        return value
    if isinstance(value, NumberArray):
        return kind(value.numbers)
    if isinstance(value, Shape):
        return value
    if isinstance(value, ModuleList | MixedList | ArrayList):
        return value
    if isinstance(value, Iterated) and value.kind == "reversed" and isinstance(value.args[0], ArrayList):
        return value.args[0]
    if isinstance(value, Iterated) and value.kind == "range":
        bounds = [as_dim(a) for a in value.args]
        numbers = [b.const for b in bounds if b is not None]
        if len(numbers) == len(bounds) and None not in numbers and len(range(*numbers)) <= 256:  # type: ignore[arg-type]
            return kind(range(*numbers))  # type: ignore[arg-type]
        if value.axes is not None:
            return value.axes
    if (
        isinstance(value, Iterated)
        and value.kind in ("reversed", "keys", "values")
        and isinstance(value.args[0], tuple | list)
    ):
        return kind(reversed(value.args[0]))
    if isinstance(value, Sizes) and kind is tuple and numbers_in(value.text, "x"):
        return value  # that is one
    if isinstance(value, Expr):
        return Expr(f"{name}({value.text})", "sequence")
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "sequence")
    return (
        Iterated(name, (value,)) if isinstance(value, Iterated) else Unknown("a sequence of unknown length")
    )
