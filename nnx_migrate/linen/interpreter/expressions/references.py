"""What refers to a value that exists: names, attributes, subscripts; and lambdas."""

from __future__ import annotations

import ast
from collections import ChainMap
from typing import Any

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.interpreter import attributes, subscripts
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.steps import taken
from nnx_migrate.linen.values import Closure


@evaluates(ast.Name)
def _name(frame: Frame, node: ast.Name) -> Any:
    slot = frame.lookup(node.id)
    if slot is None:
        return attributes.global_value(frame, node)
    if not frame.foreign:
        frame.session.facts.static_names[frame.context, node] = slot.static
        if not slot.static:
            frame.session.facts.origins[frame.context, node] = slot.origins
    return slot.value


@evaluates(ast.Attribute)
def _attribute(frame: Frame, node: ast.Attribute) -> Any:
    qualified = attributes.qualified_name(frame, node)
    if qualified is not None:
        return attributes.named_value(frame, qualified, node)
    return attributes.get(frame, evaluate(frame, node.value), node.attr, node)


@evaluates(ast.Subscript)
def _subscript(frame: Frame, node: ast.Subscript) -> Any:
    value = evaluate(frame, node.value)
    index = _index(frame, node.slice)
    if isinstance(value, list | ArrayList):
        part = taken(frame, node, value, index)
        if part is not NotImplemented:
            return part
    return subscripts.item(frame, value, index, node)


def _index(frame: Frame, node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(_index(frame, element) for element in node.elts)
    if isinstance(node, ast.Slice):
        bounds = [
            evaluate(frame, part) if part is not None else None
            for part in (node.lower, node.upper, node.step)
        ]
        numbers = [b.const if isinstance(b, Dim) and b.const is not None else b for b in bounds]
        return slice(*numbers)
    return evaluate(frame, node)


@evaluates(ast.Lambda)
def _lambda(frame: Frame, node: ast.Lambda) -> Any:
    # variables are read when it is called; those of functions further out don't change any more
    outer = frame.env if not frame.outer else ChainMap(frame.env, frame.outer)
    return Closure(node, frame.module, outer, frame.self_value, frame.owner, frame.session)


@evaluates(ast.NamedExpr)
def _walrus(frame: Frame, node: ast.NamedExpr) -> Any:
    value = evaluate(frame, node.value)
    frame.bind(node.target.id, value, False)
    return value
