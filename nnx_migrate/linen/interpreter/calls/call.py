"""Call expressions: whom they reach, and what comes back."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.interpreter.calls.apply import apply
from nnx_migrate.linen.interpreter.calls.arguments import arguments
from nnx_migrate.linen.interpreter.calls.handed_on import ask_for_arguments
from nnx_migrate.linen.interpreter.calls.spread import (
    hidden_arguments,
    hides_arrays_only,
    others_by_name,
    own_function,
    with_sizes,
)
from nnx_migrate.linen.interpreter.calls.unknown_modules import (
    refuse_unknown_layers,
    refuse_unknown_module,
    refuse_unknown_receiver,
)
from nnx_migrate.linen.interpreter.calls.unknown_uses import refuse_unknown_arguments
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.steps import popped
from nnx_migrate.linen.interpreter.sizes.spread_sizes import together
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules import modules
from nnx_migrate.linen.interpreter.submodules.modules import constructs
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import (
    Bound,
    Either,
    FieldModule,
    Input,
    Instance,
    Layer,
    Maybe,
    ModuleList,
    Partial,
    SelfValue,
    Spread,
)

_PARTIALS = frozenset({"functools.partial"})


@evaluates(ast.Call)
def call(frame: Frame, node: ast.Call) -> Any:
    """The value of a call expression."""
    target = evaluate(frame, node.func)
    refuse_unknown_module(frame, node, target)
    if constructs(target):
        made = modules.construct_or_bind(frame, node, target)
        if target == Layer("Sequential"):
            refuse_unknown_layers(frame, node)
        return made
    args, kwargs, certain = arguments(frame, node)
    refuse_unknown_receiver(frame, node, args, kwargs)
    refuse_unknown_arguments(frame, node)
    if isinstance(target, Global) and target.name in _PARTIALS and args:
        return Partial(args[0], node, args[1:], tuple(kwargs.items()), frame.module)
    if not certain:
        return _uncertain(frame, node, target, args, kwargs)
    element = popped(frame, node)
    if element is not NotImplemented:
        return element
    return apply(frame, target, args, kwargs, node)


def _sizes(target: Any, args: tuple[Any, ...]) -> Shape | None:
    """All sizes of `x.reshape(batch, *self.shape)`; None for other calls."""
    is_reshape = isinstance(target, Bound) and target.name == "reshape"
    if not is_reshape or not isinstance(target.value, Array | Input | Unknown):
        return None
    if not any(isinstance(a, Spread) for a in args):
        return None
    return together([(a.value, True) if isinstance(a, Spread) else (a, False) for a in args])


def _uncertain(
    frame: Frame, node: ast.Call, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A call with arguments that aren't visible."""
    if isinstance(target, Maybe):
        target = target.value
    function = own_function(frame, target)
    if function is not None and hides_arrays_only(node, args):
        return apply(frame, target, with_sizes(frame, function, node, args), kwargs, node)
    sizes = _sizes(target, args) if not kwargs else None
    if sizes is not None:
        return apply(frame, target, (sizes,), kwargs, node)
    args = tuple(a for a in args if not isinstance(a, Spread))
    if isinstance(target, FieldModule):
        return apply(frame, target, args, kwargs, node)
    ask_for_arguments(frame, target, node, len(args))
    hidden = hidden_arguments(frame, target, node, args, kwargs)
    if hidden is not None:
        return apply(frame, target, args, {**kwargs, **hidden}, node)
    by_name_only = not any(isinstance(a, ast.Starred) for a in node.args)
    if isinstance(target, Instance) and by_name_only and args:
        if isinstance(target.site.target, Layer):
            # Sizes and mode flags: the first argument decides about the result.
            return apply(frame, target, args, kwargs, node)
        apply(frame, target, args, {**kwargs, **others_by_name(target, args, kwargs)}, node)
        return Unknown("what a module returns for `**` arguments isn't known")
    if isinstance(target, Instance | ModuleList | Either | FieldModule) or (
        isinstance(target, Bound) and isinstance(target.value, Instance | SelfValue)
    ):
        if isinstance(target, Instance) and not modules.needs_sizes(frame, target.site):
            return apply(frame, target, args, kwargs, node)
        raise Refuse("unknown-call", "a submodule is called with `*args` or `**kwargs`", node)
    if is_static(frame, node):
        return static_or_unknown(frame, node)
    return Unknown("a call with arguments that can't be followed")
