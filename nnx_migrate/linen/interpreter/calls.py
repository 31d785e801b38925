"""Calls: whom they reach, and what comes back."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.dims import Dim, maximum, minimum
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter import modules
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value, input_array, text_of
from nnx_migrate.linen.interpreter.expressions import evaluate, static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.functions import call_closure, call_method
from nnx_migrate.linen.interpreter.mapped import call_mapped, vmap
from nnx_migrate.linen.interpreter.ranks import learn_from_call
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.variables import module_api
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.values import (
    Bound,
    ClassChoice,
    ClassRef,
    Closure,
    Expr,
    FieldFactory,
    FieldModule,
    FunctionChoice,
    Input,
    Instance,
    Iterated,
    Layer,
    Lifted,
    LostModule,
    Mapped,
    Maybe,
    ModuleList,
    Partial,
    SelfValue,
    SuperValue,
)

# Kinds of expressions that are functions without modules.
_PLAIN_FUNCTIONS = frozenset({"function", "elementwise", "initializer"})
_FUNCTIONS_OF_FUNCTIONS = frozenset(
    {"jax.vmap", "jax.jit", "jax.grad", "jax.value_and_grad", "jax.checkpoint", "jax.remat", "jax.pmap"}
    | {"jax.jvp", "jax.vjp", "jax.jacfwd", "jax.jacrev", "jax.hessian", "jax.numpy.vectorize"}
)
_ITERATORS = frozenset({"range", "enumerate", "zip", "reversed"})
_MADE_BY = "the result of"
_PARTIALS = frozenset({"functools.partial"})


def call(frame: Frame, node: ast.Call) -> Any:
    """The value of a call expression."""
    target = evaluate(frame, node.func)
    _refuse_unknown_module(frame, node, target)
    if _constructs(target):
        return modules.construct_or_bind(frame, node, target)
    args, kwargs, certain = arguments(frame, node)
    if isinstance(target, Global) and target.name in _PARTIALS and args:
        return Partial(args[0], node, args[1:], tuple(kwargs.items()))
    if not certain:
        return _uncertain(frame, node, target, args, kwargs)
    return apply(frame, target, args, kwargs, node)


def _refuse_unknown_module(frame: Frame, node: ast.Call, target: Any) -> None:
    """Refuse to call what an unknown factory or class made: it may be a module that Linen registers here.

    Left in place, the NNX method would make a new one, with new parameters, at every call.
    """
    if frame.foreign:
        return
    by_text = (
        isinstance(target, Expr)
        and target.kind not in _PLAIN_FUNCTIONS
        and target.text.endswith(")")
        and "initializers." not in target.text
    )
    is_method = isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and node.func.value.id == "self"
    )
    by_field = isinstance(target, Unknown) and target.reason.startswith(_MADE_BY) and not is_method
    inner = (
        frame.session.facts.values.get((frame.context, node.func.func))
        if isinstance(node.func, ast.Call)
        else None
    )
    by_class = isinstance(inner, Global) and inner.name.rpartition(".")[2][:1].isupper()
    if by_text or by_field or by_class:
        raise Refuse(
            "unknown-module", f"what `{ast.unparse(node.func)[:80]}` is isn't known; it may be a module", node
        )


def _constructs(target: Any) -> bool:
    if isinstance(target, Partial):
        return _constructs(target.func)
    if isinstance(target, Lifted):
        return True
    return isinstance(target, ClassRef | ClassChoice | FieldFactory) or (
        isinstance(target, Layer) and target.is_class
    )


def arguments(frame: Frame, node: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """Evaluated arguments; the flag is False where `*args` or `**kwargs` hide some."""
    args: list[Any] = []
    certain = True
    for argument in node.args:
        value = evaluate(frame, argument)
        if isinstance(argument, ast.Starred):
            if isinstance(value, Shape) and value.exact:
                value = value.items()
            if isinstance(value, tuple | list):
                args.extend(value)
            else:
                certain = False
        else:
            args.append(value)
    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        value = evaluate(frame, keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value, dict):
            kwargs.update(value)
        else:
            certain = False
    return tuple(args), kwargs, certain


def _uncertain(
    frame: Frame, node: ast.Call, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A call with arguments that aren't visible."""
    if isinstance(target, Maybe):
        target = target.value
    if isinstance(target, FieldModule):
        return apply(frame, target, args, kwargs, node)
    by_name_only = not any(isinstance(a, ast.Starred) for a in node.args)
    if isinstance(target, Instance) and by_name_only and args:
        result = apply(frame, target, args, kwargs, node)
        if isinstance(target.site.target, Layer):
            return result  # sizes and mode flags: the first argument decides about the result
        return Unknown("what a module returns for `**` arguments isn't known")
    if isinstance(target, Instance | ModuleList | FieldModule) or (
        isinstance(target, Bound) and isinstance(target.value, Instance | SelfValue)
    ):
        if isinstance(target, Instance) and not modules.needs_sizes(frame, target.site):
            return apply(frame, target, args, kwargs, node)
        raise Refuse("unknown-call", "a submodule is called with `*args` or `**kwargs`", node)
    if is_static(frame, node):
        return static_or_unknown(frame, node)
    return Unknown("a call with arguments that can't be followed")


