"""`nn.vmap` of classes outside of modules."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
PATH = Path("/project/main.py")
HEAD = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)

    def scale(self, x):
        return x * self.width


key, x = jax.random.key(0), jnp.ones((1, 3))
axes = {"params": 0}
OPTIONS = dict(split_rngs={"params": True}, in_axes=None, out_axes=0, axis_size=2)
"""
OPTIONS = 'variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=2'
MANY = f"def many(cls, **kwargs):\n    return nn.vmap(cls, {OPTIONS}, **kwargs)\n\n"


def fixed(code: str) -> str:
    return fix_files({PATH: HEAD + code}, RULES)[0][PATH]


@pytest.mark.parametrize(
    "code",
    [
        f"nets = nn.vmap(Net, {OPTIONS})(width=2)\nv = nets.init(key, x)\ny = nets.apply(v, x)\n",
        f"{MANY}Nets = many(Net)\nv = Nets(2).init(key, x)\n",
        f"from functools import partial\n\n{MANY}v = many(partial(Net, 2))().init({{'params': key}}, x)\n",
        f"{MANY}v = many(Net, out_axes=1)().init(key, x)\n",
    ],
)
def test_the_call_goes_to_a_helper(code: str) -> None:
    after = fixed(code)
    assert "class Net(nnx.Module)" in after
    assert "nn.vmap" not in after
    assert "vmapped(" in after
    assert "Functional.maker(Net" in after


@pytest.mark.parametrize(
    "code",
    [
        # parameters that are shared, or whose axes aren't seen
        f"nets = nn.vmap(Net, {OPTIONS.replace(': 0', ': None')})()\nnets.init(key, x)\n",
        f"nets = nn.vmap(Net, {OPTIONS.replace('{' + chr(34) + 'params' + chr(34) + ': 0}', 'axes')})()\n",
        f"nets = nn.vmap(Net, {OPTIONS}, methods=['scale'])()\nnets.init(key, x)\n",
        "nets = nn.vmap(Net, variable_axes={'params': 0}, **OPTIONS)()\nnets.init(key, x)\n",
        f"{MANY}nets = many(Net, methods=['scale'])()\nnets.init(key, x)\n",
        # other classes come the same way
        f"{MANY}nets = many(Net)()\nnets.init(key, x)\nlayers = many(nn.Dense)(3)\nlayers.init(key, x)\n",
        f"{MANY}class Two(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n        return many(Net)()(x)\n\n"
        "many(Net)().init(key, x)\n",
        # more of the module is used than its call
        f"nets = nn.vmap(Net, {OPTIONS})()\nnets.apply(nets.init(key, x), x, method='scale')\n",
        f"nets = nn.vmap(Net, {OPTIONS})()\nprint(nets.tabulate(key, x))\n",
        f"nets = nn.vmap(Net, {OPTIONS})()\nnets.init(key, x=x)\n",
    ],
)
def test_what_the_helper_does_not_do_is_refused(code: str) -> None:
    assert fixed(code) == HEAD + code
