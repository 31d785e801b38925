"""Functions of libraries, by their qualified names."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import all_present
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.calls import folding, graphs
from nnx_migrate.linen.interpreter.calls.arguments import escapes
from nnx_migrate.linen.interpreter.calls.builtins import call_builtin, rounded
from nnx_migrate.linen.interpreter.convert import as_dim, effect_arguments, effect_value
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.gathered import put_together
from nnx_migrate.linen.interpreter.objects import OUTPUTS_OF_TRANSFORMERS, made, output_of_transformers
from nnx_migrate.linen.interpreter.ranks.hints import hinted_by_call
from nnx_migrate.linen.interpreter.ranks.patterns import learn_from_call
from nnx_migrate.linen.interpreter.records import part_of
from nnx_migrate.linen.interpreter.sizes.number_sequences import SEQUENCES
from nnx_migrate.linen.interpreter.state.named_axes import PARAM_WITH_AXES, param_with_axes
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules.modules import constructs
from nnx_migrate.linen.interpreter.submodules.pure_modules import check_pure, inside_transform
from nnx_migrate.linen.interpreter.transforms.mapped import jvp, vmap
from nnx_migrate.linen.interpreter.transforms.structured import control_flow
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Bound, Closure, Expr, Input, Instance, Partial, Record, SelfValue

_FUNCTIONS_OF_FUNCTIONS = frozenset(
    {"jax.vmap", "jax.jit", "jax.grad", "jax.value_and_grad", "jax.checkpoint", "jax.remat", "jax.pmap"}
    | {"jax.jvp", "jax.vjp", "jax.jacfwd", "jax.jacrev", "jax.hessian", "jax.numpy.vectorize"}
)
# Transforms of pure functions that keep what the function returns.
_TRANSFORMS = frozenset({"jax.jit", "jax.checkpoint", "jax.remat", "jax.named_call", "jax.named_scope"})
_TRACING = frozenset({"jax.jit", "jax.checkpoint", "jax.remat"})
_CONTROL_FLOW = frozenset(
    f"jax.lax.{name}" for name in ("scan", "map", "cond", "switch", "fori_loop", "while_loop")
)
_MAPS = frozenset({"jax.tree.map", "jax.tree_util.tree_map", "jax.tree_map"})
# Functions of `math` that give a float, whatever number they get.
_FLOAT_FUNCTIONS = frozenset(
    f"math.{name}"
    for name in ("cos", "exp", "expm1", "fabs", "log", "log10", "log1p", "log2", "pow", "sin", "sqrt")
)
_INTEGER_FUNCTIONS = frozenset({"math.ceil", "math.floor", "numpy.ceil", "numpy.floor"})


def call_global(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """A call of the function of this qualified name."""
    if name.startswith("builtins."):
        return call_builtin(frame, name[9:], args, kwargs, node)
    if name == PARAM_WITH_AXES:
        return param_with_axes(frame, args, kwargs, node)
    if name.startswith("flax.linen.initializers"):
        return static_or_unknown(frame, node, "function") if node is not None else Unknown("an initializer")
    if name in SEQUENCES and not kwargs:
        numbers = SEQUENCES[name](*(effect_value(frame.session, a) for a in args))
        if numbers is not None:
            return numbers
    if name in _INTEGER_FUNCTIONS and node is not None and not is_static(frame, node):
        found = _rounded(frame, name, args, kwargs, node)
        if found is not None:
            return found
    transfer = registry.effect(name)
    if transfer is not None and not escapes(args) and not escapes(tuple(kwargs.values())):
        values, keywords = effect_arguments(frame.session, all_present(name, args), kwargs)
        learn_from_call(frame, name, values, keywords)
        hinted_by_call(frame, name, values, node)
        result = put_together(transfer, values, keywords)
        result = transfer(*values, **keywords) if result is NotImplemented else result
        if isinstance(result, Unknown) and node is not None and is_static(frame, node):
            return static_or_unknown(frame, node, why=result.reason)
        return result
    function = graphs.made(name, args, kwargs) if name in graphs.MAKERS else None
    if function is not None:
        return function
    if name == "jraph.GraphsTuple" and not args and not escapes(tuple(kwargs.values())):
        return Record(None, tuple(kwargs.items()))
    mapped = vmap(args, kwargs) if name == "jax.vmap" else None
    if mapped is not None:
        return mapped
    derivatives = jvp(frame, args, kwargs) if name == "jax.jvp" else None
    if derivatives is not None:
        return derivatives
    if name in _CONTROL_FLOW and not escapes(args) and not escapes(tuple(kwargs.values())):
        found = control_flow(frame, name.rpartition(".")[2], args, kwargs, node)
        if found is not None:
            return found
    if name in _TRANSFORMS and args:
        return _transformed(frame, name, args, kwargs, node)
    if name in _MAPS and len(args) >= 2:
        return _mapped(frame, args, kwargs, node)
    folded = folding.fold(frame, args) if name == folding.NAME and not kwargs else None
    if folded is not None:
        return folded
    definition = frame.session.program.project.definition(name) if not escapes(args) else None
    if definition is not None and isinstance(definition.node, ast.ClassDef):
        held = None if escapes(tuple(kwargs.values())) else made(frame, definition, args, kwargs)
        reason = f"an object of the class `{definition.node.name}`"  # no module, or it would be a ClassRef
        return held if held is not None else Unknown(reason)
    if name.startswith(OUTPUTS_OF_TRANSFORMERS) and not args and not escapes(tuple(kwargs.values())):
        return output_of_transformers(kwargs)
    if node is not None and is_static(frame, node):
        dims = [as_dim(a) for a in args]
        if name in _INTEGER_FUNCTIONS and len(dims) == 1:
            if isinstance(args[0], Dim | int):
                return dims[0]
            return static_or_unknown(frame, node, "int")
        if name.startswith("jax.nn.initializers.") or (
            name in _FUNCTIONS_OF_FUNCTIONS and not any(constructs(a) for a in args)
        ):
            return static_or_unknown(frame, node, "function")
        found = static_or_unknown(frame, node, "float" if name in _FLOAT_FUNCTIONS else "")
        if not (isinstance(found, Unknown) and name in _FLOAT_FUNCTIONS):
            return found
    if escapes(args) or escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", f"a submodule is handed to `{name}`", node)
    if name in _FLOAT_FUNCTIONS:
        return Array(Shape(()))
    return Unknown(f"`{name}` isn't modelled")


def _rounded(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call
) -> Dim | Expr | None:
    """`math.ceil(...)` of a number that depends on sizes of inputs; NumPy's gives a float."""
    if len(args) != 1 or kwargs or frame.foreign or not isinstance(args[0], Dim | Expr):
        return None
    function = ast.unparse(node.func)
    if name.startswith("math."):
        return rounded(args[0], function)
    text = args[0].text() if isinstance(args[0], Dim) else args[0].text
    return Expr(f"{function}({text})", "float")