def apply(
    frame: Frame, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """Call a value."""
    if isinstance(target, Maybe):
        return apply(frame, target.value, args, kwargs, node)
    if isinstance(target, Instance):
        return modules.call_instance(frame, target, args, kwargs, node)
    if isinstance(target, Partial):
        return apply(frame, target.func, (*target.args, *args), {**dict(target.kwargs), **kwargs}, node)
    if isinstance(target, Closure):
        return call_closure(frame, target, args, kwargs, node)
    if isinstance(target, Mapped):
        return call_mapped(frame, target, args, kwargs, node)
    if isinstance(target, Bound):
        return _method(frame, target, args, kwargs, node)
    if isinstance(target, Layer):
        return modules.linen_function(frame, target.name, args, kwargs, node)
    if isinstance(target, Global):
        return _global(frame, target.name, args, kwargs, node)
    if isinstance(target, tuple) and target and all(isinstance(item, Instance) for item in target):  # OneOf
        return modules.call_one_of(frame, target, args, kwargs, node)
    if isinstance(target, FieldModule):
        return modules.call_field_module(frame, target, "__call__", args, kwargs, node)
    if isinstance(target, FunctionChoice):
        return _one_of(frame, target, args, kwargs)
    if isinstance(target, Expr):
        return _opaque_function(frame, target, args, kwargs, node)
    if isinstance(target, LostModule):
        raise Refuse("unknown-module", target.reason, node)
    if _escapes(args) or _escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", "a submodule is handed to a function that can't be followed", node)
    return Unknown(target.reason if isinstance(target, Unknown) else "a call that can't be followed")


def _one_of(frame: Frame, choice: FunctionChoice, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A call of one of several functions: what they all return."""
    if _escapes(args) or _escapes(tuple(kwargs.values())):
        return Unknown("a submodule is handed to one of several functions")
    results = [effect_value(frame.session, apply(frame, f, args, kwargs, None)) for f in choice.functions]
    shapes = {result.shape if isinstance(result, Array) else None for result in results}
    if len(shapes) == 1 and isinstance(results[0], Array):
        return Array(results[0].shape, None)
    return Unknown("functions that return different things")


def _escapes(values: Any) -> bool:
    """Whether a submodule is among the values."""
    if isinstance(values, tuple | list):
        return any(_escapes(value) for value in values)
    if isinstance(values, dict):
        return any(_escapes(value) for value in values.values())
    if isinstance(values, Maybe):
        return _escapes(values.value)
    return isinstance(values, (Instance | ModuleList | LostModule, SelfValue))


def is_activation_name(text: str) -> bool:
    """Whether a function is called like an activation: those keep shapes, but for gated ones (see
    `LinenProgram.hands_on_gated_units`).
    """
    name = text.rpartition(".")[2].lower()
    return any(word in name for word in ("act", "nonlinearity", "non_linearity"))


def _opaque_function(
    frame: Frame, target: Expr, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any
) -> Any:
    """A function held by a field: activations keep shapes (assumed only for what is called like one)."""
    if target.kind == "initializer" and node is not None:
        return static_or_unknown(frame, node, "initializer")
    if target.kind == "elementwise" and target.text.startswith("getattr(") and not _on_array(frame, args):
        raise Refuse("unknown-module", f"what `{target.text}` is isn't known; it may be a layer", node)
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node)
    if _escapes(args) or _escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", f"a submodule is handed to `{target.text}`, which isn't known", node)
    keeps_shape = target.kind == "elementwise" or is_activation_name(target.text)
    if keeps_shape and not frame.session.program.hands_on_gated_units and len(args) == 1 and not kwargs:
        value = effect_value(frame.session, args[0])
        if isinstance(value, Array):
            return Array(value.shape, None)
    return Unknown(f"{_MADE_BY} `{target.text}(...)` isn't known")


def _on_array(frame: Frame, args: tuple[Any, ...]) -> bool:
    """Whether a function is called on an array: layers are constructed with sizes."""
    return bool(args) and isinstance(effect_value(frame.session, args[0]), Array)


# ---- methods -----------------------------------------------------------------------------------------------


def _method(
    frame: Frame, bound: Bound, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    value, name = bound.value, bound.name
    if isinstance(value, SelfValue):
        method = frame.session.cls.method(name)
        if method is not None:
            return call_method(frame, method, args, kwargs, node)
        return module_api(frame, name, args, kwargs, node)
    if isinstance(value, SuperValue):
        method = frame.session.cls.method_after(value.owner, name)
        if method is not None:
            return call_method(frame, method, args, kwargs, node)
        return None if name in ("setup", "__post_init__") else module_api(frame, name, args, kwargs, node)
    if isinstance(value, Instance):
        return modules.call_instance(frame, value, args, kwargs, node, name)
    if isinstance(value, FieldModule):
        return modules.call_field_module(frame, value, name, args, kwargs, node)
    if isinstance(value, Array | Input):
        return _array_method(frame, value, name, args, kwargs, node)
    if isinstance(value, dict):
        if name in ("items", "keys", "values"):
            return Iterated(name, (value,))
        if name == "get" and args and isinstance(args[0], str | int):
            return value.get(args[0], args[1] if len(args) > 1 else None)
        if name == "copy":
            return dict(value)
        return Unknown(f"`{name}` of a dict")
    if isinstance(value, ModuleList) and name in ("items", "values", "keys"):
        return Iterated(name, (value,))
    if isinstance(value, str) and all(isinstance(a, str) for a in args) and not kwargs and hasattr(str, name):
        try:
            return getattr(value, name)(*args)
        except (TypeError, ValueError):
            return Unknown("a string method that fails")
    if isinstance(value, tuple | list) and name == "index" and node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "int")
    if isinstance(value, list) and name in ("append", "extend", "insert"):
        return None
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node)
    return Unknown(f"`{name}` can't be followed")


def _array_method(frame: Frame, value: Any, name: str, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    array = input_array(frame.session, value) if isinstance(value, Input) else value
    if name in ("set", "add", "multiply", "divide", "min", "max", "apply", "power") and _is_at(node):
        return array
    transfer = registry.method(name)
    if transfer is None:
        return Unknown(f"the array method `{name}` isn't modelled")
    values = tuple(effect_value(frame.session, a) for a in args)
    learn_from_call(frame, name, (array, *values), kwargs)
    return transfer(array, *values, **{k: effect_value(frame.session, v) for k, v in kwargs.items()})


def _is_at(node: ast.Call | None) -> bool:
    return (
        node is not None
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Subscript)
        and isinstance(node.func.value.value, ast.Attribute)
        and node.func.value.value.attr == "at"
    )


# ---- functions of libraries --------------------------------------------------------------------------------


def _global(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    if name.startswith("builtins."):
        return _builtin(frame, name[9:], args, kwargs, node)
    if name.startswith("flax.linen.initializers"):
        return static_or_unknown(frame, node) if node is not None else Unknown("an initializer")
    transfer = registry.effect(name)
    if transfer is not None and not _escapes(args) and not _escapes(tuple(kwargs.values())):
        values = tuple(effect_value(frame.session, a) for a in args)
        keywords = {k: effect_value(frame.session, v) for k, v in kwargs.items()}
        learn_from_call(frame, name, values, keywords)
        result = transfer(*values, **keywords)
        if isinstance(result, Unknown) and node is not None and is_static(frame, node):
            return static_or_unknown(frame, node, why=result.reason)
        return result
    mapped = vmap(args, kwargs) if name == "jax.vmap" else None
    if mapped is not None:
        return mapped
    if name in _TRANSFORMS and args:
        return _transformed(frame, name, args, kwargs, node)
    if name in _MAPS and len(args) >= 2:
        return _mapped(frame, args, kwargs, node)
    definition = frame.session.program.project.definition(name) if not _escapes(args) else None
    if definition is not None and isinstance(definition.node, ast.ClassDef):
        return Unknown(
            f"an object of the class `{definition.node.name}`"
        )  # no module, or it would be a ClassRef
    if node is not None and is_static(frame, node):
        dims = [as_dim(a) for a in args]
        if name in _INTEGER_FUNCTIONS and len(dims) == 1:
            if isinstance(args[0], Dim | int):
                return dims[0]
            return static_or_unknown(frame, node, "int")
        if name in _FUNCTIONS_OF_FUNCTIONS and not any(_constructs(a) for a in args):
            return static_or_unknown(frame, node, "function")
        return static_or_unknown(frame, node)
    if _escapes(args) or _escapes(tuple(kwargs.values())):
        raise Refuse("unknown-call", f"a submodule is handed to `{name}`", node)
    return Unknown(f"`{name}` isn't modelled")


# Transforms of pure functions that keep what the function returns.
_TRANSFORMS = frozenset({"jax.jit", "jax.checkpoint", "jax.remat", "jax.named_call", "jax.named_scope"})
# What `getattr(jax.nn, name)` gives, if it is called as a function of one array.
_KINDS_BY_NAMESPACE = {
    "jax.nn": "elementwise",
    "flax.linen": "elementwise",
    "flax.linen.activation": "elementwise",
    "jax.nn.initializers": "initializer",
    "flax.linen.initializers": "initializer",
}
_MAPS = frozenset({"jax.tree.map", "jax.tree_util.tree_map", "jax.tree_map"})
_INTEGER_FUNCTIONS = frozenset({"math.ceil", "math.floor", "numpy.ceil", "numpy.floor"})


def _from_namespace(frame: Frame, namespace: str, node: ast.Call) -> Any:
    """`getattr(jax.nn, name)` for a name that only the configuration tells."""
    kind = _KINDS_BY_NAMESPACE.get(namespace, "")
    if frame.foreign and kind == "elementwise" and not frame.session.program.hands_on_gated_units:
        return Global("jax.nn.relu")  # only shapes matter here, and all activations keep them
    return static_or_unknown(frame, node, kind)


def _transformed(frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any) -> Any:
    return args[0]


def _mapped(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], node: Any) -> Any:
    """`jax.tree.map(f, tree)` over known containers."""
    function, tree, *rest = args
    if kwargs:
        return Unknown("`tree.map` with options")
    if isinstance(tree, dict):
        return {k: _mapped(frame, (function, v, *(r[k] for r in rest)), {}, node) for k, v in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(
            _mapped(frame, (function, v, *(r[i] for r in rest)), {}, node) for i, v in enumerate(tree)
        )
    return apply(frame, function, (tree, *rest), {}, node)


def _builtin(
    frame: Frame, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    if name in _ITERATORS:
        return Iterated(name, args)
    first = args[0] if args else None
    if name == "super" and not args:
        return SuperValue(frame.owner) if frame.owner is not None else Unknown("super()")
    if name == "super" and len(args) == 2 and isinstance(first, ClassRef):
        return SuperValue(first.cls)
    if name == "map" and len(args) >= 2:
        return _map(frame, args, node)
    if name == "len" and len(args) == 1:
        return _length(frame, first)
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
        return _is_instance(frame, first, args[1], node)
    if name in ("getattr",) and len(args) >= 2 and isinstance(args[1], str) and node is not None:
        from nnx_migrate.linen.interpreter.attributes import get

        return get(frame, first, args[1], node)
    if name == "getattr" and len(args) == 2 and isinstance(first, Global | Layer) and node is not None:
        namespace = first.name if isinstance(first, Global) else f"flax.linen.{first.name}"
        return _from_namespace(frame, namespace, node)
    if name in ("print", "setattr", "breakpoint"):
        if name == "setattr" and len(args) == 3:
            return modules.set_attribute(frame, args, node)
        return None
    if name in ("sum",) and isinstance(first, tuple | list) and first and not kwargs:
        from nnx_migrate.linen.interpreter.expressions import binary

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
    if _escapes(args) or _escapes(tuple(kwargs.values())):
        if name in ("callable", "hasattr", "isinstance", "type", "id", "repr", "str"):
            return Unknown(f"`{name}` of a submodule")
        raise Refuse("unknown-call", f"a submodule is handed to `{name}`", node)
    if name in ("float", "abs", "round"):
        array = effect_value(frame.session, first)
        return array if isinstance(array, Array) else Unknown(name)
    return Unknown(f"`{name}(...)` can't be followed")


def _map(frame: Frame, args: tuple[Any, ...], node: ast.Call | None) -> Any:
    """`map(function, xs)` over values that are known one by one, in order."""
    from nnx_migrate.linen.interpreter.loops import known_items

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
        return value
    if isinstance(value, Expr):
        return Dim.symbol(f"int({value.text})")
    return Unknown("an int that only a run can tell")


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
    if isinstance(value, Shape):
        return value
    if isinstance(value, ModuleList):
        return value
    if isinstance(value, Iterated) and value.kind == "range":
        bounds = [as_dim(a) for a in value.args]
        numbers = [b.const for b in bounds if b is not None]
        if len(numbers) == len(bounds) and None not in numbers and len(range(*numbers)) <= 256:  # type: ignore[arg-type]
            return kind(range(*numbers))  # type: ignore[arg-type]
    if (
        isinstance(value, Iterated)
        and value.kind in ("reversed", "keys", "values")
        and isinstance(value.args[0], tuple | list)
    ):
        return kind(reversed(value.args[0]))
    if isinstance(value, Expr):
        return Expr(f"{name}({value.text})", "sequence")
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "sequence")
    return (
        Iterated(name, (value,)) if isinstance(value, Iterated) else Unknown("a sequence of unknown length")
    )


_CHECKS = {"int": int, "str": str, "float": float, "bool": bool, "tuple": tuple, "list": list, "dict": dict}


def _is_instance(frame: Frame, value: Any, kinds: Any, node: ast.Call | None) -> Any:
    """`isinstance(value, int)` and the like, where both are known."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
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
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node, "bool")
    return Unknown("a type test that can't be decided")


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
            if isinstance(kind, Layer) and target.cls.is_subclass_of_layer:
                return None
        elif not isinstance(target, Layer) or (isinstance(kind, Layer) and "Attention" in kind.name):
            return None  # attention layers derive from each other
    return found


__all__ = ["apply", "call", "text_of"]
