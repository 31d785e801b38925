"""Sizes of the parts of an argument are called as the method calls the parts."""

import pytest

from tests.rules.harness import fix_text

CODE = """\
import flax.linen as nn
import jax.numpy as jnp


class Net(nn.Module):
    @nn.compact
    def __call__(self, {arguments}):
        {unpacked}
        return nn.Dense(3)({first}) + nn.Dense(3)({second})
"""


@pytest.mark.parametrize(
    ("arguments", "unpacked", "first", "second", "sizes"),
    [
        ("x", "obs, task = x", "obs", "task", ["obs_features", "task_features"]),
        ("x", "(obs, _), task = x", "obs", "task", ["x_0_0_features", "task_features"]),
        ("x", "_, task = x", "x[0]", "task", ["x_0_features", "task_features"]),
        ("x, task", "obs, task = x", "obs", "task", ["obs_features", "x_1_features"]),
        ("x", "obs, obs = x", "x[0]", "obs", ["x_0_features", "x_1_features"]),
        ("x, y", "x = y; obs, task = x", "obs", "task", ["y_0_features", "y_1_features"]),
    ],
)
def test_names_of_parts(arguments: str, unpacked: str, first: str, second: str, sizes: list[str]) -> None:
    code = CODE.format(arguments=arguments, unpacked=unpacked, first=first, second=second)
    after = fix_text(code, "linen-module")
    assert all(f"{size}: int" in after for size in sizes), after
