"""Which methods create all that a class has when `init` runs them."""

from pathlib import Path

import pytest

from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.linen.programs.reached import uses_everything
from nnx_migrate.names.project import Project
from nnx_migrate.sources.text import SourceText

CODE = b"""
import flax.linen as nn


class Flow(nn.Module):
    base: nn.Module
    flip: bool = False

    def setup(self):
        self.first = nn.Dense(3)
        self.blocks = [nn.Dense(3) for _ in range(2)]

    def log_prob(self, x):
        for block in self.blocks:
            x = block(x)
        return self.base(self.first(x))

    def sample(self, z):
        return self.first(self.base(z))

    def maybe(self, x):
        if self.flip:
            x = self.log_prob(x)
        return x

    def either(self, x):
        return self.log_prob(x) if self.flip else -self.log_prob(x)

    def later(self, x):
        return lambda: self.log_prob(x)

    def indirect(self, x):
        return self.either(x)
"""


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("__call__", True),
        ("log_prob", True),
        ("indirect", True),
        ("sample", False),
        ("maybe", False),
        ("later", False),
        ("nothing", False),
    ],
)
def test_methods_that_use_everything(method: str, expected: bool) -> None:
    program = LinenProgram(Project([Path("/p/m.py")], lambda _: SourceText.decode(CODE)))
    (cls,) = program
    assert uses_everything(cls, method) is expected
