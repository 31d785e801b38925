"""Call expressions: whom they reach, and what comes back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.interpreter import modules
from nnx_migrate.linen.interpreter.calls.apply import MADE_BY, apply
from nnx_migrate.linen.interpreter.calls.arguments import arguments
from nnx_migrate.linen.interpreter.calls.handed_on import ask_for_arguments
from nnx_migrate.linen.interpreter.calls.packages import comes_from_libraries, is_free_of_flax
from nnx_migrate.linen.interpreter.calls.spread import (
    hidden_arguments,
    hides_arrays_only,
    others_by_name,
    own_function,
    with_sizes,
)
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.steps import popped
from nnx_migrate.linen.interpreter.modules import constructs
from nnx_migrate.linen.interpreter.spread_sizes import together
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.values import (
    Bound,
    Either,
    Expr,
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
from nnx_migrate.names.nodes import is_self

_PARTIALS = frozenset({"functools.partial"})
# Kinds of expressions that are functions without modules.
_PLAIN_FUNCTIONS = frozenset({"function", "elementwise", "initializer"})


@evaluates(ast.Call)
def call(frame: Frame, node: ast.Call) -> Any:
    """The value of a call expression."""
    target = evaluate(frame, node.func)
    _refuse_unknown_module(frame, node, target)
    if constructs(target):
        return modules.construct_or_bind(frame, node, target)
    args, kwargs, certain = arguments(frame, node)
    if isinstance(target, Global) and target.name in _PARTIALS and args:
        return Partial(args[0], node, args[1:], tuple(kwargs.items()), frame.module)
    if not certain:
        return _uncertain(frame, node, target, args, kwargs)
    element = popped(frame, node)
    if element is not NotImplemented:
        return element
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
    is_method = isinstance(node.func, ast.Attribute) and not is_self(node.func.value)
    by_field = isinstance(target, Unknown) and target.reason.startswith(MADE_BY) and not is_method
    inner = (
        frame.session.facts.values.get((frame.context, node.func.func))
        if isinstance(node.func, ast.Call)
        else None
    )
    by_class = (
        isinstance(inner, Global)
        and inner.name.rpartition(".")[2][:1].isupper()
        and not _is_of_library(frame, inner.name)
    )
    if isinstance(node.func, ast.Call) and _is_of_libraries(frame, node.func.func):
        return
    by_element = isinstance(target, Expr) and isinstance(node.func, ast.Name) and _was_made(frame, node.func)
    if by_text or by_field or by_class or by_element:
        raise Refuse(
            "unknown-module", f"what `{ast.unparse(node.func)[:80]}` is isn't known; it may be a module", node
        )


def _was_made(frame: Frame, name: ast.Name) -> bool:
    """Whether a name stands for the elements of a list whose elements calls have made: `[cell(8) for _ in sizes]`."""
    for loop in _loops_around(frame, name):
        if name.id in {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}:
            return any(_holds_calls(part) for part in _parts(frame, loop.iter))
    return False


def _loops_around(frame: Frame, node: ast.AST) -> Iterator[ast.For | ast.comprehension]:
    parent = frame.module.parents.get(node)
    while parent is not None and not isinstance(parent, ast.FunctionDef):
        if isinstance(parent, ast.For):
            yield parent
        yield from getattr(parent, "generators", ())
        parent = frame.module.parents.get(parent)


def _parts(frame: Frame, iterable: ast.expr) -> Iterator[ast.expr]:
    """What a loop goes through, and what `zip` and `enumerate` take; names by what has been assigned to them."""
    arguments = iterable.args if isinstance(iterable, ast.Call) else ()
    for node in (iterable, *arguments):
        if not isinstance(node, ast.Name):
            yield node
            continue
        for binding in frame.module.scope_at(node).lookup(node.id):
            if binding.value is not None:
                yield binding.value


def _holds_calls(node: ast.expr) -> bool:
    elements = node.elts if isinstance(node, ast.List | ast.Tuple) else [getattr(node, "elt", None)]
    return any(isinstance(element, ast.Call) for element in elements)


def _is_of_library(frame: Frame, qualified: str) -> bool:
    """Whether a class comes from a package that can't define Linen modules."""
    return is_free_of_flax(qualified) and frame.session.program.project.definition(qualified) is None


def _is_of_libraries(frame: Frame, node: ast.expr) -> bool:
    """Whether a dotted name of the module comes from such packages."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    is_global = isinstance(root, ast.Name) and frame.lookup(root.id) is None
    return is_global and isinstance(node, ast.Attribute) and comes_from_libraries(frame.module, node)


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
