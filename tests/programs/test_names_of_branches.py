"""Names of parameters where two branches make the layers of one list."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

MODEL = """\
import flax.linen as nn
import jax
import jax.numpy as jnp


class MLP(nn.Module):
    widths: tuple[int, ...] = (4, 4, 2)

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate(self.widths):
            if i < len(self.widths) - 1:
                x = nn.relu(nn.Dense(width)(x))
            else:
                {last}
        return x


def scaled(params):
    {use}


def main():
    model, x = MLP(), jnp.ones((2, 3))
    params = model.init(jax.random.key(0), x)
    return model.apply(scaled(params), x)
"""
PATH = Path("/project/main.py")
LAST = "x = nn.Dense(width, use_bias=False)(x)"
TWO = "x = nn.Dense(width)(nn.tanh(nn.Dense(width, use_bias=False)(x)))"
READ = 'return {"params": {**params["params"], "Dense_0": jax.tree.map(jnp.ones_like, params["params"]["Dense_0"])}}'
COMPARED = """return jax.tree_util.tree_map_with_path(
        lambda path, p: 2 * p if path[1].key.startswith("Dense_") else p, params
    )"""


def fixed(last: str, use: str) -> str:
    text = MODEL.replace("{last}", last).replace("{use}", use)
    return fix_files({PATH: text}, resolve_rules(["linen-module"]))[0][PATH]


def test_keys_of_layers_that_one_of_two_branches_makes() -> None:
    after = fixed(LAST, 'params["params"]["Dense_2"]["kernel"] *= 2\n    return params')
    assert 'params["params"]["dense_layers"]["2"]["kernel"] *= 2' in after
    assert after.count("self.dense_layers = nnx.List()") == 1 and "None" not in after


@pytest.mark.parametrize("use", [COMPARED])
def test_names_stay_where_code_looks_into_them(use: str) -> None:
    after = fixed(LAST, use)
    assert "ListingFunctional(MLP" in after and "self.Dense = nnx.List()" in after
    assert 'startswith("Dense_")' in after


@pytest.mark.parametrize("use", [READ, COMPARED])
def test_a_branch_with_two_layers_leaves_it_open_which_is_which(use: str) -> None:
    assert "class MLP(nn.Module)" in fixed(TWO, use)
