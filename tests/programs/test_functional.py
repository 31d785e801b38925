"""The helper `Functional` against Linen's own `init` and `apply`."""

import copy
import functools
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from nnx_migrate.nnx.helpers.functional import Functional


class Net(nnx.Module):
    """Named as Linen names it, so that variables of both have the same paths."""

    def __init__(self, features: int, *, in_features: int, rngs: nnx.Rngs):
        self.Dense_0 = nnx.Linear(in_features, features, rngs=rngs)
        self.BatchNorm_0 = nnx.BatchNorm(features, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dropout_1 = nnx.Dropout(0.5, rngs=rngs)
        self.table = jnp.arange(float(features))

    def __call__(self, x, train: bool = False):
        x = self.BatchNorm_0(self.Dense_0(x), use_running_average=not train) + self.table
        self.sow(nnx.Intermediate, "hidden", x)
        return self.dropout_1(self.dropout(x, deterministic=not train), deterministic=not train)

    def encode(self, x):
        return self.Dense_0(x)


class Linen(nn.Module):
    features: int

    def setup(self):
        self.Dense_0 = nn.Dense(self.features)
        self.BatchNorm_0 = nn.BatchNorm()
        self.dropout = nn.Dropout(0.0)

    def __call__(self, x, train: bool = False):
        x = self.BatchNorm_0(self.Dense_0(x), use_running_average=not train) + jnp.arange(
            float(self.features)
        )
        self.sow("intermediates", "hidden", x)
        return self.dropout(x, deterministic=not train)

    def encode(self, x):
        return self.Dense_0(x)


X = jax.random.normal(jax.random.key(1), (8, 3))


def both():
    linen, model = Linen(4), Functional(Net, 4, in_features=3)
    return linen, model, linen.init(jax.random.key(0), X)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_init_has_the_collections_and_shapes_of_linen() -> None:
    _, model, variables = both()
    made = model.init(jax.random.key(0), X)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), made) == jax.tree.map(
        lambda a: (a.shape, a.dtype), variables
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_apply_gives_what_linen_gives(wrap) -> None:
    linen, model, v = both()
    variables = {"params": v["params"], "batch_stats": v["batch_stats"]}
    for kwargs in (
        {},
        {"mutable": ["batch_stats"]},
        {"mutable": "intermediates"},
        {"mutable": []},
        {"mutable": True},
    ):
        run = [wrap(functools.partial(m.apply, **kwargs)) for m in (linen, model)]
        assert_same(*(r(variables, X) for r in run))
    for method in ("encode", lambda m: m.encode):
        assert_same(
            *(
                m.apply(variables, X, method=method if isinstance(method, str) else method(m))
                for m in (linen, model)
            )
        )


def test_apply_in_train_mode_updates_statistics_and_leaves_its_arguments_alone() -> None:
    linen, model, v = both()
    variables = {"params": v["params"], "batch_stats": v["batch_stats"]}
    before = jax.tree.map(np.array, variables)
    key = {"dropout": jax.random.key(7)}
    _, expected = linen.apply(variables, X, train=True, mutable=["batch_stats"], rngs=key)
    _, updated = model.apply(variables, X, train=True, mutable=["batch_stats"], rngs=key)
    assert_same(expected, updated)
    assert_same(before, variables)


def test_dropout_depends_on_the_key_only_and_layers_have_masks_of_their_own() -> None:
    model = Functional(Net, 4, in_features=3)
    variables = model.init(jax.random.key(0))

    def masks(seed):
        return np.array(model.apply(variables, X, train=True, rngs={"dropout": jax.random.key(seed)}) != 0)

    np.testing.assert_array_equal(masks(1), masks(1))
    assert (masks(1) != masks(2)).any()
    big = Functional(Net, 4000, in_features=3)
    kept = big.apply(big.init(jax.random.key(0)), X, train=True, rngs={"dropout": jax.random.key(0)}) != 0
    assert 0.24 < kept.mean() < 0.26  # two equal masks would keep a half


def test_init_under_vmap_and_jit_with_old_keys() -> None:
    model = Functional(Net, 4, in_features=3)
    keys = jax.random.split(jax.random.PRNGKey(0), 5)
    stacked = jax.vmap(model.init, in_axes=(0, None))(keys, X)
    single = jax.jit(model.init)(keys[2], X)
    assert stacked["params"]["Dense_0"]["kernel"].shape == (5, 3, 4)
    np.testing.assert_array_equal(
        stacked["params"]["Dense_0"]["kernel"][2], single["params"]["Dense_0"]["kernel"]
    )
    assert (stacked["params"]["Dense_0"]["kernel"][0] != stacked["params"]["Dense_0"]["kernel"][1]).any()
    assert jax.eval_shape(model.init, keys[0], X)["params"]["Dense_0"]["kernel"].shape == (3, 4)


def test_sizes_can_come_from_the_first_inputs() -> None:
    model = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 9)))
    assert variables["params"]["Dense_0"]["kernel"].shape == (9, 4)


