"""The size of the inputs of a layer that is called several times, where not all of its calls tell it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.symbols import numbers
from nnx_migrate.linen.values import Layer


def certain_size(analysis: ClassAnalysis, site: Site, dims: Sequence[Dim]) -> Dim | None:
    """The size at a call that is made wherever the layer is; `dims` are those at its deciding calls.

    One call makes the parameters in Linen, and another one with inputs of another size is an error there
    (`Scope.param` in flax/core/scope.py). So the calls agree, unless their sizes are known to differ.
    """
    if not isinstance(site.target, Layer) or _may_lack_parameters(site):
        return None
    known = [dim for dim in dims if dim.known]
    if any(same(one, other) is False for one in known for other in known):
        return None
    made = [
        dim
        for call, dim in zip(site.deciding_calls, dims, strict=True)
        if dim.known and _is_always_made(site, call) and not _is_late(analysis, site, dim)
    ]
    return min(made, key=lambda dim: len(dim.text()), default=None)


def _is_late(analysis: ClassAnalysis, site: Site, dim: Dim) -> bool:
    """Whether control flow decides the size behind the construction."""
    found = [analysis.facts.phis.get(number) for number in numbers(dim.text(), "p")]
    return any(
        phi is None or phi.context != site.context or getattr(phi.node, "lineno", 0) >= site.call.lineno
        for phi in found
    )


def _may_lack_parameters(site: Site) -> bool:
    """Whether the layer may have no parameters, so that no call binds the others: a norm without scale and bias."""
    return all(site.kwargs.get(name, True) is not True for name in ("use_scale", "use_bias"))


def _is_always_made(site: Site, call: LayerCall) -> bool:
    if call.node is None or not set(call.controls) <= set(site.controls):
        return False
    function = site.owner.module.enclosing(call.node, ast.FunctionDef)
    if function is None:
        return False
    return sum(isinstance(node, ast.Return) for node in ast.walk(function)) == 1
