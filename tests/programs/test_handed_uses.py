"""Modules that are handed over, in calls that use them under a condition only."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Part(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x)


class Both(nn.Module):
    part: nn.Module
    scale: float = 1.0

    def __call__(self, x, reverse=False):
        return self.part(x, reverse=reverse) if reverse else self.part(x, reverse=False)


class Once(nn.Module):
    part: nn.Module

    def __call__(self, x):
        return self.part(x)


class Flow(nn.Module):
    part: nn.Module
    deep: bool = False

    def __call__(self, x, reverse=False):
{body}


x = jnp.ones((1, 4))
key = jax.random.key(0)
"""
PATH = Path("/project/main.py")
RULES = resolve_rules(["linen-module"])

FORWARD = """\
        if not reverse:
            return self.part(x)
        return -x
"""
EARLY = """\
        if reverse:
            return -x
        return self.part(x)
"""
NONE = """\
        y = None if reverse else self.part(x)
        return x if y is None else y
"""
BY_METHOD = """\
        return self.forward(x, back=reverse)

    def forward(self, x, back):
        if back is True:
            return -x
        return self.part(x)
"""
DEEP = """\
        if self.deep and not reverse:
            x = self.part(x)
        return x
"""
RAISED = """\
        if x.ndim != 2:
            raise ValueError(x.ndim)
        return self.part(x)
"""
REPLACED = """\
        reverse = x.sum() > 3
        return -x if reverse else self.part(x)
"""


def converts(body: str, code: str) -> bool:
    """Whether the program and its classes move."""
    text = fix_files({PATH: MODEL.replace("{body}", body.rstrip()) + code}, RULES)[0][PATH]
    assert ("class Flow(nnx.Module)" in text) == ("Functional(Part)" in text)
    return "Functional(Part)" in text


@pytest.mark.parametrize("body", [FORWARD, EARLY, NONE, BY_METHOD])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Flow(Part()).init(key, x)\n", True),
        ("Flow(Part()).init(key, x, False)\n", True),
        ("Flow(Part()).init(key, x, reverse=True)\n", False),
        ("Flow(Part()).init(key, x, reverse=bool(x.sum()))\n", False),
        ("Flow(Part()).init(key, *[x])\n", False),
        ("jax.jit(Flow(Part()).init)(key, x)\n", False),
        ("Both(Flow(Part())).init(key, x)\n", True),
        ("Both(Flow(Part())).init(key, x, True)\n", False),
        ("Once(Flow(Part())).init(key, x)\n", True),
        ("Once(Once(Flow(Part()))).init(key, x)\n", True),
    ],
)
def test_arguments_that_decide(body: str, code: str, expected: bool) -> None:
    """Linen makes parameters where `init` calls the module: not on the way back."""
    assert converts(body, code) is expected


@pytest.mark.parametrize(
    ("body", "code", "expected"),
    [
        (DEEP, "Flow(Part(), deep=True).init(key, x)\n", True),
        (DEEP, "Flow(Part()).init(key, x)\n", False),
        (DEEP, "model = Flow(Part(), True)\nmodel.clone(deep=False).init(key, x)\n", False),
        (RAISED, "Flow(Part()).init(key, x)\n", True),
        (REPLACED, "Flow(Part()).init(key, x)\n", False),
    ],
)
def test_other_conditions(body: str, code: str, expected: bool) -> None:
    """Fields of the construction are known, too; local variables aren't."""
    assert converts(body, code) is expected


NESTED = """\
        def shifted(y):
            return y + 1

        if reverse:
            x = -x
        return shifted(self.part(x))
"""


def test_functions_within_a_method_return_for_themselves() -> None:
    assert converts(NESTED, "Flow(Part()).init(key, x, reverse=bool(x.sum()))\n")


NOISE = """\
class Noise(nn.Module):
    scale: float = 0.1
    {field}

    def __call__(self, x):
        {body}
        return x * self.scale + jax.random.normal(self.make_rng("noise"), x.shape)


"""


@pytest.mark.parametrize(
    ("field", "body", "expected"),
    [
        ("", "x = nn.relu(x)", True),
        ("", "x = x + self.param('b', nn.initializers.zeros, (4,))", False),
        ("", "x = x + made(x)", False),
        ("layer: type = None", "x = x if self.layer is None else self.layer()(x)", False),
    ],
)
def test_modules_without_variables_may_be_called_or_not(field: str, body: str, expected: bool) -> None:
    start, _, rest = MODEL.replace("{body}", FORWARD.rstrip()).partition("class Part")
    noise = "def made(x):\n    return 2 * x\n\n\n" + NOISE.format(field=field, body=body)
    code = start + noise + "class Part" + rest + "Flow(Noise()).init(key, x, reverse=True)\n"
    text = fix_files({PATH: code}, RULES)[0][PATH]
    assert ("Functional(Noise)" in text) is expected
    assert ("class Flow(nnx.Module)" in text) is expected
