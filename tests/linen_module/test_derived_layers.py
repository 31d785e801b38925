"""Classes that derive from built-in layers: what isn't a plain override of `param` stays, with its users."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax.numpy as jnp\n\n\nclass MyDense(nn.Dense):\n"
USER = """

class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return MyDense(4)(x)
"""
PLAIN = """
def param(self, name, *args, **kwargs):
    w = super().param(name, *args, **kwargs)
    if name == "kernel":
        w = jnp.abs(w)
    return w
"""

CASES = {
    "another parameter": PLAIN.replace('"kernel"', '"bias"'),
    "every parameter": PLAIN.replace(
        '    if name == "kernel":\n        w = jnp.abs(w)\n', "    w = jnp.abs(w)\n"
    ),
    "all but one": PLAIN.replace("==", "!="),
    "another name": PLAIN.replace("super().param(name,", 'super().param(name + "_raw",'),
    "fewer arguments": PLAIN.replace(", **kwargs)\n    if", ")\n    if"),
    "a parameter more": PLAIN.replace("jnp.abs(w)", 'w * self.param("gain", *args)'),
    "a field": PLAIN.replace("jnp.abs(w)", "w / self.features"),
    "a decorator": "@nn.nowrap" + PLAIN,
    "a field of its own": "scale: float = 2.0\n" + PLAIN,
    "another method": PLAIN + "\ndef norm(self):\n    return 1\n",
    "a call of its own": "@nn.compact\ndef __call__(self, x):\n    return super().__call__(2 * x)\n",
    "another default": "use_bias: bool = False\n",
}


@pytest.mark.parametrize("case", CASES)
def test_what_stays(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(CASES[case]).strip("\n"), "    ") + "\n" + USER)
    text, conversions = convert(path)
    assert conversions.refused["model.MyDense"].reason == "unknown-base"
    assert conversions.converted == {}
    assert text == path.read_text()


USERS = {
    "a program": USER + "\n\nlayer = MyDense(4)\n",
    "a function outside": USER + "\n\ndef make():\n    return MyDense(4)\n",
    "a value": USER + "\n\nLAYERS = [MyDense]\n",
    "a subclass": USER + "\n\nclass Other(MyDense):\n    use_bias: bool = False\n",
}


@pytest.mark.parametrize("case", USERS)
def test_other_users_keep_it(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(PLAIN.strip("\n"), "    ") + "\n" + USERS[case])
    _, conversions = convert(path)
    if case == "a subclass":  # the plan keeps a class and its subclasses together
        assert "model.Other" in conversions.refused
    else:
        assert "model.MyDense" in conversions.refused


def test_a_field_that_may_hold_it_is_not_written_as_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    model = """

class Block(nn.Module):
    layer: type[nn.Module] = MyDense

    @nn.compact
    def __call__(self, x):
        return self.layer(4)(x)
"""
    path.write_text(HEADER + indent(PLAIN.strip("\n"), "    ") + "\n" + model)
    _, conversions = convert(path)
    assert "model.Block" in conversions.refused
