"""Where the rank of a module's inputs comes from: its own code, its callers, the configuration, or nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.array_notation import parse_array
from nnx_migrate.linen.programs.inputs.stated_inputs import StatedInputs
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.nnx.writer.symbols import SizeParameter
from nnx_migrate.sources.files import load_source

HEAD = "import flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n"
TOKENS = """
class Tokens(nn.Module):
    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, x.shape[1:])
        return x * scale
"""


def converted(tmp_path: Path, code: str, **stated: list[str]) -> Conversions:
    path = tmp_path / "model.py"
    path.write_text(HEAD + code)
    arrays = {name: [parse_array(text) for text in texts] for name, texts in stated.items()}
    return convert_project(Project([path], load_source), stated=StatedInputs(arrays))


def sizes(conversions: Conversions, name: str) -> list[SizeParameter]:
    return conversions.converted[f"model.{name}"].sizes


def test_nothing_shows_the_rank(tmp_path: Path) -> None:
    found = converted(tmp_path, TOKENS)
    assert found.refused["model.Tokens"].reason in ("unknown-size", "dynamic-construction")


def test_a_sample_shows_the_rank(tmp_path: Path) -> None:
    found = converted(tmp_path, TOKENS + "\nTokens().init(jax.random.key(0), jnp.ones((2, 3, 4)))\n")
    assert [size.axis for size in sizes(found, "Tokens")] == [-1, -2]


def test_a_parent_shows_the_rank(tmp_path: Path) -> None:
    parent = """
class Parent(nn.Module):
    @nn.compact
    def __call__(self, images):
        n, h, w, c = images.shape
        return Tokens()(images.reshape(n, h * w, c))
"""
    found = converted(tmp_path, TOKENS + parent)
    assert [size.axis for size in sizes(found, "Tokens")] == [-1, -2]
    assert [size.axis for size in sizes(found, "Parent")] == [-1, -3, -2]


def test_callers_that_disagree_show_nothing(tmp_path: Path) -> None:
    uses = "\nfor shape in ():\n    pass\nTokens().init(jax.random.key(0), jnp.ones((2, 3, 4)))\n"
    uses += "Tokens().init(jax.random.key(0), jnp.ones((2, 3, 4, 5)))\n"
    assert "model.Tokens" in converted(tmp_path, TOKENS + uses).refused


def test_a_parent_of_unknown_rank_is_refused(tmp_path: Path) -> None:
    parent = """
