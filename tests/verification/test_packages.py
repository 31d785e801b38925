"""A sample of `python -m benchmarks.verify_packages`: a package whose program has all its sizes from elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.verify_packages import PARTS, copy_project, examine, main

FILES = {
    "agent/__init__.py": "from agent.training import train\n",
    "agent/networks.py": """
from typing import Sequence

import flax.linen as nn
import tracking_service


class Torso(nn.Module):
    widths: Sequence[int]

    @nn.compact
    def __call__(self, x, train: bool):
        for width in self.widths:
            x = nn.BatchNorm(use_running_average=not train)(nn.Dense(width)(x))
            x = nn.relu(x)
        return x


class Actor(nn.Module):
    actions: int
    widths: Sequence[int]

    @nn.compact
    def __call__(self, observation, train: bool = False):
        return nn.Dense(self.actions)(Torso(self.widths)(observation, train))
""",
    "agent/training.py": """
import environment_service
import jax
import jax.numpy as jnp

from agent.networks import Actor


def train(config):
    env = environment_service.make(config.task)
    actor = Actor(env.actions, config.widths)
    variables = actor.init(jax.random.key(config.seed), jnp.zeros((1, env.size)))
    return actor.apply(variables, jnp.zeros((1, env.size)))
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    return tmp_path / "tree"


def test_a_package_with_what_is_not_installed_and_sizes_from_elsewhere(tree: Path, tmp_path: Path) -> None:
    copy_project(tree, tmp_path / "copy")
    outcome = examine("agent", tmp_path / "copy", ["--no-eager", "--steps", "1"])
    assert outcome.converted == 2
    assert outcome.models == {"equal": 1}, str(outcome)
    assert outcome.parts == dict.fromkeys(PARTS, 1)
    assert outcome.not_covered == []
    assert outcome.stubs == ["environment_service", "tracking_service"]
    changed = subprocess.run(["git", "diff", "--stat"], cwd=tmp_path / "copy", capture_output=True, text=True)
    assert "agent/networks.py" in changed.stdout


def test_a_project_without_models_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.py").write_text("x = 1\n")
    assert main([str(tmp_path / "tree")]) == 1


SEVERAL = {
    "libs/layers/src/shared_layers/__init__.py": "",
    "libs/layers/src/shared_layers/blocks.py": """
import flax.linen as nn


class Block(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(self.width)(x))
""",
    "libs/agents/src/agents/__init__.py": "",
    "libs/agents/src/agents/model.py": """
import flax.linen as nn
import jax
import jax.numpy as jnp
from shared_layers.blocks import Block


class Agent(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Block(4)(x))


def init():
    return Agent().init(jax.random.key(0), jnp.ones((2, 3)))
""",
}


def test_packages_of_one_repository_import_each_other(tmp_path: Path) -> None:
    for name, text in SEVERAL.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    copy_project(tmp_path / "tree", tmp_path / "copy")
    outcome = examine("agents", tmp_path / "copy", ["--no-eager", "--steps", "1"])
    assert outcome.converted == 2
    assert outcome.models == {"equal": 1}, str(outcome)
