"""`**options` of which only a run knows the values, but the code tells the keys: `nn.Conv(n, **conv_args(3, n))`.

The items are bound to the layer's fields like arguments that are written out, and `**options` stays as it is where
each of them means the same to the NNX layer.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Global
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.displays import keys_behind
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.layers import Argument, BoundArgs, LayerSpec
from nnx_migrate.nnx.writer.naming import holds_modules

if TYPE_CHECKING:
    from nnx_migrate.linen.analysis import ClassAnalysis
    from nnx_migrate.linen.sites import Site
    from nnx_migrate.nnx.writer.render import InitRenderer

# Fields of these layers that change no shape, and whose default NNX has, too: they may be missing.
_MAY_BE_MISSING = frozenset({"kernel_init", "bias_init", "use_bias", "dtype", "param_dtype", "precision"})
_LAYERS = frozenset({"Dense", "Conv", "ConvTranspose"})


class SpreadItem(ast.Name):
    """A placeholder for one item of a dict that a call spreads; its name is the item's expression.

    `known` is the item as a literal, `refers_to` the qualified name of what it is, where either is known.
    """

    spread: ast.expr
    key: str
    known: ast.expr | None
    refers_to: str | None


def spread_items(module: Module, layer: str, node: ast.expr, value: Any) -> dict[str, ast.expr] | None:
    """Placeholders for what `**node` gives a layer; `value` is what the analysis knows of it. None: can't be told."""
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        return None if holds_modules(value) else {k: _item(node, k, item) for k, item in value.items()}
    keys = keys_behind(module, node) if layer in _LAYERS else None
    if keys and keys <= _MAY_BE_MISSING:
        return {key: _item(node, key, None, optional=True) for key in sorted(keys)}
    return None


def _item(node: ast.expr, key: str, value: Any, *, optional: bool = False) -> SpreadItem:
    item = SpreadItem(f"{ast.unparse(node)}[{key!r}]")
    item.spread, item.key = node, key
    item.known = None if optional else _literal(value)
    item.refers_to = value.name if isinstance(value, Global) else None
    return item


def _literal(value: Any) -> ast.expr | None:
    if isinstance(value, Dim) and value.const is not None:
        return ast.Constant(value.const)
    if value is None or isinstance(value, bool | int | float | str):
        return ast.Constant(value)
    if isinstance(value, tuple | list):
        items = [_literal(item) for item in value]
        if all(item is not None for item in items):
            return (ast.Tuple if isinstance(value, tuple) else ast.List)([i for i in items if i], ast.Load())
    return None


def behind(node: ast.expr) -> ast.expr | None:
    """The literal that a placeholder stands for."""
    return node.known if isinstance(node, SpreadItem) else None


def rejoined(
    spec: LayerSpec, bound: BoundArgs, arguments: Sequence[Argument], text: Callable[[ast.AST], str]
) -> tuple[Argument, ...]:
    """The arguments with `**options` in place of its items. Raises Refuse where NNX wants an item in another form."""
    items = [node for node in (*bound.values.values(), bound.name) if isinstance(node, SpreadItem)]
    found = list(arguments)
    for spread in dict.fromkeys(item.spread for item in items):
        own = [item for item in items if item.spread is spread]
        places = [_place(spec, found, item) for item in own]
        found[places[0]] = replace(found[places[0]], name="**", text=_operand(spread, text(spread)))
        found = [argument for index, argument in enumerate(found) if index not in places[1:]]
    return tuple(found)


def _place(spec: LayerSpec, arguments: Iterable[Argument], item: SpreadItem) -> int:
    """Where an item stands among the arguments, unchanged."""
    listed = item.key in spec.sequences and isinstance(item.known, ast.List)
    for index, argument in enumerate(arguments):
        if (
            argument.text == item.id
            and argument.name == item.key
            and argument.origin == "field"
            and not listed
        ):
            return index
    detail = f"`{spec.name}` gets `{item.key}`, which NNX takes in another form, from `**{ast.unparse(item.spread)}`"
    raise Refuse("unsupported-syntax", detail, item.spread)


def spread_fields(analysis: ClassAnalysis, renderer: InitRenderer, node: ast.expr, site: Site) -> str:
    """`**node` for a class of the project, whose fields keep their names. Raises Refuse."""
    value = analysis.facts.values.get((site.context, node))
    if isinstance(value, dict) and {"name", "parent"} & value.keys():
        raise Refuse("unsupported-syntax", f"`{site.target_name}` gets its name from `**`", site.call)
    if holds_modules(value):
        raise Refuse("unknown-module", f"`{site.target_name}` gets modules from `**`", site.call)
    return f"**{renderer.text(node, site.context)}"


def _operand(node: ast.expr, text: str) -> str:
    return f"({text})" if isinstance(node, ast.IfExp | ast.BoolOp) and not text.startswith("(") else text
