"""Programs that take parameters from one tree for another by their names: both keep Linen's."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODELS = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


class Classifier(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.tanh(nn.Dense(3)(x)))


x = jnp.ones((1, 3))
encoder, model = Encoder(), Classifier()
pretrained = encoder.init(jax.random.key(0), x)["params"]
params = model.init(jax.random.key(1), x)["params"]
config = {"dim": 3}
"""
PATH = Path("/project/main.py")


def names(code: str) -> str:
    """What the encoder's and the classifier's first layers are called."""
    after = fix_files({PATH: MODELS + code}, resolve_rules(["linen-module"]))[0][PATH]
    assert "nn." not in after.replace("nnx.", "")
    if "self.dense = nnx.Linear" in after and "self.dense_0 = nnx.Linear" in after:
        return "new"
    return "Linen's" if after.count("self.Dense_0 = nnx.Linear") == 2 else ""


@pytest.mark.parametrize(
    "code",
    [
        "for key in params:\n    if key in pretrained:\n        params[key] = pretrained[key]\n",
        "for key, value in params.items():\n    if key not in pretrained:\n        pretrained[key] = value\n",
        "params = {k: pretrained[k] if k in pretrained else v for k, v in params.items()}\n",
        "params = {k: pretrained.get(k, v) for k, v in params.items()}\n",
        "loaded = flatten_dict(pretrained)\nflat = flatten_dict(params)\n"
        "flat = {k: loaded[k] if k in loaded else v for k, v in flat.items()}\n",
        "def restore(old, params):\n    merged = dict(params)\n    for key in sorted(old.keys()):\n"
        "        if key in params:\n            merged[key] = old[key]\n    return merged\n",
    ],
)
def test_trees_that_are_matched_keep_their_names(code: str) -> None:
    assert names(code) == "Linen's"


@pytest.mark.parametrize(
    "code",
    [
        "for key in params:\n    if key in params:\n        print(params[key])\n",
        "seen = set()\nfor key in params:\n    if key in seen:\n        continue\n    seen.add(key)\n",
        "sizes = {k: config[k] for k in config if k in model_config}\n",
        "for key in params:\n    print(config.get(key))\n",
        "def align(one, two):\n    return {k: one[k] if k in one else v for k, v in two.items()}\n"
        "def reset(old, new):\n    return align(old.params, new.params)\n",
    ],
)
def test_other_look_ups_ask_for_nothing(code: str) -> None:
    assert names(code) == "new"
