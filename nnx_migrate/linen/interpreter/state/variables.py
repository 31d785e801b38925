"""`self.param`, `self.variable` and what asks for them: which variables a module has, and their shapes."""

from __future__ import annotations

import ast
import re
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global, InitialDtype, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame, Slot
from nnx_migrate.linen.interpreter.state import caches
from nnx_migrate.linen.interpreter.state.listed_variables import holder
from nnx_migrate.linen.interpreter.state.own_initializers import gives_what_it_is_asked_for
from nnx_migrate.linen.interpreter.state.parameter_reads import PARAMS, parameter
from nnx_migrate.linen.programs.constructions.field_texts import attribute_by_fields, names_by_fields
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Lookup, VariableSite
from nnx_migrate.linen.values import Bound, Closure, Expr, InitFlag, OwnVariables, SelfValue, VariableValue
from nnx_migrate.nnx.module_names import name_parts, text_pattern


def module_api(frame: Frame, name: str, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """`self.param`, `self.variable`, `self.make_rng`, `self.sow` ..."""
    if name == "param" and node is not None:
        value = _param(frame, node, args, kwargs)
        if args and isinstance(args[0], str):
            frame.session.parameters[args[0]] = value
        return value
    if name == "variable" and node is not None:
        return _variable(frame, node, args, kwargs)
    if name == "make_rng":
        return _make_rng(frame, args, kwargs, node)
    if name == "is_initializing":
        return InitFlag(True, False)
    if name == "is_mutable_collection":
        return _is_mutable(frame, args, kwargs, node)
    if name == "has_variable":
        return _has_variable(frame, args, kwargs, node)
    if name == "get_variable" and args[:1] == (caches.CACHE,) and len(args) == 2 and isinstance(args[1], str):
        return caches.read(frame, args[1], node)
    if name == "get_variable" and args[:1] == (PARAMS,) and len(args) == 2 and isinstance(args[1], str):
        return parameter(frame, OwnVariables((PARAMS, args[1])), node)
    if name == "sow" and node is not None:
        return _sow(frame, node, args, kwargs)
    if frame.foreign:
        return Unknown(f"`self.{name}`")
    raise Refuse("unsupported-api", f"`self.{name}`", node)


def _param(frame: Frame, node: ast.Call, args: Any, kwargs: Any) -> Any:
    """`self.param(name, init_fn, shape, dtype)`: an array of that shape."""
    name = args[0] if args else kwargs.get("name")
    site = _declare(frame, node, "params", name, "param")
    init = args[1] if len(args) > 1 else kwargs.get("init_fn")
    rest = args[2:]
    keywords = {k: v for k, v in kwargs.items() if k not in ("name", "init_fn", "unbox")}
    if isinstance(init, Closure):
        found = _initial(frame, init, (Unknown("a random key"), *rest), keywords)
        if site is not None:
            site.is_number |= _may_be_number(init, found)
        if not (isinstance(found, Unknown) or _loads(init, found)):
            return found
    asked = rest[0] if rest else keywords.get("shape")
    if (
        isinstance(init, Closure)
        and not _loads(init, found)
        and not gives_what_it_is_asked_for(frame, init, asked)
    ):
        return found
    made = _shaped(asked)
    dtype = rest[1] if len(rest) > 1 else keywords.get("dtype")
    return (
        Array(made.shape, f"={dtype.text}")
        if isinstance(dtype, InitialDtype) and isinstance(made, Array)
        else made
    )


def _may_be_number(init: Closure, value: Any) -> bool:
    """Whether an initializer may give a number of Python, not an array: `lambda key: self.temperature`."""
    body = init.node.body if isinstance(init.node, ast.Lambda) else None
    if isinstance(value, Unknown):
        return isinstance(body, ast.Name | ast.Attribute)
    return not isinstance(value, Array) or (value.weak and not isinstance(body, ast.Call))


def _variable(frame: Frame, node: ast.Call, args: Any, kwargs: Any) -> Any:
    """`self.variable(collection, name, init_fn, *args)`: a reference to an array."""
    collection = args[0] if args else kwargs.get("col")
    name = args[1] if len(args) > 1 else kwargs.get("name")
    site = None
    if not frame.foreign:
        if not isinstance(collection, str):
            raise Refuse("unsupported-api", "`self.variable` with a collection that isn't a literal", node)
        site = _declare(frame, node, collection, name, "variable")
        site.is_reference = True
        site.by_calls = caches.is_made_by_calls(frame.session.cls, collection)
    init = args[2] if len(args) > 2 else kwargs.get("init_fn")
    keywords = {k: v for k, v in kwargs.items() if k not in ("col", "name", "init_fn", "unbox")}
    value = _initial(frame, init, args[3:], keywords)
    if len(args) > 3 and _loads(init, value):
        stated = _shaped(args[3])
        value = stated if isinstance(stated, Array) else value
    if collection == caches.CACHE and caches.is_made_by_calls(frame.session.cls, collection):
        value = caches.kept_sizes(value)
    if site is not None:
        site.value = value
    return VariableValue(site, value)


def _declare(frame: Frame, node: ast.Call, collection: str, name: Any, what: str) -> Any:
    if frame.foreign:
        return None
    name_node = None
    others: tuple[str, ...] = ()
    wanted = ""
    if not isinstance(name, str):
        place = 1 if what == "variable" else 0
        given = [*node.args[place:], *(k.value for k in node.keywords if k.arg == "name")]
        name_node = next(iter(given), None)
        looped = any(control.is_loop for control in frame.controls)
        cls = frame.session.cls
        if (
            name_node is not None
            and not looped
            and (texts := names_by_fields(name_node, cls, frame.session.program))
        ):
            name, others = texts[0], texts[1:]
            wanted, name_node = attribute_by_fields(name_node, cls), None
    held = holder(frame, node, what)
    if held is not None and held.is_counted and isinstance(name, str):
        raise Refuse("unsupported-syntax", "a name that doesn't tell the rounds of a loop apart", node)
    if not isinstance(name, str):
        in_loop = any(control.is_loop for control in frame.controls)
        in_loop = in_loop and (held is not None or frame.session.entry != "setup")
        if what != "param" or not in_loop or name_parts(name_node) is None:
            raise Refuse("unsupported-api", f"`self.{what}` with a name that isn't a literal", node)
        name = ""
    key = (frame.context, node)
    variables = frame.session.facts.variables
    if key not in variables:
        variables[key] = VariableSite(
            frame.session.next_number(),
            node,
            collection,
            name,
            frame.owner or frame.session.cls,
            frame.method,
            frame.context,
            frame.controls,
            entry=frame.session.entry,
            name_node=name_node,
            other_names=others,
            wanted=wanted,
        )
        if held is not None:
            variables[key].attribute, variables[key].place = held.attribute, held.place
    return variables[key]


def _loads(init: Any, value: Any) -> bool:
    """Whether an initializer takes its array from elsewhere, whatever it is asked for: `lambda *_: weights["bias"]`.

    The shape that it is asked for is then all that the code says of what it loads.
    """
    if not isinstance(init, Closure) or not isinstance(init.node, ast.Lambda):
        return False
    spec = init.node.args
    given = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    names = {one.arg for one in given if one is not None}
    if any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(init.node.body)):
        return False
    return isinstance(value, Unknown) or (isinstance(value, Array) and not value.shape.exact)


