"""Maps of the stock layers whose NNX variables are not where Linen keeps them.

Measured on flax 0.12.8. A stock layer that is not listed keeps the same leaf names on both sides (Dense →
Linear, Conv, Embed, MultiHeadDotProductAttention, ...), which is what a module without a map gets anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from nnx_migrate.numerics.leaf_transforms import IDENTITY, Transform
from nnx_migrate.numerics.parameter_map import DYNAMIC, ClassMap, Entry, leaf, module

_FLAT = Transform("reshape")  # nnx stores the parameters of a norm over several axes flat: (5, 7) -> (35,)
_FUSED = Transform("concat", axis=-1)


def _same_names(*paths: str, transform: Transform) -> ClassMap:
    return ClassMap(
        tuple(leaf(path.split("/"), path.split("/")[1:], transform) for path in paths),
    )


def _fused(gates: Mapping[str, str], leaves: Mapping[str, str]) -> tuple[Entry, ...]:
    """Gate layers `prefix + gate` joined into one layer: `gates` gives the gate letters by NNX layer."""
    return tuple(
        leaf([["params", gate, name] for gate in gates[layer].split()], [layer, name], _FUSED)
        for layer, names in leaves.items()
        for name in names.split()
    )


def _renamed(names: Mapping[str, str]) -> tuple[Entry, ...]:
    return tuple(module([linen], [nnx], None) for linen, nnx in names.items())


_OPTIMIZED_LSTM = ClassMap(
    _fused(
        {"dense_i": "ii if ig io", "dense_h": "hi hf hg ho"}, {"dense_i": "kernel", "dense_h": "kernel bias"}
    )
)
# Linen's hn bias has no counterpart in nnx.GRUCell; it stays unmapped, and the completeness check says so.
_GRU = ClassMap(
    _fused({"dense_i": "ir iz in", "dense_h": "hr hz hn"}, {"dense_i": "kernel bias", "dense_h": "kernel"})
)
_LSTM = ClassMap(
    _renamed(
        {"ii": "ii", "if": "if_", "ig": "ig", "io": "io", "hi": "hi", "hf": "hf", "hg": "hg", "ho": "ho"}
    )
)
_SIMPLE = ClassMap(_renamed({"i": "dense_i", "h": "dense_h"}))
_MGU = ClassMap(_renamed({"if": "if_", "in": "in_", "hf": "hf", "hn": "hn"}))
_SEQUENTIAL = ClassMap((module(["layers_{i}"], ["layers", "{i}"], DYNAMIC),))
_RNN = ClassMap((module(["cell"], ["cell"], DYNAMIC),))
_BIDIRECTIONAL = ClassMap(
    (module(["forward_rnn"], ["forward_rnn"], DYNAMIC), module(["backward_rnn"], ["backward_rnn"], DYNAMIC))
)
_NORM = _same_names("params/scale", "params/bias", transform=_FLAT)
_BATCH_NORM = _same_names(
    "params/scale", "params/bias", "batch_stats/mean", "batch_stats/var", transform=_FLAT
)

#: Keyed by the Linen class and, for modules whose class is only known at run time, by the NNX class.
LAYER_MAPS: Mapping[str, ClassMap] = {
    f"{library}:{name}": class_map
    for library in ("flax.linen", "flax.nnx")
    for name, class_map in {
        "OptimizedLSTMCell": _OPTIMIZED_LSTM,
        "GRUCell": _GRU,
        "LSTMCell": _LSTM,
        "SimpleCell": _SIMPLE,
        "MGUCell": _MGU,
        "Sequential": _SEQUENTIAL,
        "RNN": _RNN,
        "Bidirectional": _BIDIRECTIONAL,
        "LayerNorm": _NORM,
        "RMSNorm": _NORM,
        "GroupNorm": _NORM,
        "InstanceNorm": _NORM,
        "BatchNorm": _BATCH_NORM,
    }.items()
}

#: What Linen calls the layers that have another name in NNX.
LINEN_NAMES: Mapping[str, str] = {"Linear": "Dense", "LinearGeneral": "DenseGeneral"}


def layer_map(layer: str) -> ClassMap:
    """The map of a class that derives from a layer with a kernel, or from a norm."""
    return LAYER_MAPS.get(
        f"flax.linen:{layer}", _same_names("params/kernel", "params/bias", transform=IDENTITY)
    )


def canonical_class(module_name: str, qualified_name: str) -> str:
    """The key of a class, ``module:qualname``, with Flax's private modules folded into the public ones.

    >>> canonical_class("flax.nnx.nn.recurrent", "LSTMCell")
    'flax.nnx:LSTMCell'
    """
    for library in ("flax.linen", "flax.nnx"):
        if module_name == library or module_name.startswith(library + "."):
            return f"{library}:{qualified_name}"
    return f"{module_name}:{qualified_name}"
