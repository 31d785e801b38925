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
    """The inputs of which a convolution, or a module of the project, takes another axis than the last for features."""
    axes: dict[tuple[str | int, ...], set[int]] = {}
    for site in analysis.sites:
        for call in site.calls if site.layer_name in _CONVOLUTIONS or site.classes else ():
            size = TOKEN.fullmatch(_features(analysis, call))
            if size is not None and size["kind"] == "a":
                axes.setdefault(path_of(size["name"]), set()).add(int(size["id"]))
    ranks = {
        path: rank + (path in analysis.session.unbatched)
        for path, rank in analysis.session.input_ranks.items()
    }
    return frozenset(path for path, found in axes.items() if found == {1 - ranks.get(path, 0)})


def _features(analysis: ClassAnalysis, call: LayerCall) -> str:
    """The size of the last axis of what a layer gets; of what it gets in the first round of a loop."""
    value = effect_value(analysis.session, call.args[0]) if call.args else None
    known = isinstance(value, Array) and value.shape.dims and value.shape.dims[-1].known
    text = value.shape.dims[-1].text() if known and isinstance(value, Array) else ""
    while (size := TOKEN.fullmatch(text)) is not None and size["kind"] == "p":
        phi = analysis.facts.phis.get(int(size["id"]))
        if phi is None or not phi.is_loop or not phi.sources[0].known:
            break
        text = phi.sources[0].text()
    return text
