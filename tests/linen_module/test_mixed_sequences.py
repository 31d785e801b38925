"""`nn.Sequential` of layers that are written out and of others that comprehensions make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_shared_helpers import written

CODE = """
class Model(nn.Module):
    n: int = 2

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        {body}
        return x
"""


def test_each_layer_gets_the_size_of_its_place(tmp_path: Path) -> None:
    body = "x = nn.Sequential([nn.Dense(6), *[nn.Dense(6) for _ in range(self.n)], nn.relu, nn.Dense(3)])(x)"
    text, refused = written(tmp_path, CODE.format(body=body))
    assert not refused
    assert "nnx.Linear(4, 6, rngs=rngs),\n            *[nnx.Linear(6, 6, rngs=rngs) for _ in range" in text
    assert "nnx.relu,\n            nnx.Linear(6, 3, rngs=rngs)" in text


@pytest.mark.parametrize(
    "body",
    [
        "x = nn.Sequential([*[nn.Dense(6) for _ in range(self.n)], nn.Dense(3)])(x)",  # the size changes
        "x = nn.Sequential([*[nn.Dense(i + 1) for i in range(self.n)], nn.Dense(3)])(x)",
        "layers = [*[nn.Dense(4) for _ in range(self.n)], nn.Dense(3)]\n        x = nn.Sequential(layers)(x)",
        "for layer in [*[nn.Dense(4) for _ in range(self.n)], nn.Dense(3)]:\n            x = layer(x)",
        "for _ in range(2):\n            x = nn.Sequential([*[nn.Dense(4) for _ in range(self.n)]])(x)",
    ],
)
def test_other_lists_are_refused(tmp_path: Path, body: str) -> None:
    text, refused = written(tmp_path, CODE.format(body=body))
    assert refused
    assert "class Model(nn.Module):" in text
