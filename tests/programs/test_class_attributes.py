"""What programs read of a class that they use as a value, and static methods of modules."""

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


class Net(nn.Module):
    width: int = 4
    limit = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)

    def double(self, x):
        return 2 * self(x)

    @staticmethod
    def carry(size):
        return jnp.zeros(size)

    @property
    def wide(self):
        return self.width > 4


class Other(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(nn.Dense(self.width)(x))

    def double(self, x):
        return 2 * self(x)

    @staticmethod
    def carry(size):
        return jnp.ones(size)


def run(deep, x):
    Model = Other if deep else Net
    model = Model(3)
    params = model.init(jax.random.key(0), x)
    return {}
"""
PATH = Path("/project/main.py")


def moves(use: str) -> bool:
    """Whether both classes are converted."""
    text = MODEL.replace("{}", use)
    after = fix_files({PATH: text}, resolve_rules(["linen-module"]))[0][PATH]
    converted = [f"class {name}(nnx.Module)" in after for name in ("Net", "Other")]
    assert converted[0] == converted[1] == ("Functional.maker(" in after)
    return converted[0]


@pytest.mark.parametrize(
    "use", ["Model.carry(3)", "model.apply(params, x, method=Model.double)", "{'model': Model.__name__}"]
)
def test_functions_of_a_class_that_a_condition_chooses(use: str) -> None:
    assert moves(use)


@pytest.mark.parametrize(
    "use", ["Model.width", "Model.__mro__", "Model.double(model, x)", "Model.wide", "Model.limit"]
)
def test_what_the_nnx_form_or_its_maker_may_not_have(use: str) -> None:
    assert not moves(use)


class Plain(nnx.Module):
    def __init__(self, width: int = 4, *, rngs: nnx.Rngs):
        self.width = width

    @staticmethod
    def carry(size: int, fill: float = 1.0) -> jax.Array:
        return jnp.full(size, fill)

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    def make(self) -> int:
        return self.width


def test_static_and_class_methods_of_a_module_get_no_module() -> None:
    model = Functional(Plain, 5)
    assert model.carry(2, 3.0).tolist() == [3.0, 3.0]
    assert model.kind() == "Plain"


def test_makers_have_the_methods_of_their_class() -> None:
    maker = Functional.maker(Plain)
    assert maker.carry(2).tolist() == [1.0, 1.0]
    assert maker.kind() == maker.__name__ == "Plain"
    assert maker(7).apply({}, method=maker.make) == 7
    with pytest.raises(AttributeError):
        maker.unknown  # noqa: B018


@pytest.mark.parametrize(("size", "is_converted"), [("Net.width", False), ("Net.limit", True)])
def test_what_other_modules_read_of_the_class(size: str, is_converted: bool) -> None:
    holder = f"""
class Holder(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense({size})(Net()(x))


Holder().init(jax.random.key(0), jnp.ones((1, 3)))
"""
    text = MODEL.replace("{}", "Model.carry(3)") + holder
    after = fix_files({PATH: text}, resolve_rules(["linen-module"]))[0][PATH]
    assert ("class Holder(nnx.Module)" in after) == ("class Net(nnx.Module)" in after) == is_converted