class Parent(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Tokens()(x)

Tokens().init(jax.random.key(0), jnp.ones((2, 3, 4)))
"""
    found = converted(tmp_path, TOKENS + parent)
    assert "model.Tokens" in found.converted
    assert found.refused["model.Parent"].reason == "unknown-size"


@pytest.mark.parametrize("name", ["Tokens", "model:Tokens", "model.Tokens"])
def test_the_configuration_states_the_rank(tmp_path: Path, name: str) -> None:
    found = converted(tmp_path, TOKENS, **{name: ["f32[2,3,4]"]})
    assert [size.axis for size in sizes(found, "Tokens")] == [-1, -2]


def test_sizes_of_the_configuration_serve_where_no_call_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEAD + TOKENS + "\nmodel = Tokens()\n")
    project = Project([path], load_source)
    (group,) = make_plan(project, stated=StatedInputs({"Tokens": [parse_array("f32[2,3,4]")]}))
    (found,) = group.sizes.values()
    assert found.arguments == {"in_features": "4", "in_length": "3"}


def test_an_image_without_a_batch_is_flattened_whole(tmp_path: Path) -> None:
    code = """
class Atari(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        return nn.Dense(2)(x.reshape(-1))
"""
    found = sizes(converted(tmp_path, code), "Atari")
    assert [size.name for size in found] == ["in_features", "in_height", "in_width"]


def test_sizes_in_a_changed_list_are_not_those_of_the_shape(tmp_path: Path) -> None:
    code = """
class Shared(nn.Module):
    axes: tuple

    @nn.compact
    def __call__(self, x):
        shape = list(x.shape[1:])
        for axis in self.axes:
            shape[axis] = 1
        return x * self.param("scale", nn.initializers.ones, tuple(shape))

Shared((0,)).init(jax.random.key(0), jnp.ones((2, 3, 4)))
"""
    assert "model.Shared" in converted(tmp_path, code).refused


def test_a_return_within_a_loop_of_another_module_counts(tmp_path: Path) -> None:
    code = """
class Early(nn.Module):
    widths: tuple
    last: int

    @nn.compact
    def __call__(self, x):
        for width in self.widths:
            if width == self.last:
                return x
            x = nn.Dense(width)(x)
        return x

class Parent(nn.Module):
    widths: tuple

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Early(self.widths, 4)(x))
"""
    assert "model.Parent" in converted(tmp_path, code).refused


MIXER = """
class Mixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        LOOK
        y = jnp.swapaxes(x, 1, 2)
        return nn.Dense(8)(y)
"""


def test_numbered_axes_are_those_of_the_lowest_rank(tmp_path: Path) -> None:
    found = converted(tmp_path, MIXER.replace("LOOK", "pass"))
    assert found.converted["model.Mixer"].assumed == {("x",): 3}
    assert [size.axis for size in sizes(found, "Mixer")] == [-2]


def test_a_parameter_of_a_numbered_axis_shows_no_rank(tmp_path: Path) -> None:
    own = "x = x + self.param('bias', nn.initializers.zeros, x.shape[-2:])"
    assert "model.Mixer" in converted(tmp_path, MIXER.replace("LOOK", own)).refused


def test_code_that_looks_at_ranks_shows_none(tmp_path: Path) -> None:
    look = "x = x[..., None] if x.ndim == 2 else x"
    assert "model.Mixer" in converted(tmp_path, MIXER.replace("LOOK", look)).refused


@pytest.mark.parametrize(
    ("shape", "known"),
    [("(2, 3, 4)", True), ("(2, 3, 4, 5)", True), ("shape", False), ("(2, 3, 4, 5, 6)", True)],
)
def test_callers_of_numbered_axes(tmp_path: Path, shape: str, known: bool) -> None:
    """A rank that callers show goes before the lowest one; one that they don't show isn't taken for granted."""
    parent = f"""
class Parent(nn.Module):
    @nn.compact
    def __call__(self, x, shape):
        return Mixer()(x.reshape({shape}))
"""
    found = converted(tmp_path, MIXER.replace("LOOK", "pass") + parent)
    assert ("model.Parent" in found.converted) is known
    assert [size.axis for size in sizes(found, "Mixer")] == [-1 if shape.count(",") > 2 else -2]


RECURRENT = """
class Cell(nn.Module):
    @functools.partial(
        nn.scan, variable_broadcast="params", in_axes=0, out_axes=0, split_rngs={"params": False}
    )
    @nn.compact
    def __call__(self, carry, x):
        ins, resets = x
        carry = jnp.where(resets[:, None], self.start(*START), carry)
        return nn.GRUCell(features=ins.shape[1])(carry, ins)

    @staticmethod
    def start(rows, *more):
        return jnp.zeros((rows, *more))


class Policy(nn.Module):
    @nn.compact
    def __call__(self, carry, x):
        obs, dones = x
        carry, y = Cell()(carry, (nn.Dense(8)(obs), dones))
        return carry, nn.Dense(2)(y)

"""
CARRY = "carry = jnp.zeros((3, 8))\n"


@pytest.mark.parametrize(
    ("start", "sample"),
    [
        ("carry.shape", "x = (jnp.ones((4, 3, 5)), jnp.ones((4, 3)))\n"),
        ("ins.shape", "x = (jnp.ones((4, 3, 5)), jnp.ones((4, 3)))\n"),
        # With the rank of the carry, no other rank of the inputs has the axis that the cell takes its size from.
        ("carry.shape", "x = jnp.load('x.npy'), jnp.load('dones.npy')\n"),
    ],
)
def test_parts_of_samples_show_ranks(tmp_path: Path, start: str, sample: str) -> None:
    code = RECURRENT.replace("START", start) + CARRY + sample + "Policy().init(jax.random.key(0), carry, x)\n"
    found = converted(tmp_path, "import functools\n" + code)
    assert [size.axis for size in sizes(found, "Policy")] == [-1]


def test_samples_spread_from_a_tuple_show_ranks(tmp_path: Path) -> None:
    pair = """
class Pair(nn.Module):
    @nn.compact
    def __call__(self, first, tokens):
        return first, Tokens()(tokens)

x = (jnp.ones((2, 3)), jnp.ones((2, 3, 4)))
Pair().init(jax.random.key(0), *x)
"""
    found = converted(tmp_path, TOKENS + pair)
    assert [(size.path, size.axis) for size in sizes(found, "Pair")] == [(("tokens",), -1), (("tokens",), -2)]


def test_a_function_of_two_sizes_shows_the_rank(tmp_path: Path) -> None:
    code = """
class Grid(nn.Module):
    def bias(self, rows, columns):
        return self.param("bias", nn.initializers.ones, (rows, columns))

    @nn.compact
    def __call__(self, x):
        return x + self.bias(*x.shape)
"""
    found = converted(tmp_path, code)
    assert [size.axis for size in sizes(found, "Grid")] in ([-1, -2], [-2, -1])


def test_hidden_arguments_of_functions_that_make_layers(tmp_path: Path) -> None:
    code = """
class Stack(nn.Module):
    widths: tuple

    @nn.compact
    def __call__(self, x, *more):
        def block(x, width, gain=1):
            return nn.Dense(width * gain)(x)
        return block(x, *self.widths)
"""
    assert "model.Stack" in converted(tmp_path, code).refused


NORM = """
class Norm(nn.Module):
    @nn.compact
    def __call__(self, x):
        others = tuple(i for i in range(x.ndim) if i != x.ndim - 1)
        scale = self.param("scale", nn.initializers.ones, tuple(d for i, d in enumerate(x.shape) if i not in others))
        return scale * x / jnp.std(x, axis=others, keepdims=True)

class Images(nn.Module):
    @nn.compact
    def __call__(self, x):
        n, h, w, c = x.shape
        return Norm()(x)

class Inner(nn.Module):
    @nn.compact
    def __call__(self, x):
        return BODY
"""


def test_submodules_show_the_ranks_of_their_inputs(tmp_path: Path) -> None:
    code = NORM + NORM.replace("Norm", "Rows").replace("n, h, w, c", "n, t, c").replace("Images", "Texts")
    code = (
        code.replace("Inner", "Other", 1)
        .replace("BODY", "x", 1)
        .replace(
            "__call__(self, x):\n        return BODY",
            "__call__(self, x, y):\n        return Norm()(x), Rows()(y)",
        )
    )
    found = converted(tmp_path, code)
    assert [size.axis for size in sizes(found, "Inner")] == [-1, -1]
    assert dict(found.converted["model.Inner"].assumed) == {("x",): 4, ("y",): 3}


def test_no_size_depends_on_the_rank_that_a_submodule_has_from_others(tmp_path: Path) -> None:
    parents = """
class Known(nn.Module):
    @nn.compact
    def __call__(self, images):
        n, h, w, c = images.shape
        return Tokens()(images.reshape(n, h * w, c))

class Unknown(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Tokens()(x)
"""
    found = converted(tmp_path, TOKENS + parents)
    assert "model.Known" in found.converted
    assert found.refused["model.Unknown"].reason == "unknown-size"


def test_features_are_a_number_whatever_the_annotation(tmp_path: Path) -> None:
    code = """
class Heads(nn.Module):
    action_dim: list[int]

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.action_dim)(nn.Dense(self.action_dim)(x))
"""
    assert [size.axis for size in sizes(converted(tmp_path, code), "Heads")] == [-1]


ACTIVE = """
class Encoder(nn.Module):
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x):
        if self.activation == "relu":
            act = nn.relu
        else:
            act = OTHER
        return act(nn.Dense(8)(x))

