"""What a module returns that asks whether it has made a submodule: `if self.shortcut is not None`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Block(nn.Module):
    features: int
    wide: bool
    deep: bool

    def setup(self):
        self.shortcut = None
        {made}

    def __call__(self, x):
        {called}
        return x


class Model(nn.Module):
    features: int
    wide: bool = False
    deep: bool = True

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Block(self.features, self.wide, self.deep)(x))
"""
MAKE = "self.shortcut = nn.Dense(self.features)"
IF_WIDE = f"if self.wide:\n            {MAKE}"
CALL = "if self.shortcut is not None:\n            x = self.shortcut(x)"


def _convert(tmp_path: Path, made: str, called: str = CALL) -> tuple[str, list[str]]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(made=made, called=called))
    text, conversions = convert(path)
    return text, [refusal.qualified for refusal in conversions.refused.values()]


@pytest.mark.parametrize(
    ("made", "called", "size"),
    [
        (IF_WIDE, CALL, "self.features if self.wide else in_features"),
        (
            IF_WIDE,
            "if self.shortcut is None:\n            x = x\n        else:\n            x = self.shortcut(x)",
            "in_features if not self.wide else self.features",
        ),
        (
            f"if self.wide:\n            pass\n        else:\n            {MAKE}",
            CALL,
            "self.features if not self.wide else in_features",
        ),
    ],
)
def test_the_condition_under_which_it_is_made_tells_the_size(
    tmp_path: Path, made: str, called: str, size: str
) -> None:
    text, refused = _convert(tmp_path, made, called)
    assert not refused
    behind = text.partition("self.dense = ")[2].partition("def __call__")[0]
    assert size in " ".join(behind.split())


def test_one_of_two_conditions_does_not_tell(tmp_path: Path) -> None:
    made = f"if self.wide:\n            if self.deep:\n                {MAKE}"
    _, refused = _convert(tmp_path, made)
    assert refused == ["model.Model"]
