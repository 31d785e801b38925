"""Maps applied to concrete trees. Trees are written ``{"params/Dense_0/kernel": (3, 4)}``."""

import pytest

from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.map_expansion import LeafSpec, MapError, expand
from nnx_migrate.numerics.map_patterns import PathPattern
from nnx_migrate.numerics.map_sequences import Created, SequenceEntry, sequence_from_json, sequence_to_json
from nnx_migrate.numerics.parameter_map import ClassMap, Entry, ParameterMap, leaf, module

Shapes = dict[str, tuple[int, ...]]


def linen_tree(shapes: Shapes) -> dict[tuple[str, ...], LeafSpec]:
    paths = {tuple(path.split("/")): shape for path, shape in shapes.items()}
    return {path: LeafSpec(shape, "float32", path[0]) for path, shape in paths.items()}


def nnx_tree(shapes: Shapes, kinds: dict[str, str] | None = None) -> dict[tuple[str, ...], LeafSpec]:
    kinds = kinds or {}
    return {
        tuple(path.split("/")): LeafSpec(shape, "float32", kinds.get(path, "params"))
        for path, shape in shapes.items()
    }


def pairs(
    linen: Shapes, nnx: Shapes, *entries: Entry, classes=None, class_of=lambda path: ()
) -> dict[str, str]:
    """What each NNX leaf is made of, written ``{"nnx/path": "linen/path + linen/path"}``."""
    parameter_map = ParameterMap({"m:Model": ClassMap(entries), **(classes or {})})
    expansion = expand(parameter_map, "m:Model", linen_tree(linen), nnx_tree(nnx), class_of)
    return {
        " + ".join("/".join(p) for p in pair.nnx): " + ".join("/".join(p) for p in pair.linen)
        for pair in expansion.pairs
    }


