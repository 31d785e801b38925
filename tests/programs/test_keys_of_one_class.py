"""Names of parameters that several classes have: the keys above and beside one tell whose it is, or nothing does."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
MODELS = """\
import flax.linen as nn


class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Sequential([nn.Dense(4), nn.relu])(x)
        return nn.Dense(4)(x)


class Net(nn.Module):
    depth: int = 2
    is_classifier: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        for _ in range(self.depth):
            x = Inner()(x)
        if self.is_classifier:
            x = nn.LayerNorm()(x)
            x = nn.LayerNorm()(x)
        return x
"""
PROGRAM = """\
import jax
import jax.numpy as jnp
from models import Net


def convert(params, weights, depth, check=False):
{body}
    return params


model = Net()
params = model.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
print(model.apply({{"params": convert(params, {{}}, 2)}}, jnp.ones((1, 3))))
"""
TREE = 'params = {"Dense_0": weights[0], "LayerNorm_1": weights[1], "LayerNorm_0": weights[2]}'
OWN = 'params["Dense_0"]["kernel"] = weights["embed"]'
LOOP = 'for i in range(depth):\n    params[f"Inner_{i}"]["Dense_0"]["bias"] = weights[f"b{i}"]'
NORM = 'params["LayerNorm_1"]["bias"] = weights["norm"]'


def fixed(*body: str) -> tuple[str, str]:
    """Models and program as they are afterwards."""
    models, program = Path("/project/models.py"), Path("/project/main.py")
    text = "\n".join(f"    {line}" for part in body for line in part.splitlines())
    texts, _ = fix_files({models: MODELS, program: PROGRAM.format(body=text)}, RULES)
    return texts[models], texts[program]


def test_the_key_above_may_be_counted() -> None:
    models, program = fixed(LOOP)
    assert "Module" in models and "nn.Module" not in models
    assert 'params["inners"][str(i)]["sequential"]["layers"]["0"]["bias"] = weights[f"b{i}"]' in program


@pytest.mark.parametrize(
    "body",
    [
        (OWN, LOOP),
        (OWN, NORM),
        ("if check:", f"    {OWN}", f"    {NORM}"),
        ("params = jax.tree.map(jnp.array, params)", OWN, NORM),
    ],
)
def test_keys_that_are_always_read_together_are_of_one_class(body: tuple[str, ...]) -> None:
    models, program = fixed(*body)
    assert "nn.Module" not in models
    assert 'params["dense"]["kernel"] = weights["embed"]' in program


def test_keys_of_a_display_are_of_one_class() -> None:
    assert '{"dense": weights[0], "layer_norm_1": weights[1], "layer_norm_0": weights[2]}' in fixed(TREE)[1]


@pytest.mark.parametrize(
    "body",
    [
        (OWN,),  # of `Net`, or of `Inner`
        (OWN, "if check:", f"    {NORM}"),
        ("if check:", f"    {OWN}", "else:", f"    {NORM}"),
        (OWN, "if check:", "    return params", NORM),
        (OWN, 'params = params["Inner_0"]', NORM),
        ('del params["LayerNorm_1"]', OWN, NORM),
        ('norm = params.pop("LayerNorm_0")', OWN, NORM),
        ("for params in weights:", f"    {OWN}", f"    {NORM}"),
        (
            'params["p"] = weights',
            OWN.replace("params", 'params["p"]'),
            NORM.replace("params", 'params["p"]'),
        ),
        ("inner = lambda params: params['Dense_0']", NORM),
        ('params = {"Dense_0": weights[0]}',),
        ('params = {"Dense_0": weights[0], **weights}',),
    ],
)
def test_names_that_may_be_of_either_class_keep_both(body: tuple[str, ...]) -> None:
    models, program = fixed(*body)
    assert '"Dense_0"' in program or "'Dense_0'" in program
    assert "self.dense = " not in models


def test_keys_in_a_method_of_the_model_are_its_own() -> None:
    method = """
    def decay_mask(self, params):
        mask = {name: True for name in params}
        mask["Dense_0"] = False
        return mask
"""
    program = """\
import jax
import jax.numpy as jnp
from models import Net

model = Net()
params = model.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
print(model.decay_mask(params), model.apply({"params": params}, jnp.ones((1, 3))))
"""
    models, main = Path("/project/models.py"), Path("/project/main.py")
    texts, _ = fix_files({models: MODELS + method, main: program}, RULES)
    assert 'mask["dense"] = False' in texts[models] and "self.dense = nnx.Linear(" in texts[models]


def test_texts_where_a_model_makes_its_layers_stay() -> None:
    models = MODELS.replace(
        "x = nn.Dense(4)(x)\n        for", 'x = nn.Dense(4, kernel_init=load("Dense_0"))(x)\n        for'
    )
    program = "import jax\nfrom models import Net\n\nparams = Net().init(jax.random.key(0), jax.numpy.ones((1, 3)))\n"
    texts, _ = fix_files({Path("/project/models.py"): models, Path("/project/main.py"): program}, RULES)
    assert 'kernel_init=load("Dense_0")' in texts[Path("/project/models.py")]