def test_one_module_may_serve_inputs_of_several_sizes() -> None:
    model = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    small, large = (model.init(jax.random.key(0), jnp.ones((1, n))) for n in (3, 9))
    for variables, n in ((small, 3), (large, 9), (small, 3)):
        assert variables["params"]["Dense_0"]["kernel"].shape == (n, 4)
        assert model.apply(variables, jnp.ones((2, n))).shape == (2, 4)
    assert model.features == 4


def test_collections_that_are_not_given_start_anew() -> None:
    linen, model, variables = both()
    given = {"params": variables["params"]}
    assert_same(*(m.apply(given, X, train=False, mutable=["batch_stats"]) for m in (linen, model)))


def test_lists_of_modules_have_string_keys() -> None:
    class Deep(nnx.Module):
        def __init__(self, *, rngs):
            self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs) for _ in range(12)])

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    model = Functional(Deep)
    variables = model.init(jax.random.key(0))
    assert set(variables["params"]["layers"]) == {str(i) for i in range(12)}
    plain = X
    for i in range(12):
        layer = variables["params"]["layers"][str(i)]
        plain = plain @ layer["kernel"] + layer["bias"]
    np.testing.assert_allclose(model.apply(variables, X), plain, rtol=1e-5)


def test_train_state_in_a_scan() -> None:
    linen, model, v = both()
    variables = {"params": v["params"], "batch_stats": v["batch_stats"]}

    def train(apply_fn):
        state = TrainState.create(apply_fn=apply_fn, params=variables["params"], tx=optax.adam(1e-2))

        def step(carry, key):
            state, stats = carry

            def loss_fn(params):
                all_variables = {"params": params, "batch_stats": stats}
                out, updates = state.apply_fn(all_variables, X, train=False, mutable=["batch_stats"])
                return (out**2).mean(), updates["batch_stats"]

            (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
            return (state.apply_gradients(grads=grads), stats), loss

        (state, stats), losses = jax.lax.scan(step, (state, variables["batch_stats"]), jnp.arange(5))
        return losses, state.params, stats

    expected, got = train(linen.apply), train(model.apply)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    with jax.disable_jit():
        assert_same(train(linen.apply), train(model.apply))
    # XLA fuses the operations of a loop in its own way for each program, and rounds accordingly.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7), got, expected)


def test_missing_variables_are_named() -> None:
    _, model, variables = both()
    variables = {**variables, "params": {**variables["params"], "Dense_0": {}}}
    with pytest.raises(KeyError, match="Dense_0/bias"):
        model.apply(variables, X)


def test_methods_may_be_functions_of_the_module() -> None:
    linen, model, variables = both()
    for m, cls in ((linen, Linen), (model, Net)):
        by_name = m.apply(variables, X, method="encode")
        assert_same(by_name, m.apply(variables, X, method=cls.encode))
        assert_same(by_name, m.apply(variables, X, method=lambda module, x: module.encode(x)))
        assert_same(by_name, m.apply(variables, method=lambda module: module.encode(X)))
        _, sown = m.apply(variables, method=lambda module: module(X), mutable=["intermediates"])
        assert_same(sown, m.apply(variables, X, mutable=["intermediates"])[1])


def test_output_of_initialisation_and_tables() -> None:
    model = Functional(Net, 4, in_features=3)
    output, variables = model.init_with_output(jax.random.key(0), X)
    assert_same(output, model.apply(variables, X))
    table = model.tabulate(jax.random.key(0), X)
    assert "params/Dense_0/kernel: float32[3, 4]" in table
    assert table.endswith("total: 32")


def test_classes_constructed_elsewhere() -> None:
    make = Functional.maker(Net, lambda x: {"in_features": x.shape[-1]})
    model = make(features=5)
    assert model.init(jax.random.key(0), X)["params"]["Dense_0"]["kernel"].shape == (3, 5)


def test_what_makes_functionals_makes_modules_for_new_code() -> None:
    make = functools.partial(Functional.maker(Net, lambda x: {"in_features": x.shape[-1]}), 4)
    module = make(in_features=3, rngs=nnx.Rngs(0))
    assert isinstance(module, Net)
    assert module(X).shape == make().init_with_output(jax.random.key(0), X)[0].shape


def test_clones_have_other_arguments_and_the_same_sizes() -> None:
    model = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    wide = model.clone(features=6, name="wide", parent=None)
    assert wide.init(jax.random.key(0), X)["params"]["Dense_0"]["kernel"].shape == (3, 6)
    assert model.init(jax.random.key(0), X)["params"]["Dense_0"]["kernel"].shape == (3, 4)


def test_equal_modules_are_one_static_argument() -> None:
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(model: Functional, variables: dict, x: jax.Array) -> jax.Array:
        traces.append(model)
        return model.apply(variables, x)

    def make(features: int) -> Functional:
        return Functional(Net, features, in_features=3)

    variables = make(4).init(jax.random.key(0), X)
    run(make(4), variables, X)
    run(make(4), variables, X)
    assert len(traces) == 1
    assert make(4) != make(5)
    run(make(5), make(5).init(jax.random.key(0), X), X)
    assert len(traces) == 2
    one = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    same = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    other = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-2]})
    assert one == same and hash(one) == hash(same)
    assert one != other


