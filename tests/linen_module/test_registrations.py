"""Classes that a decorator keeps and gives back: it is called below them, with what takes their place in programs."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

CODE = """\
import flax.linen as nn
import jax
import jax.numpy as jnp

MODELS = {}


def register(name, check=None):
    def add(cls):
        MODELS[name] = cls
        return cls

    return add


@register("net")
class Net(nn.Module):
    features: int = 8

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)


def outputs(name, x):
    model = MODELS[name]()
    return model.apply(model.init(jax.random.key(0), x), x)
"""
MAKER = 'Functional.maker(Net, lambda x: {"in_features": x.shape[-1]})'


def fixed(code: str) -> str:
    path = Path("/project/models.py")
    return fix_files({path: code}, resolve_rules(["linen-module"]))[0][path]


def test_it_is_called_below() -> None:
    text = fixed(CODE)
    assert "\n\n\nclass Net(nnx.Module):" in text
    assert f'        return self.dense(x)\n\n\nregister("net")({MAKER})\n\n\ndef outputs' in text


def test_several_decorators_keep_their_order() -> None:
    text = fixed(CODE.replace('@register("net")', '@register("net")\n@register("other")'))
    assert f'register("other")({MAKER})\nregister("net")({MAKER})\n' in text


def test_a_decorator_of_several_lines() -> None:
    text = fixed(CODE.replace('@register("net")', '@register(\n    "net",  # the first\n)'))
    assert f'\nregister(\n    "net",  # the first\n)({MAKER})\n' in text


def test_a_class_in_a_function() -> None:
    head, _, rest = CODE.partition('@register("net")')
    body, _, end = rest.partition("\n\n\ndef outputs")
    inner = ('@register("net")' + body).replace("\n", "\n    ").replace("\n    \n", "\n\n")
    text = fixed(f"{head}def add_net():\n    {inner}\n\n\nadd_net()\n\n\ndef outputs{end}")
    assert f'            return self.dense(x)\n\n    register("net")({MAKER})\n' in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        return cls\n", "        return nn.jit(cls)\n"),  # it gives something else back
        ("        return cls\n", "        if check:\n            return cls\n"),  # or nothing
        ("        MODELS[name] = cls\n", "        cls = check(cls)\n        MODELS[name] = cls\n"),
        ("    return add\n", "    return check or add\n"),
        ("    def add(cls):\n", "    @check\n    def add(cls):\n"),
        ('@register("net")\n', '@register("net")  # kept\n'),  # a remark that belongs to it
        ('@register("net")\n', '@nn.jit\n@register("net")\n'),  # something decorates it later
        ("model = MODELS[name]()", "model = nn.vmap(MODELS[name], variable_axes={'params': 0})()"),
    ],
)
def test_what_may_not(old: str, new: str) -> None:
    assert old in CODE
    code = CODE.replace(old, new)
    assert fixed(code) == code
