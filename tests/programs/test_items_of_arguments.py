"""Sizes of modules that hand their `*args` on: the calls of programs have to give them by position."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nnx_migrate.cli import group
from tests.rules.harness import fix_files, resolve_rules

FILE = Path("/project/model.py")
CODE = """\
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Critic(nn.Module):
    @nn.compact
    def __call__(self, observations, actions):
        return nn.Dense(1)(jnp.concatenate([observations, actions], axis=-1))


class Scaled(nn.Module):
    net_cls: nn.Module
    scale: float = 2.0

    @nn.compact
    def __call__(self, *args, **kwargs):
        return self.scale * self.net_cls()(*args, **kwargs)


def main(x, y):
    model = Scaled(Critic)
    return model.init(jax.random.key(0), {given})
"""


def fixed(given: str) -> str:
    """The file after `fix`."""
    after, _ = fix_files({FILE: CODE.replace("{given}", given)}, resolve_rules(["linen-module"]))
    return after[FILE]


@pytest.mark.parametrize("given", ["x, y", "x, y, training=True"])
def test_those_that_a_call_of_init_shows_are_stated(given: str) -> None:
    written = " ".join(fixed(given).split())
    assert "Scaled, Critic, actions_features=y.shape[-1], observations_features=x.shape[-1]" in written


@pytest.mark.parametrize("given", ["*(x, y)", "x, *(y,)"])
def test_others_come_from_the_first_call(given: str) -> None:
    written = " ".join(fixed(given).split())
    assert '"actions_features": args[1].shape[-1]' in written


@pytest.mark.parametrize("given", ["observations=x, actions=y", "x, actions=y"])
def test_those_by_name_are_not_there(given: str) -> None:
    assert "nnx" not in fixed(given)


def test_their_places_are_recorded(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(CODE.replace("{given}", "x, y"))
    CliRunner().invoke(group, ["fix", "--select", "linen-module", "--target-flax", "0.12.8", str(tmp_path)])
    recorded = json.loads((tmp_path / ".nnx-migrate" / "parameters.json").read_text())
    sizes = recorded["modules"]["model:Scaled"]["sizes"]
    assert [(size["path"], size["index"]) for size in sizes] == [(["args[1]"], 1), (["args[0]"], 0)]
