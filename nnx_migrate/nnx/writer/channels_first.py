"""Inputs whose features stand in front of the axes that convolutions slide over: `x.transpose(0, 2, 3, 1)` follows."""

from __future__ import annotations

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.sites import LayerCall
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import path_of

_CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvLocal")


def channels_first(analysis: ClassAnalysis) -> frozenset[tuple[str | int, ...]]:
    """The inputs of which a convolution takes another axis than the last one for its features."""
    axes: dict[tuple[str | int, ...], set[int]] = {}
    for site in analysis.sites:
        for call in site.calls if site.layer_name in _CONVOLUTIONS else ():
            size = TOKEN.fullmatch(_features(analysis, call))
            if size is not None and size["kind"] == "a":
                axes.setdefault(path_of(size["name"]), set()).add(int(size["id"]))
    ranks = {
        path: rank + (path in analysis.session.unbatched)
        for path, rank in analysis.session.input_ranks.items()
    }
    return frozenset(path for path, found in axes.items() if found == {1 - ranks.get(path, 0)})


def _features(analysis: ClassAnalysis, call: LayerCall) -> str:
    """The size of the last axis of what a layer gets."""
    value = effect_value(analysis.session, call.args[0]) if call.args else None
    known = isinstance(value, Array) and value.shape.dims and value.shape.dims[-1].known
    return value.shape.dims[-1].text() if known and isinstance(value, Array) else ""
