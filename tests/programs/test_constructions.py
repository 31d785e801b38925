"""How constructions outside of modules are laid out."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

NET = """\
import flax.linen as nn
import jax, jax.numpy as jnp


class Critic(nn.Module):
    hidden_dims: int
    layer_norm: bool = False

    @nn.compact
    def __call__(self, observation, action):
        return nn.Dense(self.hidden_dims)(jnp.concatenate([observation, action], axis=-1))


def make(config, observations, actions):
    critic_model = {construction}
    return critic_model, critic_model.init(jax.random.key(0), observations, actions)
"""
EXPLODED = """\
    critic_model = Functional(
        Critic,
        config.hidden_dims,
        layer_norm=(config.norm),
        action_features=actions.shape[-1],
        observation_features=observations.shape[-1],
    )
"""


@pytest.mark.parametrize(
    "construction",
    [
        "Critic(config.hidden_dims, layer_norm=(config.norm))",
        "Critic(\n        config.hidden_dims, layer_norm=(config.norm)\n    )",
        "Critic(\n        config.hidden_dims,\n        layer_norm=(config.norm),\n    )",
        "Critic(\n        config.hidden_dims,\n        layer_norm=(config.norm)\n    )",
    ],
)
def test_arguments_too_long_for_one_line_get_lines_of_their_own(construction: str) -> None:
    path = Path("/project/train.py")
    texts, _ = fix_files({path: NET.format(construction=construction)}, resolve_rules(["linen-module"]))
    assert EXPLODED in texts[path].replace("-1]\n    )", "-1],\n    )")
