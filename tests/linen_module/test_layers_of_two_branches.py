"""Layers that two branches make in the rounds of a loop."""

from tests.rules.harness import fix_text

DROPOUT = """\
import flax.linen as nn


class Net(nn.Module):
    depth: int = 3

    @nn.compact
    def __call__(self, x, train: bool):
        for i in range(self.depth):
            if train:
                x = nn.Dropout(0.1, deterministic=False)(x)
            else:
                x = nn.Dropout(0.5, deterministic=True)(x)
        return x
"""


def test_layers_without_parameters_exist_whatever_a_call_decides() -> None:
    text = fix_text(DROPOUT, "linen-module")
    assert "append(None)" not in text
    assert "self.dropouts.append(nnx.Dropout(0.1" in text
    assert "self.dropouts_1.append(nnx.Dropout(0.5" in text
