"""Linen's layers: outputs, and the sizes they need, against Linen itself."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import jax
import pytest

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.layers import Layer, layer
from nnx_migrate.linen.effects.layers.base import modelled_layers
from tests.linen.oracle import Case, Dice, Judge, judge, real_object

LINEN = "flax.linen."

# Which axis of which parameter shows a size.
SHOWN: dict[str, dict[str, tuple[tuple[str, ...], int]]] = {
    "Dense": {"in_features": (("kernel",), 0)},
    "Conv": {"in_features": (("kernel",), -2)},
    "ConvTranspose": {"in_features": (("kernel",), -2)},
    "BatchNorm": {"num_features": (("scale",), 0)},
    "LayerNorm": {"num_features": (("scale",), 0)},
    "RMSNorm": {"num_features": (("scale",), 0)},
    "GroupNorm": {"num_features": (("scale",), 0)},
    "InstanceNorm": {"num_features": (("scale",), 0)},
    "MultiHeadDotProductAttention": {
        "in_features": (("query", "kernel"), 0),
        "in_kv_features": (("key", "kernel"), 0),
        "in_value_features": (("value", "kernel"), 0),
    },
    "SelfAttention": {"in_features": (("query", "kernel"), 0)},
    "GRUCell": {"in_features": (("in", "kernel"), 0), "hidden_features": (("hn", "kernel"), 0)},
    "LSTMCell": {"in_features": (("ii", "kernel"), 0), "hidden_features": (("hi", "kernel"), 0)},
    "SimpleCell": {"in_features": (("i", "kernel"), 0), "hidden_features": (("h", "kernel"), 0)},
}


def nested(name: str, **fields: Any) -> dict[str, Any]:
    """A layer as a constructor argument of another one."""
    return {"layer": name, **fields}


def call_layer(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a real layer: (output, shown sizes). Arguments: fields, method, arguments of the call."""
    fields, method, given = args
    module = _real(name, fields)
    key = jax.random.key(0)
    output, variables = module.init_with_output(
        {"params": key, "dropout": key}, *given, method=method, **kwargs
    )
    sizes: dict[str, int] = {}
    for size, (path, axis) in _shown(name, method).items():
        leaf = variables["params"]
        for part in path:
            leaf = leaf[part]
        # A kernel of a grouped convolution shows the channels of one group.
        sizes[size] = leaf.shape[axis] * fields.get("feature_group_count", 1)
    return output, sizes


def _shown(name: str, method: str) -> dict[str, tuple[tuple[str, ...], int]]:
    return SHOWN.get(name, {}) if method == "__call__" else {}


def _real(name: str, fields: dict[str, Any]) -> Any:
    return real_object(LINEN + name)(**_built(fields, _real))


def _built(fields: dict[str, Any], make: Callable[[str, dict[str, Any]], Any]) -> dict[str, Any]:
    """Constructor arguments with nested layers built."""
    built = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            value = make(value["layer"], {k: v for k, v in value.items() if k != "layer"})
        built[key] = value
    return built


def answer_layer(case: Case) -> Any:
    """What our layer says: (output, sizes that are shown)."""
    fields, method, given = case.args
    applied = _ours(case.name, fields).apply(method, *given, **case.kwargs)
    return applied.output, {size: applied.sizes[size] for size in _shown(case.name, method)}


def _ours(name: str, fields: dict[str, Any]) -> Layer:
    layer_type = layer(LINEN + name)
    assert layer_type is not None
    bound = layer_type.bind(**_built(fields, _ours))
    assert isinstance(bound, Layer), bound
    return bound


def case(name: str, fields: dict[str, Any], *args: Any, method: str = "__call__", **kwargs: Any) -> Case:
    return Case(name, (fields, method, args), kwargs)


def array(*dims: int | Dim) -> Array:
    return Array.of(*dims, dtype="float")


