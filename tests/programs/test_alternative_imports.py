"""Classes that a file imports in one of several ways."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
LAYERS, MODELS = Path("/project/core/layers.py"), Path("/project/core/models.py")
PACKAGE = {Path("/project/core/__init__.py"): "", LAYERS: ""}
BLOCK = """\
import flax.linen as nn


class Block(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)
"""
MODEL = """\
import flax.linen as nn

try:
    from .layers import Block
except ImportError:
    from {fallback} import Block


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Block(4)(x)){more}
"""


def fixed(fallback: str, more: str = "") -> dict[Path, str]:
    files = {**PACKAGE, LAYERS: BLOCK, MODELS: MODEL.format(fallback=fallback, more=more)}
    return files | fix_files(files, RULES)[0]


def test_the_same_class_from_a_package_or_beside_the_file_is_one() -> None:
    texts = fixed("layers")
    assert "class Block(nnx.Module)" in texts[LAYERS]
    assert "self.block = Block(4, in_features=in_features, rngs=rngs)" in texts[MODELS]


@pytest.mark.parametrize(
    ("fallback", "more"),
    [
        ("other_package.layers", ""),  # what it means there can't be told
        ("layers", " * len(self.scope.path)"),  # stays Linen, and would have to import a copy in both ways
    ],
)
def test_else_the_class_stays(fallback: str, more: str) -> None:
    texts = fixed(fallback, more)
    assert texts[LAYERS] == BLOCK
    assert texts[MODELS] == MODEL.format(fallback=fallback, more=more)


NET = """\
import flax.linen as nn
import jax


class {name}(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


def create():
    return {name}()


def make_step(network, scale{more}):
    @jax.jit
    def step(params, x):
        return scale * network.apply(params, x)

    return step
"""
CHOICE = """\
import jax
import jax.numpy as jnp


def networks(kind):
    if kind == "small":
        from small import create
    else:
        from large import create
    return create()


def make_train_step(kind, network):
    if kind == "small":
        from small import make_step

        return make_step(network, 2)
    else:
        from large import make_step

        return make_step(network, 2, 3)


def main(kind):
    network, x = networks(kind), jnp.ones((2, 3))
    params = network.init(jax.random.key(0), x)
    return make_train_step(kind, network)(params, x){use}
"""


def chosen(use: str = "") -> list[bool]:
    """Whether the class of each file moves, where a program imports one of them."""
    small, large, main = (Path(f"/project/{name}.py") for name in ("small", "large", "main"))
    files = {
        small: NET.format(name="Small", more=""),
        large: NET.format(name="Large", more=", offset"),
        main: CHOICE.format(use=use),
    }
    after = files | fix_files(files, RULES)[0]
    return [f"class {name}(nnx.Module)" in after[p] for p, name in ((small, "Small"), (large, "Large"))]


def test_functions_that_branches_import_by_one_name() -> None:
    assert chosen() == [True, True]


@pytest.mark.parametrize("use", [", network.unbind()", ", trainer.fit(network)"])
def test_what_becomes_of_their_results_counts_for_each(use: str) -> None:
    assert chosen(use) == [False, False]
