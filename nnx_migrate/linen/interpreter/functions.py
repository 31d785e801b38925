"""Calls of Python functions of the project: closures, lambdas, helper functions and methods of the class."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

from nnx_migrate.linen.arrays.shapes import Global, Shape, Unknown
from nnx_migrate.linen.chosen.functions import ChosenFunction
from nnx_migrate.linen.chosen.late_calls import remember_late_call
from nnx_migrate.linen.classes.decorators import keeps_method
from nnx_migrate.linen.classes.lifts import METHOD_LIFTS
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.interpreter.calls.flatteners import flattened
from nnx_migrate.linen.interpreter.calls.forwarded import remember_forwarded, shows_all
from nnx_migrate.linen.interpreter.calls.recursion import TOO_DEEP, Call, goes_round
from nnx_migrate.linen.interpreter.calls.spread import HIDDEN
from nnx_migrate.linen.interpreter.dispatch import evaluate, execute
from nnx_migrate.linen.interpreter.frame import MAX_DEPTH, MAX_RECURSION, Env, Frame, Slot
from nnx_migrate.linen.interpreter.records import is_table
from nnx_migrate.linen.interpreter.stale import forget, without
from nnx_migrate.linen.interpreter.statements.exits import returned
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules.homes import at_home
from nnx_migrate.linen.interpreter.submodules.pure_modules import inside_transform
from nnx_migrate.linen.interpreter.submodules.returned_classes import chosen_by_call, is_only_called
from nnx_migrate.linen.interpreter.transforms.lifting import decorator_parts
from nnx_migrate.linen.making_functions import makes_modules
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Bound, Closure, Partial, SelfValue, Spread
from nnx_migrate.names.nodes import is_generator
from nnx_migrate.names.parameters import arguments_by_name, defaults

# Those that trace the function: modules that it calls may not change or draw anything.
_TRACING = frozenset({"jax.jit", "jax.checkpoint", "jax.remat", "jax.custom_jvp", "jax.custom_vjp"})
# JAX's decorators of functions that return what they return without.
_KEEPING = frozenset(
    f"jax.{name}"
    for name in (
        "jit",
        "checkpoint",
        "remat",
        "named_call",
        "named_scope",
        "custom_jvp",
        "custom_vjp",
        "custom_gradient",
    )
)


def decorated(frame: Frame, closure: Closure) -> Any:
    """What a function definition binds: JAX's transforms around it change what calls return.

    Other decorators are taken to leave that as it is.
    """
    from nnx_migrate.linen.interpreter.calls.apply import apply

    value: Any = closure
    for decorator in reversed(getattr(closure.node, "decorator_list", [])):
        transform = evaluate(frame, decorator)
        inner = transform.func if isinstance(transform, Partial) else transform
        if isinstance(inner, Global) and inner.name in _TRACING:
            frame.session.traced.add(closure.node)
        if isinstance(inner, Global) and inner.name.startswith("jax.") and inner.name not in _KEEPING:
            value = apply(frame, transform, (value,), {}, None)
    return value


def call_closure(
    frame: Frame,
    closure: Closure,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.expr | None,
    *,
    method: str = "",
    static_args: bool = False,
    choice: bool = False,
) -> Any:
    """The result of a function whose code is known; its effects are recorded in the context of the call.

    That of one among several (a `choice`) has the function itself behind the call.
    """
    frame = at_home(frame, closure.home)
    session = frame.session
    if session.depth >= MAX_DEPTH or frame.context.count(node) >= MAX_RECURSION:
        return _too_deep(frame, node)
    call = Call(closure, args, kwargs)
    if goes_round(frame, call):
        return Unknown(TOO_DEEP)
    if (array := flattened(frame, closure, args, kwargs)) is not None:
        return array
    local_function = closure.env is not None or closure.self_value is not None
    steps = () if node is None else (node, closure.node) if choice else (node,)
    inner = Frame(
        session,
        closure.module,
        {},
        owner=closure.owner,
        self_value=closure.self_value,
        method=method or frame.method,
        context=(*frame.context, *steps),
        controls=frame.controls,
        outer=closure.env,
        foreign=frame.foreign or not (local_function or _is_followed(frame, closure)),
        outside=frame.outside or not local_function,
    )
    if not inner.foreign:
        args, kwargs = _without_old(frame, closure, args, kwargs)
    if isinstance(node, ast.Call) and not inner.foreign:
        _remember(frame, closure, node, inner, args, kwargs)
    inner.env.update(bind_arguments(frame, closure, args, kwargs, static_args))
    if isinstance(node, ast.Call) and not inner.foreign and _is_direct(frame, closure, node):
        _find_static(frame, closure, inner)
    given = dict(inner.env)
    session.depth += 1
    session.calls.append(call)
    try:
        with inside_transform(inner) if closure.node in session.traced else nullcontext():
            result = _run(inner, closure.node, isinstance(node, ast.Call) and is_only_called(frame, node))
        if isinstance(node, ast.Call):
            result = chosen_by_call(frame, node, result)
            remember_late_call(frame, closure, node, result)
        return result
    except Refuse as refusal:
        if refusal.reason != "unsupported-syntax" or not inner.foreign or frame.foreign:
            raise
        # what makes no modules can only compute: its result isn't known, nor what it made of lists and dicts
        inner.env = {name: Slot(Unknown(refusal.detail)) for name in inner.env}
        return Unknown(refusal.detail)
    finally:
        session.depth -= 1
        session.calls.pop()
        if isinstance(node, ast.Call):
            _forget_changed(frame, closure, node, given, inner.env)


def _is_followed(frame: Frame, closure: Closure) -> bool:
    """Whether what a function does is recorded: of those in other files, only what makes modules matters."""
    if closure.module is frame.module:
        return True
    return makes_modules(frame.session.program, closure.module, closure.node)


def _too_deep(frame: Frame, node: ast.expr | None) -> Unknown:
    """Nothing is known of deeper calls; none of them may make modules as those around it do."""
    if any(node in context for context, _ in frame.session.facts.sites):
        raise Refuse("recursive-module", "a function that creates modules calls itself", node)
    return Unknown(TOO_DEEP)


def _remember(
    frame: Frame,
    closure: Closure,
    node: ast.Call,
    inner: Frame,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Which code a call reaches and which expressions its parameters stand for: the writer follows both."""
    facts = frame.session.facts
    facts.functions[inner.context[:-1], inner.context[-1]] = closure
    for name, argument in arguments_by_name(node, _given_by_position(closure)).items():
        if not _is_rebound(closure.node, name):
            facts.arguments[inner.context, name] = (frame.context, argument)
    own, spec = _given_by_position(closure), closure.node.args
    hidden = len(spec.posonlyargs) + len(spec.args) - len(own)  # `self`
    if (spec.vararg or spec.kwarg) and shows_all(facts, node, frame.context, len(args) - hidden, kwargs):
        remember_forwarded(facts, node, closure.node, own, frame.context, inner.context)


