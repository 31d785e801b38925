"""Parameters made in loops: their names have to tell the rounds apart, by counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Model(nn.Module):
    names: tuple[str, ...]

    @nn.compact
    def __call__(self, x):
        {loop}:
            x = x * self.param({name}, nn.initializers.ones, (3,))
        return x
"""


@pytest.mark.parametrize(
    ("loop", "name"),
    [
        ("for i in range(3)", 'f"scale_{i}"'),
        ("for i in range(1, 4)", '"scale_" + str(i)'),
        ("for i, name in enumerate(self.names)", '"scale_%d" % i'),
    ],
)
def test_names_with_counters(tmp_path: Path, loop: str, name: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(loop=loop, name=name))
    text, conversions = convert(path)
    assert "self.scales = nnx.List(" in text
    (entry,) = conversions.converted["model.Model"].entries.entries
    assert entry.nnx.elements == ("scales", "{i}")


@pytest.mark.parametrize(
    ("loop", "name"),
    [
        ("for i in range(3)", "self.names[i]"),
        ("for name in self.names", 'f"scale_{name}"'),
        ("for i, name in enumerate(self.names)", 'f"scale_{name}_{i}"'),
        ("for i in range(2)", 'f"scale_{len(self.names)}"'),
        ("while x.sum() > 3", 'f"scale_{len(self.names)}"'),
    ],
)
def test_other_names(tmp_path: Path, loop: str, name: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(loop=loop, name=name))
    text, conversions = convert(path)
    assert not conversions.converted
    assert conversions.refused["model.Model"].reason in ("unsupported-api", "unsupported-syntax")
    assert text == path.read_text()