def linear(dice: Dice) -> Iterator[Case]:
    while True:
        features, dims = dice.dim(), dice.dims(1, 4)
        inputs, rank = array(*dims), len(dims)
        roll = dice.randint(0, 7)
        if roll <= 1:
            yield case("Dense", {"features": features, "use_bias": dice.random() < 0.5}, inputs)
        elif roll <= 4:
            axes = tuple(dice.sample(range(-rank, 0), dice.randint(1, rank)))
            batch = tuple(range(dice.randint(0, rank))) if dice.random() < 0.3 else ()
            axes = tuple(axis for axis in axes if axis + rank not in batch) or (-1,)
            fields = {
                "features": dice.choice([features, (features, dice.dim())]),
                "axis": axes if dice.random() < 0.7 or len(axes) > 1 else axes[0],
                "batch_dims": batch,
            }
            yield case("DenseGeneral", fields, inputs)
        elif roll == 5:
            fields = {"num_embeddings": dice.dim(), "features": features}
            yield case("Embed", fields, Array.of(*dims, dtype="int"))
        elif roll == 6:
            fields = {"num_embeddings": dice.dim(), "features": dims[-1]}
            yield case("Embed", fields, inputs, method="attend")
        else:
            text, kernel = dice.choice(
                [("...d,df->...f", (dims[-1], features)), ("...d,dhf->...hf", (dims[-1], 2, 3))]
            )
            yield case("Einsum", {"shape": kernel, "einsum_str": text}, inputs)


def convolutions(dice: Dice) -> Iterator[Case]:
    while True:
        count = dice.randint(1, 3)
        spatial = [Dim.size(dice.choice("nmhw")) + 6 for _ in range(count)]
        inputs = array(*dice.dims(0, 2), *spatial, dice.randint(1, 3) * 2)
        kernel = tuple(dice.randint(1, 4) for _ in range(count))
        per_axis = tuple(dice.randint(1, 3) for _ in range(count))
        pads: list[Any] = [dice.choice([1, (0, 2), (1, 1)]) for _ in range(count)]
        modes = ["SAME", "VALID", "same", "CIRCULAR", 1, pads, tuple(pads)]
        fields: dict[str, Any] = {
            "features": dice.choice([4, dice.dim() * 2]),
            "kernel_size": kernel if dice.random() < 0.9 else [*kernel],
            "strides": dice.choice([1, 2, per_axis, None]),
        }
        if dice.random() < 0.65:
            fields["padding"] = dice.choice([*modes, "REFLECT", "SAME_LOWER", "CAUSAL"])
            if dice.random() < 0.3:
                fields["kernel_dilation"] = dice.choice([2, per_axis])
            if dice.random() < 0.2:
                fields["input_dilation"] = dice.choice([2, per_axis])
            if dice.random() < 0.2:
                fields["feature_group_count"] = 2
            yield case("Conv", fields, inputs)
        elif dice.random() < 0.2:
            fields["features"] = 2
            yield case("ConvLocal", fields, inputs)
        else:
            fields["padding"] = dice.choice(modes)
            if dice.random() < 0.3:
                fields["kernel_dilation"] = 2
            yield case("ConvTranspose", fields, inputs)


def norms(dice: Dice) -> Iterator[Case]:
    while True:
        dims = dice.dims(2, 4)
        rank = len(dims)
        axes = tuple(dice.sample(range(rank), dice.randint(1, rank)))
        roll = dice.randint(0, 6)
        if roll == 0:
            yield case("BatchNorm", {"use_running_average": False, "axis": dice.axis(rank)}, array(*dims))
        elif roll == 1:
            name = dice.choice(["LayerNorm", "RMSNorm"])
            yield case(name, dice.choice([{}, {"reduction_axes": axes}]), array(*dims))
        elif roll == 2:
            yield case("GroupNorm", {"num_groups": 2}, array(*dims[:-1], dims[-1] * 2))
        elif roll == 3:
            yield case("InstanceNorm", {}, array(*dims))
        elif roll == 4:
            yield case("Dropout", {"rate": 0.5, "deterministic": False}, array(*dims))
        elif roll == 5:
            yield case("PReLU", {}, array(*dims))
        else:
            name = dice.choice(["WeightNorm", "SpectralNorm"])
            keywords = {"update_stats": False} if name == "SpectralNorm" else {}
            inner = nested("Dense", features=dice.dim())
            yield case(name, {"layer_instance": inner}, array(*dims), **keywords)


def attention(dice: Dice) -> Iterator[Case]:
    while True:
        batch = dice.dims(1, 2)
        queries, keys = dice.dim(), dice.dim()
        fields: dict[str, Any] = {"num_heads": 2, "qkv_features": dice.choice([8, dice.dim() * 2])}
        if dice.random() < 0.4:
            fields["out_features"] = dice.dim()
        if dice.random() < 0.3:
            del fields["qkv_features"]
        inputs = [
            array(*batch, queries, dice.dim() * 2),
            array(*batch, keys, dice.dim()),
            array(*batch, keys, dice.dim()),
        ]
        if dice.random() < 0.5:
            mask = dice.choice([None, Array.of(*batch, 1, queries, queries, dtype="bool")])
            yield case("SelfAttention", fields, inputs[0], mask)
        else:
            mask = dice.choice([None, Array.of(*batch, 1, queries, keys, dtype="bool")])
            given = dice.choice([inputs[:2], inputs])
            yield case("MultiHeadDotProductAttention", fields, *given, mask=mask)