class Agent(nn.Module):
    activation: str

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(Encoder(self.activation)(x))
"""


@pytest.mark.parametrize(("other", "moves"), [("nn.tanh", True), ("jnp.sum", False)])
def test_functions_that_a_submodule_chooses(tmp_path: Path, other: str, moves: bool) -> None:
    found = converted(tmp_path, ACTIVE.replace("OTHER", other))
    assert ("model.Agent" in found.converted) is moves


CRITIC = """
class Critic(nn.Module):
    @nn.compact
    def __call__(self, observations, actions):
        x = jnp.concatenate((observations, actions), axis=1)
        return nn.Dense(1)(x)


class Trainer:
    @classmethod
    def create(cls, model, inputs, {more}):
        {before}
        return model.init({inputs})

"""
LIST, DICT = "*inputs", "**inputs"


@pytest.mark.parametrize(
    ("inputs", "calls", "known"),
    [
        (LIST, ["[key, jnp.ones((1, 3)), jnp.ones((1, 2))]"], True),
        (DICT, ['{"rngs": key, "observations": jnp.ones((1, n)), "actions": jnp.ones((1, n))}'], True),
        (f"key, {LIST}", ["(jnp.ones((1, 3)), jnp.ones((1, 2)))"], True),
        (
            LIST,
            ["[key, jnp.ones((1, 3)), jnp.ones((1, 2))]", "[key, jnp.ones((1, 4, 3)), jnp.ones((1, 4, 2))]"],
            False,
        ),
        (LIST, ["[key, jnp.ones((1, 3)), jnp.ones((1, 2))]", "samples()"], False),
        (LIST, ["[key, *samples()]"], False),
    ],
)
def test_samples_that_callers_of_a_function_hand_over(
    tmp_path: Path, inputs: str, calls: list[str], known: bool
) -> None:
    code = CRITIC.format(inputs=inputs, more="tx=None", before="print(cls)")
    code += "def main(key, n, samples):\n    critic = Critic()\n"
    code += "".join(f"    Trainer.create(critic, inputs={given}, tx=1)\n" for given in calls)
    found = converted(tmp_path, code)
    assert ("model.Critic" in found.converted) is known
    if known:
        assert {(s.path, s.axis) for s in sizes(found, "Critic")} == {
            (("observations",), -1),
            (("actions",), -1),
        }


def test_keywords_that_a_function_gathers_are_no_samples(tmp_path: Path) -> None:
    code = CRITIC.format(inputs="key, **others", more="**others", before="key = inputs")
    code += 'def main(key):\n    Trainer.create(Critic(), key, others={"observations": jnp.ones((1, 3)), '
    code += '"actions": jnp.ones((1, 2))})\n'
    assert "model.Critic" not in converted(tmp_path, code).converted


RETURNS = """
class Net(nn.Module):
    depth: int = 1

    @nn.compact
    def __call__(self, x):
        if {test}:
            x = nn.Dense(4)(x)
            return {first}
        if self.depth == 2:
            x = nn.Dense(8)(x)
            return nn.relu(x)


