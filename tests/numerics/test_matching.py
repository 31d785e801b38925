"""Correspondence without a map: by path, else by the order of reads, else an explanation."""

import pytest

from nnx_migrate.numerics.map_expansion import LeafSpec, MapError
from nnx_migrate.numerics.matching import match
from nnx_migrate.numerics.recording import Description

Shapes = dict[str, tuple[int, ...]]


def description(kind: str, shapes: Shapes, reads: list[str] | None = None) -> Description:
    specs = {tuple(path.split("/")): LeafSpec(shape, "float32", "params") for path, shape in shapes.items()}
    order = [tuple(path.split("/")) for path in (shapes if reads is None else reads)]
    return Description(kind, "m:Model", specs, order)


def linen(shapes: Shapes, reads: list[str] | None = None) -> Description:
    return description(
        "linen", {f"params/{p}": s for p, s in shapes.items()}, reads and [f"params/{p}" for p in reads]
    )


def pairs(before: Description, after: Description) -> dict[str, str]:
    return {"/".join(p.linen[0][1:]): "/".join(p.nnx[0]) for p in match(before, after).pairs}


def test_equal_paths_do_not_need_an_order() -> None:
    names = {"a/kernel": (2, 2), "b/kernel": (2, 2)}
    reversed_reads = description("nnx", names, ["b/kernel", "a/kernel"])
    assert pairs(linen(names), reversed_reads) == {"a/kernel": "a/kernel", "b/kernel": "b/kernel"}


def test_order_of_reads_within_modules_that_look_alike() -> None:
    before = linen({"Dense_0/kernel": (2, 2), "Dense_1/kernel": (2, 2), "norm/scale": (2,)})
    after = description(
        "nnx",
        {"out/kernel": (2, 2), "hidden/kernel": (2, 2), "ln/scale": (2,)},
        ["ln/scale", "hidden/kernel", "out/kernel"],
    )
    assert pairs(before, after) == {
        "Dense_0/kernel": "hidden/kernel",
        "Dense_1/kernel": "out/kernel",
        "norm/scale": "ln/scale",
    }


def test_what_is_never_read_comes_last() -> None:
    before = linen({"A_0/w": (1,), "A_1/w": (1,)}, ["A_1/w"])
    after = description("nnx", {"unused/w": (1,), "used/w": (1,)}, ["used/w"])
    assert pairs(before, after) == {"A_1/w": "used/w", "A_0/w": "unused/w"}


def test_groups_of_different_size_are_explained() -> None:
    before = linen({"Dense_0/kernel": (2, 2), "Dense_1/kernel": (2, 2)})
    after = description("nnx", {"a/kernel": (2, 2), "b/kernel": (2, 3)})
    with pytest.raises(MapError) as caught:
        match(before, after)
    text = str(caught.value)
    assert "2 modules in Linen and 1 in NNX hold (kernel float32[2, 2])" in text
    assert "0 modules in Linen and 1 in NNX hold (kernel float32[2, 3]); b/kernel" in text