def problems(linen: Shapes, nnx: Shapes, *entries: Entry, kinds: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(MapError) as caught:
        expand(
            ParameterMap({"m:Model": ClassMap(entries)}), "m:Model", linen_tree(linen), nnx_tree(nnx, kinds)
        )
    return caught.value.problems


DENSE = {"params/Dense_0/kernel": (3, 4), "params/Dense_0/bias": (4,)}


def test_leaf_and_module_entries() -> None:
    nnx = {"dense/kernel": (3, 4), "dense/bias": (4,), "scale": (1,)}
    assert pairs(
        {**DENSE, "params/scale": (1,)},
        nnx,
        module(["Dense_0"], ["dense"], "flax.linen:Dense"),
        leaf(["params", "scale"], ["scale"]),
    ) == {
        "dense/kernel": "params/Dense_0/kernel",
        "dense/bias": "params/Dense_0/bias",
        "scale": "params/scale",
    }


def test_an_optional_leaf_may_be_missing_on_both_sides() -> None:
    entries = [leaf(["params", "Dense_0", name], ["dense", name]) for name in ("kernel", "bias")]
    assert pairs({"params/Dense_0/kernel": (3, 4)}, {"dense/kernel": (3, 4)}, *entries) == {
        "dense/kernel": "params/Dense_0/kernel"
    }


def test_loops_with_shifted_and_doubled_indices() -> None:
    linen = {f"params/Dense_{i}/kernel": (i + 1, 2) for i in range(5)}
    nnx = {"first/kernel": (1, 2)} | {
        f"{name}/{i}/kernel": (2 * i + offset + 1, 2)
        for i in range(2)
        for offset, name in ((1, "up"), (2, "down"))
    }
    assert pairs(
        linen,
        nnx,
        module(["Dense_0"], ["first"], None),
        module(["Dense_{2*i + 1}"], ["up", "{i}"], None),
        module(["Dense_{2*i + 2}"], ["down", "{i}"], None),
    ) == {
        "first/kernel": "params/Dense_0/kernel",
        "up/0/kernel": "params/Dense_1/kernel",
        "up/1/kernel": "params/Dense_3/kernel",
        "down/0/kernel": "params/Dense_2/kernel",
        "down/1/kernel": "params/Dense_4/kernel",
    }


def test_more_than_ten_layers_are_in_numeric_order() -> None:
    linen = {f"params/Block_{i}/w": (i + 1,) for i in range(12)}
    nnx = {f"blocks/{i}/w": (i + 1,) for i in range(12)}
    found = pairs(linen, nnx, module(["Block_{#}"], ["blocks", "{i}"], None))
    assert found == {f"blocks/{i}/w": f"params/Block_{i}/w" for i in range(12)}


def test_ordinal_counts_through_ragged_nested_loops() -> None:
    """ResNet: Linen numbers all blocks, NNX keeps them by stage."""
    sizes = [1, 3, 2]
    nnx = {f"stages/{i}/{j}/w": (i + 1, j + 1) for i, n in enumerate(sizes) for j in range(n)}
    linen = {f"params/Block_{n}/w": shape for n, shape in enumerate(nnx.values())}
    found = pairs(linen, nnx, module(["Block_{#}"], ["stages", "{i}", "{j}"], None))
    assert found["stages/1/2/w"] == "params/Block_3/w"
    assert found["stages/2/0/w"] == "params/Block_4/w"


def test_condition_on_the_index() -> None:
    linen = {
        "params/Attention_0/w": (1,),
        "params/Attention_1/w": (3,),
        "params/Mlp_0/w": (2,),
        "params/Mlp_1/w": (4,),
    }
    nnx = {f"layers/{i}/w": (i + 1,) for i in range(4)}
    assert pairs(
        linen,
        nnx,
        module(["Attention_{i // 2}"], ["layers", "{i}"], None, where="i % 2 == 0"),
        module(["Mlp_{i // 2}"], ["layers", "{i}"], None, where="i % 2 == 1"),
    ) == {
        "layers/0/w": "params/Attention_0/w",
        "layers/1/w": "params/Mlp_0/w",
        "layers/2/w": "params/Attention_1/w",
        "layers/3/w": "params/Mlp_1/w",
    }


def test_dictionary_keys_and_indices_that_only_linen_binds() -> None:
    linen = {
        "params/head_depth/w": (1,),
        "params/head_rgb/w": (3,),
        "params/layer_1/w": (5,),
        "params/layer_2/w": (6,),
    }
    nnx = {"heads/depth/w": (1,), "heads/rgb/w": (3,), "layers/0/w": (5,), "layers/1/w": (6,)}
    assert pairs(
        linen,
        nnx,
        module(["head_{*name}"], ["heads", "{*name}"], None),
        module(["layer_{n}"], ["layers", "{n - 1}"], None),
    ) == {
        "heads/depth/w": "params/head_depth/w",
        "heads/rgb/w": "params/head_rgb/w",
        "layers/0/w": "params/layer_1/w",
        "layers/1/w": "params/layer_2/w",
    }


def test_classes_that_contain_each_other() -> None:
    """A recursive module (a tree, an hourglass): its map refers to itself."""
    block = ClassMap((leaf(["params", "w"], ["weight"]), module(["inner"], ["child"], "m:Block")))
    linen = {"params/b/w": (1,), "params/b/inner/w": (2,), "params/b/inner/inner/w": (3,)}
    nnx = {"block/weight": (1,), "block/child/weight": (2,), "block/child/child/weight": (3,)}
    entry = module(["b"], ["block"], "m:Block")
    assert pairs(linen, nnx, entry, classes={"m:Block": block}) == {
        "block/weight": "params/b/w",
        "block/child/weight": "params/b/inner/w",
        "block/child/child/weight": "params/b/inner/inner/w",
    }


def test_the_class_of_a_submodule_may_be_known_at_run_time_only() -> None:
    linen = {f"params/RNN_0/cell/{gate}/kernel": (2, 3) for gate in ("ii", "if", "ig", "io")}
    linen |= {
        f"params/RNN_0/cell/h{gate}/{leaf}": s
        for gate in "ifgo"
        for leaf, s in (("kernel", (3, 3)), ("bias", (3,)))
    }
    nnx = {
        "rnn/cell/dense_i/kernel": (2, 12),
        "rnn/cell/dense_h/kernel": (3, 12),
        "rnn/cell/dense_h/bias": (12,),
    }
    found = pairs(
        linen,
        nnx,
        module(["RNN_0"], ["rnn"], "flax.linen:RNN"),
        class_of=lambda path: {("rnn", "cell"): ["m:MyCell", "flax.nnx:OptimizedLSTMCell"]}.get(path, ()),
    )
    assert found["rnn/cell/dense_i/kernel"] == " + ".join(
        f"params/RNN_0/cell/{gate}/kernel" for gate in ("ii", "if", "ig", "io")
    )


def test_stacking_a_python_loop_whose_layers_are_fused() -> None:
    linen = {
        f"params/cells_{i}/{gate}/{name}": shape
        for i in range(3)
        for gate, names in (("ir", "kb"), ("iz", "kb"), ("in", "kb"), ("hr", "k"), ("hz", "k"), ("hn", "k"))
        for name, shape in (("kernel", (2, 2)), ("bias", (2,)))
        if name[0] in names
    }
    nnx = {"cells/dense_i/kernel": (3, 2, 6), "cells/dense_i/bias": (3, 6), "cells/dense_h/kernel": (3, 2, 6)}
    found = pairs(linen, nnx, module(["cells_{i}"], ["cells"], "flax.linen:GRUCell", Transform("stack")))
    assert found["cells/dense_i/bias"] == " + ".join(
        f"params/cells_{i}/{gate}/bias" for i in range(3) for gate in ("ir", "iz", "in")
    )


def test_unstacking_a_scanned_module() -> None:
    linen = {"params/layers/Dense_0/kernel": (3, 2, 4), "params/layers/Dense_0/bias": (3, 4)}
    nnx = {
        f"layers/{i}/dense/{name}": shape
        for i in range(3)
        for name, shape in (("kernel", (2, 4)), ("bias", (4,)))
    }
    block = ClassMap((module(["Dense_0"], ["dense"], None),))
    entry = module(["layers"], ["layers", "{i}"], "m:Block", Transform("unstack"))
    assert pairs(linen, nnx, entry, classes={"m:Block": block}) == {
        " + ".join(f"layers/{i}/dense/{name}" for i in range(3)): f"params/layers/Dense_0/{name}"
        for name in ("kernel", "bias")
    }


def test_stacking_single_leaves() -> None:
    linen = {"params/scale_0": (4,), "params/scale_1": (4,)}
    entry = leaf(["params", "scale_{i}"], ["scales"], Transform("stack"))
    assert pairs(linen, {"scales": (2, 4)}, entry) == {"scales": "params/scale_0 + params/scale_1"}


def test_same_paths_are_spelled_each_librarys_way() -> None:
    linen = {
        "params/layers_0/w": (1,),
        "params/nest_0_1/w": (2,),
        "params/if/w": (3,),
        "batch_stats/bn/mean": (4,),
    }
    nnx = {"layers/0/w": (1,), "nest/0/1/w": (2,), "if_/w": (3,), "bn/mean": (4,)}
    kinds = {"bn/mean": "batch_stats"}
    expansion = expand(ParameterMap(), None, linen_tree(linen), nnx_tree(nnx, kinds))
    assert {"/".join(p.nnx[0]) for p in expansion.pairs} == set(nnx)


def test_scopes_of_modules_are_reported() -> None:
    nnx = nnx_tree({"dense/kernel": (3, 4), "dense/bias": (4,)})
    parameter_map = ParameterMap({"m:Model": ClassMap((module(["Dense_0"], ["dense"], None),))})
    assert expand(parameter_map, "m:Model", linen_tree(DENSE), nnx).scopes == {
        (): (),
        ("Dense_0",): ("dense",),
    }


NNX_DENSE = {"dense/kernel": (3, 4), "dense/bias": (4,)}
ENTRY = module(["Dense_0"], ["dense"], None)


@pytest.mark.parametrize(
    ("linen", "nnx", "entries", "expected"),
    [
        (DENSE, {"dense/kernel": (3, 4)}, [ENTRY], "Linen leaf params/Dense_0/bias is not mapped"),
        (
            {"params/Dense_0/kernel": (3, 4)},
            NNX_DENSE,
            [ENTRY],
            "NNX leaf dense/bias is not mapped",
        ),
        (
            DENSE,
            {**NNX_DENSE, "dense/kernel": (4, 3)},
            [ENTRY],
            "shape (3, 4) in Linen, (4, 3) in NNX at dense/kernel",
        ),
        (DENSE, NNX_DENSE, [ENTRY, ENTRY], "Linen leaf params/Dense_0/kernel is mapped 2 times"),
        (
            DENSE,
            NNX_DENSE,
            [leaf(["params", "Dense_0", n], ["dense", n + "s"]) for n in ("kernel", "bias")],
            "NNX leaf dense/kernels does not exist",
        ),
        (
            {f"params/Dense_{i}/w": (1,) for i in range(3)},
            {f"layers/{i}/w": (1,) for i in range(2)},
            [module(["Dense_{i}"], ["layers", "{i}"], None)],
            "Linen leaf params/Dense_2/w is not mapped",
        ),
        (
            {f"params/Dense_{i}/w": (1,) for i in range(2)},
            {"w": (2, 1)},
            [leaf(["params", "Dense_{i}", "w"], ["w"])],
            "index i stands on Linen's side only",
        ),
        (
            {"params/x": (1,), "stats/x": (1,)},
            {"x": (1,)},
            [module([], [], None)],
            "params/x has several possible counterparts",
        ),
        (DENSE, NNX_DENSE, [module(["Dense_0"], ["dense"], "m:Other")], "no map for class m:Other"),
    ],
)
def test_what_does_not_fit_is_named(linen: Shapes, nnx: Shapes, entries: list[Entry], expected: str) -> None:
    assert any(expected in problem for problem in problems(linen, nnx, *entries)), expected


@pytest.mark.parametrize(
    ("collection", "kind", "fits"),
    [
        ("params", "params", True),
        ("params", "stats", False),
        ("batch_stats", "batch_stats", True),
        ("batch_stats", "params", False),
        ("ema", "ema", True),
        ("ema", "MovingAverage", True),
        ("ema", "params", False),
        ("ema", "cache", False),
        ("cache", "Variable", False),
    ],
)
def test_collections_against_variable_types(collection: str, kind: str, fits: bool) -> None:
    entry = leaf([collection, "x"], ["x"])
    linen, nnx = linen_tree({f"{collection}/x": (1,)}), nnx_tree({"x": (1,)}, {"x": kind})
    parameter_map = ParameterMap({"m:Model": ClassMap((entry,))})
    if fits:
        assert len(expand(parameter_map, "m:Model", linen, nnx).pairs) == 1
    else:
        with pytest.raises(MapError, match=f"collection {collection} in Linen"):
            expand(parameter_map, "m:Model", linen, nnx)


def test_dtypes_have_to_agree() -> None:
    linen = {("params", "w"): LeafSpec((1,), "float32", "params")}
    nnx = {("w",): LeafSpec((1,), "bfloat16", "params")}
    with pytest.raises(MapError, match="dtype float32 in Linen, bfloat16 in NNX"):
        expand(ParameterMap(), None, linen, nnx)


@pytest.mark.parametrize("made", ["norm", "norm_1"])
def test_branches_that_call_layers_by_one_name(made: str) -> None:
    """Linen has one place for both, NNX an attribute for each, of which it makes one."""
    linen = {"params/norm/scale": (4,), "params/norm/bias": (4,), "params/gain": (1,)}
    nnx = {f"{made}/scale": (4,), f"{made}/bias": (4,), f"{made.replace('norm', 'gain')}": (1,)}
    entries = [
        module(["norm"], ["norm"], "flax.linen:LayerNorm"),
        module(["norm"], ["norm_1"], "flax.linen:LayerNorm"),
        leaf(["params", "gain"], ["gain"]),
        leaf(["params", "gain"], ["gain_1"]),
    ]
    assert set(pairs(linen, nnx, *entries)) == set(nnx)
    (problem, *_) = problems(linen, {}, *entries)
    assert problem == "Linen leaf params/norm/scale is not mapped"


def test_a_name_that_only_models_show_is_the_one_that_others_leave() -> None:
    linen = {f"params/fc{i}/kernel": (1,) for i in range(3)}
    nnx = {"fcs/0/kernel": (1,), "fcs/1/kernel": (1,), "fc/kernel": (1,)}
    entries = [
        module(["fc{*unknown}"], ["fc"], "flax.linen:Dense"),
        module(["fc{i}"], ["fcs", "{i}"], "flax.linen:Dense"),
    ]
    assert pairs(linen, nnx, *entries)["fc/kernel"] == "params/fc2/kernel"
    del linen["params/fc2/kernel"], nnx["fc/kernel"]
    assert len(pairs(linen, nnx, *entries)) == 2


def test_a_name_that_only_models_show_may_not_be_one_of_several() -> None:
    linen = {"params/fc1/kernel": (1,), "params/fc7/kernel": (1,)}
    nnx = {"fc/kernel": (1,), "other/kernel": (1,)}
    entries = [module(["fc{*unknown}"], [name], "flax.linen:Dense") for name in ("fc", "other")]
    assert "m:Model at the model: fc1, fc7: any of them may be fc{*unknown}" in problems(linen, nnx, *entries)


def test_one_place_for_two_layers_that_are_both_there_is_an_error() -> None:
    linen = {"params/norm/scale": (4,)}
    nnx = {"norm/scale": (4,), "norm_1/scale": (4,)}
    entries = [module(["norm"], [name], "flax.linen:LayerNorm") for name in ("norm", "norm_1")]
    assert "Linen leaf params/norm/scale is mapped 2 times" in problems(linen, nnx, *entries)


@pytest.mark.parametrize("prefix", ["Block", "CheckpointBlock"])
def test_blocks_that_a_configuration_rematerialises(prefix: str) -> None:
    """Linen counts them by the transformed class's name, and plain ones of the class by its own."""
    linen = {"params/Block_0/w": (1,), f"params/{prefix}_{int(prefix == 'Block')}/w": (2,)}
    nnx = {"block_0/w": (1,), "block_1/w": (2,)}
    steps = (
        Created("Block", PathPattern.of(["block_0"]), None),
        Created("Block", PathPattern.of(["block_1"]), None, lifted="CheckpointBlock"),
    )
    entry = SequenceEntry(steps)
    assert sequence_from_json(sequence_to_json(entry)) == entry
    assert list(pairs(linen, nnx, entry)) == ["block_0/w", "block_1/w"]