def _without_old(
    frame: Frame, closure: Closure, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call of a function, without what earlier calls computed from its variables.

    The constructor knows these by their names, which get new values now.
    """
    for name, token in frame.session.locals_of(closure.node):
        forget(frame, name, token)
        args = tuple(without(value, name, token) for value in args)
        kwargs = {key: without(value, name, token) for key, value in kwargs.items()}
    return args, kwargs


def _is_direct(frame: Frame, closure: Closure, node: ast.Call) -> bool:
    """Whether a call names the function that it reaches, so that its arguments are the function's own."""
    called = frame.session.facts.values.get((frame.context, node.func))
    if isinstance(called, Bound):
        return isinstance(called.value, SelfValue) and called.name == getattr(closure.node, "name", "")
    return called is closure or (isinstance(called, ChosenFunction) and closure in called.functions)


def _find_static(frame: Frame, closure: Closure, inner: Frame) -> None:
    """Mark the parameters that stand for what the constructor can compute, too: it writes the arguments for them."""
    facts = frame.session.facts
    values = {argument.arg: default for argument, default in defaults(closure.node.args)}
    for name, slot in inner.env.items():
        given = facts.arguments.get((inner.context, name))
        default = values.get(name)
        if given is None and default is not None and not _is_rebound(closure.node, name):
            names = [n.id for n in ast.walk(default) if isinstance(n, ast.Name)]
            of_module = closure.env is None and closure.self_value is None
            if not names or (of_module and all(frame.lookup(n) is None for n in names)):
                facts.arguments[inner.context, name] = given = (frame.context, default)
        if given is not None and is_static(frame, given[1]):
            inner.env[name] = replace(slot, static=True)


def _given_by_position(closure: Closure) -> list[str]:
    """The parameters that a call's arguments stand for; `self` and `cls` aren't among them."""
    spec = closure.node.args
    names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
    decorators = getattr(closure.node, "decorator_list", [])
    is_static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in decorators)
    is_method = closure.env is None and closure.self_value is not None
    return names[1:] if is_method and not is_static else names


