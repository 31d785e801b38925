"""Comprehensions: lists of modules, lists of equal values, or what the constructor can compute."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, given_ones
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter.branches.control import branch
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.conditions import truth
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.loops.elements import MAX_UNROLL, known_items
from nnx_migrate.linen.interpreter.loops.gathered import many_of
from nnx_migrate.linen.interpreter.loops.unrolling import round_marker
from nnx_migrate.linen.interpreter.sizes.sizes_at_axes import sizes_at_axes, watch
from nnx_migrate.linen.interpreter.statements.assignment import assign, bind_target
from nnx_migrate.linen.interpreter.static import is_repeatable, is_static
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Expr, Instance, ModuleList, Rounds

#: Why dicts of modules are left: NNX holds their values as attributes.
TEXT_KEYS = "modules in a dict whose keys are not texts"


@evaluates(ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)
def comprehension(frame: Frame, node: ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp) -> Any:
    """A list of modules, a list of equal values, or something the constructor can compute."""
    inner = frame.child(env=dict(frame.env))
    inner.returns = frame.returns
    controls = frame.controls
    if frame.foreign and len(node.generators) == 1 and not node.generators[0].ifs:
        found = _unrolled_comprehension(inner, node)
        if found is not None:
            return watch(frame, node, found)
    if isinstance(node, ast.GeneratorExp) and _leaves_out_none(node):
        found = _without_none(inner, node)
        if found is not None:
            return found
    iterables: list[Any] = []
    for generator in node.generators:
        iterable = evaluate(inner, generator.iter)
        iterables.append(iterable)
        static = is_static(inner, generator.iter)
        bind_target(inner, generator.target, iterable, static, node)
        for test in generator.ifs:
            evaluate(inner, test)
    inner.controls = (*controls, *(branch(node, "loop") for _ in node.generators[:1]))
    if isinstance(node, ast.DictComp):
        key = evaluate(inner, node.key)
        value = evaluate(inner, node.value)
        if _holds_module(value) and _is_number(key):
            raise Refuse("unsupported-syntax", TEXT_KEYS, node)
    else:
        value = evaluate(inner, node.elt)
    if _holds_module(value):
        if len(node.generators) > 1 and not frame.foreign:
            raise Refuse("unsupported-syntax", "modules created in a comprehension over two iterables", node)
        return ModuleList(value, _rounds(frame, node, iterables), isinstance(node, ast.DictComp))
    if is_static(frame, node):
        return static_or_unknown(frame, node, "sequence")
    numbers = _numbers(inner, node, iterables)
    if numbers is not None:
        return watch(frame, node, numbers)
    sizes = sizes_at_axes(frame, node)
    if sizes is not None:
        return sizes
    if isinstance(node, ast.DictComp):
        return Unknown("a dict comprehension over arrays")
    if isinstance(value, Array):
        return many_of(frame, node, value, iterables)
    return Unknown("a comprehension over values of a call")


def _leaves_out_none(node: ast.GeneratorExp) -> bool:
    """Whether this is `v for v in values if v is not None`."""
    generator = node.generators[0]
    name = getattr(node.elt, "id", "")
    tests = [ast.unparse(test) for test in generator.ifs]
    plain = (
        len(node.generators) == 1 and isinstance(generator.target, ast.Name) and generator.target.id == name
    )
    return plain and tests == [f"{name} is not None"]


def _without_none(inner: Frame, node: ast.GeneratorExp) -> Any:
    """The tuple of those values that aren't None, where it is known which may be; None for anything else."""
    iterable = evaluate(inner, node.generators[0].iter)
    items = iterable if isinstance(iterable, TupleChoice) else known_items(iterable)
    if items is None or (isinstance(items, list) and any(_holds_module(item) for item in items)):
        return None
    return given_ones(items, "values of which some may be None")


def _rounds(frame: Frame, node: Any, iterables: list[Any]) -> Rounds | None:
    """The rounds of a list comprehension that skips none of them."""
    if not isinstance(node, ast.ListComp) or len(iterables) != 1 or node.generators[0].ifs:
        return None
    return Rounds(node, node.generators[0].target, iterables[0], frame.context)


def _unrolled_comprehension(inner: Frame, node: Any) -> Any:
    items = known_items(evaluate(inner, node.generators[0].iter))
    if items is None or len(items) > MAX_UNROLL:
        return None
    results: list[Any] = []
    outer = inner.context
    for index, item in enumerate(items):
        inner.context = (*outer, round_marker(inner, node, index))
        assign(inner, node.generators[0].target, item, False, node)
        if isinstance(node, ast.DictComp):
            results.append((evaluate(inner, node.key), evaluate(inner, node.value)))
        else:
            results.append(evaluate(inner, node.elt))
    inner.context = outer
    if isinstance(node, ast.DictComp):
        keys = [key for key, _ in results]
        return dict(results) if all(isinstance(key, str | int) for key in keys) else None
    return results


def _numbers(inner: Frame, node: Any, iterables: list[Any]) -> list[Any] | None:
    """The elements of a list of sizes, as in `[d for i, d in enumerate(x.shape) if i != axis]`; None for others."""
    items = known_items(iterables[0]) if len(iterables) == 1 else None
    if items is None or len(items) > MAX_UNROLL or not isinstance(node, ast.ListComp | ast.GeneratorExp):
        return None
    if not is_repeatable(inner, node):
        return None
    if _goes_through_shape(inner, node.generators[0].iter):
        inner.session.default_rank.written = True
    results: list[Any] = []
    outer = inner.context
    try:
        for index, item in enumerate(items):
            inner.context = (*outer, round_marker(inner, node, index))
            assign(inner, node.generators[0].target, item, False, node)
            tests = [truth(evaluate(inner, test)) for test in node.generators[0].ifs]
            if None in tests:
                return None
            if all(tests):
                results.append(evaluate(inner, node.elt))
    finally:
        inner.context = outer
    return results if all(_is_plain(as_dim(value)) for value in results) else None


def _goes_through_shape(frame: Frame, iterable: ast.expr) -> bool:
    """Whether an array has as many axes as a loop has rounds: what comes out of it shows a rank that was assumed."""
    names = [n for n in ast.walk(iterable) if isinstance(n, ast.Name)]
    slots = [slot for name in names if (slot := frame.lookup(name.id)) is not None]
    asked = any(isinstance(n, ast.Attribute) and n.attr == "shape" for n in ast.walk(iterable))
    return asked or any(isinstance(slot.value, Shape) for slot in slots)


def _is_plain(dim: Dim | None) -> bool:
    """Whether a value is a size that no condition decides, if it is known: nobody could read such a list."""
    return dim is not None and not (dim.known and " if " in dim.text())


def _is_number(key: Any) -> bool:
    """Whether a key is a number, as far as is known."""
    return isinstance(key, Dim | int) or (isinstance(key, Expr) and key.kind == "int")


def _holds_module(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_holds_module(item) for item in value)
    return isinstance(value, Instance | ModuleList)
