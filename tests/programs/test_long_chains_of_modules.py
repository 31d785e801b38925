"""Modules that are handed on and on: each way through a chain is not a case of its own."""

from __future__ import annotations

import time
from pathlib import Path

from tests.linen_module.fixture import convert

HEADER = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Around(nn.Module):
    inner: nn.Module
    width: int = 8

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(self.inner(x))


class Leaf(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(8)(x)


def main(flags):
    m0 = Leaf()
"""


def test_every_level_may_be_one_of_two(tmp_path: Path) -> None:
    levels = 24  # 2 ** 24 ways from the first module to the last
    path = tmp_path / "chain.py"
    path.write_text(
        HEADER
        + "".join(f"    m{n + 1} = Around(m{n}) if flags[{n}] else Around(m{n}, 16)\n" for n in range(levels))
        + f"    return m{levels}.init_with_output(jax.random.key(0), jnp.ones((2, 8)))[0]\n"
    )
    start = time.process_time()
    conversions = convert(path)[1]
    assert time.process_time() - start < 30, "2 s suffice; all ways together take hours"
    assert {name.split(".")[-1] for name in conversions.refused} == {"Around"}
    assert conversions.refused["chain.Around"].reason == "unknown-size"