class Policy(nn.Module):
    depth: int = 1

    @nn.compact
    def __call__(self, x):
        x = Net(self.depth)(x)
        return nn.Dense(3)(x)
"""


@pytest.mark.parametrize(
    ("test", "first", "known"),
    [
        ("self.depth == 1", "x", True),
        ("x.sum() > 1", "x", False),
        ("self.depth == 1", "None", True),  # a layer fails without an array, in Linen as well
    ],
)
def test_functions_that_return_nothing_for_other_configurations(
    tmp_path: Path, test: str, first: str, known: bool
) -> None:
    found = converted(tmp_path, RETURNS.format(test=test, first=first))
    assert ("model.Policy" in found.converted) is known


BRANCHES = """
def for_several_actions(method):
    def wrapped(self, observations, actions):
        if {test}:
            observations = jnp.repeat(jnp.expand_dims(observations, 1), actions.shape[1], axis=1)
            observations = observations.reshape(-1, observations.shape[-1])
            actions = actions.reshape(-1, actions.shape[-1])
        return method(self, observations, actions)

    return wrapped


class Critic(nn.Module):
    @for_several_actions
    @nn.compact
    def __call__(self, observations, actions):
        x = jnp.concatenate([observations, actions], axis=-1)
        return nn.Dense(1)(x)
