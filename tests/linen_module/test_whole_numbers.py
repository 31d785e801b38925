"""`int` stays around what may be a fraction: factors of configurations often are."""

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert


@pytest.mark.parametrize(
    ("declared", "factor", "expected"),
    [
        ("config: Any", "self.config.width_factor", "int(64 * self.config.width_factor)"),
        ("factor: float = 0.5", "self.factor", "int(64 * self.factor)"),
        ("factor: int = 2", "self.factor", "64 * self.factor"),
        ("factor: float = 0.5", "round(3 * self.factor)", "64 * round(3 * self.factor)"),
    ],
)
def test_sizes_from_factors_are_whole(tmp_path: Path, declared: str, factor: str, expected: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "from typing import Any\n\nfrom flax import linen as nn\n\n\nclass Net(nn.Module):\n"
        f"    {declared}\n\n    @nn.compact\n    def __call__(self, x):\n        width = int(64 * {factor})\n"
        "        x = nn.Conv(width, (3, 3))(x)\n        return nn.Dense(2)(x)\n"
    )
    text, conversions = convert(path)
    assert not conversions.refused
    assert f"self.dense = nnx.Linear({expected}, 2, rngs=rngs)" in text
