import numpy as np
import pytest

from nnx_migrate.numerics.compare import Tolerance
from nnx_migrate.verification.listed import ListedError, array_expression, read_listed


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("f32[2,28,28,1]", (2, 28, 28, 1), "float32"),
        ("bf16[3]", (3,), "bfloat16"),
        ("f32[]", (), "float32"),
        ("i32[4, 7]", (4, 7), "int32"),
        ("bool[2]", (2,), "bool"),
        ("jnp.zeros((2, 3)) + 1", (2, 3), "float32"),
    ],
)
def test_arrays_by_dtype_and_shape(text, shape, dtype):
    import jax.numpy as jnp

    array = eval(array_expression(text), {"jnp": jnp, "np": np})
    assert (array.shape, str(array.dtype)) == (shape, dtype)


def test_float_inputs_are_neither_constant_nor_zero():
    import jax.numpy as jnp

    array = np.asarray(eval(array_expression("f32[64]"), {"jnp": jnp, "np": np}))
    assert array.std() > 0.1


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
    ],
)
def test_what_is_wrong_is_named(table, message):
    with pytest.raises(ListedError, match=message.replace("[", r"\[")):
        read_listed(table)