"""


@pytest.mark.parametrize(
    ("test", "known"),
    [
        ("actions.ndim == 3 and observations.ndim == 2", True),
        ("len(observations.shape) == 2", True),
        ("actions.ndim == 3", False),
        ("actions.ndim == 3 or observations.ndim == 2", False),
        ("observations.ndim != 2", False),
        ("observations.ndim == 1", False),
    ],
)
def test_a_condition_says_the_rank_below_it(tmp_path: Path, test: str, known: bool) -> None:
    found = converted(tmp_path, BRANCHES.format(test=test))
    assert ("model.Critic" in found.converted) is known
    if known:
        assert {size.axis for size in sizes(found, "Critic")} == {-1}


POOLED = """
from settings import count


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.mean(nn.Conv(4, (3, 3))(x), axis=(1, 2))
        return nn.Dense(3)(x[:, : count(5)])
"""


def test_other_ranks_than_the_usual_one_prove_nothing(tmp_path: Path) -> None:
    """Images leave `(batch, some features)` behind; only for videos are the features those of the convolution."""
    found = converted(tmp_path, POOLED)
    assert found.refused["model.Model"].reason == "unknown-size"


REST = """
class Policy(nn.Module):
    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, observation, ids):
        return nn.Dense(2)(REST)
"""


@pytest.mark.parametrize(
    "rest",
    [
        "observation[:, self.sizes[0] * self.sizes[1]:]",
        "observation[:, self.sizes[0]:]",
        "observation[:, ids > 0]",
        "jnp.concatenate([observation, observation[:, : self.sizes[0]]], axis=1)",
    ],
)
def test_what_is_unknown_for_vectors_in_a_batch_is_not_taken_from_images(tmp_path: Path, rest: str) -> None:
    """Only for inputs with more axes do such rows keep their sizes."""
    found = converted(tmp_path, REST.replace("REST", rest))
    assert found.refused["model.Policy"].reason == "unknown-size"


TWO_INPUTS = """
class Pair(nn.Module):
    @nn.compact
    def __call__(self, tokens, images):
        n, h, w, c = images.shape
        scale = self.param("scale", nn.initializers.ones, (h, w, c))
        x = nn.Embed(9, 4)(tokens)
        return nn.Dense(8)(jnp.mean(x, axis=1)), images * scale, OTHER
