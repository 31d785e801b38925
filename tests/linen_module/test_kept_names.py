"""Variables that hold what another one has held: the constructor has them by their own names."""

from __future__ import annotations

from pathlib import Path

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Model(nn.Module):
    width: int
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        width = self.width + 1
        {body}
        return nn.Dense(3)(x)
"""


def _convert(tmp_path: Path, *body: str) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(body="\n        ".join(body)))
    text, conversions = convert(path)
    return text, [refusal.detail for refusal in conversions.refused.values()]


NEXT = ("before = width", "width = width * 2", "x = nn.Dense(width)(nn.Dense(before)(x))")


def test_the_old_value_is_known_by_its_own_name(tmp_path: Path) -> None:
    text, refused = _convert(tmp_path, "for _ in range(self.depth):", *(f"    {one}" for one in NEXT))
    assert not refused
    assert "before = width\n" in text
    assert "nnx.Linear(before, width, rngs=rngs)" in text


def test_a_size_is_not_read_from_a_name_that_has_its_next_value(tmp_path: Path) -> None:
    """The second layer's input has as many features as `before` had counted first."""
    again = ("before = width", "x = nn.Dense(before)(x)")
    text, refused = _convert(tmp_path, *again, "width = width * 2", *again)
    assert not refused
    assert "nnx.Linear(before, before, rngs=rngs)" not in text
