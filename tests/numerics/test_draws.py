"""Random draws agree on both sides, in and out of loops; and where they cannot, it shows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from nnx_migrate.numerics.draws import Draw, MissingStreamError, aligned_draws, base_key, seed_streams
from tests.numerics.models import call_linen, call_nnx

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32)), jnp.float32)


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        x = nn.Dropout(0.5, deterministic=False)(x)
        return nn.Dropout(0.2, deterministic=False)(x), None


class Block(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Dropout(0.5, rngs=rngs)
        self.second = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x):
        return self.second(self.first(x))


class LinenLoop(nn.Module):
    """Draws before, in and after three steps of a scan, whose steps share their keys or do not."""

    split: bool = True
    remat: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.Dropout(0.3, deterministic=False)(x)
        block = nn.remat(LinenBlock) if self.remat else LinenBlock
        loop = nn.scan(
            block, variable_axes={"params": 0}, split_rngs={"params": True, "dropout": self.split}, length=3
        )
        return nn.Dropout(0.3, deterministic=False)(loop()(x, None)[0])


class Loop(nnx.Module):
    """`how` is the way in which random state goes through nnx.scan."""

    def __init__(self, how, rngs):
        self.how = how
        self.before, self.after = nnx.Dropout(0.3, rngs=rngs), nnx.Dropout(0.3, rngs=rngs)
        if how == "stacked":
            self.block = nnx.split_rngs(splits=3)(nnx.vmap(Block))(rngs)
        else:
            self.block = Block(rngs)

    def __call__(self, x):
        x = self.before(x)
        if self.how == "stacked":
            x = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.block)
        else:
            axes = {"carried": nnx.Carry, "split": 0, "shared": None, "rematerialised": nnx.Carry}[self.how]
            body = nnx.remat(lambda m, x: m(x)) if self.how == "rematerialised" else lambda m, x: m(x)
            in_axes = (nnx.StateAxes({nnx.RngState: axes, ...: None}), nnx.Carry)
            loop = nnx.scan(body, in_axes=in_axes, out_axes=nnx.Carry, length=3)
            x = (nnx.split_rngs(splits=3)(loop) if self.how == "split" else loop)(self.block, x)
        return self.after(x)


@functools.cache
def linen_loop(split: bool):
    return call_linen(LinenLoop(split), {}, X, jit=True)


@pytest.mark.parametrize(
    ("split", "how", "agree"),
    [
        (True, "stacked", True),
        (True, "carried", True),
        (True, "split", True),
        (True, "rematerialised", True),
        (True, "shared", False),  # one mask for all steps: a silent mistake of ports
        (False, "shared", True),
        (False, "split", False),
    ],
)
def test_scan(split: bool, how: str, agree: bool) -> None:
    before, drawn = linen_loop(split)
    after, drawn_after = call_nnx(Loop(how, nnx.Rngs(dropout=7)), X, jit=True)
    assert drawn.distinct == drawn_after.distinct
    assert bool((before == after).all()) == agree


def test_draws_inside_remat_inside_scan_are_the_loops_own() -> None:
    plain, _ = linen_loop(True)
    rematerialised, drawn = call_linen(LinenLoop(remat=True), {}, X, jit=True)
    assert (plain == rematerialised).all()
    assert drawn.distinct == {Draw("dropout", depth, i) for depth in (0, 1) for i in (0, 1)}


@pytest.mark.parametrize("split", [True, False])
def test_vmap(split: bool) -> None:
    lifted = nn.vmap(LinenBlock, split_rngs={"dropout": split}, variable_axes={"params": 0})
    before, _ = call_linen(lifted(), {}, X, jit=True)
    rows = {True: nnx.StateAxes({nnx.RngState: 0, ...: None}), False: None}[split]

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.block = Block(rngs)

        def __call__(self, x):
            run = nnx.vmap(lambda m, x: m(x), in_axes=(rows, 0))
            return (nnx.split_rngs(splits=2)(run) if split else run)(self.block, x)

    after, _ = call_nnx(Model(nnx.Rngs(0)), X, jit=True, aliases={"default": "dropout"})
    assert (before[0] == after).all()
    assert bool((before[0][0] == 0).sum() == ((before[0] == 0).all(0)).sum()) == (
        not split
    )  # same mask in both rows


def test_nested_scans_over_stacked_modules() -> None:
    class Nested(nn.Module):
        @nn.compact
        def __call__(self, x):
            def scan(block, length):
                return nn.scan(
                    block, variable_axes={"params": 0}, split_rngs={"dropout": True}, length=length
                )

            class Outer(nn.Module):
                @nn.compact
                def __call__(self, x, _):
                    return scan(LinenBlock, 2)()(x, None)[0], None

            return scan(Outer, 3)()(x, None)[0]

    class Model(nnx.Module):
        def __init__(self, rngs):
            build = nnx.split_rngs(splits=2)(nnx.vmap(Block))
            self.blocks = nnx.split_rngs(splits=3)(nnx.vmap(build))(rngs)

        def __call__(self, x):
            inner = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
            return nnx.scan(inner, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.blocks)

    before, drawn = call_linen(Nested(), {}, X, jit=True)
    after, drawn_after = call_nnx(Model(nnx.Rngs(dropout=0)), X, jit=True)
    assert (before == after).all()
    assert drawn.distinct == drawn_after.distinct == {Draw("dropout", 2, 0), Draw("dropout", 2, 1)}


@pytest.mark.parametrize("lifted", [nn.jit, nn.remat, lambda block: block])
def test_transforms_that_are_no_loops_do_not_count(lifted) -> None:
    """Linen caches the traces of nn.jit and forks its streams; a port may leave nn.jit out."""

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            block = lifted(LinenBlock)
            return block()(x)[0] + block()(x)[0]

    class Port(nnx.Module):
        def __init__(self, rngs):
            self.blocks = nnx.List([Block(rngs), Block(rngs)])

        def __call__(self, x):
            return self.blocks[0](x) + self.blocks[1](x)

    before, drawn = call_linen(Model(), {}, X, jit=True)
    after, drawn_after = call_nnx(Port(nnx.Rngs(dropout=0)), X, jit=True)
    assert (before == after).all()
    assert drawn.distinct == drawn_after.distinct == {Draw("dropout", 0, i) for i in range(4)}


def test_every_draw_and_every_seed_has_its_own_key() -> None:
    class Noise(nn.Module):
        def __call__(self):
            normal = lambda name: jax.random.normal(self.make_rng(name), (4,))  # noqa: E731
            return jnp.stack([normal("dropout"), normal("dropout"), normal("noise"), normal("noise")])

    outputs = [
        row for seed in (0, 1) for row in call_linen(Noise(), {}, seed=seed, streams=("dropout", "noise"))[0]
    ]
    assert len({tuple(row.tolist()) for row in outputs}) == len(outputs)


def test_streams_that_were_not_passed_are_asked_for() -> None:
    class Noise(nn.Module):
        def __call__(self):
            return jax.random.normal(self.make_rng("noise"), ())

    with pytest.raises(MissingStreamError) as caught:
        call_linen(Noise(), {})
    assert caught.value.stream == "noise"


def test_recurrent_dropout_in_a_stock_rnn_does_not_mind_the_initial_carry() -> None:
    """nnx.RNN draws a key to initialise its carry, from a stream of its own."""

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.rnn = nnx.RNN(nnx.SimpleCell(32, 4, rngs=rngs))
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            self.rnn(x[:, None])
            return self.dropout(x)

    before, _ = call_linen(nn.Dropout(0.5, deterministic=False), {}, X)
    after, drawn = call_nnx(Model(nnx.Rngs(params=0, dropout=1)), X)
    assert (before == after).all()
    assert {draw.stream for draw in drawn.distinct} == {"dropout", "carry"}


def test_unordered_keys_do_not_depend_on_the_order_of_draws() -> None:
    class Swapped(nnx.Module):
        def __init__(self, rngs):
            self.block = Block(rngs)

        def __call__(self, x):
            kept = self.block.second(jnp.ones_like(x))
            return self.block.first(x) * kept

    ordered = [call_linen(LinenBlock(), {}, X)[0][0], call_nnx(Swapped(nnx.Rngs(dropout=0)), X)[0]]
    shared = [
        call_linen(LinenBlock(), {}, X, ordered=False)[0][0],
        call_nnx(Swapped(nnx.Rngs(dropout=0)), X, ordered=False)[0],
    ]
    assert (ordered[0] == 0).sum() != (ordered[1] == 0).sum() or (ordered[0] != ordered[1]).any()
    assert jnp.allclose(shared[0], shared[1])


def test_everything_is_put_back() -> None:
    stream = nnx.Rngs(0).dropout
    expected = jax.random.fold_in(jax.random.key(0), 0)
    with aligned_draws():
        assert stream() != expected
    assert nnx.Rngs(0).dropout() == expected
    linen = nn.Dropout(0.5, deterministic=False).apply({}, X, rngs={"dropout": jax.random.key(0)})
    with aligned_draws():
        pass
    assert (
        linen == nn.Dropout(0.5, deterministic=False).apply({}, X, rngs={"dropout": jax.random.key(0)})
    ).all()


def test_seeding_covers_stacked_streams() -> None:
    state = nnx.state(nnx.Rngs(0).split((3, 2)))
    seeded = seed_streams(state, 5)
    keys = jax.random.key_data(seeded["default"]["key"].get_value())
    assert keys.shape == (3, 2, 2)
    assert len({tuple(key) for key in keys.reshape(6, 2).tolist()}) == 6
    assert (keys[..., 0] == jax.random.key_data(base_key(5))[0]).all()