def test_lazy_init_takes_shapes() -> None:
    model = Functional(Net, 4).sized(lambda x: {"in_features": x.shape[-1]})
    lazy = model.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(X.shape, X.dtype))
    jax.tree.map(np.testing.assert_array_equal, lazy, model.init(jax.random.key(0), X))


def test_tables_take_the_options_of_linen() -> None:
    table = functools.partial(
        Functional(Net, 4, in_features=3).tabulate, jax.random.key(0), compute_flops=True, depth=1
    )
    assert table(X) == Functional(Net, 4, in_features=3).tabulate(jax.random.key(0), X)


def test_nothing_is_drawn_to_learn_the_structure() -> None:
    """Under jit the model is made once more, and drawing real weights there costs a compilation for each."""
    keys = []

    def kernel_init(key, shape, dtype):
        keys.append(key)
        return jnp.zeros(shape, dtype)

    class Scaled(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.dense = nnx.Linear(2, 3, kernel_init=kernel_init, rngs=rngs)
            self.scale = jnp.arange(3.0)

        def __call__(self, x):
            return self.dense(x) + self.scale

    model = Functional(Scaled)
    variables = model.init(jax.random.key(0), jnp.ones((1, 2)))
    keys.clear()
    output = jax.jit(Functional(Scaled).apply)(variables, jnp.ones((1, 2)))
    assert keys
    assert all(isinstance(key, jax.core.Tracer) for key in keys)
    assert output.tolist() == [[0.0, 1.0, 2.0]]


class Pair(nnx.Module):
    """Gets its parts as arguments."""

    def __init__(self, encoder: nnx.Module, decoder: nnx.Module, scale: float = 1.0):
        self.encoder = encoder
        self.decoder = decoder
        self.scale = scale

    def __call__(self, x, train: bool = False):
        return self.decoder(self.encoder(x, train) * self.scale, train)

    def encode(self, x):
        return self.encoder.encode(x)


class LinenPair(nn.Module):
    encoder: nn.Module
    decoder: nn.Module
    scale: float = 1.0

    def __call__(self, x, train: bool = False):
        return self.decoder(self.encoder(x, train) * self.scale, train)

    def encode(self, x):
        return self.encoder.encode(x)


def late(features):
    return Functional(Net, features).sized(lambda x: {"in_features": x.shape[-1]})


@pytest.mark.parametrize(
    "model",
    [
        Functional(Pair, Functional(Net, 4, in_features=3), Functional(Net, 2, in_features=4), scale=2.0),
        Functional(Pair, late(4), decoder=late(2), scale=2.0),
        Functional(Pair, late(4), Functional(Net, 2, in_features=4), 2.0),
    ],
    ids=["known", "measured", "both"],
)
def test_modules_among_the_arguments(model: Functional) -> None:
    linen = LinenPair(Linen(4), Linen(2), scale=2.0)
    variables = linen.init(jax.random.key(0), X)
    shapes = jax.tree.map(jnp.shape, variables)
    assert jax.tree.map(jnp.shape, model.init(jax.random.key(0), X)) == shapes
    made = model.lazy_init(jax.random.key(0), jax.ShapeDtypeStruct(X.shape, X.dtype))
    assert jax.tree.map(jnp.shape, made) == shapes
    assert_same(jax.jit(model.apply)(variables, X), jax.jit(linen.apply)(variables, X))
    assert_same(
        model.apply(variables, X, method="encode"), linen.apply(variables, X, method=LinenPair.encode)
    )
    _, expected = linen.apply(variables, X, train=True, mutable=["batch_stats"])
    _, updated = model.apply(variables, X, train=True, mutable=["batch_stats"])
    assert jax.tree.structure(updated) == jax.tree.structure(expected)
    assert_same(updated["batch_stats"]["encoder"], expected["batch_stats"]["encoder"])
    assert model.encoder == (late(4) if model.encoder._sizes else Functional(Net, 4, in_features=3))


def test_modules_among_the_arguments_are_measured_by_a_first_apply() -> None:
    linen = LinenPair(Linen(4), Linen(2))
    variables = linen.init(jax.random.key(0), X)
    assert_same(Functional(Pair, late(4), late(2)).apply(variables, X), linen.apply(variables, X))


def test_init_gives_the_collections_that_are_wanted() -> None:
    _, model, _ = both()
    for wanted in ("params", ["params"], ["batch_stats", "params"]):
        made = model.init(jax.random.key(0), X, mutable=wanted)
        assert set(made) == set([wanted] if isinstance(wanted, str) else wanted)


def test_functionals_are_copied_and_lack_what_is_not_there() -> None:
    copied = copy.deepcopy(Functional(Net, 4, in_features=3))
    assert copied == Functional(Net, 4, in_features=3)
    assert not hasattr(copied, "_nothing")


def test_a_method_is_named_before_sizes_are_known() -> None:
    model = Functional(Pair, late(4), late(2))
    variables = model.init(jax.random.key(0), X, method=model.__call__)
    encoder = late(4)
    assert encoder.encode.__func__ is Net.encode
    assert_same(model.apply(variables, X, method=model.encode), model.apply(variables, X, method="encode"))


def test_a_maker_as_class_attribute() -> None:
    """It isn't bound to the instance, as a class wouldn't be."""

    class Agent:
        network = Functional.maker(Net)

        def __init__(self) -> None:
            self.model = self.network(4, in_features=3)

    variables = Agent().model.init(jax.random.key(0), X)
    assert variables["params"]["Dense_0"]["kernel"].shape == (3, 4)


class Tower(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs), nnx.Linear(3, 3, rngs=rngs)])

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Towers(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.tower = nnx.vmap(lambda rngs: Tower(rngs=rngs))(rngs.split(2))

    def __call__(self, x):
        return nnx.vmap(Tower.__call__, in_axes=(0, None))(self.tower, x)


def test_transforms_of_modules_with_lists() -> None:
    model = Functional(Towers)
    variables = model.init(jax.random.key(0), X)
    kernels = [variables["params"]["tower"]["layers"][key]["kernel"] for key in ("0", "1")]
    expected = X @ kernels[0] @ kernels[1]
    np.testing.assert_allclose(jax.jit(model.apply)(variables, X), expected, rtol=1e-5, atol=1e-5)
