"""Programs that initialise a model with numbers: these have no axes that could be asked for a size."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.rules.harness import fix_files, resolve_rules

SCALARS = """\
    import flax.linen as nn
    import jax
    import jax.numpy as jnp


    class Solution(nn.Module):
        @nn.compact
        def __call__(self, t, x):
            h = {joined}
            return nn.Dense(1)(jnp.tanh(nn.Dense(8)(h)))[0]


    net = Solution()
    params = net.init(jax.random.key(0), {sample})
"""


@pytest.mark.parametrize(
    ("joined", "sample", "size"),
    [
        ("jnp.stack([t, x])", "0.0, -1.0", "2"),
        ("jnp.array([t, jnp.sin(t), x])", "0.0, 0.5", "3"),
        ("jnp.hstack([t, x])", "0.0, jnp.float32(1.0)", "2"),
        ("jnp.stack([t, x])", "1, 2", None),
        ("jnp.reshape(t, (1,)) + x", "0.0, 0.0", None),
    ],
)
def test_numbers_have_no_axes(joined: str, sample: str, size: str | None) -> None:
    path = Path("/project/main.py")
    code = dedent(SCALARS).format(joined=joined, sample=sample)
    texts, _ = fix_files({path: code}, resolve_rules(["linen-module"]))
    assert (f"nnx.Linear({size}, 8, rngs=rngs)" in texts[path]) is (size is not None)
    assert ("class Solution(nn.Module)" in texts[path]) is (size is None)
