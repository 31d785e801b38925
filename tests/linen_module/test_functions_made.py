"""What functions of the project make and `setup` keeps: it may be, or call, a module that nothing shows."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

MODEL = """
from elsewhere import build
import flax.linen as nn
import jax.numpy as jnp


{function}


class Model(nn.Module):
    kind: str = "waves"
    scaled: bool = True

    def setup(self):
        if self.scaled:
            self.encode = make(self.kind)
        else:
            self.encode = jnp.sin

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x) + self.encode(x)
"""
KNOWN = """
def make(kind):
    scale = {"waves": 2.0}.get(kind, 1.0)

    def encode(x):
        return jnp.sin(scale * x)

    return encode
"""
UNKNOWN = {
    "it calls what unknown code has made": KNOWN.replace(
        "scale = {", "layer = build(kind)\n    scale = {"
    ).replace("jnp.sin(scale * x)", "layer(scale * x)"),
    "it calls what it gets": KNOWN.replace("jnp.sin(scale * x)", "kind(x)"),
    "it makes a layer": KNOWN.replace("jnp.sin(scale * x)", "nn.Dense(3)(x)"),
    "it gives what unknown code has made": KNOWN.replace("return encode", "return build(encode)"),
}


@pytest.mark.parametrize("function", [KNOWN, *UNKNOWN.values()], ids=["known", *UNKNOWN])
def test_functions_that_functions_make(tmp_path: Path, function: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(dedent(MODEL).lstrip().format(function=function.strip()))
    _, conversions = convert(path)
    assert ("model.Model" in conversions.converted) is (function == KNOWN)
