"""Lists of arrays whose sizes the constructor can't follow: the class stays, with a reason."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train: bool = False):
"""
DECODER = """
        for skip in reversed(skips):
            x = nn.Dense(4)(jnp.concatenate([x, skip], axis=-1))
        return x
"""
FILLED = "skips = []\nfor width in self.widths:\n    x = nn.Dense(width)(x)\n"

CASES = {
    "a second name": FILLED + "    other = skips\n    other.append(x)\n    skips.append(x)\n",
    "a second name in another list": FILLED
    + "    skips.append(x)\nheld = [skips]\nheld[0].append(x[..., :1])\n",
    "a function that gets the list": FILLED + "    skips.append(x)\nself.add_to(skips)\n",
    "a function around the list": "def more(y):\n    skips.append(y)\n" + FILLED + "    more(x)\n",
    "a condition of the call": FILLED + "    if train:\n        skips.append(x)\n",
    "a condition on values": FILLED + "    if x.sum() > 0:\n        skips.append(x)\n",
    "a loop that may be left": FILLED + "    skips.append(x)\n    if train:\n        break\n",
    "added in place": FILLED + "    skips += [x]\n",
    "inserted": FILLED + "    skips.insert(0, x)\n",
    "replaced": FILLED + "    skips.append(x)\nskips[0] = x[..., :1]\n",
    "deleted": FILLED + "    skips.append(x)\ndel skips[0]\n",
    "sorted": FILLED + "    skips.append(x)\nskips.sort(key=lambda s: s.shape[-1])\n",
    "cleared": FILLED + "    skips.append(x)\nif train:\n    skips.clear()\n",
    "taken under a condition": FILLED + "    skips.append(x)\nlast = skips.pop() if train else x\n",
    "another list of that name": FILLED
    + "    skips.append(x)\nskips = self.add_to(skips)\nif self.widths:\n    skips.append(x)\n",
    "joined under a condition": FILLED + "    skips.append(x)\nif train:\n    skips = jnp.stack(skips)\n",
    "joined, and then a list again": FILLED
    + "    skips.append(x)\nskips = jnp.stack(skips)\nskips = [x]\nif train:\n    skips.append(x)\n",
    "read by a function that is called when it is joined": "def last():\n    return skips[-1]\n"
    + FILLED
    + "    skips.append(x)\nskips = jnp.concatenate(skips)\nskips = [last()]\n",
    "taken while there are some": FILLED + "    skips.append(x)\nwhile len(skips) > 1:\n    skips.pop()\n",
    "tried": FILLED + "    try:\n        skips.append(x)\n    finally:\n        pass\n",
}


@pytest.mark.parametrize("case", CASES)
def test_lists_that_cannot_be_followed(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    helper = "\n    def add_to(self, skips):\n        skips.append(skips[0][..., :1])\n"
    path.write_text(HEADER + indent(dedent(CASES[case]), " " * 8) + DECODER + helper)
    text, conversions = convert(path)
    assert conversions.converted == {}
    assert text == path.read_text()


def test_the_same_list_without_any_of_this_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(FILLED + "    skips.append(x)\n", " " * 8) + DECODER)
    text, conversions = convert(path)
    assert set(conversions.converted) == {"model.Model"}
    assert "for skip_features in reversed(skips_features):" in text


def test_a_later_list_of_the_same_name_has_its_own_sizes(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    again = """\
        for skip in skips:
            x = nn.Dense(3)(skip)
        skips = jnp.concatenate([x, x], axis=-1)
        skips = [nn.Dense(5)(skips), x]
        for skip in skips:
            x = nn.Dense(3)(skip)
        return x
    """
    path.write_text(HEADER + indent(FILLED + "    skips.append(x)\n", " " * 8) + again)
    text, conversions = convert(path)
    assert set(conversions.converted) == {"model.Model"}
    assert "for skip_features in skips_features" in text
    assert "in [5, " in text
