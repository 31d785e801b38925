"""What may stay Linen inside of NNX modules, and which modules around it may not hold it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.sources.files import load_source
from tests.linen_module.fixture import convert

HEADER = """
import jax
import jax.numpy as jnp
from flax import linen as nn


"""
# a class that can't be converted; the `{}` stand for what else it has and does
PART = """
class Part(nn.Module):
    features: int
    options: dict = None
    {}

    @nn.compact
    def __call__(self, x, train=False):
        while x.shape[-1] > self.features:
            x = nn.Dense(x.shape[-1] // 2)(x)
        {}
        return x


"""
OFTEN = """
class Often(nn.Module):
    part: nn.Module

    def __call__(self, x):
        return jax.vmap(lambda row: self.part(row))(x)


"""
WHOLE = """
class Whole(nn.Module):
    width: int = 4
    config: dict = None
    {}

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(8)(x)
        {}
        return x.reshape(-1, 2)
"""


def written(
    tmp_path: Path,
    part: str = "",
    call: str = "x = Part(2)(x)",
    field: str = "",
    part_field: str = "",
    above: str = "",
) -> str:
    """What becomes of `Whole`: its text, or why it stays."""
    path = tmp_path / "model.py"
    path.write_text(
        HEADER + above + OFTEN + PART.format(part_field, part or "x = nn.relu(x)") + WHOLE.format(field, call)
    )
    text, conversions = convert(path)
    assert "model.Part" in conversions.refused
    refusal = conversions.refused.get("model.Whole")
    return text[text.index("class Whole") :] if refusal is None else f"{refusal.reason}: {refusal.detail}"


def test_a_bridge_holds_what_stays_linen(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert "self.part = nnx.bridge.ToNNX(Part(2), rngs=rngs)" in text
    assert "x = self.part(x)\n" in text


@pytest.mark.parametrize(
    ("part", "collections"),
    [
        ("x = nn.BatchNorm(use_running_average=not train)(x)", '["batch_stats"]'),
        ("n = self.variable('counts', 'n', jnp.zeros, ())", '["counts"]'),
        ("x = nn.Dropout(0.1, deterministic=not train)(x)", None),
        ("x = nn.MultiHeadDotProductAttention(2)(x, x)", None),
        ("x = x if self.is_mutable_collection('params') else -x", None),
        ("import e3nn_jax; x = e3nn_jax.soft_envelope(x)", None),
        ("x = x * (nn.PARTITION_NAME == 'layers')", None),
    ],
)
def test_calls_may_change_the_collections_that_the_code_shows(
    tmp_path: Path, part: str, collections: str | None
) -> None:
    text = written(tmp_path, part)
    assert "ToNNX" in text
    assert (f"self.part(x, mutable={collections})" if collections else "self.part(x)\n") in text


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("self.sow('intermediates', 'x', x)", "reads `sow`"),
        ("x = x if self.has_rng('dropout') else -x", "reads `has_rng`"),
        ("x = x if self.is_mutable_collection('counts') else -x", "reads `is_mutable_collection`"),
        ("x = x * len(self.scope.rngs)", "reads `scope`"),
        ("x = x * len(self.path)", "reads `path`"),
        ("x = x * len(self.name)", "reads its own name"),
        ("x = nn.SelfAttention(2, decode=True)(x)", "gives `decode`"),
        ("w = self.param('train', nn.initializers.ones, ())", "`train` is the name of something else"),
        ("x = nn.Dense(2, name='module')(x)", "`module` is the name of something else"),
        (
            "w = self.param('w', jnp.ones, ()) + self.variable('s', 'w', jnp.ones, ()).value",
            "may both have a variable `w`",
        ),
        ("kind = 's'; n = self.variable(kind, 'n', jnp.zeros, ())", "collection of a variable is computed"),
        ("x = getattr(nn, 'relu')(x)", "`nn` is used as a value"),
        ("import e3nn_jax; x = e3nn_jax.flax.Linear('2x0e')(x)", "what `e3nn_jax.flax"),
        ("from unknown_layers import Layer; x = Layer(2)(x)", "what `unknown_layers.Layer` does isn't known"),
    ],
)
def test_what_looks_around_itself_stays_below_linen(tmp_path: Path, part: str, why: str) -> None:
    reason = written(tmp_path, part)
    assert reason.startswith("base-not-converted: `Part` was not converted, and can't be held by"), reason
    assert why in reason


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("part = Part(2); x = jax.vmap(part)(x)", ""),
        ("part = Part(2); x = jax.vmap(lambda row: part(row))(x)", ""),
        ("x = nn.remat(Part)(2)(x)", "a lifted transform"),
        ("part = Part(2); x = part(x) * part.features", "used otherwise than by calling it"),
        ("part = Part(2); x = nn.Sequential([part])(part(x))", "handed to another module"),
        ("x = jax.vmap(nn.Sequential([Part(2)]))(x)", ""),
        ("x = Often(Part(2))(x)", "handed to `Often`, which doesn't only call it"),
    ],
)
def test_where_no_bridge_can_stand(tmp_path: Path, call: str, why: str) -> None:
    reason = written(tmp_path, call=call)
    assert ": " in reason and "ToNNX(" not in reason, reason
    assert why in reason


def test_modules_that_only_call_what_they_get_may_get_a_bridge(tmp_path: Path) -> None:
    call = "x = nn.Sequential([nn.Dense(8), Part(2)])(x)"
    assert "nnx.bridge.ToNNX(Part(2), rngs=rngs)" in written(tmp_path, call=call)
    reason = written(tmp_path, "x = nn.BatchNorm(use_running_average=not train)(x)", call=call)
    assert "it is handed to another module, and its calls change its variables" in reason


def test_a_configuration_that_may_hold_modules_is_not_handed_to_code_that_calls_its_parts(
    tmp_path: Path,
) -> None:
    assert "ToNNX(Part(2, self.config), rngs=rngs)" in written(tmp_path, call="x = Part(2, self.config)(x)")
    reason = written(tmp_path, "x = self.options.norm()(x)", call="x = Part(2, self.config)(x)")
    assert "may be a module, and `self.options.norm`" in reason


def test_what_a_class_calls_of_its_own_fields_asks_about_these_fields_alone(tmp_path: Path) -> None:
    part = "x = self.act(x) + self.param('w', nn.initializers.ones, ())"
    taken = written(tmp_path, part, "x = Part(2, self.config)(x)", part_field="act: callable = nn.relu")
    assert "ToNNX(Part(2, self.config), rngs=rngs)" in taken
    call = "x = Part(2, act=self.config)(x)"
    assert "may be a module, and `self.act`" in written(
        tmp_path, part, call, part_field="act: callable = None"
    )


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("tuple[int, ...]", ""),
        ("'Optional[Sequence[int]]'", ""),
        ("Literal['a', 'b'] | None", ""),
        ("dict[str, int]", "may be a module"),
        ("Any", "may be a module"),
        ("list[nn.Module]", "may be a module"),
    ],
)
def test_fields_declared_to_be_data_hold_no_modules(tmp_path: Path, declared: str, why: str) -> None:
    reason = written(
        tmp_path,
        "x = self.options.norm()(x)",
        "x = Part(2, sizes=self.config)(x)",
        part_field=f"sizes: {declared} = None",
    )
    assert why in reason and ("ToNNX(Part(2, sizes=self.config)" in reason) == (not why), reason


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("self.encode(x)", ""),
        ("self.twice(x)", ""),
        ("jax.vmap(self.encode)(x)", "called by a function or another module"),
        ("jax.checkpoint(lambda x: self.encode(x))(x)", "called by a function or another module"),
    ],
)
def test_methods_may_call_a_bridge_for_each_other(tmp_path: Path, call: str, why: str) -> None:
    methods = f"""
class Methods(nn.Module):
    def setup(self):
        self.part = Part(2)

    def encode(self, x):
        return self.part(x)

    def twice(self, x):
        return 2 * self.encode(x)

    def __call__(self, x):
        return {call}
"""
    path = tmp_path / "model.py"
    path.write_text(HEADER + PART.format("", "x = nn.relu(x)") + methods)
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Methods")
    assert (refusal is None) == (not why), refusal
    if refusal is None:
        assert "        return self.part(x)\n" in text
    else:
        assert why in refusal.detail


MAKERS = """
def scaled(scale):
    return lambda key, shape, dtype=jnp.float32: scale * jax.random.normal(key, shape, dtype)


def layer_of(width):
    return nn.Dense(width)


def anything(make):
    return make


LAYERS = {"dense": nn.Dense}
SCALES = {"small": 0.1}


"""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("scaled(0.1)", ""),
        ("f'part_{self.width}'", ""),
        ("SCALES['small']", ""),
        ("scaled(SCALES['small'])", ""),
        ("layer_of(2)", "its field `init` gets modules"),
        ("anything(nn.Dense)", "its field `init` gets modules"),
        ("anything(LAYERS['dense'])", "gets modules, their classes or functions"),
        ("anything(self.config)", "`init`, or a part of it, may be a module"),
        ("globals()['nn']", "`init`, or a part of it, may be a module"),
    ],
)
def test_the_text_of_an_argument_may_show_that_it_makes_no_module(
    tmp_path: Path, given: str, why: str
) -> None:
    part = "x = self.init(x) if callable(self.init) else x"
    call = f"x = Part(2, init={given})(x)"
    reason = written(tmp_path, part, call, part_field="init: object = None", above=MAKERS)
    assert why in reason and ("ToNNX(Part(2, init=" in reason) == (not why), reason


SETTINGS = """
class Settings:
    def __init__(self, layer=None, scale: float = 1.0):
        self.layer, self.size = layer, 3
        self.scale = scale

    {}

"""


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("def scaled(self):\n        return nn.initializers.constant(self.scale)", ""),
        ("def scaled(self):\n        return self.layer", "may be a module, and `self.settings.scaled`"),
        ("def scaled(self):\n        return vars(self)", "may be a module, and `self.settings.scaled`"),
        ("def scaled(self):\n        return self.other()\n\n    def other(self):\n        return 2", ""),
        ("def scaled(self):\n        return nn.Dense", "may be a module, and `self.settings.scaled`"),
        ("def scaled(self):\n        return self.layer()", "may be a module, and `self.settings.scaled`"),
        ("@property\n    def scaled(self):\n        return self.layer", "may be a module, and"),
        ("def scaled(self):\n        return 1\n\n\nclass Other(Settings):\n    pass", "may be a module, and"),
        ("def other(self):\n        return 1", "may be a module, and `self.settings.scaled`"),
    ],
)
def test_methods_of_settings_that_make_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, why: str
) -> None:
    monkeypatch.setitem(globals(), "HEADER", HEADER + SETTINGS.format(method))
    reason = written(
        tmp_path,
        "y = self.settings.scaled()",
        "x = Part(2, settings=self.config)(x)",
        part_field="settings: Settings = None",
    )
    assert why in reason and ("ToNNX(Part(2, settings=self.config)" in reason) == (not why), reason


@pytest.mark.parametrize(
    ("part", "field", "why"),
    [
        ("x = nn.Dense(2, parent=None).apply({'params': {'kernel': x, 'bias': x}}, x)", "", ""),
        ("c = nn.LSTMCell(2, parent=None).initialize_carry(jax.random.key(0), (2,))", "", ""),
        ("x = nn.Dense(2, parent=self)(x)", "", "it gives `parent`"),
        (
            "cell = self.options; c = cell.initialize_carry(jax.random.key(0), (2,))",
            "",
            "may be a module, and",
        ),
        ("y = 1", "@classmethod\n    def empty(cls, make):\n        return make(3)", ""),
        (
            "y = self.empty(jnp.ones)",
            "@classmethod\n    def empty(cls, make):\n        return make(3)",
            "may be",
        ),
        ("remat = nn.remat; x = remat(nn.Dense)(2)(x)", "", ""),
        ("shrink = jnp.tanh; x = shrink(x)", "", ""),
        ("shrink = self.options; x = shrink(x)", "", "may be a module, and"),
        ("import flax; x = x * len(flax.training.common_utils.shard(x))", "", ""),
    ],
)
def test_what_can_not_be_of_a_configuration(tmp_path: Path, part: str, field: str, why: str) -> None:
    reason = written(tmp_path, part, "x = Part(2, self.config)(x)", part_field=field)
    assert why in reason and ("ToNNX(Part(2, self.config)" in reason) == (not why), reason


def test_annotations_are_no_code(tmp_path: Path) -> None:
    part = "from unknown_types import Vector; y: Vector = x * 2; x = y"
    assert "ToNNX(Part(2), rngs=rngs)" in written(tmp_path, part)


FUNCTIONS = """
from functools import partial


def swish(x, beta=1.0):
    return x * nn.sigmoid(beta * x)


def project(x):
    return nn.Dense(x.shape[-1])(x)


def call(layer, x):
    return layer(x)


"""


@pytest.mark.parametrize(
    ("given", "is_held"),
    [
        ("nn.relu", True),
        ("partial(jax.nn.leaky_relu, negative_slope=0.2)", True),
        ("swish", True),
        ("partial(swish, beta=2.0)", True),
        ("project", False),
        ("partial(nn.Dense, 4)", False),
        ("partial(call, nn.Dense)", False),
        ("partial(call, layer)", False),
        ("local", False),
    ],
)
def test_functions_that_make_no_modules_may_be_handed_on(tmp_path: Path, given: str, is_held: bool) -> None:
    call = f"""layer = nn.Dense(x.shape[-1])

        def local(y):
            return layer(y)

        x = local(x)
        x = Part(2, activation={given})(x)"""
    path = tmp_path / "model.py"
    part = PART.format("activation: nn.Module = None", "x = self.activation(x)")
    path.write_text(HEADER + FUNCTIONS.strip() + "\n\n\n" + part + WHOLE.format("", call))
    _, conversions = convert(path)
    assert "model.Part" in conversions.refused
    assert ("model.Whole" in conversions.converted) is is_held


def test_modules_and_their_classes_are_not_handed_to_what_stays_linen(tmp_path: Path) -> None:
    for given in ("nn.LayerNorm", "nn.Dense(2)", "(nn.LayerNorm, 3)", "lambda: nn.Dense(2)"):
        assert "base-not-converted" in written(tmp_path, call=f"x = Part(2, {given})(x)"), given


def test_keeps_parts_and_what_holds_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + PART.format("", "x = nn.relu(x)") + WHOLE.format("", "x = Part(2)(x)"))
    moving, staying = make_plan(Project([path], load_source))
    assert [c.name for c in moving.classes] == ["Whole"] and moving.can_move
    assert [c.name for c in staying.bridged] == ["Part"] and not staying.can_move
    assert not any(group.can_move for group in make_plan(Project([path], load_source), bridge=False))


def test_two_classes_that_hold_each_other_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        HEADER
        + dedent("""
        class Even(nn.Module):
            depth: int

            @nn.compact
            def __call__(self, x):
                x = nn.Dense(4)(x)
                return Odd(self.depth - 1)(x) if self.depth else x


        class Odd(nn.Module):
            depth: int

            @nn.compact
            def __call__(self, x):
                while x.shape[-1] > 2:
                    x = nn.Dense(x.shape[-1] // 2)(x)
                return Even(self.depth - 1)(x) if self.depth else x
        """)
    )
    _, conversions = convert(path)
    assert conversions.converted == {}


@pytest.mark.parametrize(
    ("use", "moves"),
    [
        ("model.apply(model.init(key, x), x)", True),
        ("model.apply(model.init(key, x), x, method=Whole.__call__)", True),
        ("model.bind(model.init(key, x)).part.features", False),
        ("model.apply(model.init(key, x), x, method=lambda whole, x: whole.part.features)", False),
    ],
)
def test_programs_that_may_look_inside_of_linen_modules_keep_the_class(
    tmp_path: Path, use: str, moves: bool
) -> None:
    path = tmp_path / "model.py"
    program = f"\n\nkey, x = jax.random.key(0), jnp.ones((2, 3))\nmodel = Whole()\n{use}\n"
    path.write_text(HEADER + PART.format("", "x = nn.relu(x)") + WHOLE.format("", "x = Part(2)(x)") + program)
    groups = make_plan(Project([path], load_source))
    assert [c.name for g in groups if g.can_move for c in g.classes] == (["Whole"] if moves else [])
