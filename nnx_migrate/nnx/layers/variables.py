"""From Linen variables to NNX variables: the map by which parameters are carried over."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.nnx.layers.judge import UNKNOWN, Judge
from nnx_migrate.nnx.layers.model import BoundArgs, LayerSpec, Leaf, Numerics, Path, Refusal


def variables(
    spec: LayerSpec, bound: BoundArgs, judge: Judge | None = None, numerics: Numerics = "exact"
) -> tuple[Leaf, ...]:
    """The layer's own variables (not its children's): for each NNX variable, the Linen ones it is made of."""
    return () if spec.leaves is None else spec.leaves(bound, judge or Judge(), numerics)


def wrapper_variables(
    spec: LayerSpec,
    bound: BoundArgs,
    layer_name: str,
    params: Iterable[tuple[tuple[str, ...], Path, int]],
    judge: Judge | None = None,
) -> tuple[Leaf, ...] | Refusal:
    """The variables that SpectralNorm and WeightNorm add for each parameter of the layer they wrap.

    `layer_name` is the wrapped layer's Linen name; `params` are its parameters as (path in Linen, path in
    NNX, number of dimensions), both below the layer. Linen keeps the additions under one flat name each.
    """
    judge = judge or Judge()
    found = []
    for linen, nnx, ndim in params:
        flat, key = "/".join((layer_name, *linen)), "/".join(map(str, nnx))
        if spec.name == "SpectralNorm":
            if ndim > 1 and judge.field(bound, "n_steps") != 0:
                for name in ("u", "sigma"):
                    found.append(Leaf("batch_stats", ((f"{flat}/{name}",),), ("stats", key, name)))
            continue
        wanted = _filter(bound, judge)
        if wanted is UNKNOWN or _matches(flat, wanted) != _matches(key, wanted):
            return Refusal(
                "unknown-wrapped-names",
                f"whether WeightNorm's filter selects `{flat}` depends on a name that NNX does not have",
                "Convert this layer by hand.",
                bound.call,
            )
        if _matches(key, wanted) and judge.field(bound, "use_scale") is not False:
            optional = judge.field(bound, "use_scale") is not True
            found.append(Leaf("params", ((f"{flat}/scale",),), ("scales", key), optional=optional))
    return tuple(found)


def _filter(bound: BoundArgs, judge: Judge) -> object:
    node: ast.expr | None = bound.values.get("variable_filter")
    return {"kernel"} if node is None else judge.constant(node)


def _matches(path: str, wanted: object) -> bool:
    """Whether WeightNorm's filter selects a path: no filter selects all."""
    if not isinstance(wanted, set | list | tuple) or not wanted:
        return True
    return any(str(part) in path for part in wanted)
