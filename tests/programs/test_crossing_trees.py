"""Parameters that a program takes out of a model that stays Linen: the NNX form of what they belong to has their names."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODELS = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.tanh(nn.Dense(3)(x)))


class Pretraining(nn.Module):
    def setup(self):
        self.encoder = Encoder()

    @nn.compact
    def __call__(self, x):
        x = Encoder(name="teacher")(x) + Encoder()(x)
        return self.encoder(x) * len(self.scope.path)


class Classifier(nn.Module):
    def setup(self):
        self.encoder = Encoder()

    def __call__(self, x):
        return self.encoder(x)


x = jnp.ones((1, 3))
pretraining, model = Pretraining(), Classifier()
pretrained = pretraining.init(jax.random.key(0), x)["params"]
params = model.init(jax.random.key(1), x)["params"]
config = {"encoder": "tanh"}
"""
PATH = Path("/project/main.py")


def layers(code: str) -> str:
    """What the layers of the encoder are called in its NNX form."""
    after = fix_files({PATH: MODELS + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "class LinenEncoder(nn.Module)" in after
    return "Linen's" if "self.Dense_1 = nnx.Linear" in after else "new" if "self.dense_1" in after else ""


@pytest.mark.parametrize(
    "code",
    [
        'params = {**params, "encoder": pretrained["encoder"]}\n',
        'Encoder().apply({"params": pretrained["teacher"]}, x)\n',
        'Encoder().apply({"params": pretrained.pop("Encoder_0")}, x)\n',
        "def keep(flat):\n    return {k: v for k, v in flatten_dict(flat).items() if k[0] == 'encoder'}\n",
    ],
)
def test_names_stay_where_parameters_may_go_over(code: str) -> None:
    assert layers(code) == "Linen's"


@pytest.mark.parametrize(
    "code",
    [
        "model.apply({'params': params}, x)\n",
        'print(config["encoder"])\n',
        'print(params["decoder"])\n',
        'print(pretrained["encoder"]["Dense_0"]["kernel"].std())\n',
    ],
)
def test_other_keys_and_arrays_keep_no_names(code: str) -> None:
    assert layers(code) == "new"
