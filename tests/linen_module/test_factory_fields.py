"""Fields that hold layer factories are converted only where every use of the class shows what they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source
from tests.linen_module.fixture import convert

CODE = """
from functools import partial
from typing import Any

import flax.linen as nn
import jax


class Block(nn.Module):
    features: int
    norm: Any

    @nn.compact
    def __call__(self, x):
        return x + self.norm()(nn.Dense(self.features)(x))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        x = Block(8, norm=norm)(x)
        return Block(8, norm)(x)
"""
SECOND = "return Block(8, norm)(x)"
CHANGES = {
    "a construction outside of modules": ("    return", "    return", "\n\nblock = Block(8, nn.LayerNorm)\n"),
    "the class as a value": ("    return", "    return", "\n\nblocks = {'block': Block}\n"),
    "another layer": (
        SECOND,
        "other = partial(nn.GroupNorm, num_groups=2)\n        return Block(8, other)(x)",
        "",
    ),
    "a mode that only one binds": (
        SECOND,
        "other = partial(nn.BatchNorm, momentum=0.9)\n        return Block(8, other)(x)",
        "",
    ),
    "a factory that gets a new value": (SECOND, f"norm = nn.LayerNorm\n        {SECOND}", ""),
    "a factory that is kept": ("self.norm()(", "jax.tree.map(self.norm(), ", ""),
    "an argument given twice": ("self.norm()(", "self.norm(momentum=0.5)(", ""),
    "a mode that changes": (SECOND, f"train = False\n        {SECOND}", ""),
    "a flag that the call has already": (
        "def __call__(self, x):",
        "def __call__(self, x, use_running_average=1):",
        "",
    ),
}


def test_the_class_gets_nnx_factories_and_the_mode_at_its_call(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "def __call__(self, x, *, use_running_average: bool):" in text
    assert "norm = partial(nnx.BatchNorm, momentum=0.9)" in text
    assert "Block(8, norm, in_features=8, rngs=rngs)" in text
    assert text.count("(x, use_running_average=not train)") == 2
    assert "self.norm = norm" not in text


def test_factories_may_bind_different_arguments(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    other = "other = partial(nn.BatchNorm, use_running_average=not train)\n        return Block(8, other)(x)"
    path.write_text(CODE.replace(SECOND, other))
    text, conversions = convert(path)
    assert not conversions.refused
    assert "norm = partial(nnx.BatchNorm, momentum=0.9)" in text
    assert "other = partial(nnx.BatchNorm)" in text


def test_factories_of_setup_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    setup = """
class Model(nn.Module):
    def setup(self):
        norm = partial(nn.BatchNorm, use_running_average=True)
        self.block = Block(8, norm=norm)

    def __call__(self, x):
        return self.block(x)
"""
    path.write_text(CODE.partition("\n\nclass Model")[0] + "\n" + setup)
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused


@pytest.mark.parametrize(("old", "new", "more"), CHANGES.values(), ids=CHANGES)
def test_factories_that_differ_or_escape_leave_the_classes_alone(
    tmp_path: Path, old: str, new: str, more: str
) -> None:
    assert old in CODE
    path = tmp_path / "model.py"
    path.write_text(CODE.replace(old, new) + more)
    _, conversions = convert(path)
    assert "model.Model" in conversions.refused
    assert "model.Model" not in conversions.converted


METHODS = {
    "a method that pads": ("return x + self.features", "", True),
    "a static method": ("return x", "@staticmethod\n    ", True),
    "a method that calls the factory": ("return self.norm()(x)", "@nn.compact\n    ", False),
    "a method that calls the module": ("return self(x)", "", False),
    "a method that hands on the module": ("return jax.vmap(lambda y, m=self: m(y))(x)", "", False),
    "a method that names the call": ("return self.__call__(x)", "", False),
}


@pytest.mark.parametrize(("body", "decorator", "moves"), METHODS.values(), ids=METHODS)
def test_methods_beside_the_call_stay_away_from_factories(
    tmp_path: Path, body: str, decorator: str, moves: bool
) -> None:
    path = tmp_path / "model.py"
    own = "x" if "static" in decorator else "self, x"
    method = f"\n\n    {decorator}def more({own}):\n        {body}\n"
    path.write_text(CODE.replace("nn.Dense(self.features)(x))", f"nn.Dense(self.features)(x)){method}"))
    _, conversions = convert(path)
    assert ("model.Block" in conversions.converted) is moves
    assert ("model.Model" in conversions.converted) is moves


def test_a_factory_that_setup_calls_beside_other_methods_stays(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    method = "    def again(self, x):\n        return self.layer(x)\n\n    def __call__(self, x):\n"
    text = CODE.replace("    @nn.compact\n    def __call__(self, x):\n", method, 1)
    text = text.replace(method, f"    def setup(self):\n        self.layer = self.norm()\n\n{method}")
    path.write_text(text.replace("x + self.norm()(nn.Dense(self.features)(x))", "x + self.layer(x)"))
    _, conversions = convert(path)
    assert not conversions.converted


CLASSES_BY_DEFAULT = """
from typing import Any

