"""Programs that ask for the class of a module, and that call modules which have no variables."""

import copy
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from nnx_migrate.nnx.helpers.functional import Functional
from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Wide(Net):
    factor: int = 2


class Scale(nn.Module):
    by: float = 2.0

    def __call__(self, x):
        return x * self.by


x = jnp.ones((1, 3))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")


def fixed(code: str) -> str:
    return fix_files({PATH: MODEL + code}, resolve_rules(["linen-module"]))[0][PATH]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("assert isinstance(model, nn.Module)\n", "assert isinstance(model, (nn.Module, nnx.Module))\n"),
        ("ok = isinstance(model, (str, nn.Module))\n", "isinstance(model, (str, nn.Module, nnx.Module))\n"),
        ("ok = isinstance(model, str | nn.Module)\n", "isinstance(model, str | nn.Module | nnx.Module)\n"),
        (
            "class T:\n    def test(self):\n        self.assertIsInstance(model, nn.Module)\n",
            "        self.assertIsInstance(model, (nn.Module, nnx.Module))\n",
        ),
        (
            "class T:\n    def test(self):\n        self.assertNotIsInstance(model, Wide)\n",
            "        self.assertNotIsInstance(model, Wide)\n",
        ),
        ("assert isinstance(model, Net)\n", "assert isinstance(model, Net)\n"),
        ("assert isinstance(model, (Wide, FrozenDict))\n", "assert isinstance(model, (Wide, FrozenDict))\n"),
        ("print(type(model).__name__)\n", "print(model.__class__.__name__)\n"),
        ("print(model.__class__.__name__)\n", "print(model.__class__.__name__)\n"),
        (
            "for m in [model]:\n    assert isinstance(m, nn.Module)\n",
            "isinstance(m, (nn.Module, nnx.Module))",
        ),
    ],
)
def test_what_asks_for_classes(code: str, expected: str) -> None:
    after = fixed("model = Net()\nmodel.init(key, x)\n" + code)
    assert "class Net(nnx.Module)" in after
    assert after.endswith(expected) or expected in after


@pytest.mark.parametrize(
    "code",
    [
        "assert isinstance(model, nn.Dense)\n",  # a class that derives from a layer is one
        "from flax import nnx\nassert not isinstance(model, nnx.Module)\n",
        "KINDS = (Net, Scale)\nassert isinstance(model, KINDS)\n",
        "other = type(model)(width=3)\n",
        "other = model.__class__(width=3)\n",
        "assert type(model) is Net\n",
        "assert issubclass(Net, nn.Module)\n",
    ],
)
def test_what_keeps_the_class(code: str) -> None:
    assert "class Net(nn.Module)" in fixed("model = Net()\nmodel.init(key, x)\n" + code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("y = Scale(3.0)(x)\n", "y = Scale(3.0)(x)\n"),
        ("scale = Scale()\ny = jax.jit(lambda x: scale(x))(x)\n", "scale = Scale()\n"),
        ("scale = Scale()\ny = scale(x)\nscale.apply({}, x)\n", "scale = Functional(Scale)\ny = scale(x)\n"),
        ("kinds = {'scale': Scale}\ny = kinds['scale']()(x)\n", "{'scale': Functional.maker(Scale)}"),
    ],
)
def test_modules_without_variables_are_called(code: str, expected: str) -> None:
    after = fixed(code)
    assert "class Scale(nnx.Module)" in after and expected in after


def test_modules_with_variables_are_not() -> None:
    assert "class Net(nn.Module)" in fixed("net = Net()\ntry:\n    net(x)\nexcept Exception:\n    pass\n")


class Part(nnx.Module):
    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(3, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dense(x)


class Double(nnx.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        return 2 * x


class Heads(nnx.Module):
    def __init__(self, heads: dict[str, Part]) -> None:
        self.heads = nnx.Dict(heads)

    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        return {name: head(x) for name, head in self.heads.items()}


def test_functional_has_the_class_of_its_module() -> None:
    model = Functional(Part, 2)
    assert isinstance(model, Part) and isinstance(model, nnx.Module) and isinstance(model, Functional)
    assert not isinstance(model, Heads) and model.__class__ is Part and type(model) is Functional


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_functional(copied) -> None:
    model = Functional(Part, 2)
    variables = model.init(jax.random.key(0), None)
    other = copied(model)
    assert type(other) is Functional and other == model
    x = jnp.ones((1, 3))
    assert (other.apply(variables, x) == model.apply(variables, x)).all()


def test_functional_is_called_without_variables() -> None:
    x = jnp.ones((1, 3))
    assert (Functional(Double)(x) == 2 * x).all()
    assert callable(Functional(Part, 2))
    with pytest.raises((TypeError, ValueError)):
        Functional(Part, 2)(x)


def test_functional_makes_modules_in_containers() -> None:
    model = Functional(Heads, {"a": Functional(Part, 2), "b": Functional(Part, 4)})
    x = jnp.ones((1, 3))
    variables = model.init(jax.random.key(0), x)
    assert variables["params"]["heads"].keys() == {"a", "b"}
    output, _ = model.apply(variables, x, mutable=["intermediates"])
    assert output["a"].shape == (1, 2) and output["b"].shape == (1, 4)
