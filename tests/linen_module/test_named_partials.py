"""Partials of a class that one module names and others construct: `TanhNormal = partial(Normal, squash_tanh=True)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.text import SourceText

NETWORKS = """
from functools import partial
from typing import Type

import flax.linen as nn


class MLP(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(self.width)(x))


class Normal(nn.Module):
    base_cls: Type[nn.Module]
    actions: int
    squash: bool = False

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.actions)(self.base_cls()(x))


class Stack(nn.Module):
    net_cls: Type[nn.Module]

    @nn.compact
    def __call__(self, x):
        return self.net_cls()(x)


TanhNormal = partial(Normal, squash=True)
{more}
"""
PROGRAM = """
from functools import partial

{imports}


def build(width):
    base_cls = partial(MLP, width=width)
    {body}
"""
IMPORTS = "import networks\nfrom networks import MLP, Stack, TanhNormal"


def refused(tmp_path: Path, body: str, imports: str = IMPORTS, more: str = "") -> dict[str, str]:
    """Why classes of the networks stay."""
    files = {
        "networks.py": NETWORKS.replace("{more}", more),
        "zoo.py": "from networks import TanhNormal as Squashed\n",
        "program.py": PROGRAM.replace("{imports}", imports).replace("{body}", body),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    project = Project([tmp_path / name for name in files], lambda p: SourceText.decode(p.read_bytes()))
    found = convert_project(project, bridge=False).refused
    return {name.rpartition(".")[2]: refusal.reason for name, refusal in found.items()}


@pytest.mark.parametrize(
    ("body", "imports"),
    [
        ("return TanhNormal(base_cls, 2)", IMPORTS),
        ("return TanhNormal(base_cls=base_cls, actions=2)", IMPORTS),
        ("return TanhNormal(base_cls, 2, squash=False)", IMPORTS),
        ("return Other(base_cls, 2)", "from networks import MLP, TanhNormal as Other"),
        ("return Squashed(base_cls, 2)", "from networks import MLP\nfrom zoo import Squashed"),
        ("return networks.TanhNormal(base_cls, 2)", "import networks\nfrom networks import MLP"),
        ("return Stack(partial(TanhNormal, base_cls=base_cls, actions=2))", IMPORTS),
    ],
)
def test_what_constructions_by_the_name_give_is_known(tmp_path: Path, body: str, imports: str) -> None:
    found = refused(tmp_path, body, imports)
    assert "Normal" not in found


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("return [TanhNormal][0](base_cls, 2)", ""),
        ("return build_by(TanhNormal, base_cls)", ""),
        ("return TanhNormal(*[base_cls, 2])", ""),
        ("return TanhNormal(base_cls, 2)", "TanhNormal = partial(Normal, squash=False)"),
        ("return TanhNormal(base_cls, 2), partial(TanhNormal, actions=2)", ""),
        ("return TanhNormal(base_cls, 2), partial(TanhNormal, unknown(), 2)", ""),
        ("return TanhNormal(base_cls, 2)", "NAMES = {'tanh': TanhNormal}"),
        (
            "return networks.Small(actions=2, base_cls=Stack)",
            "Small = partial(Normal, base_cls=partial(MLP, width=4))",
        ),
    ],
)
def test_names_that_may_be_constructed_otherwise_are_refused(tmp_path: Path, body: str, more: str) -> None:
    assert "Normal" in refused(tmp_path, body, more=more)


def test_a_class_that_a_transform_makes_may_get_anything(tmp_path: Path) -> None:
    more = """

class Members(nn.Module):
    net_cls: Type[nn.Module]

    @nn.compact
    def __call__(self, x):
        members = nn.vmap(
            self.net_cls, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=2
        )
        return members(base_cls=partial(MLP, 3), actions=2)(x)
"""
    body = "from networks import Members, Normal\n    return TanhNormal(base_cls, 2), Members(Normal)"
    assert "Normal" in refused(tmp_path, body, more=more)