import flax.linen as nn


class Block(nn.Module):
    features: int
    conv: Any

    @nn.compact
    def __call__(self, x):
        return self.conv(self.features, (3, 3))(x)


class Net(nn.Module):
    block: Any = Block

    @nn.compact
    def __call__(self, x):
        return self.block(3, nn.Conv)(x)
"""


@pytest.mark.parametrize(
    ("more", "moves"), [("", True), ("net = Net(block=nn.Conv)", False), ("Block(3, print)", False)]
)
def test_a_class_that_a_field_has_by_default_is_constructed_there(
    tmp_path: Path, more: str, moves: bool
) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"{CLASSES_BY_DEFAULT}\n\n{more}\n")
    _, conversions = convert(path)
    assert ({"model.Block", "model.Net"} <= conversions.converted.keys()) is moves


RESNET = """
from functools import partial
from typing import Any

import flax.linen as nn


class Block(nn.Module):
    features: int
    conv: Any

    @nn.compact
    def __call__(self, x):
        return x + self.conv(self.features, (3, 3))(x)


class Net(nn.Module):
    conv: Any = nn.Conv

    @nn.compact
    def __call__(self, x):
        conv = partial(self.conv, use_bias=False)
        return Block(3, conv=conv)(x)
"""


def test_a_layer_that_nnx_lacks_keeps_the_places_that_give_it(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    local = """

class Local(nn.Module):
    @nn.compact
    def __call__(self, x):
        return {}(x)
"""
    for made in ("Net(conv=nn.ConvLocal)", "Block(3, partial(nn.ConvLocal, use_bias=False))"):
        path.write_text(RESNET + local.format(made))
        text, conversions = convert(path)
        assert set(conversions.converted) == {"model.Block", "model.Net"}
        assert conversions.refused["model.Local"].detail == "`nn.ConvLocal` is given as `conv`"
        assert "conv: Any = nnx.Conv" in text
        groups = make_plan(Project([path], load_source))
        (stays,) = [group for group in groups if any(cls.name == "Local" for cls in group.classes)]
        assert not stays.can_move


PROGRAMS = {
    "net = Net(conv=nn.ConvLocal)": "`nn.ConvLocal` is given as `conv`",
    "LocalNet = partial(Net, conv=nn.ConvLocal)": "a factory of layers is given to `Net`, which is used as a value",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_gives_a_layer_that_nnx_lacks_keeps_the_classes(tmp_path: Path, program: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"{RESNET}\n\n{program}\n")
    (group,) = make_plan(Project([path], load_source))
    assert len(group.conversions) == 2
    assert PROGRAMS[program] in [obstacle.detail for _, obstacle in group.obstacles]


def test_a_default_that_nnx_lacks_keeps_the_class(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(RESNET.replace("Any = nn.Conv", "Any = nn.ConvLocal") + "\n\nnet = Net(conv=nn.Conv)\n")
    _, conversions = convert(path)
    assert not conversions.converted


CONFIGURED = """
from typing import Any

