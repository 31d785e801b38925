"""Programs that depend on the order of the leaves of their parameters, where new names change it."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
LOOP = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (5, 4):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(2)(x)
"""
NAMED = """\
import flax.linen as nn


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5, name="a_first")(x))
        return nn.Dense(2)(x)
"""
ALIKE = NAMED.replace("a_first", "first")
PROGRAM = """\
import jax
import jax.numpy as jnp
from models import Net

model = Net()
params = model.init(jax.random.key(0), jnp.ones((1, 3)))
leaves, structure = jax.tree_util.tree_flatten(params)
"""
PICKED = "print(leaves[0].shape)\n"
SPLIT = "keys = jax.random.split(jax.random.key(1), len(leaves))\n"
COUNTED = "keys = jax.random.split(jax.random.key(1), num=structure.num_leaves)\n"


NUMBERED = "for i, leaf in enumerate(leaves):\n    print(i * leaf)\n"
FIRST = "print(next(iter(params['params'].values())))\n"


def fixed(models: str, program: str) -> tuple[str, list[str]]:
    """The models as they are afterwards, and the messages about what is not converted."""
    path = Path("/project/models.py")
    texts, result = fix_files({path: models, Path("/project/main.py"): PROGRAM + program}, RULES)
    return texts[path], [finding.message for finding in result.remaining.findings]


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED, NUMBERED, FIRST])
def test_lists_of_layers_have_another_order(program: str) -> None:
    _, left = fixed(LOOP, program)
    assert any("it depends on the order of parameters" in message for message in left)


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED])
def test_names_of_linen_keep_the_order(program: str) -> None:
    models, left = fixed(NAMED, program)
    assert "self.Dense_0 = nnx.Linear(5, 2, rngs=rngs)" in models and left == []


@pytest.mark.parametrize("program", [PICKED, SPLIT, COUNTED])
def test_names_that_sort_alike_may_change(program: str) -> None:
    models, left = fixed(ALIKE, program)
    assert "self.dense = nnx.Linear(5, 2, rngs=rngs)" in models and left == []


@pytest.mark.parametrize(
    "program",
    ["keys = jax.random.split(jax.random.key(1), len(range(3)))\n", "print(next(iter(range(3))))\n"],
)
def test_other_counts(program: str) -> None:
    models, left = fixed(LOOP, program)
    assert "nnx.List" in models and left == []


SEARCH = """\
def search(start, expand):
    open_states = {start: 0}
    while len(open_states) > 0:
        state, depth = next(iter(open_states.items()))
        for action in [1, 2, 3]:
            open_states[expand(state, action)] = depth + 1
        del open_states[state]
"""
COLLECTED = """\
params_by_name = {}
for name in params["params"]:
    params_by_name[name] = 1
print(next(iter(params_by_name.items())))
"""
STACKED = """\
params_by_name, left = {}, list(params["params"].items())
while left:
    name, value = left.pop()
    params_by_name[name] = value
print(next(iter(params_by_name.items())))
"""
COPIED = """\
weights = {**params["params"]}
print(next(iter(weights.values())))
"""
HANDED = """\
weights = {}
weights.update(params["params"])
print(next(iter(weights.values())))
"""
BATCHED = """\
def reset(key, state_buffer):
    size = jax.tree_util.tree_leaves(state_buffer)[0].shape[0]
    return jax.random.randint(key, (), 0, size)
"""
MEASURED = """\
def leading(batch, state):
    shape = jax.tree_util.tree_leaves(batch)[0].shape
    return shape[: len(shape) - jax.tree_util.tree_leaves(state.mean)[0].ndim]
"""
MEASURED_WEIGHTS = """\
def shape(weights):
    return jax.tree_util.tree_leaves(weights)[0].shape
"""
PICKED_KEY = "print(list(params.keys())[0])\n"
OF_WEIGHTS = """\
def first(batch_weights):
    return jax.tree.leaves(batch_weights)[0]
"""
MOMENTS = """\
def width(opt_state):
    return jax.tree_util.tree_leaves(opt_state)[0].shape[0]
"""


SIGNATURE = """\
import inspect
param_types = inspect.signature(model.init).parameters
print(list(param_types.keys())[0])
"""
OF_SIGNATURE = """\
import inspect
signature = inspect.signature(model.init)
param_names = list(signature.parameters.keys())
print(param_names[0], list(inspect.signature(model.apply).parameters.keys())[0])
"""


OF_DATA = """\
def first(batch, env, keyed):
    sample = jax.tree_util.tree_leaves(batch)[0]
    parts, structure = jax.tree.flatten(keyed.obs)
    keys = list(env.observation_space.keys())
    return sample.shape, parts[0], batch[keys[0]]
"""
OF_OUTPUTS = """\
def head(logits, compute_gradient, params):
    (loss, (stats, task_logits)), grads = compute_gradient(params)
    return logits[list(task_logits.keys())[0]], jax.tree.leaves(logits)[0], loss, stats, grads
"""
SHOWN = """\
for i in range(3):
    with jax.named_scope(f"Dense_{i}"):
        print("Dense_{}".format(i))
"""


@pytest.mark.parametrize(
    "program", [SIGNATURE, OF_SIGNATURE, SEARCH, BATCHED, MEASURED, OF_DATA, OF_OUTPUTS, SHOWN]
)
def test_dictionaries_and_trees_of_other_things(program: str) -> None:
    models, left = fixed(LOOP, program)
    assert "nnx.List" in models and left == []


