"""One of several of Linen's own layers: what can't be chosen with certainty is left alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

HEADER = "from functools import partial\n\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"

REFUSED = {
    "layers that need different sizes": """
        class Model(nn.Module):
            wide: bool = False

            @nn.compact
            def __call__(self, x):
                layer = nn.Dense if self.wide else nn.LayerNorm
                return layer()(x)
    """,
    "a mode that changes before the call": """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                if self.norm == "batch":
                    norm = partial(nn.BatchNorm, use_running_average=not train)
                else:
                    norm = nn.LayerNorm
                layer = norm()
                train = not train
                return layer(x) * train
    """,
    "a table of the module, which other code may read": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return NORMS[self.norm]()(x)
    """,
    "what a table of the module has for a key that it may lack": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return NORMS.get(self.norm, nn.LayerNorm)()(x)
    """,
    "what a function finds in a table of layers": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        def norm_of(kind):
            return NORMS[kind]


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return norm_of(self.norm)()(x)
    """,
    "a choice that only a call can take": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, train):
                norm = nn.LayerNorm if train else nn.RMSNorm
                return norm()(x)
    """,
    "a variable that is bound to another layer later": """
        class Model(nn.Module):
            rms: bool = False

            @nn.compact
            def __call__(self, x):
                norm = nn.RMSNorm if self.rms else nn.LayerNorm
                x = norm()(x)
                norm = partial(nn.GroupNorm, num_groups=2)
                return norm()(x)
    """,
    "partials of one of several layers": """
        class Model(nn.Module):
            rms: bool = False

            @nn.compact
            def __call__(self, x):
                norm = partial(nn.RMSNorm if self.rms else nn.LayerNorm, epsilon=1e-3)
                return norm()(x)
    """,
    "layers that give results of different shape": """
        class Model(nn.Module):
            wide: bool = False

            @nn.compact
            def __call__(self, x):
                layer = partial(nn.Dense, features=4) if self.wide else partial(nn.Dense, features=8)
                return nn.Dense(2)(layer()(x))
    """,
}


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    assert len(conversions.refused) == 1
    assert "class Model(nn.Module)" in text
