"""Literals: constants, tuples, lists, dicts and f-strings."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Shape, Unknown
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.dispatch import evaluate, evaluates
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown, static_text
from nnx_migrate.linen.interpreter.frame import Frame, mixes
from nnx_migrate.linen.interpreter.sizes.spread_sizes import in_a_row
from nnx_migrate.linen.mixed_lists import MixedList, joined
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import BuiltList, Expr, ModuleList

_UNKNOWN_LENGTH = "a sequence of unknown length"


@evaluates(ast.Constant)
def _constant(frame: Frame, node: ast.Constant) -> Any:
    return node.value


@evaluates(ast.Tuple, ast.List)
def _tuple(frame: Frame, node: ast.Tuple | ast.List) -> Any:
    items: list[Any] = []
    mixed = False
    for element in node.elts:
        if isinstance(element, ast.Starred):
            inner = evaluate(frame, element.value)
            if isinstance(inner, ModuleList) and _is_of_sequence(frame, node, element):
                items.append(inner)
                mixed = True
                continue
            if isinstance(inner, ModuleList | MixedList) and mixes(frame) and joined(inner) is not None:
                items += inner.items if isinstance(inner, MixedList) else [inner]
                mixed = True
                continue
            if isinstance(inner, Shape) and inner.exact:
                inner = inner.items()
            if isinstance(inner, BuiltList) and element is node.elts[0]:
                for rest in node.elts[1:]:
                    evaluate(frame, rest)
                return inner  # with what is added to it
            if not isinstance(inner, tuple | list):
                return _spread(frame, node) or Unknown(_UNKNOWN_LENGTH)
            items.extend(inner)
        else:
            items.append(evaluate(frame, element))
    if mixed:
        return MixedList(tuple(items))
    return items if isinstance(node, ast.List) else tuple(items)


def _is_of_sequence(frame: Frame, node: ast.Tuple | ast.List, element: ast.Starred) -> bool:
    """Whether a comprehension stands among the layers of `nn.Sequential([...])`."""
    call = frame.module.parents.get(node)
    call = frame.module.parents.get(call) if isinstance(call, ast.keyword) else call
    if not isinstance(call, ast.Call) or not isinstance(element.value, ast.ListComp):
        return False
    return linen_name(frame.session.program.meaning(call.func, frame.module)) == "Sequential"


@evaluates(ast.Starred)
def _starred(frame: Frame, node: ast.Starred) -> Any:
    return evaluate(frame, node.value)


def _spread(frame: Frame, node: ast.Tuple | ast.List) -> Expr | Shape | None:
    """`(*x.shape[:-1], n)` where the rank isn't known, `(batch, *self.image_shape)`."""
    starred = [isinstance(element, ast.Starred) for element in node.elts]
    values = [evaluate(frame, e.value if isinstance(e, ast.Starred) else e) for e in node.elts]
    return in_a_row(list(zip(values, starred, strict=True)), static_text(frame, node))


@evaluates(ast.Dict)
def _dict(frame: Frame, node: ast.Dict) -> Any:
    result: dict[Any, Any] = {}
    certain = True
    for key, value_node in zip(node.keys, node.values, strict=True):
        value = evaluate(frame, value_node)
        if key is None:
            if isinstance(value, dict):
                result.update(value)
            else:
                certain = False
            continue
        name = evaluate(frame, key)
        if isinstance(name, str | int | bool):
            result[name] = value
        else:
            certain = False
    return result if certain else Unknown("a dict whose keys aren't known")


@evaluates(ast.JoinedStr)
def _joined(frame: Frame, node: ast.JoinedStr) -> Any:
    parts: list[str] = []
    certain = True
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = evaluate(frame, part.value)
            dim = as_dim(value)
            if isinstance(value, str):
                parts.append(value)
            elif dim is not None and dim.const is not None:
                parts.append(str(dim.const))
            else:
                certain = False
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value))
    if certain:
        return "".join(parts)
    return static_or_unknown(frame, node, "str")