import flax.linen as nn

CONFIGS = {"tiny": {"depth": 1}}


class Encoder(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Model(nn.Module):
    depth: int
    encoder: Any = Encoder

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(self.encoder(name="encode")(x))


MODELS = {"model": Model}


def build(name, **options):
    return MODELS["model"](**CONFIGS[name], **options)


def tiny():
    return Model(**CONFIGS["tiny"])
"""


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ("", True),
        ("class Other(nn.Module):\n    encoder: Any = None\n\nOther(encoder=3)", True),
        ("CONFIGS['big'] = {'encoder': nn.Dense}", False),
        ("build('tiny', encoder=nn.Dense)", False),
        ("CONFIGS['tiny'].encoder = nn.Dense", False),
        ("def make(cls):\n    return cls(2, nn.Dense)\n\nmake(MODELS['model'])", False),
        ("def make(cls, *args):\n    return cls(*args)\n\nmake(MODELS['model'], 2, nn.Dense)", False),
    ],
)
def test_constructions_behind_spread_configurations_keep_a_default_that_nothing_names(
    more: str, known: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"{CONFIGURED}\n\n{more}\n")
    converted = convert(path)[1].converted
    assert "model.Encoder" in converted
    assert ("model.Model" in converted) is known


BACKBONE = """
from functools import partial
from typing import Any

import flax.linen as nn
from elsewhere import register


class Backbone(nn.Module):
    conv: Any
    features: int = 4

    @nn.compact
    def __call__(self, x):
        return self.conv(self.features, (3, 3))(x)


class Model(nn.Module):
    wide: bool = False

    @nn.compact
    def __call__(self, x):
        backbone = partial(Backbone, features=8)
        return backbone(conv=partial(nn.Conv, use_bias=False))(x)
"""
PLACE = "        return backbone("


def test_a_factory_may_be_given_where_a_local_partial_is_called(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(BACKBONE)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "Backbone(" in text
    assert "conv=partial(nnx.Conv, use_bias=False)" in text


@pytest.mark.parametrize(
    "between",
    ["register(backbone)", "if self.wide:\n            backbone = partial(Backbone, features=64)"],
    ids=["a partial that is kept", "a partial that has a second value"],
)
def test_a_local_partial_that_may_be_called_elsewhere_shows_not_what_is_given(
    tmp_path: Path, between: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(BACKBONE.replace(PLACE, f"        {between}\n{PLACE}"))
    text, conversions = convert(path)
    assert "model.Backbone" in conversions.refused
    assert text == path.read_text()


AGAIN = """
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Block(nn.Module):
    norm: Any

    @nn.compact
    def __call__(self, x):
        return self.norm(use_running_average=True, GIVEN)(x)


class Model(nn.Module):
    dtype: Any = None

    @nn.compact
    def __call__(self, x):
        return Block(norm=partial(nn.BatchNorm, use_scale=True, use_bias=False, PARTIAL))(x)
"""


@pytest.mark.parametrize(
    ("given", "bound", "call", "partial"),
    [
        ("momentum=0.9", "epsilon=1e-3", False, False),
        ("momentum=0.9", "dtype=jnp.bfloat16", False, True),
        ("dtype=jnp.bfloat16", "epsilon=1e-3", True, False),
        ("use_scale=False", "epsilon=1e-3", True, False),
    ],
)
def test_who_says_how_dtypes_are_promoted_knows_what_decides(
    given: str, bound: str, call: bool, partial: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model.py"
    path.write_text(AGAIN.replace("GIVEN", given).replace("PARTIAL", bound))
    text, conversions = convert(path)
    assert not conversions.refused
    block, model = text.split("class Model")
    assert ("promote_dtype=keep_dtypes" in block) is call
    assert ("promote_dtype=keep_dtypes" in model) is partial
    assert ("import keep_dtypes" in text) is (call or partial)
