"""What `setup` computes from parameters becomes properties only where that is the same in every call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """
import jax.numpy as jnp
from flax import linen as nn
from elsewhere import unknown


def double(x):
    return 2 * x


class Model(nn.Module):
    flag: bool = False

    def setup(self):
        {setup}

    def __call__(self, x):
        return x * self.out
"""
PARAM = 'self.param("w", nn.initializers.zeros, (3,))'
LOCAL, KEPT = f"w = {PARAM}", f"self.w = {PARAM}"


def _converted(tmp_path: Path, *setup: str) -> str:
    """The class as it is written, or why it isn't."""
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(setup="\n        ".join(setup)))
    text, conversions = convert(path)
    return text if "model.Model" in conversions.converted else conversions.refused["model.Model"].detail


@pytest.mark.parametrize(
    "setup",
    [
        (KEPT, "self.out = self.w * 2", "self.out = self.out + 1"),  # the property would read itself
        (KEPT, "self.out = self.w * 2", "if self.flag: self.out = self.w * 3"),  # another value behind it
        (KEPT, "k = 2", "for i in range(2):", "    k = k * self.w", "self.out = k"),
        (KEPT, "print(self.w)", "self.out = self.w * 2"),
        (KEPT, "if self.w.sum() > 0:", "    self.out = self.w * 2", "else:", "    self.out = self.w"),
        (KEPT, "self.k = 2", "self.out = self.w * self.k", "self.k = 3"),
        (KEPT, "self.out = self.w * 2; self.more = self.out + 1"),
        (KEPT, "self.out = unknown(self.w)"),
        (KEPT, "self.out = lambda x: self.w * x"),
        (LOCAL, "self.out = w * 2", 'self.v = self.param("v", nn.initializers.zeros, w.shape)'),
        (LOCAL, "self.out = w * 2", "self.dense = nn.Dense(3, kernel_init=lambda *_: w)"),
        (LOCAL, "self.out = [w * 2]"),
        (LOCAL, "k = [1.0]", "self.out = w * jnp.array(k)", "k.append(2.0)"),
        (LOCAL, "self.out, k = w, 2"),
        (LOCAL, "import numpy as np", "self.out = np.exp(w)"),
        ('w = self.variable("counts", "w", jnp.zeros, (3,)).value', "self.out = w * 2"),
    ],
)
def test_what_calls_might_compute_otherwise_is_refused(tmp_path: Path, setup: tuple[str, ...]) -> None:
    assert "Linen does so in every call" in _converted(tmp_path, *setup)


def test_comments_and_conditions_go_with_what_is_computed(tmp_path: Path) -> None:
    setup = (
        *("# The weights.", KEPT, "# Their scale.", "if (", "    self.flag", "    or not self.flag", "):"),
        *("    scale = double(self.w)  # twice", "else:", "    scale = self.w", "self.out = scale + 1"),
    )
    text = _converted(tmp_path, *setup)
    assert "        # The weights.\n        self.w = nnx.Param(" in text
    assert (
        "    @property\n"
        "    def out(self):\n"
        "        # Their scale.\n"
        "        if (self.flag\n"
        "            or not self.flag):\n"
        "            scale = double(self.w[...])  # twice\n"
        "        else:\n"
        "            scale = self.w[...]\n"
        "        return scale + 1\n"
    ) in text


def test_branches_of_which_only_a_part_goes(tmp_path: Path) -> None:
    setup = (
        *(KEPT, "if self.flag:", "    self.out = self.w * 2", "else:"),
        *("    self.limit = 3", "    self.out = jnp.clip(self.w, 0, self.limit)"),
    )
    text = _converted(tmp_path, *setup)
    assert "        if self.flag:\n            pass\n        else:\n            self.limit = 3\n" in text
    assert "            return jnp.clip(self.w[...], 0, self.limit)\n" in text
