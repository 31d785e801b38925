import numpy as np
import pytest

from nnx_migrate.numerics.compare import Tolerance
from nnx_migrate.verification.listed import ListedError, read_listed


def test_no_two_inputs_are_the_same_numbers():
    import jax.numpy as jnp

    table = {"model": "a:C", "inputs": ["f32[8]", "f32[8]"], "kwargs": {"y": "f32[8]", "n": "len('abc')"}}
    listed = read_listed(table)
    texts = [*listed.inputs, *listed.keywords.values()]
    first, second, third, number = (eval(text, {"jnp": jnp, "np": np}) for text in texts)
    assert number == 3
    assert len({np.asarray(array).tobytes() for array in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("train", {"train": True}),
        ("deterministic", {"deterministic": False}),
        ("not frozen", {"frozen": False}),
    ],
)
def test_a_train_flag_knows_its_value_in_training(flag, expected):
    assert read_listed({"model": "a.b:C", "train_flag": flag}).flags == expected


def test_a_tolerance_is_stated_with_its_reason():
    listed = read_listed({"model": "a:C", "tolerance": {"max_ulp": 4, "reason": "fused multiply-add"}})
    assert listed.tolerance == Tolerance(max_ulp=4, reason="fused multiply-add")
    assert read_listed({"model": "a:C", "tolerance": 1e-5}).tolerance.rtol == 1e-5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "pkg.models:CNN"),
        ({"model": "CNN"}, "pkg.models:CNN"),
        ({"model": "a:C", "input": ["f32[1]"]}, "unknown: input; known are model, "),
        ({"model": "a:C", "inputs": "f32[1]"}, "inputs must be a list of strings"),
        ({"model": "a:C", "args": 3}, "args must be a string"),
        ({"model": "a:C", "tolerance": {"max_ulp": 4}}, "needs a reason"),
        ({"model": "a:C", "tolerance": {"ulps": 4}}, "must be a number or a table"),
        ({"model": "a:C", "kwargs": {"x": 1}}, "kwargs must be a table of strings"),
        ({"model": "a:C", "inputs": ["f23[1]"]}, "inputs: 'f23[1]' has no known element type"),
        ({"model": "a:C", "kwargs": {"x": "f32[1,N]"}}, "kwargs x: 'f32[1,N]' states no array"),
    ],
)
def test_what_is_wrong_is_named(table, message):
    with pytest.raises(ListedError, match=message.replace("[", r"\[")):
        read_listed(table)
