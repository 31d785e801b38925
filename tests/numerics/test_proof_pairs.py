"""Faithful ports are proven equal: each pair is a Linen model and what a careful person would write."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from nnx_migrate.numerics.compare import Tolerance
from nnx_migrate.numerics.inputs import Inputs, Protocol
from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.parameter_map import ClassMap, Entry, ParameterMap, leaf, module
from nnx_migrate.numerics.proof import prove
from tests.numerics.models import FORWARD, QUICK, prove_pair, statuses

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((4, 6)).astype(np.float32)
TOKENS = RANDOM.integers(0, 11, (2, 5)).astype(np.int32)
SEQUENCE = RANDOM.standard_normal((2, 5, 8)).astype(np.float32)


def maps(classes: dict[type, list[Entry]]) -> ParameterMap:
    return ParameterMap({f"{c.__module__}:{c.__qualname__}": ClassMap(tuple(e)) for c, e in classes.items()})


class LinenMLP(nn.Module):
    features: tuple[int, ...] = (5, 3)

    @nn.compact
    def __call__(self, x):
        for n in self.features:
            x = nn.tanh(nn.Dense(n)(x))
        return x


class MLP(nnx.Module):
    def __init__(self, features=(5, 3), *, in_features, rngs):
        sizes = (in_features, *features)
        self.layers = nnx.List([nnx.Linear(m, n, rngs=rngs) for m, n in zip(sizes, features, strict=False)])

    def __call__(self, x):
        for layer in self.layers:
            x = nnx.tanh(layer(x))
        return x


def test_full_protocol_on_a_loop_of_layers() -> None:
    parameter_map = maps({MLP: [module(["Dense_{i}"], ["layers", "{i}"], "flax.linen:Dense")]})
    proof = prove_pair(
        LinenMLP(),
        lambda rngs: MLP(in_features=6, rngs=rngs),
        X,
        parameter_map=parameter_map,
        protocol=Protocol(),
    )
    runs = [f"{phase}/{mode}" for mode in ("jit", "eager") for phase in ("eval", "train")]
    expected = [f"{run}/{what}" for run in runs for what in ("output", "state")]
    expected += ["train/jit/gradients", "train/eager/gradients", "training/jit/loss", "training/jit/state"]
    assert statuses(proof) == dict.fromkeys(expected, "equal")
    assert proof.verdict == "equal"
    assert proof.notes == []
    assert len({c.name: c for c in proof.checks}["train/jit/gradients"].leaves) == 4


class LinenTransformer(nn.Module):
    """Learned positions, attention with dropout, exact GELU, tied output, a nested output with an int."""

    @nn.compact
    def __call__(self, tokens, mask=None, *, deterministic):
        embed = nn.Embed(11, 8, name="embed")
        x = embed(tokens) + self.param("positions", nn.initializers.normal(0.02), (5, 8))
        y = nn.LayerNorm()(x)
        y = nn.MultiHeadDotProductAttention(2, dropout_rate=0.3)(y, y, mask=mask, deterministic=deterministic)
        x = x + nn.Dropout(0.2)(y, deterministic=deterministic)
        x = x + nn.Dense(8)(nn.gelu(nn.Dense(12)(x), approximate=False))
        logits = embed.attend(x)
        return {"logits": logits, "best": (logits.argmax(-1), 3)}


class Transformer(nnx.Module):
    def __init__(self, *, rngs):
        self.embed = nnx.Embed(11, 8, rngs=rngs)
        self.positions = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (5, 8)))
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, dropout_rate=0.3, decode=False, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.up, self.down = nnx.Linear(8, 12, rngs=rngs), nnx.Linear(12, 8, rngs=rngs)

    def __call__(self, tokens, mask=None, *, deterministic):
        x = self.embed(tokens) + self.positions
        y = self.norm(x)
        x = x + self.dropout(
            self.attention(y, mask=mask, deterministic=deterministic), deterministic=deterministic
        )
        x = x + self.down(nnx.gelu(self.up(x), approximate=False))
        logits = self.embed.attend(x)
        return {"logits": logits, "best": (logits.argmax(-1), 3)}


def test_transformer_with_integer_inputs_masks_and_nested_outputs() -> None:
    parameter_map = maps({
        Transformer: [
            module(["embed"], ["embed"], None),
            leaf(["params", "positions"], ["positions"]),
            module(["LayerNorm_0"], ["norm"], "flax.linen:LayerNorm"),
            module(["MultiHeadDotProductAttention_0"], ["attention"], None),
            module(["Dense_1"], ["up"], None),
            module(["Dense_0"], ["down"], None),  # the outer of two nested calls is constructed first
        ]
    })  # fmt: skip
    mask = nn.make_causal_mask(TOKENS)
    flags = [{"mask": mask, "deterministic": flag} for flag in (True, False)]
    proof = prove_pair(
        LinenTransformer(), lambda rngs: Transformer(rngs=rngs), TOKENS,
        parameter_map=parameter_map, eval_kwargs=flags[0], train_kwargs=flags[1], protocol=FORWARD,
        # In eval mode nnx takes a fast path, which differs where the head size is no power of 4.
        tolerances={"eval/*/output": Tolerance(max_ulp=64, atol=1e-6, reason="scaled otherwise")},
    )  # fmt: skip
    assert proof.proven, str(proof)
    outputs = {c.name: c for c in proof.checks}["train/jit/output"].leaves
    assert {"/".join(leaf.path) for leaf in outputs} == {"logits", "best/0", "best/1"}
    assert {c.status for c in proof.checks if c.name.startswith("train/")} == {"equal", "skipped"}


NORMAL = nn.initializers.normal(0.5)  # compiles in a tenth of the time that orthogonal takes


class LinenTagger(nn.Module):
    """A fused LSTM that reads backwards."""

    @nn.compact
    def __call__(self, x):
        cell = nn.OptimizedLSTMCell(4, recurrent_kernel_init=NORMAL)
        return nn.Dense(2)(nn.RNN(cell, reverse=True, keep_order=True)(x))


class Tagger(nnx.Module):
    def __init__(self, *, rngs):
        cell = nnx.OptimizedLSTMCell(8, 4, recurrent_kernel_init=NORMAL, rngs=rngs)
        self.rnn = nnx.RNN(cell, reverse=True, keep_order=True)
        self.dense = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.rnn(x))


def test_lstm_with_fused_gates() -> None:
    entries: list[Entry] = [
        # A cell that is built inline belongs to the outer module in Linen, not to the RNN around it.
        module(["OptimizedLSTMCell_0"], ["rnn", "cell"], "flax.linen:OptimizedLSTMCell"),
        module(["Dense_0"], ["dense"], None),
    ]
    reason = Tolerance(atol=1e-6, rtol=1e-6, reason="gradients of fused gates are summed in another order")
    proof = prove_pair(
        LinenTagger(), lambda rngs: Tagger(rngs=rngs), SEQUENCE,
        parameter_map=maps({Tagger: entries}),
        tolerances={"train/*/gradients": reason},
    )  # fmt: skip
    assert proof.proven, str(proof)
    assert {c.status for c in proof.checks if "output" in c.name} == {"equal"}, str(proof)
    # nnx.RNN draws keys to make a carry of zeros.
    assert "nothing depends on them (carry: 0 before" in {c.name: c.reason for c in proof.checks}["draws"]


class LinenResidualBlock(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, train):
        y = nn.Conv(self.features, (3, 3), use_bias=False)(x)
        y = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(y))
        if x.shape != y.shape:
            x = nn.Conv(self.features, (1, 1), name="projection")(x)
        return x + y


class LinenResNet(nn.Module):
    stages: tuple[int, ...] = (1, 1)

    @nn.compact
    def __call__(self, x, train: bool):
        for i, size in enumerate(self.stages):
            for _ in range(size):
                x = LinenResidualBlock(3 + i)(x, train)
        return nn.Dense(2, name="head")(x.mean((1, 2)))


class ResidualBlock(nnx.Module):
    def __init__(self, features, *, in_features, rngs):
        self.conv = nnx.Conv(in_features, features, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(features, momentum=0.9, rngs=rngs)
        if in_features != features:
            self.projection = nnx.Conv(in_features, features, (1, 1), rngs=rngs)

    def __call__(self, x, train):
        y = nnx.relu(self.norm(self.conv(x), use_running_average=not train))
        return (self.projection(x) if hasattr(self, "projection") else x) + y


class ResNet(nnx.Module):
    def __init__(self, stages=(1, 1), *, in_features, rngs):
        self.stages = nnx.List()
        for i, size in enumerate(stages):
            blocks = nnx.List()
            for _ in range(size):
                blocks.append(ResidualBlock(3 + i, in_features=in_features, rngs=rngs))
                in_features = 3 + i
            self.stages.append(blocks)
        self.head = nnx.Linear(in_features, 2, rngs=rngs)

    def __call__(self, x, train):
        for stage in self.stages:
            for block in stage:
                x = block(x, train)
        return self.head(x.mean((1, 2)))


def test_nested_loops_of_own_classes_with_batch_norm() -> None:
    parameter_map = maps({
        ResNet: [
            module(["LinenResidualBlock_{#}"], ["stages", "{i}", "{j}"], "*"),
            module(["head"], ["head"], None),
        ],
        ResidualBlock: [
            module(["Conv_0"], ["conv"], None),
            module(["BatchNorm_0"], ["norm"], "flax.linen:BatchNorm"),
            module(["projection"], ["projection"], None),
        ],
    })  # fmt: skip
    images = RANDOM.standard_normal((2, 4, 4, 2)).astype(np.float32)
    proof = prove_pair(
        LinenResNet(), lambda rngs: ResNet(in_features=2, rngs=rngs), images,
        parameter_map=parameter_map, eval_kwargs={"train": False}, train_kwargs={"train": True},
        protocol=FORWARD,
    )  # fmt: skip
    assert proof.verdict == "equal", str(proof)


class Centered(nnx.Variable):
    """The running mean of inputs."""


class LinenNormalizer(nn.Module):
    """Two collections of its own: a running mean that eval calls read, and a counter."""

    @nn.compact
    def __call__(self, x, update=False):
        mean = self.variable("centered", "mean", jnp.zeros, x.shape[-1])
        steps = self.variable("counters", "steps", lambda: jnp.zeros((), jnp.int32))
        if update:
            mean.value = 0.9 * mean.value + 0.1 * x.mean(0)
            steps.value += 1
        return nn.Dense(3)(x - mean.value) * self.param("scale", nn.initializers.ones, ())


class Counters(nnx.Variable):
    """Integers."""


class Normalizer(nnx.Module):
    def __init__(self, *, in_features, rngs):
        self.mean = Centered(jnp.zeros(in_features))
        self.steps = Counters(jnp.zeros((), jnp.int32))
        self.dense = nnx.Linear(in_features, 3, rngs=rngs)
        self.scale = nnx.Param(jnp.ones(()))

    def __call__(self, x, update=False):
        if update:
            self.mean[...] = 0.9 * self.mean[...] + 0.1 * x.mean(0)
            self.steps[...] += 1
        return self.dense(x - self.mean[...]) * self.scale


NORMALIZER_MAP = maps({
    Normalizer: [
        leaf(["centered", "mean"], ["mean"]),
        leaf(["counters", "steps"], ["steps"]),
        leaf(["params", "scale"], ["scale"]),
        module(["Dense_0"], ["dense"], None),
    ]
})  # fmt: skip


def test_collections_of_the_users_own() -> None:
    proof = prove_pair(
        LinenNormalizer(), lambda rngs: Normalizer(in_features=6, rngs=rngs), X,
        parameter_map=NORMALIZER_MAP, train_kwargs={"update": True},
        protocol=Protocol(modes=("jit",), steps=3),
    )  # fmt: skip
    assert proof.verdict == "equal", str(proof)
    state = {c.name: c for c in proof.checks}["training/jit/state"].leaves
    assert {"/".join(leaf.path) for leaf in state} == {"mean", "steps", "scale", "dense/kernel", "dense/bias"}


class LinenScanned(nn.Module):
    """Layers by nn.scan, each with dropout and rematerialisation."""

    @nn.compact
    def __call__(self, x, train):
        class Layer(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return x + nn.Dropout(0.4, deterministic=not train)(nn.relu(nn.Dense(6)(x))), None

        layers = nn.scan(
            nn.remat(Layer),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=3,
        )
        return layers(name="layers")(x, None)[0]


class Layer(nnx.Module):
    def __init__(self, *, rngs):
        self.dense = nnx.Linear(6, 6, rngs=rngs)
        self.dropout = nnx.Dropout(0.4, rngs=rngs)

    def __call__(self, x, train):
        return x + self.dropout(nnx.relu(self.dense(x)), deterministic=not train)


class Scanned(nnx.Module):
    def __init__(self, *, rngs):
        self.layers = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: Layer(rngs=rngs)))(rngs)

    def __call__(self, x, train):
        step = nnx.remat(lambda x, layer: layer(x, train))
        return nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.layers)


class Unrolled(nnx.Module):
    def __init__(self, *, rngs):
        self.layers = nnx.List([Layer(rngs=rngs) for _ in range(3)])

    def __call__(self, x, train):
        for layer in self.layers:
            x = layer(x, train)
        return x


@pytest.mark.parametrize(
    ("port", "entry"),
    [
        (Scanned, module(["layers"], ["layers"], "*")),
        (Unrolled, module(["layers"], ["layers", "{i}"], "*", Transform("unstack"))),
    ],
)
def test_scanned_layers(port, entry) -> None:
    block: list[Entry] = [module(["Dense_0"], ["dense"], None)]
    proof = prove_pair(
        LinenScanned(), lambda rngs: port(rngs=rngs), X,
        parameter_map=maps({port: [entry], Layer: block}),
        eval_kwargs={"train": False}, train_kwargs={"train": port is Scanned},
        protocol=QUICK if port is Scanned else FORWARD,
        tolerances={"*/output": Tolerance(max_ulp=4, reason="XLA's dot, unoptimised")},
    )  # fmt: skip
    assert proof.proven, str(proof)


class LinenSampler(nn.Module):
    """A reparametrised sample (a stream of its own), a complex output, and a method other than __call__."""

    def setup(self):
        self.encoder = nn.Dense(4)

    def sample(self, x):
        mean, scale = jnp.split(self.encoder(x), 2, -1)
        z = mean + jnp.exp(scale) * jax.random.normal(self.make_rng("latent"), mean.shape)
        return flax.core.freeze({"z": z, "spectrum": jnp.fft.fft(z)})


class Sampler(nnx.Module):
    def __init__(self, *, rngs):
        self.encoder = nnx.Linear(6, 4, rngs=rngs)
        self.rngs = rngs.latent.fork()

    def sample(self, x):
        mean, scale = jnp.split(self.encoder(x), 2, -1)
        z = mean + jnp.exp(scale) * self.rngs.normal(mean.shape)
        return {"z": z, "spectrum": jnp.fft.fft(z)}


def test_streams_and_methods_of_the_users_own() -> None:
    proof = prove_pair(LinenSampler(), lambda rngs: Sampler(rngs=rngs), X, method="sample")
    assert proof.verdict == "equal", str(proof)


def test_a_stream_that_nnx_takes_from_default() -> None:
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(3))  # the port does not pass its rngs on

        def __call__(self, x, deterministic):
            return self.dropout(x, deterministic=deterministic)

    class LinenModel(nn.Module):
        @nn.compact
        def __call__(self, x, deterministic):
            return nn.Dropout(0.5)(x, deterministic=deterministic)

    proof = prove_pair(
        LinenModel(), Model, X, eval_kwargs={"deterministic": True}, train_kwargs={"deterministic": False}
    )
    assert proof.verdict == "equal", str(proof)
    assert proof.notes == ["NNX draws from stream 'default' what Linen draws from 'dropout'"]
    assert {c.name: c.reason for c in proof.skipped} == {
        "train/jit/gradients": "the model has no parameters",
        "training/jit/loss": "no optimizer steps were asked for",
        "training/jit/state": "no optimizer steps were asked for",
    }


def test_streams_that_are_passed_to_the_call() -> None:
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5)

        def __call__(self, x, rngs):
            return self.dropout(x, rngs=rngs)

    before = LinenSide(nn.Dropout(0.5, deterministic=False), Inputs((X,)))
    after = NNXSide(Model, Inputs((X,), {"rngs": nnx.Rngs(dropout=3)}))
    proof = prove(before, after, protocol=FORWARD)
    assert proof.verdict == "equal", str(proof)


def test_without_a_map_models_are_matched_by_the_order_of_reads() -> None:
    class Port(nnx.Module):
        def __init__(self, rngs):  # built in another order than called, and named by nobody's convention
            self.out = nnx.Linear(4, 4, rngs=rngs)
            self.hidden = nnx.Linear(4, 4, rngs=rngs)
            self.stem = nnx.Linear(6, 4, rngs=rngs)

        def __call__(self, x):
            return nnx.tanh(self.out(nnx.tanh(self.hidden(nnx.tanh(self.stem(x))))))

    proof = prove_pair(LinenMLP((4, 4, 4)), Port, X, protocol=FORWARD)
    assert proof.verdict == "equal", str(proof)


def test_models_that_write_in_eval_mode() -> None:
    """A Linen model that counts its calls whatever the mode: an immutable apply would raise."""

    class LinenCounter(nn.Module):
        @nn.compact
        def __call__(self, x):
            calls = self.variable("state", "calls", lambda: jnp.zeros(()))
            calls.value += 1
            return x * calls.value

    class Counter(nnx.Module):
        def __init__(self, rngs):
            self.calls = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            self.calls[...] += 1
            return x * self.calls

    proof = prove_pair(LinenCounter(), Counter, X)
    assert proof.verdict == "equal", str(proof)
    assert any("writes variables in eval mode" in note for note in proof.notes)


def test_bfloat16_parameters() -> None:
    linen = nn.Dense(3, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    build = lambda rngs: nnx.Linear(6, 3, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16, rngs=rngs)  # noqa: E731
    assert prove_pair(linen, build, X, protocol=FORWARD).verdict == "equal"


class LinenSower(nn.Module):
    @nn.compact
    def __call__(self, x):
        class Inner(nn.Module):
            @nn.compact
            def __call__(self, x):
                y = nn.Dense(3)(x)
                self.sow("intermediates", "hidden", y)
                return y

        y = Inner(name="inner")(x)
        self.sow("intermediates", "output", y + 1)
        return y


class Inner(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        y = self.dense(x)
        self.sow(nnx.Intermediate, "hidden", y)
        return y


class Sower(nnx.Module):
    def __init__(self, offset, rngs):
        self.offset = offset
        self.body = Inner(rngs)

    def __call__(self, x):
        y = self.body(x)
        if self.offset is not None:
            self.sow(nnx.Intermediate, "output", y + self.offset)
        return y


@pytest.mark.parametrize(("offset", "status"), [(1, "equal"), (2, "different"), (None, "different")])
def test_sown_values(offset: int | None, status: str) -> None:
    parameter_map = maps({
        Sower: [module(["inner"], ["body"], "*")],
        Inner: [module(["Dense_0"], ["dense"], None)],
    })  # fmt: skip
    proof = prove_pair(
        LinenSower(), lambda rngs: Sower(offset, rngs), X, parameter_map=parameter_map, protocol=FORWARD
    )
    found = {c.name: c for c in proof.checks}["eval/jit/sown"]
    assert found.status == status, str(proof)
    verdicts = {"/".join(leaf.path): leaf.verdict for leaf in found.leaves}
    assert verdicts == {"body/hidden/0": "equal", "output/0": status}
    assert {c.status for c in proof.checks if not c.name.endswith("sown")} == {"equal", "skipped"}
