"""The sizes of an input at axes that fields choose: `[inputs.shape[axis] for axis in self.axis]`, or
`tuple(size for i, size in enumerate(inputs.shape) if i in axes)`.

How many these are, and which, is up to whoever constructs the module. So they are one sequence to the class, known by
a token; what a construction has to give for it shows where the class's code runs with that construction's fields and
inputs. By that the token means what the expression does, whatever way leads from a field to the axes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from nnx_migrate.linen.arrays.leads import axis_size, split_lead
from nnx_migrate.linen.arrays.shapes import Array, Shape
from nnx_migrate.linen.arrays.spread_shapes import Sizes
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.convert import as_dim, effect_value
from nnx_migrate.linen.interpreter.frame import Frame, Session
from nnx_migrate.linen.interpreter.functions import call_method
from nnx_migrate.linen.interpreter.ranks.every_rank import sizes_for_every_rank
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.linen.values import Expr, Input, Spread
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, last_name

Comprehension = ast.ListComp | ast.GeneratorExp
_NUMBERED = (ast.ListComp, ast.GeneratorExp)
# What makes no difference between a list and a tuple.
_EITHER = frozenset({"tuple", "prod", "sum", "max", "min"})


def comprehensions(cls: LinenClass) -> Iterator[Comprehension]:
    """Those of a class's methods, in an order by which each has a number; those of its base come first."""
    for owner in reversed(cls.mro):
        for method in owner.own_methods.values():
            yield from (node for node in ast.walk(method.node) if isinstance(node, _NUMBERED))


def comprehension_of(cls: LinenClass, method: str, number: int) -> Comprehension | None:
    """The one with that number, if it is part of what the class calls by the name `method`."""
    found, node = cls.method(method), next(islice(comprehensions(cls), number, None), None)
    return node if found is not None and any(n is node for n in ast.walk(found.node)) else None


def sizes_at_axes(frame: Frame, node: ast.AST) -> Expr | None:
    """The token for such sizes, if the comprehension `node` gives them all in a row; None for anything else."""
    if frame.foreign or frame.context or not isinstance(node, _NUMBERED):
        return None
    name = _input_read(frame, node)
    if name is None or frame.session.entry != frame.method or any(one.is_loop for one in frame.controls):
        return None
    number = next((i for i, one in enumerate(comprehensions(frame.session.cls)) if one is node), None)
    if number is None:
        return None
    text = token(name, "x", frame.session.same_sizes(node, _read(frame, node), number))
    axes = None if node.generators[0].ifs else node.generators[0].iter
    slot = frame.lookup(axes.id) if isinstance(axes, ast.Name) else None
    if slot is not None:
        frame.session.axes_held.append((slot, text))
    if not _may_be_either(frame.module, node):
        if isinstance(node, ast.GeneratorExp):
            return None
        text = f"list({text})"
    return Sizes(text, "sequence", shape=Shape((), ""))


def number_of_axes(frame: Frame, node: ast.expr) -> Dim | None:
    """`len(axes)`, where the sizes at these axes are one sequence; None for anything else."""
    slot = frame.lookup(node.id) if isinstance(node, ast.Name) else None
    held = (text for other, text in frame.session.axes_held if other is slot)
    text = next(held, None) if slot is not None else None
    return None if text is None else Dim.symbol(f"len({text})", 0)


def _may_be_either(module: Module, node: ast.AST) -> bool:
    outer = module.parents.get(node)
    called = last_name(outer.func) if isinstance(outer, ast.Call) and outer.args == [node] else None
    return called in _EITHER


def as_needed(module: Module, node: ast.AST, text: str) -> str:
    """The text of such sizes without a `list(...)` that makes no difference where `node` stands."""
    listed = re.fullmatch(r"list\((.*)\)", text)
    is_token = listed is not None and TOKEN.fullmatch(listed[1]) is not None
    return listed[1] if listed is not None and is_token and _may_be_either(module, node) else text


def _input_read(frame: Frame, node: Comprehension) -> str | None:
    """The argument whose sizes a comprehension lists; what has these sizes may be computed from it, in its shape."""
    (generator, *others) = node.generators
    if others or generator.is_async:
        return None
    read = _filtered(frame, node) if generator.ifs else _indexed(node)
    shape = _shape(frame, read) if read is not None else None
    name = _named(shape) if shape is not None else ""
    return name if (name,) in frame.session.inputs_seen else None


def _indexed(node: Comprehension) -> ast.expr | None:
    """What is `x.shape` in `[x.shape[axis] for axis in axes]`."""
    target, element = node.generators[0].target, node.elt
    if not isinstance(element, ast.Subscript) or not isinstance(element.slice, ast.Name):
        return None
    return element.value if isinstance(target, ast.Name) and element.slice.id == target.id else None


