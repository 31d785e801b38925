"""Axes that are known to be long, because a group norm divides them into groups.

Beside an axis of 32 or more, nothing but 1 or the same size fits: what `self.conv2(nn.GroupNorm(32)(h)) + shortcut`
gives has the size of its first operand, whatever is known of the shortcut.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.layers.normalization import GroupNorm
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame, LongAxis


def remember_groups(frame: Frame, norm: Any, inputs: Sequence[Any], node: ast.Call | None) -> None:
    """Remember what a call of a group norm says about its input; for another size, it raises an error."""
    if not isinstance(norm, GroupNorm) or norm.group_size is not None or node is None:
        return
    if frame.module.enclosing(node, ast.BoolOp, ast.Try) is not None:
        return  # it may not be called, or its error be caught
    groups = norm.num_groups.const if isinstance(norm.num_groups, Dim) else norm.num_groups
    array = inputs[0] if inputs else None
    if isinstance(groups, int) and groups > 1 and isinstance(array, Array) and array.shape.dims:
        size = array.shape.dims[-1]
        if size.known and size.const is None:
            frame.long_axes.append(LongAxis(size, groups, node, frame.controls))


class LongAxes:
    """The long axes that are certain where an operator stands, each by a symbol that says so."""

    def __init__(self, frame: Frame, node: ast.expr | ast.stmt) -> None:
        self.frame = frame
        known = {axis.size: axis for axis in frame.long_axes if axis.holds_at(node, frame.controls)}
        self.symbols = {
            size: Dim.symbol(f"long_axis_{number}", axis.groups)
            for number, (size, axis) in enumerate(known.items())
        }
        self.sizes = {symbol: size for size, symbol in self.symbols.items()}

    def marked(self, value: Any) -> Any:
        """An operand with the symbol of its last axis, if that is known to be long."""
        array = effect_value(self.frame.session, value) if self.symbols else value
        changed = _with_last(array, lambda size: self.symbols.get(size, size))
        return value if changed is array else changed

    def unmarked(self, value: Any) -> Any:
        """A result with the sizes that the symbols stand for."""
        return _with_last(value, lambda size: self.sizes.get(size, size))


def _with_last(value: Any, change: Callable[[Dim], Dim]) -> Any:
    """An array with another size of its last axis; the value itself where that stays."""
    if not isinstance(value, Array) or not value.shape.dims:
        return value
    *others, last = value.shape.dims
    changed = change(last)
    if changed is last:
        return value
    return replace(value, shape=replace(value.shape, dims=(*others, changed)))