@pytest.mark.parametrize(
    "program", [COLLECTED, STACKED, COPIED, HANDED, MOMENTS, MEASURED_WEIGHTS, PICKED_KEY, OF_WEIGHTS]
)
def test_dictionaries_and_trees_that_are_filled_with_parameters(program: str) -> None:
    _, left = fixed(LOOP, program)
    assert any("it depends on the order of parameters" in message for message in left)


PRODUCT = """\
def variants({name}):
    first = list({name}.keys())[0]
    return [{{first: value}} for value in {name}[first]]
"""


@pytest.mark.parametrize(
    ("name", "head", "moves"),
    [
        ("choices", "import copy\n", True),
        ("hyperparameter", "import copy\n", True),
        ("params", "import copy\n", False),
        ("choices", "import jax\n", False),
    ],
)
def test_dictionaries_in_files_without_jax(name: str, head: str, moves: bool) -> None:
    files = {"models": LOOP, "main": PROGRAM, "settings": head + PRODUCT.format(name=name)}
    texts, _ = fix_files({Path(f"/project/{key}.py"): text for key, text in files.items()}, RULES)
    assert ("nnx.List" in texts[Path("/project/models.py")]) is moves


ANALYSIS = """\
import jax
from library import draw

samples = draw(jax.random.key(0))
params = {name: sample for name, sample in samples.items()}
print(list(params.values())[0].shape)
"""
LIBRARY = """\
def draw(key):
    return {"a": key}
"""


@pytest.mark.parametrize(
    ("name", "change", "moves"),
    [
        ("test_draws", ("", ""), True),
        ("draws_test", ("", ""), True),
        ("draws", ("", ""), False),  # anyone may call it
        ("draws", ("samples =", "if __name__ == '__main__':\n  samples ="), True),
        ("test_draws", ("import jax\n", "import jax, models\n"), False),
        ("test_draws", ("draw(jax.random.key(0))", "pickle.load(open('params.pkl', 'rb'))"), False),
    ],
)
def test_programs_that_never_meet_the_model(name: str, change: tuple[str, str], moves: bool) -> None:
    files = {"models": LOOP, "main": PROGRAM, name: ANALYSIS.replace(*change), "library": LIBRARY}
    texts, _ = fix_files({Path(f"/project/{key}.py"): text for key, text in files.items()}, RULES)
    assert ("nnx.List" in texts[Path("/project/models.py")]) is moves


@pytest.mark.parametrize(
    "others",
    [
        {"library": LIBRARY + "import pickle\ndef read(f):\n    return pickle.load(f)\n"},
        {"conftest": "import main\n"},
        {"tools": "import test_draws, main\n"},
        {"tools": "import importlib, sys, main\nprint(importlib.import_module(sys.argv[1]).params)\n"},
    ],
)
def test_tests_that_may_meet_the_model(others: dict[str, str]) -> None:
    files = {"models": LOOP, "main": PROGRAM, "test_draws": ANALYSIS, "library": LIBRARY} | others
    texts, _ = fix_files({Path(f"/project/{key}.py"): text for key, text in files.items()}, RULES)
    assert "nnx.List" not in texts[Path("/project/models.py")]


@pytest.mark.parametrize(("name", "moves"), [("models", False), ("numpy", True)])
def test_tests_whose_imports_may_mean_several_files(name: str, moves: bool) -> None:
    test = f"import sys\nsys.path.append('../a')\nimport {name}\n{ANALYSIS}".replace(
        "library", "library.draws"
    )
    files = {"a/models": LOOP, "a/main": PROGRAM, "b/models": "WIDTH = 3\n", "tests/test_draws": test}
    files |= {"library/__init__": "", "library/draws": LIBRARY}
    texts, _ = fix_files({Path(f"/project/{key}.py"): text for key, text in files.items()}, RULES)
    assert ("nnx.List" in texts[Path("/project/a/models.py")]) is moves


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ('"Dense_%s_position" % 3', True),
        ('f"Dense_{len(params)}_position"', True),
        ('"Dense_{}_position".format(3)', True),
        ('f"Dense_{len(params)}_kernel"', False),
        ('f"Dense_{len(params)}"', False),
        ('f"Dense_{len(params)}/(?!position)"', False),
        ('f"Dense_{len(params)}_width"', False),  # a word of the class
    ],
)
def test_texts_that_go_on_as_no_name_does(text: str, moves: bool) -> None:
    models, _ = fixed(LOOP, f"found = {{}}\nfound[{text}] = 1\n")
    assert ("nnx.List" in models) is moves


ASKED_AGAIN = """\
import flax.linen as nn


class Net(nn.Module):
    normed: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(5)(x)
        if self.normed:
            x = nn.LayerNorm()(x)
        x = nn.Dense(4)(x)
        if {test}:
            x = nn.LayerNorm()(x)
        return nn.Dense(2)(x)
"""


@pytest.mark.parametrize(
    ("test", "moves"),
    [
        ("self.normed", True),
        ("not not self.normed and True", False),
        ("self.wide", False),
    ],
)
def test_conditions_that_ask_the_same_count_alike(test: str, moves: bool) -> None:
    program = "for key in params['params']:\n    if key.startswith('LayerNorm_'):\n        print(key)\n"
    models = ASKED_AGAIN.format(test=test).replace("normed: bool", "wide: bool = True\n    normed: bool")
    text, _ = fixed(models, program)
    made = [line.strip().partition(" = ")[0] for line in text.splitlines() if "nnx.LayerNorm(" in line]
    assert made == (["self.LayerNorm_0", "self.LayerNorm_1"] if moves else [])
