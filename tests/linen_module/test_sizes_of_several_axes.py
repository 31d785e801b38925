"""Sizes at axes that fields choose: what a construction gives for them, and where that can't be told."""

from pathlib import Path

import pytest

from nnx_migrate.verification.cases import Cases
from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

HEADER = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"
SCALE = """\
class Scale(nn.Module):
    axis: tuple = (-1,)

    @nn.compact
    def __call__(self, inputs):
        shape = tuple(inputs.shape[axis] for axis in self.axis)
        scale = self.param("scale", nn.initializers.ones, shape)
        return jnp.tensordot(inputs, scale, (self.axis, tuple(range(len(shape)))))
"""
PATH = Path("/project/main.py")


def converted(tmp_path: Path, code: str) -> tuple[str, dict[str, str]]:
    path = tmp_path / "model.py"
    path.write_text(HEADER + code)
    text, conversions = convert(path, bridge=False)
    return text, {name.partition(".")[2]: r.detail for name, r in conversions.refused.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("inputs.shape[axis] for", "inputs.mean(0).shape[axis] for"),  # another array's
        ("        shape =", "        inputs = inputs.sum(1)\n        shape ="),
        ("tuple(inputs", "sorted(inputs"),
        ("in self.axis)", "in self.axis if axis)"),
        (
            "        shape = tuple(inputs.shape[axis] for axis in self.axis)\n",
            "        for axes in (self.axis, (-1,)):\n"
            "            shape = tuple(inputs.shape[axis] for axis in axes)\n",
        ),
    ],
)
def test_what_is_not_the_shape_of_an_argument_or_not_once(tmp_path: Path, old: str, new: str) -> None:
    assert old in SCALE
    other = "\n\nother = Scale((-2, -1))\n"
    assert "tuple[int, ...]" in converted(tmp_path, SCALE + other)[0]
    text, refused = converted(tmp_path, SCALE.replace(old, new) + other)
    assert list(refused) == ["Scale"]
    assert "class Scale(nn.Module)" in text


FILTERED = SCALE.replace(
    "tuple(inputs.shape[axis] for axis in self.axis)", "[d for i, d in enumerate(inputs.shape) if i in axes]"
).replace("        shape =", "        axes = tuple(a % inputs.ndim for a in self.axis)\n        shape =")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("enumerate(inputs.shape)", "enumerate(inputs.shape, 1)"),
        ("enumerate(inputs.shape)", "enumerate(inputs.mean(0).shape)"),
        ("[d for", "[2 * d for"),
        ("if i in axes", "if i in axes and d > 1"),
        ("if i in axes", "if d in axes"),
        ("        axes =", "        enumerate = lambda sizes: zip(range(9), sizes)\n        axes ="),
    ],
)
def test_other_ways_through_a_shape(tmp_path: Path, old: str, new: str) -> None:
    assert old in FILTERED
    other = "\n\nother = Scale((-2, -1))\n"
    assert "tuple[int, ...]" in converted(tmp_path, FILTERED + other)[0]
    assert list(converted(tmp_path, FILTERED.replace(old, new) + other)[1]) == ["Scale"]


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("Scale()(x)", "in_features=(in_features,)"),
        ("Scale((-1, -2))(x.reshape(2, 3, 4))", "in_features=(4, 3)"),
        ("Scale((0, 2))(x.reshape(2, 3, 4))", "in_features=(2, 4)"),
        ("Scale(axis=self.axes)(x.reshape(2, 3, 4))", "for axes=(1,)"),
        ("Scale(axis=self.others)(x.reshape(2, 3, 4))", None),
        ("Scale((1,))(x)", "in_features=(in_size1,)"),
        ("[s(a) for s in [Scale()] for a in (x, x.reshape(1, 7))]", None),
    ],
)
def test_what_a_class_gives_for_them(tmp_path: Path, call: str, given: str | None) -> None:
    model = "class Model(nn.Module):\n    axes: tuple = (1,)\n    others: tuple = ()\n\n    @nn.compact\n    def __call__(self, x):\n"
    text, refused = converted(tmp_path, f"{SCALE}\n\n{model}        return {call}\n")
    assert (given in text) if given else ("Model" in refused)


def test_a_method_of_a_base_that_gets_another_input(tmp_path: Path) -> None:
    more = "class More(Scale):\n    def __call__(self, inputs):\n        return super().__call__({})\n"
    assert "More" in converted(tmp_path, f"{SCALE}\n\n{more.format('inputs.sum(0)')}")[1]
    plain = "class More(Scale):\n    epsilon: float = 0.0\n"
    text, refused = converted(tmp_path, f"{SCALE}\n\n{plain}")
    assert refused == {}
    assert text.count("in_features: tuple[int, ...]") == 2


@pytest.mark.parametrize(
    ("program", "given"),
    [
        ("x = jnp.ones((2, 3, 4))\nmodel = Scale((-2, -1))", "in_features=(3, 4)"),
        ("from data import x\nmodel = Scale((-2, -1))", "in_features=(x.shape[-2], x.shape[-1])"),
        ("from data import x\nmodel = Scale((1,))", "in_features=(x.shape[1],)"),
        ("from data import x, axes\nmodel = Scale(axes)", None),
    ],
)
def test_what_a_program_gives_for_them(program: str, given: str | None) -> None:
    code = f"{HEADER}{SCALE}\n\n{program}\nparams = model.init(jax.random.key(0), x)\n"
    text = fix_files({PATH: code}, resolve_rules(["linen-module"]))[0][PATH]
    assert (given in text) if given else ("class Scale(nn.Module)" in text)


def test_what_a_comparison_gives_for_them(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    program = "def main(x):\n    return Scale((-1, 0)).init(jax.random.key(0), jnp.ones((2, 3)))\n"
    (tmp_path / "old" / "models.py").write_text(f"{HEADER}{SCALE}\n\n{program}")
    size = {"name": "in_features", "path": ["inputs"], "axis": -1, "listed": 0, "method": "__call__"}
    (case,) = Cases(tmp_path / "old", tmp_path / "new", {"models:Scale": {"sizes": [size]}}, [])
    assert case.after is not None
    assert "in_features=tuple((jnp.ones((2, 3))).shape[axis] for axis in (-1, 0))" in case.after.model