def _transformed(frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any) -> Any:
    """`jax.checkpoint(f)`: it returns what `f` does, but modules inside of it may not change or draw anything."""
    function = args[0].func if isinstance(args[0], Partial) else args[0]
    if name not in _TRACING:
        return args[0]
    if isinstance(function, Closure):
        frame.session.traced.add(function.node)
    elif isinstance(function, Bound) and isinstance(function.value, SelfValue):
        method = frame.session.cls.method(function.name)
        frame.session.traced.update({method.node} if method is not None else ())
    elif isinstance(function, Instance):
        with inside_transform(frame):
            check_pure(frame, function, node)
    return args[0]


def _refuse_created(frame: Frame, node: Any) -> None:
    """Refuse modules that are created for each leaf of a container, or of an argument that may be one."""
    way = (*frame.context, node)
    if any(context[: len(way)] == way for context, _ in frame.session.facts.sites):
        raise Refuse("dynamic-construction", "modules are created for each leaf of a tree", node)


def _mapped(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any) -> Any:
    """`jax.tree.map(f, tree)` over known containers."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    function, tree, *rest = args
    if kwargs:
        return Unknown("`tree.map` with options")
    if any(isinstance(value, Record) for value in (tree, *rest)):
        return Unknown("`tree.map` over an object")
    if isinstance(tree, Input):  # an argument that is a container, if others are
        shown = next((value for value in rest if isinstance(value, dict | tuple | list)), ())
        if shown:
            keys = shown if isinstance(shown, dict) else range(len(shown))
            parts = {key: part_of(frame, tree, key) for key in keys}
            tree = parts if isinstance(shown, dict) else tuple(parts.values())
    if tree is None:
        return None
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, tuple | list):
        items = enumerate(tree)  # type: ignore[assignment]
    else:
        result = apply(frame, function, (tree, *rest), {}, node)
        if isinstance(tree, Input):
            _refuse_created(frame, node)
        return result
    mapped = {
        key: _mapped(frame, (function, value, *(part_of(frame, r, key) for r in rest)), {}, node)
        for key, value in items
    }
    _refuse_created(frame, node)
    return mapped if isinstance(tree, dict) else type(tree)(mapped.values())
