"""Programs that look into the names of parameters: new names give the same answers, or there are none."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
MODELS = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(x)
        return nn.Dense(2)(x)


class Head(nn.Module):
    def setup(self):
        self.w = nn.Dense(3, name="hyper_dense")
        self.top = nn.Dense(3, name="trunk")

    def __call__(self, x):
        return self.top(self.w(x))
"""
PROGRAM = """\
import re

import jax
import jax.numpy as jnp
from flax import traverse_util
from models import Head, Net

x = jnp.ones((1, 3))
params = {"net": Net().init(jax.random.key(0), x)["params"], "head": Head().init(jax.random.key(0), x)["params"]}


def choose(params%s):
    return traverse_util.path_aware_map(lambda path, _: any(%s for name in path), params)


print(choose(params))
"""


def fixed(test: str, more: str = "") -> tuple[str, str]:
    """Models and program as they are afterwards."""
    models, program = Path("/project/models.py"), Path("/project/main.py")
    texts, _ = fix_files({models: MODELS, program: PROGRAM % (more, test)}, RULES)
    return texts[models], texts[program]


@pytest.mark.parametrize(
    ("test", "is_kept"),
    [
        ("'Norm' in name", True),
        ("'norm' in name", True),
        ("'norm' in name.lower()", False),
        ("'layernorm' in name.lower()", True),
        ("any(part in name.lower() for part in ('layernorm', 'ln'))", True),
        ("any(part in name.lower() for part in ('layernorm', 'layer_norm'))", False),
        ("name.startswith('Layer')", True),
        ("name.startswith(('Layer', 'Batch'))", True),
        ("name[:5] == 'Layer'", True),
        ("name.endswith('_0')", True),
        ("name.split('_')[0] == 'x'", True),
        ("re.search('[A-Z].*Norm', name)", True),
        ("'kernel' in name", False),
        ("'encoder' not in name", False),
    ],
)
def test_names_are_as_in_linen_where_others_would_be_taken_for_something_else(
    test: str, is_kept: bool
) -> None:
    models, _ = fixed(test)
    assert ("self.LayerNorm_0 = nnx.LayerNorm" in models) is is_kept
    assert ("self.layer_norm = nnx.LayerNorm" in models) is not is_kept


@pytest.mark.parametrize(
    ("test", "more"),
    [
        ("re.fullmatch(regex, name)", ", regex='hyper_dense'"),
        ("re.fullmatch('hyper_dense', name)", ""),
        ("'hyper' in name", ""),
        ("name == 'trunk'", ""),
        ("name == frozen", ", frozen='trunk'"),
        ("name.startswith('tru')", ""),
    ],
)
def test_modules_whose_own_names_a_program_tests(test: str, more: str) -> None:
    models, program = fixed(test, more)
    assert "class Net(nnx.Module)" in models
    assert "class Head(nn.Module)" in models
    assert "Functional(" in program


def test_a_word_that_only_messages_have() -> None:
    models, _ = fixed("print('hyper_dense')")
    assert "class Head(nnx.Module)" in models


WALK = """\
import jax
import jax.numpy as jnp
from models import Net

SMALL = ("bias", "layernorm")


def mask(tree, small=("bias", "layernorm")):
    def walk(subtree, decays):
        out = {}
        for k, v in subtree.items():
            kept = decays and not any(word in k.lower() for word in %s)
            out[k] = walk(v, kept) if isinstance(v, dict) else kept
        return out

    return walk(tree, True)


print(mask(Net().init(jax.random.key(0), jnp.ones((1, 3)))))
"""


@pytest.mark.parametrize("words", ["('bias', 'layernorm')", "SMALL", "small"])
def test_functions_that_go_down_into_nested_dictionaries_go_through_names(words: str) -> None:
    models, program = Path("/project/models.py"), Path("/project/main.py")
    texts, _ = fix_files({models: MODELS, program: WALK % words}, RULES)
    assert "self.LayerNorm_0 = nnx.LayerNorm" in texts[models]
    assert "Functional(Net" in texts[program]


def test_methods_that_go_through_results_of_their_own_name_go_down_into_nothing() -> None:
    program = """\
    import jax
    import jax.numpy as jnp
    from models import Net

    print(Net().init(jax.random.key(0), jnp.ones((1, 3))))


    class Log:
        def step(self, optimizer, losses):
            optimizer.step()
            for k, v in losses.items():
                print(k, v)
            for metric in ["layernorm", "N"]:
                print(metric, losses[metric])
    """
    models, path = Path("/project/models.py"), Path("/project/main.py")
    texts, _ = fix_files({models: MODELS, path: dedent(program)}, RULES)
    assert "self.layer_norm = nnx.LayerNorm" in texts[models]
