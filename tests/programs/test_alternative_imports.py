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
