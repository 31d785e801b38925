"""The module of helpers that a project gets: complete, minimal, and fit for JAX's transforms."""

import ast
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from nnx_migrate.nnx.helpers import bundle, helper_names
from nnx_migrate.nnx.layers import FUNCTIONS, LAYERS
from tests.nnx.harness import array, helpers, same

LAYER_HELPERS = sorted(helper_names())


@pytest.mark.parametrize("name", LAYER_HELPERS)
def test_each_helper_stands_alone(name):
    text = bundle([name])
    namespace = {"__name__": name}
    module = type(sys)(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), vars(module) | namespace)
    tree = ast.parse(text)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert name in defined
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(
        module.startswith("nnx_migrate") for module in imported
    )  # projects don't depend on the tool
    assert {other for other in defined if not other.startswith("_")} & helper_names() >= {name}


def test_a_bundle_has_no_more_than_is_needed():
    text = bundle(["keep_dtypes"])
    assert "def keep_dtypes" in text
    assert "import jax" not in text
    assert "class" not in text
    assert "def linen_dot_product_attention_weights" in bundle(["linen_dot_product_attention"])


def test_bundles_are_the_same_in_any_order():
    assert bundle(["MGUCell", "keep_dtypes"]) == bundle(["keep_dtypes", "MGUCell"])


def test_unknown_names_are_an_error():
    with pytest.raises(ValueError, match="no_such_helper"):
        bundle(["no_such_helper"])


def test_bundles_are_formatted():
    ruff = [sys.executable, "-m", "ruff"]
    for_layers = {row.helper for row in (*LAYERS.values(), *FUNCTIONS.values()) if row.helper}
    for names in (for_layers, ["LinenGRUCell"], ["keep_dtypes"], ["given_key", "ConvLocal"]):
        text = bundle(names)
        for command in (["format", "--check"], ["check", "--isolated", "--select", "E,F,I"]):
            options = ["--line-length", "110", "--stdin-filename", "helpers.py", "-"]
            run = subprocess.run([*ruff, *command, *options], input=text, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr


def test_the_package_does_not_import_jax():
    code = (
        "import sys, nnx_migrate.nnx.layers, nnx_migrate.nnx.helpers as h; h.bundle(['keep_dtypes']); "
        "assert not {'jax', 'flax', 'libcst'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("MGUCell", lambda cls, rngs: nnx.RNN(cls(4, 4, rngs=rngs))),
        ("LinenSpectralNorm", lambda cls, rngs: cls(nnx.Linear(4, 4, rngs=rngs), rngs=rngs)),
        ("LinenWeightNorm", lambda cls, rngs: cls(nnx.Linear(4, 4, rngs=rngs), rngs=rngs)),
        ("LinenGroupNorm", lambda cls, rngs: cls(4, 2, reduction_axes=(-1,), rngs=rngs)),
        (
            "MultiAxisBatchNorm",
            lambda cls, rngs: cls((3, 4), axis=(1, 2), use_running_average=False, rngs=rngs),
        ),
        ("ConvLocal", lambda cls, rngs: cls(4, 4, (2,), input_shape=(3,), rngs=rngs)),
    ],
)
def test_helpers_under_transforms(name, make):
    """jit keeps state changes, the functional form is hashable, and wrapped weights stay as they were."""
    layer = make(helpers()[name], nnx.Rngs(0))
    options = {"update_stats": True} if name == "LinenSpectralNorm" else {}
    x = array(2, 3, 4)
    before = jax.tree.map(jnp.array, nnx.to_pure_dict(nnx.state(layer, nnx.Param)))
    eager, jitted = nnx.clone(layer), nnx.clone(layer)
    expected = eager(x, **options)
    same(expected, nnx.jit(lambda layer, x: layer(x, **options))(jitted, x), 1e-6, "nnx.jit")
    states = (nnx.to_pure_dict(nnx.state(side, nnx.Not(nnx.RngState))) for side in (eager, jitted))
    same(*states, 1e-6, "state")
    same(before, nnx.to_pure_dict(nnx.state(eager, nnx.Param)), 0.0, "parameters")
    graphdef, state = nnx.split(layer)
    functional = jax.jit(
        lambda graphdef, state, x: nnx.merge(graphdef, state)(x, **options), static_argnums=0
    )
    same(expected, functional(graphdef, state, x), 1e-6, "jax.jit")
    assert nnx.graphdef(make(helpers()[name], nnx.Rngs(0))) == nnx.graphdef(layer)
