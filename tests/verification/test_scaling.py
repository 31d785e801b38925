"""Large models in smaller sizes."""

from pathlib import Path

import pytest

from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.shrinking import smaller_sizes
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.comparison import Comparison
from nnx_migrate.verification.running import Runner
from nnx_migrate.verification.scaling import with_fields

MODEL = """
import flax.linen as nn
import jax
import jax.numpy as jnp

WIDTH = 1344


class Net(nn.Module):
    width: int
    num_layers: int = 5
    heads: int = 24
    image_size: int = 32

    @nn.compact
    def __call__(self, x):
        assert x.shape[1] == self.image_size
        x = nn.Conv(self.width, (8, 8), (8, 8))(x).reshape(x.shape[0], -1, self.width)
        for number in range(self.num_layers):
            x = nn.SelfAttention(self.heads)(nn.LayerNorm()(x))
            if number == 2:
                x = nn.Dense(self.width, name="third")(x)
        return x


def main():
    return Net(WIDTH).init(jax.random.key(0), jnp.ones((1, 32, 32, 3)))
"""


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "models.py").write_text(MODEL)
    (tmp_path / "new" / "more.py").write_text("")
    cases = Cases(tmp_path / "old", tmp_path / "new", {}, [])
    cases.code.changed = lambda key, new: True
    return cases


def test_sizes_that_lose_no_variable(cases: Cases) -> None:
    """A sixteenth isn't divisible by the heads; two layers would lack `third`; the image has to fit the field."""
    (case,) = cases
    smaller = smaller_sizes(case.before)
    assert smaller is not None
    assert smaller.fields == {"width": "168", "image_size": "4"}
    assert smaller.positional == ["[:1, :4, :4, :3]"]
    assert smaller_sizes(case.before, limit=10**9) is None


def test_the_report_says_that_sizes_are_smaller(cases: Cases) -> None:
    runner = Runner(None, Protocol(modes=("jit",), steps=0, gradients=False))
    comparison = Comparison(cases, runner, StatedInputs(), (), True)
    assert [title for title, _ in comparison.run()] == ["models:Net"]
    (verdict,) = comparison.result.verdicts
    assert verdict.word == "equal"
    assert verdict.proof is not None
    assert verdict.proof.parameters < 10**6
    assert any("width=168" in note and "--full-size" in note for note in verdict.proof.notes)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "width=8"),
        ("128, act=nn.relu", "width=8, act=nn.relu"),
        ("act=f(1, 2), width=128", "act=f(1, 2), width=8"),
        ("*sizes", None),
        ("**options", None),
        ("1, 2, 3", None),
    ],
)
def test_fields_of_other_values(arguments: str, expected: str | None) -> None:
    assert with_fields(arguments, ["width", "act"], {"width": "8"}) == expected
