"""The table of functions against Flax and JAX: every row names what it says, and computes the same."""

import ast
import importlib
import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nnx_migrate.nnx.layers import FUNCTIONS, LAYERS, Refusal, canonical, function
from nnx_migrate.nnx.layers.calls import rewritten_arguments
from nnx_migrate.nnx.layers.functions import rewrite_function_call
from nnx_migrate.nnx.layers.model import words
from tests.nnx.harness import array, helpers, same

ROWS = list(FUNCTIONS.values())
# Part of flax.linen that is no layer and no function: rewritten by the code for classes and programs.
STRUCTURAL = set(
    words(
        "Module RNNCellBase Variable DenyList LogicallyPartitioned Partitioned apply init init_with_output "
        "compact compact_name_scope nowrap share_scope tabulate named_call enable_named_call "
        "disable_named_call override_named_call add_metadata_axis checkpoint remat remat_scan scan vmap jit "
        "grad value_and_grad vjp jvp custom_vjp cond switch while_loop map_variables fold_rngs broadcast"
    )
)


def resolve(name: str) -> Any:
    """The object behind a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.linen)
def test_both_sides_exist(row):
    resolve(row.linen)
    assert row.nnx or row.helper or row.keep
    for name in (row.nnx, row.jax, row.native):
        if name is not None:
            resolve(name)
    if row.helper is not None:
        assert callable(helpers()[row.helper])


def same_function(a: Any, b: Any) -> bool:
    if a is b or (inspect.isfunction(a) and inspect.isfunction(b) and a.__code__ is b.__code__):
        return True
    return not callable(a) and a == b


# Two functions of their own, or one with another calling convention: compared by what they compute, below.
COMPUTED = {
    *("make_attention_mask", "make_causal_mask", "combine_masks", "dtypes.canonicalize_dtype"),
    *("linear.canonicalize_padding", "recurrent.flip_sequences", "with_partitioning"),
    *("with_logical_partitioning", "get_partition_spec", "get_sharding"),
    *("initializers.ones_init", "initializers.zeros_init"),
}


@pytest.mark.parametrize("row", [row for row in ROWS if row.nnx], ids=lambda row: row.linen)
def test_the_nnx_function_is_the_same_object(row):
    if row.linen.removeprefix("flax.linen.") in COMPUTED:
        return
    assert same_function(resolve(row.linen), resolve(row.nnx))


@pytest.mark.parametrize("row", [row for row in ROWS if row.jax], ids=lambda row: row.linen)
def test_the_jax_function_is_the_same_object(row):
    assert same_function(resolve(row.linen), resolve(row.jax))


def test_every_public_name_is_covered():
    public = {
        name for name, value in vars(nn).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    known = {name.rpartition(".")[2] for name in (*LAYERS, *FUNCTIONS)}
    assert public - known - STRUCTURAL == set()


def test_every_initializer_is_covered():
    public = {
        name for name, value in vars(nn.initializers).items() if not name.startswith("_") and callable(value)
    }
    missing = {name for name in public if f"flax.linen.initializers.{name}" not in FUNCTIONS}
    assert missing == set()


def test_rows_are_found_under_every_name():
    assert function("flax.linen.relu") is function("flax.linen.activation.relu")
    assert function("flax.linen.zeros_init") is function("flax.linen.initializers.zeros_init")
    assert function("flax.linen.attention.make_causal_mask").nnx == "flax.nnx.make_causal_mask"
    assert function("flax.linen.Dense") is None
    assert canonical("flax.linen.module.merge_param") == "flax.linen.merge_param"


TOKENS = jnp.array([[1, 2, 0], [3, 0, 0]])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("make_attention_mask", (TOKENS > 0, TOKENS > 0)),
        ("make_attention_mask", (TOKENS, TOKENS, jnp.greater_equal, 1, bool)),
        ("make_causal_mask", (TOKENS,)),
        ("make_causal_mask", (TOKENS, 1, jnp.bool_)),
        ("combine_masks", (nn.make_causal_mask(TOKENS), None, nn.make_attention_mask(TOKENS, TOKENS))),
        ("combine_masks", (None, None)),
        ("linear.canonicalize_padding", ("SAME", 2)),
        ("linear.canonicalize_padding", ((1, (0, 2)), 2)),
        ("recurrent.flip_sequences", (array(2, 3, 4), jnp.array([1, 3]), 1, False)),
        ("recurrent.flip_sequences", (array(3, 2, 4), None, 1, True)),
        ("dtypes.canonicalize_dtype", (array(2), array(2, dtype=jnp.bfloat16))),
    ],
)
def test_functions_of_their_own_compute_the_same(name, arguments):
    row = FUNCTIONS[f"flax.linen.{name}"]
    expected, found = resolve(row.linen)(*arguments), resolve(row.nnx)(*arguments)
    if isinstance(expected, jax.Array):
        same(expected, found, 0.0, name)
    else:
        assert expected == found


@pytest.mark.parametrize("name", ["ones_init", "zeros_init"])
def test_initializers_of_their_own_compute_the_same(name):
    key = jax.random.key(0)
    row = FUNCTIONS[f"flax.linen.initializers.{name}"]
    same(resolve(row.linen)()(key, (2, 3)), resolve(row.nnx)()(key, (2, 3)), 0.0, name)


@pytest.mark.parametrize(("a", "b"), [(1, None), (None, False), (0, None), (None, None), (1, 2)])
def test_merge_param(a, b):
    outcomes = []
    for merge in (nn.merge_param, helpers()["merge_param"]):
        try:
            outcomes.append(merge("flag", a, b))
        except ValueError:
            outcomes.append(ValueError)
    assert outcomes[0] is outcomes[1]


def converted(source: str) -> str:
    """A call of a partitioning function, rewritten."""
    call = ast.parse(source, mode="eval").body
    row = function("flax.linen." + ast.unparse(call.func).removeprefix("nn."))
    rewrite = rewrite_function_call(row, call, ast.unparse)
    assert not isinstance(rewrite, Refusal), rewrite
    return f"{row.nnx.replace('flax.', '')}({', '.join(rewritten_arguments(call, rewrite, ast.unparse))})"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "nn.with_partitioning(init, (None, 'model'))",
            "nnx.with_partitioning(init, (None, 'model'), eager_sharding=False)",
        ),
        (
            "nn.with_partitioning(fn=init, names=('a', None), mesh=mesh)",
            "nnx.with_partitioning(initializer=init, sharding=('a', None), mesh=mesh, eager_sharding=False)",
        ),
        (
            "nn.with_logical_partitioning(init, ('embed', 'mlp'), mesh, rules)",
            "nnx.with_partitioning(init, ('embed', 'mlp'), mesh, sharding_rules=rules, eager_sharding=False)",
        ),
    ],
)
def test_partitioning_calls(source, expected):
    assert converted(source) == expected


def test_partitioned_parameters_have_the_specs_of_linen():
    rules = (("embed", "model"), ("mlp", None))
    names = {"nn": nn, "nnx": nnx, "init": nn.initializers.lecun_normal(), "rules": rules}
    for source, axes in (
        ("nn.with_partitioning(init, (None, 'model'))", ()),
        ("nn.with_logical_partitioning(init, ('mlp', 'embed'))", rules),
    ):
        layer = nn.Dense(4, kernel_init=eval(source, names))
        shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((1, 2)))
        linear = nnx.Linear(2, 4, kernel_init=eval(converted(source), names), rngs=nnx.Rngs(0))
        specs = nn.get_partition_spec(shapes)
        specs = (nn.logical_to_mesh(specs, axes) if axes else specs)["params"]["kernel"]
        with nn.logical_axis_rules(axes):
            found = nnx.get_partition_spec(nnx.state(linear))["kernel"].get_value()
        assert tuple(specs) == tuple(found)


def test_partitioning_with_hidden_arguments_is_refused():
    for source in ("nn.with_partitioning(*arguments)", "nn.with_partitioning(init, **options)"):
        call = ast.parse(source, mode="eval").body
        row = FUNCTIONS["flax.linen.with_partitioning"]
        assert isinstance(rewrite_function_call(row, call, ast.unparse), Refusal)


def test_batch_apply_of_scalars_is_an_error_on_both_sides():
    for apply in (nn.BatchApply, helpers()["BatchApply"]):
        with pytest.raises(ValueError, match="BatchApply"):
            apply(np.sin)(1.0)