"""


def test_the_rank_of_one_input_makes_no_difference_to_the_sizes_of_another(tmp_path: Path) -> None:
    found = converted(tmp_path, TWO_INPUTS.replace("OTHER", "0"))
    assert [(size.path, size.axis) for size in sizes(found, "Pair")] == [
        (("images",), -1),
        (("images",), -3),
        (("images",), -2),
    ]
    assert not found.converted["model.Pair"].assumed


def test_sizes_of_an_input_whose_rank_nothing_shows_still_count(tmp_path: Path) -> None:
    own = "self.param('shift', nn.initializers.zeros, (tokens.shape[1], 4))"
    assert "model.Pair" in converted(tmp_path, TWO_INPUTS.replace("OTHER", own)).refused


JOINED = """
class Rows(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        numbers, ids = jnp.split(x, [3], 1)
        ids = ids.reshape(x.shape[0], SIZES)
        return nn.Dense(4)(jnp.concatenate([nn.Dense(8)(numbers), ids], axis=1)) + y
"""


def test_the_only_rank_for_which_code_runs(tmp_path: Path) -> None:
    found = converted(tmp_path, JOINED.replace("SIZES", "2"))
    assert [(size.path, size.axis) for size in sizes(found, "Rows")] == [(("x",), -1)]


def test_code_that_runs_for_another_rank_shows_none(tmp_path: Path) -> None:
    code = JOINED.replace("SIZES", "*x.shape[1:-1], 2")
    assert "model.Rows" in converted(tmp_path, code).refused


def test_a_failure_that_another_input_causes_shows_no_rank(tmp_path: Path) -> None:
    code = """
class Rows(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        numbers, ids = jnp.split(x, [3], 1)
        pairs = jnp.stack([y, jnp.ones((3, 4))])
        return nn.Dense(4)(numbers), nn.Dense(2)(pairs)
"""
    assert "model.Rows" in converted(tmp_path, code).refused


GIVEN = """
class Inner(nn.Module):
    @nn.compact
    def __call__(self, x, c=None):
        assert CHECK
        x = x + self.param("bias", nn.initializers.zeros, (3,))
        return x if c is None else x * nn.Dense(3)(c[:, None])[:, 0]
"""


@pytest.mark.parametrize(
    ("check", "rank"),
    [
        ("c is None or c.ndim == 2", 2),
        ("c is None or len(c.shape) == 2", 2),
        ("x is None or c.ndim == 2", None),
        ("c is not None or c.ndim == 2", None),
    ],
)
def test_the_rank_that_an_argument_has_where_it_is_given(
    tmp_path: Path, check: str, rank: int | None
) -> None:
    conversion = converted(tmp_path, GIVEN.replace("CHECK", check)).converted["model.Inner"]
    assert conversion.analysis is not None
    assert conversion.analysis.session.input_ranks.get(("c",)) == rank


PAIRS = """
class Last(nn.Module):
    @nn.compact
    def __call__(self, ids, lengths):
        x = nn.Embed(11, 8)(ids)
        return nn.Dense(3)(x[jnp.arange(ids.shape[0]), {index}])


class Texts(nn.Module):
    @nn.compact
    def __call__(self, text):
        positions = self.param("positions", nn.initializers.ones, (text.shape[1], 8))
        x = nn.Embed(11, 8)(text) + positions[None]
        return nn.Dense(3)(x[jnp.arange(x.shape[0]), text.argmax(-1)])
"""


def test_a_number_for_each_row_shows_that_there_is_one_batch_axis(tmp_path: Path) -> None:
    found = converted(tmp_path, PAIRS.format(index="lengths - 1"))
    assert found.refused == {}
    assert [size.axis for size in sizes(found, "Texts")] == [-1]
    assert sizes(found, "Last") == []


@pytest.mark.parametrize(
    "index", ["lengths", "lengths - lengths", "-lengths", "lengths > 1", "lengths + True"]
)
def test_what_may_hold_truth_values_is_no_number_for_each_row(tmp_path: Path, index: str) -> None:
    found = converted(tmp_path, PAIRS.format(index=index))
    assert list(found.refused) == ["model.Last"]


def test_callers_that_show_more_batch_axes(tmp_path: Path) -> None:
    call = "\nTexts().init(jax.random.key(0), jnp.ones((2, 3, 4), int))\n"
    found = converted(tmp_path, PAIRS.format(index="lengths - 1") + call)
    assert (
        all(size.axis == -2 for size in sizes(found, "Texts")) if "model.Texts" in found.converted else True
    )
    assert "model.Texts" in {*found.converted, *found.refused}


MEAN = """
class Mean(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, ids, mask):
        x = nn.Embed(11, self.width)(ids) * mask[..., None]
        return nn.Dense(3)(x.sum(axis=1) / mask.sum(axis=1, keepdims=True))


class Parent(nn.Module):
    @nn.compact
    def __call__(self, ids, mask):
        {prepare}
        return Mean()(ids, mask)
"""


@pytest.mark.parametrize("prepare", ["n, length = mask.shape", "pass"])
def test_masks_of_the_lowest_rank(tmp_path: Path, prepare: str) -> None:
    found = converted(tmp_path, MEAN.format(prepare=prepare))
    assert found.refused == {}
    assert sizes(found, "Mean") == []
    assert found.converted["model.Mean"].assumed == {("mask",): 2}


def test_the_lowest_rank_is_not_taken_for_what_other_ranks_make_another_size(tmp_path: Path) -> None:
    code = """
class Joined(nn.Module):
    @nn.compact
    def __call__(self, a, b):
        return nn.Dense(3)(jnp.concatenate([a, b], axis=1))
"""
    found = converted(tmp_path, code)
    assert found.refused["model.Joined"].reason == "unknown-size"


WRAPPED = """
class Policy(nn.Module):
    inner: bool = False

    @nn.compact
    def __call__(self, x):
        obs, dones = x
        if self.inner:
            obs = obs.READ
        return nn.Dense(3)(obs), dones
"""


@pytest.mark.parametrize(("read", "known"), [("pixels", False), ("astype(float)", True)])
def test_no_call_gives_the_sizes_of_an_array_and_of_its_parts(tmp_path: Path, read: str, known: bool) -> None:
    found = converted(tmp_path, WRAPPED.replace("READ", read))
    assert ("model.Policy" in found.converted) is known
    if not known:
        assert "has parts in another" in found.refused["model.Policy"].detail


PADDED = """
class Padded(nn.Module):
    @nn.compact
    def __call__(self, x, y):
        padded = jnp.pad(x, {widths})
        return padded, x * self.param("scale", nn.initializers.ones, x.shape[1:])
"""


@pytest.mark.parametrize(
    ("widths", "known"),
    [
        ("((0, 0), (1, 0), (0, 0))", True),
        ("[(0, 0), (1, y), (0, 0)]", True),
        ("((1, 0),)", False),
        ("(1, 0)", False),
        ("1", False),
        ("((0, 0), *y)", False),
    ],
)
def test_pairs_of_padding_show_the_rank(tmp_path: Path, widths: str, known: bool) -> None:
    found = converted(tmp_path, PADDED.format(widths=widths))
    assert ("model.Padded" in found.converted) is known


OVER_SPACE = """
class Pooled(nn.Module):
    @nn.compact
    def __call__(self, x):
        pooled = x.{pool}
        return pooled, x * self.param("scale", nn.initializers.ones, x.shape[1:])
"""


@pytest.mark.parametrize("pool", ["mean(axis=(1, 2))", "max((1, 2))", "mean([1, 2], keepdims=True)"])
def test_a_pool_over_space_has_one_batch_axis_unless_callers_show_more(tmp_path: Path, pool: str) -> None:
    code = OVER_SPACE.format(pool=pool)
    assert [size.axis for size in sizes(converted(tmp_path, code), "Pooled")] == [-1, -3, -2]
    call = "\nPooled().init(jax.random.key(0), jnp.ones((2, 3, 4)))\n"
    assert [size.axis for size in sizes(converted(tmp_path, code + call), "Pooled")] == [-1, -2]


@pytest.mark.parametrize(
    "pool", ["mean(axis=(0, 1))", "mean(axis=(-3, -2))", "mean(axis=1)", "sum(axis=(1, 2))"]
)
def test_other_means_show_no_rank(tmp_path: Path, pool: str) -> None:
    found = converted(tmp_path, OVER_SPACE.format(pool=pool))
    assert list(found.refused) == ["model.Pooled"]


def test_one_column_is_not_split_into_two(tmp_path: Path) -> None:
    """With a vector for `c`, `[:, None]` would leave one column, which JAX refuses to halve."""
    found = converted(
        tmp_path,
        """
class Block(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x, c):
        shift, scale = jnp.split(nn.Dense(2 * self.dim)(c)[:, None], 2, axis=-1)
        return nn.Dense(self.dim)(x * (1 + scale) + shift)
""",
    )
    (edit,) = [e.new for e in found.converted["model.Block"].edits if "nnx.Linear" in e.new]
    assert "max(self.dim, x_features), self.dim" in edit
