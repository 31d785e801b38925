"""Methods to which `setup` leaves a part of its work: which stay methods, and which keep their class from moving."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    width: int = 4
    deep: bool = True

    def setup(self):
        {setup}

    def _make(self{parameters}):
        {body}

    def __call__(self, x):
        return {call}
{more}
"""
PLAIN = {
    "setup": "self._make()",
    "parameters": "",
    "body": "self.first = nn.Dense(self.width)\n        self.second = nn.Dense(3)",
    "call": "self.second(nn.relu(self.first(x)))",
    "more": "",
}


def _convert(tmp_path: Path, **parts: str) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(**{**PLAIN, **parts}))
    return convert(path)


def test_a_method_that_sets_attributes_gets_sizes_and_streams(tmp_path: Path) -> None:
    text, conversions = _convert(tmp_path)
    assert conversions.refused == {}
    assert "self._make(in_features=in_features, rngs=rngs)" in text
    assert "def _make(self, *, in_features: int, rngs: nnx.Rngs):" in text
    assert "self.second = nnx.Linear(self.width, 3, rngs=rngs)" in text


def test_a_parameter_keeps_its_name(tmp_path: Path) -> None:
    body = "self.first = nn.Dense(hidden, use_bias=bias)\n        self.second = nn.Dense(hidden)"
    text, _ = _convert(
        tmp_path, setup="self._make(7, bias=False)", parameters=", hidden, bias=True", body=body
    )
    assert "self._make(7, bias=False, in_features=in_features, rngs=rngs)" in text
    assert "self.first = nnx.Linear(in_features, hidden, use_bias=bias, rngs=rngs)" in text
    assert "self.second = nnx.Linear(hidden, hidden, rngs=rngs)" in text


def test_a_size_of_a_loop_around_the_call_is_given(tmp_path: Path) -> None:
    setup = "self.layers = [self._make(width) for width in (4, self.width)]"
    body = "return [nn.Dense(width), nn.LayerNorm()]"
    more = "\n    def features(self, x):\n        for dense, norm in self.layers:\n"
    more += "            x = norm(dense(x))\n        return x\n"
    text, conversions = _convert(
        tmp_path, setup=setup, parameters=", width", body=body, call="self.features(x)", more=more
    )
    assert conversions.refused == {}
    assert "def _make(self, width, *, x_features: int, rngs: nnx.Rngs):" in text
    assert "nnx.Linear(x_features, width, rngs=rngs), nnx.LayerNorm(width, rngs=rngs)" in text


def test_a_size_gets_another_name_than_a_parameter(tmp_path: Path) -> None:
    body = "print(in_features)\n        self.first = nn.Dense(self.width)\n        self.second = nn.Dense(3)"
    text, conversions = _convert(tmp_path, setup="self._make(3)", parameters=", in_features", body=body)
    assert conversions.refused == {}
    assert "def _make(self, in_features, *, input_in_features: int, rngs: nnx.Rngs):" in text


def test_a_size_gets_another_name_than_a_variable(tmp_path: Path) -> None:
    body = "in_features = 3\n        self.first = nn.Dense(in_features)\n        self.second = nn.Dense(3)"
    text, conversions = _convert(tmp_path, body=body)
    assert conversions.refused == {}
    assert "self.first = nnx.Linear(input_in_features, in_features, rngs=rngs)" in text


SUBCLASS = """

class Wide(Model):
    def _make(self):
        self.first = nn.Dense(9)
        self.second = nn.Dense(3)
"""
CALLER = """

def made(model):
    return model._make()
"""
AGAIN = """
    def again(self, x):
        self._make()
        return x
"""


@pytest.mark.parametrize("more", [SUBCLASS, CALLER, AGAIN], ids=["overridden", "called", "called again"])
def test_a_method_that_others_use_is_refused(tmp_path: Path, more: str) -> None:
    _, conversions = _convert(tmp_path, more=more)
    assert "model.Model" in conversions.refused


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (  # the branch that isn't taken would keep Linen's layer
            {
                "setup": "self._make(True)",
                "parameters": ", small",
                "body": "self.first = nn.Dense(2) if small else nn.Dense(9)\n        self.second = nn.Dense(3)",
            },
            "has a part that this call doesn't reach",
        ),
        (
            {"parameters": ", rngs=None"},
            "has a parameter `rngs`",
        ),
        (  # `n` is another method's variable, and the parameter another number
            {
                "setup": "n = self.width\n        hidden = self.width\n        if n > 3:\n            hidden = 5\n"
                "        self.first = nn.Dense(hidden)\n        self._make(3)",
                "parameters": ", n",
                "body": "self.second = nn.Dense(n)",
            },
            "a size depends on a variable of another method than `_make`",
        ),
        (
            {
                "setup": "self.net = nn.Sequential(self._make())",
                "body": "return [nn.Dense(4), nn.relu]",
                "call": "self.net(x)",
            },
            "",
        ),
        (
            {
                "body": "self.first = nn.Dense(4)\n        self.second = nn.Dense(3)\n        self.out = self.first(jnp.ones((1, 3)))"
            },
            "`setup` calls `first`",
        ),
        (
            {"setup": "for _ in range(2):\n            self._make(*())"},
            "which `setup` calls, creates modules or variables",
        ),
    ],
)
def test_what_the_method_could_not_do_is_refused(tmp_path: Path, parts: dict[str, str], why: str) -> None:
    _, conversions = _convert(tmp_path, **parts)
    assert "model.Model" in conversions.refused
    assert why in conversions.refused["model.Model"].detail


def test_a_subclass_has_what_its_base_makes(tmp_path: Path) -> None:
    more = "\n\nclass Named(Model):\n    def __call__(self, x):\n        return super().__call__(x) + 1\n"
    text, conversions = _convert(tmp_path, more=more)
    assert conversions.refused == {}
    assert text.count("def _make(self, *, in_features: int, rngs: nnx.Rngs):") == 1
