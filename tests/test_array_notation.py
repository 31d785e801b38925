"""The notation of arrays: what is read, what is refused and how, and the numbers that are drawn."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nnx_migrate.array_notation import ArraySpec, NotationError, array_or_expression, parse_array


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("f32[2,28,28,1]", (2, 28, 28, 1), "float32"),
        (" f32 [2, 3,] ", (2, 3), "float32"),
        ("float32[2,3]", (2, 3), "float32"),
        ("bf16[3]", (3,), "bfloat16"),
        ("f32[]", (), "float32"),
        ("i32[4, 7]", (4, 7), "int32"),
        ("u8[0]", (0,), "uint8"),
        ("bool[2]", (2,), "bool"),
        ("c64[2]", (2,), "complex64"),
        ("c64[]", (), "complex64"),
    ],
)
def test_arrays_by_element_type_and_shape(text: str, shape: tuple[int, ...], dtype: str) -> None:
    import jax.numpy as jnp
    import numpy as np

    spec = parse_array(text)
    assert (spec.shape, spec.dtype) == (shape, dtype)
    assert parse_array(str(spec)) == spec
    array = eval(array_or_expression(text), {"jnp": jnp, "np": np})
    assert (array.shape, str(array.dtype)) == (shape, dtype)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f23[2,3]", "no known element type: write one of f16 f32"),
        ("float[2,3]", "no known element type"),
        ("f32[2,N]", "states no array: write its element type and sizes, as f32[2,28,28,1]"),
        ("f32[-1,3]", "states no array"),
        ("f32[2,,3]", "lacks a size between two commas"),
        ("f32[,]", "lacks a size between two commas"),
    ],
)
def test_what_was_meant_as_an_array_is_never_taken_for_an_expression(text: str, message: str) -> None:
    for read in (parse_array, array_or_expression):
        with pytest.raises(NotationError) as caught:
            read(text)
        assert message in str(caught.value)
        assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["jnp.zeros((2, 3)) + 1", "batch[0]", "xs[1:3]", "int(3)", "(f1[0])", "None", "[1, 2]"]
)
def test_other_texts_are_expressions_and_no_arrays(text: str) -> None:
    assert array_or_expression(text) == text
    with pytest.raises(NotationError, match="write"):
        parse_array(text)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int32", "bool"])
def test_drawn_numbers_vary_and_depend_on_the_seed(dtype: str) -> None:
    import jax.numpy as jnp
    import numpy as np

    spec = ArraySpec(dtype, (64,))
    first, again, other = (np.asarray(eval(spec.expression(s), {"jnp": jnp, "np": np})) for s in (0, 0, 1))
    assert len(set(first.tolist())) > 1
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_reading_the_notation_needs_no_jax() -> None:
    code = "import sys, nnx_migrate.config, nnx_migrate.array_notation; print('jax' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