def _filtered(frame: Frame, node: Comprehension) -> ast.expr | None:
    """What is `x.shape` in `[size for i, size in enumerate(x.shape) if i in axes]`."""
    (test, *others), iterable = node.generators[0].ifs, node.generators[0].iter
    names = [item.id for item in getattr(node.generators[0].target, "elts", ()) if isinstance(item, ast.Name)]
    if others or len(names) != 2 or not isinstance(iterable, ast.Call) or not isinstance(node.elt, ast.Name):
        return None
    plain = isinstance(iterable.func, ast.Name) and iterable.func.id == "enumerate"
    plain &= len(iterable.args) == 1 and not (
        iterable.keywords or frame.module.scope_at(node).lookup("enumerate")
    )
    is_chosen = (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == names[0]
        and isinstance(test.ops[0], ast.In | ast.NotIn)
        and isinstance(test.comparators[0], ast.Name)
    )
    if not (plain and is_chosen and node.elt.id == names[1] and _is_of_fields(frame.module, node, test)):
        return None
    return iterable.args[0]


def _is_of_fields(module: Module, node: Comprehension, test: ast.expr) -> bool:
    """Whether fields have a part in what a test compares with: other axes are the same for every module."""
    method = module.enclosing(node, ast.FunctionDef)
    assigned = [n for n in ast.walk(method) if isinstance(n, ast.Assign)] if method is not None else []
    reads, seen = [test], set[str]()
    for read in reads:  # grows
        if any(is_of_self(n) for n in ast.walk(read)):
            return True
        new = {n.id for n in ast.walk(read) if isinstance(n, ast.Name)} - seen
        seen |= new
        reads += [one.value for one in assigned if any(last_name(t) in new for t in one.targets)]
    return False


def _shape(frame: Frame, node: ast.expr) -> Shape | None:
    """What `x.shape`, or a variable that holds it, is."""
    is_part = isinstance(node, ast.Attribute) and node.attr == "shape"
    holder = node.value if isinstance(node, ast.Attribute) and is_part else node
    slot = frame.lookup(holder.id) if isinstance(holder, ast.Name) else None
    if slot is None:
        return None
    value = effect_value(frame.session, slot.value) if isinstance(slot.value, Input) else slot.value
    if is_part:
        return value.shape if isinstance(value, Array) else None
    return value if isinstance(value, Shape) else None


def _named(shape: Shape) -> str:
    """The argument that has this very shape, "" if none has."""
    if not shape.exact:
        return shape.whole
    names = {text.partition("§")[0] for dim in shape.dims for text in dim.symbols()}
    name = next(iter(names), "")
    own = tuple(axis_size(name, axis) for axis in range(-len(shape.dims), 0))
    return name if own and shape.dims == own and not split_lead(name)[1] else ""


def _read(frame: Frame, node: Comprehension) -> tuple[Any, ...]:
    """What the variables hold that an expression reads, each by the assignment that gave it."""
    names = sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name)})
    return tuple(frame.lookup(name) for name in names)


def sizes_given(
    session: Session,
    cls: LinenClass,
    fields: dict[str, Any],
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    number: int,
) -> list[Dim] | None:
    """What the comprehension with that number gives in `cls(**fields).method(*args, **kwargs)`; None if unknown."""
    from nnx_migrate.linen.interpreter.summaries import inside, without_inner

    found, node = cls.method(method), comprehension_of(cls, method, number)
    if found is None or node is None:
        return None
    values = tuple(v if isinstance(v, Spread) else effect_value(session, v) for v in args)
    keywords = {name: effect_value(session, value) for name, value in kwargs.items()}

    def listed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Dim] | None:
        inner, frame = inside(session, cls, fields, False)
        inner.watched = dict.fromkeys([node])
        try:
            with session.meter.aside():
                for setup in (m for m in (cls.method("__post_init__"), cls.method("setup")) if m is not None):
                    call_method(frame, setup, (), {}, None)
                call_method(frame, found, args, kwargs, None)
        except Refuse:
            return None
        (seen,) = inner.watched.values()
        dims = [as_dim(without_inner(one, inner.first_number)) for one in seen or ()]
        known = [dim for dim in dims if dim is not None and dim.known]
        return known if known and len(known) == len(dims) else None

    return listed(values, keywords) or sizes_for_every_rank(listed, values, keywords)


def watch(frame: Frame, node: ast.AST, value: Any) -> Any:
    """Remember what a comprehension gives that somebody asks for."""
    watched = frame.session.watched
    if node in watched and not frame.context:
        watched[node] = value if isinstance(value, tuple | list) else None
    return value