def _initial(frame: Frame, init: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an initializer returns. Nothing in it is part of the module's calls."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    if isinstance(init, Closure):
        return _of_number(_run_initializer(frame, init, args, kwargs))
    if isinstance(init, Bound) and isinstance(init.value, SelfValue):
        if init.value.home.cls.method(init.name) is None:
            return Unknown(f"what `self.{init.name}` returns")
        return _of_number(apply(frame.child(foreign=True), init, args, kwargs, None))
    if isinstance(init, Global) and init.name.startswith("flax.linen.initializers"):
        return _shaped(args[1] if len(args) > 1 else kwargs.get("shape"))
    return _of_number(apply(frame.child(foreign=True), init, args, kwargs, None))


def _run_initializer(frame: Frame, init: Closure, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The value of a lambda's body, recorded in the context of the method: the constructor writes it there."""
    from nnx_migrate.linen.interpreter.functions import bind_arguments, call_closure

    if not isinstance(init.node, ast.Lambda) or init.module is not frame.module or frame.foreign:
        return call_closure(frame.child(foreign=True), init, args, kwargs, None)
    facts = frame.session.facts
    before = set(facts.rng_calls)
    bound = bind_arguments(frame, init, args, kwargs)
    inner = frame.child(env={name: Slot(slot.value, True) for name, slot in bound.items()}, outer=init.env)
    value = evaluate(inner, init.node.body)
    for name in (n for n in ast.walk(init.node.body) if isinstance(n, ast.Name) and n.id in bound):
        facts.static_names.pop((frame.context, name), None)
    for key in set(facts.rng_calls) - before:
        facts.init_rngs[key] = facts.rng_calls.pop(key)
    return value


def _of_number(value: Any) -> Any:
    """Variables that hold numbers change: their values aren't constants."""
    if isinstance(value, bool | int | float | Dim):
        kind = "bool" if isinstance(value, bool) else "float" if isinstance(value, float) else "int"
        return Array(Shape(), kind, weak=True)
    if isinstance(value, Expr) and value.kind in ("bool", "int", "float"):
        return Array(Shape(), value.kind, weak=True)
    return value


def _shaped(shape: Any) -> Any:
    """An array of a shape that is given as a tuple, a shape or a single size."""
    if isinstance(shape, Shape):
        return Array(shape)
    if isinstance(shape, tuple | list):
        dims = [as_dim(item) for item in shape]
        return Array(Shape(tuple(d if d is not None else Dim.unknown("a size") for d in dims)))
    single = as_dim(shape)
    if single is not None:
        return Array(Shape((single,)))
    return Unknown("a parameter whose shape can't be followed")


def _make_rng(frame: Frame, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    stream = args[0] if args else kwargs.get("name", "params")
    if not frame.foreign:
        if frame.session.transforms:
            raise Refuse("unsupported-api", "`make_rng` inside of a transform of JAX", node)
        if isinstance(stream, Expr) and stream.text.removeprefix("self.") in frame.session.fields:
            stream = stream.text  # a field names the stream
        elif not isinstance(stream, str) or not stream.isidentifier():
            raise Refuse("unsupported-api", "`make_rng` with a name that isn't a literal", node)
        assert node is not None
        frame.session.facts.rng_calls[frame.context, node] = stream
    return Unknown("a random key")


def _is_mutable(frame: Frame, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """`self.is_mutable_collection("params")`: the old way to ask whether the model is being initialised."""
    collection = args[0] if args else kwargs.get("col")
    if collection == "params" and not frame.session.program.makes_all_mutable:
        return InitFlag(True, False)
    if frame.foreign:
        return Unknown("whether a collection is mutable")
    raise Refuse("unsupported-api", "`self.is_mutable_collection`: NNX variables always are", node)


def _has_variable(frame: Frame, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """`self.has_variable(collection, name)`: true from the second call on, if the module makes the variable here.

    Of caches only a call can tell.
    """
    collection = args[0] if args else kwargs.get("col")
    name = args[1] if len(args) > 1 else kwargs.get("name")
    by_calls = collection == caches.CACHE
    if not frame.foreign:
        if not isinstance(collection, str) or not isinstance(name, str) or node is None:
            raise Refuse("unsupported-api", "`self.has_variable` with names that aren't literals", node)
        caches.remember(frame, Lookup(collection, name, node, frame.context, frame.controls, by_calls))
    return Unknown("whether there is a cache") if by_calls else InitFlag(False, True)


def _sow(frame: Frame, node: ast.Call, args: Any, kwargs: Any) -> Any:
    """`self.sow("intermediates", name, value)`: what is sown elsewhere is part of what `init` returns."""
    if frame.foreign:
        return Unknown("`self.sow`")
    collection = args[0] if args else kwargs.get("col")
    name = args[1] if len(args) > 1 else kwargs.get("name")
    if collection != "intermediates":
        raise Refuse("unsupported-api", "`self.sow` into another collection than `intermediates`", node)
    written = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "name")]
    pattern = re.escape(name) if isinstance(name, str) else text_pattern(written[0]) if written else None
    if pattern is None:
        raise Refuse("unsupported-api", "`self.sow` with a name of which nothing is written out", node)
    frame.session.facts.sown[frame.context, node] = pattern
    return Unknown("`self.sow`")