def _forget_changed(frame: Frame, closure: Closure, node: ast.Call, before: Env, after: Env) -> None:
    """Lists and dicts of the caller that a function has changed in place."""
    names = _given_by_position(closure)
    given = [*zip(names, node.args, strict=False), *((k.arg, k.value) for k in node.keywords if k.arg)]
    for name, argument in given:
        slot = before.get(name)
        if slot is None or not _may_change(slot.value) or not isinstance(argument, ast.Name):
            continue
        same = name in after and after[name].value == slot.value
        if not same and (name in changed_names(closure.node) or not _is_rebound(closure.node, name)):
            frame.bind(argument.id, Unknown(f"`{argument.id}` is changed by a function that gets it"))


def _may_change(value: Any) -> bool:
    return isinstance(value, list | dict) or is_table(value)


@cache
def changed_names(function: ast.AST) -> frozenset[str]:
    """The names whose items a function sets, or of which it calls methods."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            found.update(n.id for n in ast.walk(node.value) if isinstance(n, ast.Name))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found.update(n.id for n in ast.walk(node.func.value) if isinstance(n, ast.Name))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


@cache
def _is_rebound(function: ast.AST, name: str) -> bool:
    names = (n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name)
    return any(not isinstance(n.ctx, ast.Load) for n in names)


def _run(inner: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, only_called: bool) -> Any:
    if isinstance(node, ast.Lambda):
        return evaluate(inner, node.body)
    if is_generator(node):
        return Unknown("a generator")
    execute(inner, node.body)
    return returned(inner, only_called)


def call_method(
    frame: Frame, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.expr | None
) -> Any:
    """A method of the class under analysis, called on `self`."""
    self_value = frame.session.self_value
    closure = Closure(method.node, method.owner.module, None, self_value, method.owner)
    given = args if method.kind in ("static", "class") else (self_value, *args)
    if method.kind == "class":
        given = (Unknown("the class"), *args)
    frame.session.facts.methods_reached.add(method.name)
    result = call_closure(frame, closure, given, kwargs, node, method=method.name)
    return result if _keeps_result(frame, method) else Unknown(f"what a decorator makes of `{method.name}`")


def _keeps_result(frame: Frame, method: Method) -> bool:
    """Whether callers get what the method's own code returns; lifted transforms are seen to where it is called."""
    owner, project = method.owner, frame.session.program.project
    for decorator in method.transforms:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = owner.resolve_in_class(called)
        if name == "functools.partial" and isinstance(decorator, ast.Call) and decorator.args:
            name = owner.resolve_in_class(decorator.args[0])
        if name in _KEEPING or name == "abc.abstractmethod":
            continue
        lifted = decorator_parts(method, decorator)[0] in METHOD_LIFTS
        if not lifted and not keeps_method(decorator, owner.module, project):
            return False
    return True


def bind_arguments(
    frame: Frame, closure: Closure, args: tuple[Any, ...], kwargs: dict[str, Any], static: bool = False
) -> Env:
    """A function's parameters bound to the values of a call; defaults are evaluated where they stand."""
    spec = closure.node.args
    names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
    bound: Env = {}
    hidden = next((i for i, value in enumerate(args) if isinstance(value, Spread)), None)
    for name, value in zip(names, args[:hidden], strict=False):
        bound[name] = Slot(value, static)
    if hidden is not None:
        reason = HIDDEN if args[hidden].value == HIDDEN else Unknown("an argument that `*` gives")
        bound.update({n: Slot(reason) for n in names[hidden:] if n not in kwargs})
        if spec.vararg is not None:
            value = args[hidden].value if hidden == len(names) == len(args) - 1 else None
            bound[spec.vararg.arg] = Slot(value if isinstance(value, Shape) else reason)
    elif len(args) > len(names):
        if spec.vararg is None:
            raise Refuse(
                "unsupported-syntax", "a call gives more arguments than the function has", closure.node
            )
        bound[spec.vararg.arg] = Slot(tuple(args[len(names) :]))
    elif spec.vararg is not None:
        bound[spec.vararg.arg] = Slot(())
    rest: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in names or name in [a.arg for a in spec.kwonlyargs]:
            bound[name] = Slot(value, static)
        else:
            rest[name] = value
    if spec.kwarg is not None:
        bound[spec.kwarg.arg] = Slot(rest)
    definition = Frame(
        frame.session, closure.module, {}, outer=closure.env, foreign=True, owner=closure.owner
    )
    for arg, default in defaults(spec):
        if arg.arg not in bound:
            bound[arg.arg] = Slot(evaluate(definition, default), False)
    for name in [*names, *(a.arg for a in spec.kwonlyargs)]:
        if name not in bound:
            bound[name] = Slot(Unknown(f"argument `{name}` isn't given"))
    return bound