CELLS = ["GRUCell", "LSTMCell", "OptimizedLSTMCell", "SimpleCell", "MGUCell"]


def recurrent(dice: Dice) -> Iterator[Case]:
    while True:
        cell, hidden = dice.choice(CELLS), dice.dim()
        batch = dice.dims(1, 2)
        step = array(*batch, dice.dim())
        carry: Any = array(*batch, hidden)
        if "LSTM" in cell:
            carry = (carry, carry)
        fields: dict[str, Any] = {"features": hidden}
        sequence = array(*batch, dice.dim(), dice.dim())
        roll = dice.randint(0, 5)
        if roll == 0:
            yield case(cell, fields, carry, step)
        elif roll == 1:
            key = Array.of(2, dtype="uint32")
            yield case(cell, fields, key, step.shape, method="initialize_carry")
        elif roll in (2, 3):
            fields = {
                "cell": nested(cell, features=hidden),
                "time_major": dice.random() < 0.3,
                "return_carry": dice.random() < 0.4,
            }
            yield case("RNN", fields, sequence, **dice.choice([{}, {"return_carry": True}]))
        elif roll == 4:
            rnns = [nested("RNN", cell=nested(cell, features=size)) for size in (hidden, dice.dim())]
            fields = {"forward_rnn": rnns[0], "backward_rnn": rnns[1], "return_carry": dice.random() < 0.5}
            yield case("Bidirectional", fields, sequence)
        else:
            size = [Dim.size("h"), Dim.size("w")]
            inner = nested("ConvLSTMCell", features=hidden, kernel_size=(3, 3))
            yield case("RNN", {"cell": inner}, array(*batch, dice.dim(), *size, 2))


FAMILIES = {
    "linear": (linear, 50),
    "convolutions": (convolutions, 70),
    "norms": (norms, 30),
    "attention": (attention, 16),
    "recurrent": (recurrent, 16),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_agree_with_linen(family: str) -> None:
    generate, count = FAMILIES[family]
    rng = random.Random(family)
    cases = generate(Dice(rng))
    tally = judge([next(cases) for _ in range(count)], rng, Judge(answer_layer, call_layer))
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > count


@pytest.mark.parametrize("name", modelled_layers())
def test_fields_are_those_of_the_layer(name: str) -> None:
    ours = [f for f in dataclasses.fields(layer(name)) if f.init]  # type: ignore[arg-type]
    real = [f for f in dataclasses.fields(real_object(name)) if f.name not in ("parent", "name")]
    assert [f.name for f in ours] == [f.name for f in real]
    for mine, theirs in zip(ours, real, strict=True):
        if type(theirs.default) in (bool, int, float, str, tuple, type(None)):
            assert mine.default == theirs.default, mine.name


def test_sizes_of_a_layer_are_known_where_its_output_is_not() -> None:
    conv = layer("flax.linen.Conv").bind(8, (3, 3), padding=Unknown("a padding"))  # type: ignore[union-attr]
    assert isinstance(conv, Layer)
    applied = conv.apply("__call__", array(1, 28, 28, 3))
    assert applied.sizes["in_features"] == 3
    assert isinstance(applied.output, Array)
    assert applied.output.shape.dims[-1] == 8
    assert not applied.output.shape.dims[1].known


def test_the_input_of_a_layer_may_be_unknown() -> None:
    dense = layer("flax.linen.Dense").bind(Dim.size("features"))  # type: ignore[union-attr]
    assert isinstance(dense, Layer)
    applied = dense.apply("__call__", Unknown("a custom function"))
    assert applied.output == Array(Shape((Dim.size("features"),), ""))
    size = applied.sizes["in_features"]
    assert isinstance(size, Dim)
    assert size.reason == "a custom function"


def test_wrong_constructor_calls_are_unknown() -> None:
    dense = layer("flax.linen.Dense")
    assert dense is not None
    assert isinstance(dense.bind(), Unknown)
    assert isinstance(dense.bind(3, no_such_field=1), Unknown)
    assert isinstance(dense.bind(3, name="head"), Layer)
