"""Packages with helpers of their own that hand each other modules."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests.rules.harness import fix_files, resolve_rules

NETS = """\
import flax.linen as nn


class Part(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def make_part():
    return Part(3)
"""
HOLDERS = """\
import flax.linen as nn


class Outer(nn.Module):
    part: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x) + self.part(x).sum()
"""
MAIN = """\
import jax
import jax.numpy as jnp
from holders.outer import Outer
from nets.part import Part, make_part


def run(x):
    results = []
    for model in (Outer(make_part()), Outer(Part(2)), Part()):
        variables = model.init(jax.random.key(0), x)
        results.append((variables, model.apply(variables, x)))
    return results
"""


def test_a_file_takes_helpers_from_one_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {"nets/__init__.py": "", "nets/part.py": NETS, "holders/__init__.py": "", "main.py": MAIN}
    before |= {"holders/outer.py": HOLDERS}
    for name, text in before.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    after = fix_files(
        {tmp_path / name: text for name, text in before.items()}, resolve_rules(["linen-module"])
    )[0]
    main = after[tmp_path / "main.py"]
    assert main.count("nnx_compat import Functional") == 1
    for path, text in after.items():
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    space: dict[str, object] = {}
    exec(compile(main, "main.py", "exec"), space)
    results = space["run"](jnp.ones((2, 3)))  # type: ignore[operator]
    assert [len(jax.tree.leaves(variables)) for variables, _ in results] == [4, 4, 2]
    assert [output.shape for _, output in results] == [(2, 2), (2, 2), (2, 4)]
