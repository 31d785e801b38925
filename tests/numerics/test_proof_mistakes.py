"""Mistakes that ports really contain are caught, every one, and reported where they are.

One Linen model, one faithful port, and ports that differ from it in one thing. The first side runs once.
"""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from nnx_migrate.numerics.inputs import Alignment, Inputs, Protocol
from nnx_migrate.numerics.judging import judge
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.map_expansion import MapError
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.perturb import perturb
from nnx_migrate.numerics.phases import record
from nnx_migrate.numerics.proof import trainable
from nnx_migrate.numerics.recording import Description, Recording
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.numerics.transplant import Translation, correspond, move
from nnx_migrate.numerics.trees import to_numpy
from tests.numerics.models import QUICK, prove_pair, statuses

IMAGES = np.random.default_rng(1).standard_normal((4, 2, 2, 3)).astype(np.float32)


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(3, (2, 2), name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        x = nn.gelu(x)
        x = nn.Dropout(0.25, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1)
        h = nn.Dense(12, name="first")(x)
        x = x + nn.Dense(12, name="second")(nn.relu(h))
        x = nn.LayerNorm(name="layer_norm")(x)
        calls = self.variable("stats", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value += 1
        return x * self.param("scale", nn.initializers.ones, (12,))


class Calls(nnx.Variable):
    """Counts calls."""


class Net(nnx.Module):
    """The port; `mistake` is what is wrong with it."""

    def __init__(self, mistake, rngs):
        self.mistake = mistake
        made = lambda name: mistake == name  # noqa: E731
        padding = "VALID" if made("padding") else "SAME"
        self.conv = nnx.Conv(3, 3, (2, 2), padding=padding, rngs=rngs)
        self.norm = nnx.BatchNorm(3, momentum=0.99 if made("momentum") else 0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5 if made("dropout rate") else 0.25, rngs=rngs)
        self.first = nnx.Linear(12, 12, use_bias=not made("missing bias"), rngs=rngs)
        self.second = nnx.Linear(12, 12, rngs=rngs)
        self.layer_norm = nnx.LayerNorm(12, epsilon=1e-5 if made("epsilon") else 1e-6, rngs=rngs)
        self.scale = (nnx.Variable if made("frozen parameter") else nnx.Param)(jnp.ones(12))
        self.calls = Calls(jnp.zeros((), jnp.int32))
        if made("extra layer"):
            self.unused = nnx.Linear(2, 2, rngs=rngs)
        if made("parameter dtype"):
            self.scale = nnx.Param(jnp.ones(12, jnp.bfloat16))

    def __call__(self, x, train):
        made = lambda *names: self.mistake in names  # noqa: E731
        x = self.conv(x)
        use_running_average = not train
        if made("statistics never updated"):
            use_running_average = True
        if made("batch statistics in eval mode"):
            use_running_average = False
        x = self.norm(x, use_running_average=use_running_average)
        if made("statistics forgotten"):
            self.norm.mean[...] = jax.lax.stop_gradient(jnp.zeros(3))
        x = nnx.gelu(x, approximate=not made("other approximation"))
        if not made("dropout left out"):
            x = self.dropout(x, deterministic=False if made("dropout in eval mode") else not train)
        if made("transposed flatten"):
            x = x.transpose(0, 3, 1, 2)
        x = x.reshape(x.shape[0], -1)
        first, second = (self.second, self.first) if made("swapped kernels") else (self.first, self.second)
        h = first(x)
        if made("bias not added"):
            h = x @ first.kernel
        h = nnx.silu(h) if made("activation") else nnx.relu(h)
        if made("stopped gradient"):
            h = jax.lax.stop_gradient(h)
        y = second(h)
        x = y if made("residual dropped") else x + y
        x = self.layer_norm(x)
        if train and not made("counter not updated"):
            self.calls[...] += 1
        if made("weights changed in the forward pass"):
            self.scale[...] = self.scale * 1.0001
        if made("low precision"):
            x = x.astype(jnp.bfloat16).astype(jnp.float32)
        if made("output dtype"):
            x = x.astype(jnp.bfloat16)
        return x[:, None] * self.scale if made("output shape") else x * self.scale


INPUTS = Inputs((IMAGES,), {"train": False}, {"train": True})


class Baseline:
    """The Linen side, each of its recordings made once."""

    def __init__(self) -> None:
        self.side = LinenSide(LinenNet(), INPUTS)
        self.description: Description = self.side.describe()
        self.leaves = perturb(to_numpy(self.description.leaves))
        self.side.load(self.leaves)
        self._recordings: dict[bool, Recording] = {}

    def record(self, alignment: Alignment) -> Recording:
        if alignment.ordered not in self._recordings:
            self._recordings[alignment.ordered] = record(
                self.side, trainable(self.description.specs), QUICK, Alignment(alignment.ordered)
            )
        return self._recordings[alignment.ordered]

    def prove(self, mistake: str, gradients: bool = False) -> Proof:
        side = NNXSide(lambda rngs: Net(mistake, rngs), INPUTS)
        description = side.describe()
        try:
            expansion = correspond(self.description, description, None, side.class_of)
        except MapError as error:
            return Proof([Check("transplant", "error", "; ".join(error.problems))])
        side.load(move(expansion, self.leaves, description.specs))
        return judge(
            self.record,
            lambda alignment: record(
                side, trainable(description.specs), replace(QUICK, gradients=gradients), alignment
            ),
            Translation(expansion, description.specs),
        )


@functools.cache
def baseline() -> Baseline:
    return Baseline()


def test_the_faithful_port_passes() -> None:
    proof = baseline().prove("none", gradients=True)
    assert proof.verdict == "equal", str(proof)
    assert {c.name for c in proof.checks if c.status == "equal"} == {
        "eval/jit/output", "eval/jit/state", "train/jit/output", "train/jit/state", "train/jit/gradients",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mistake", "first_sign"),
    [
        ("activation", "eval/jit/output"),
        ("other approximation", "eval/jit/output"),
        ("transposed flatten", "eval/jit/output"),
        ("swapped kernels", "eval/jit/output"),
        ("bias not added", "eval/jit/output"),
        ("residual dropped", "eval/jit/output"),
        ("epsilon", "eval/jit/output"),
        ("low precision", "eval/jit/output"),
        ("output shape", "eval/jit/output"),
        ("output dtype", "eval/jit/output"),
        ("batch statistics in eval mode", "eval/jit/output"),
        ("dropout in eval mode", "eval/jit/output"),
        ("weights changed in the forward pass", "eval/jit/output"),
        ("statistics forgotten", "eval/jit/state"),
        ("momentum", "train/jit/state"),
        ("statistics never updated", "train/jit/output"),
        ("counter not updated", "train/jit/state"),
        ("dropout rate", "train/jit/output"),
        ("dropout left out", "train/jit/output"),
        ("stopped gradient", "train/jit/gradients"),
    ],
)
def test_mistakes_in_what_is_computed(mistake: str, first_sign: str) -> None:
    proof = baseline().prove(mistake, gradients=first_sign.endswith("gradients"))
    assert not proof.proven, str(proof)
    order = [
        f"{phase}/jit/{what}" for phase in ("eval", "train") for what in ("output", "state", "gradients")
    ]
    wrong = {c.name for c in proof.checks if c.status == "different"}
    assert next(name for name in order if name in wrong) == first_sign, str(proof)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("missing bias", "Linen leaf params/first/bias is not mapped"),
        ("extra layer", "NNX leaf unused/kernel is not mapped"),
        ("frozen parameter", "params/scale -> scale: collection params in Linen, variable type of"),
        ("parameter dtype", "params/scale -> scale: dtype float32 in Linen, bfloat16 in NNX"),
    ],
)
def test_mistakes_in_what_is_held(mistake: str, message: str) -> None:
    (check,) = baseline().prove(mistake).checks
    assert (check.name, check.status) == ("transplant", "error")
    assert message in check.reason


def test_a_port_that_raises_is_an_error_where_it_raises() -> None:
    proof = baseline().prove("padding")
    found = {c.name: c for c in proof.checks}
    assert found["eval/jit"].status == "error"
    assert "after the migration" in found["eval/jit"].reason


@pytest.mark.parametrize(("draws", "counts"), [(1, "2 before, 1 after"), (3, "2 before, 3 after")])
def test_another_number_of_random_keys_is_an_error_even_if_no_output_shows_it(
    draws: int, counts: str
) -> None:
    class LinenNoise(nn.Module):
        def __call__(self, x):
            for _ in range(2):
                self.make_rng("dropout")
            return x

    class Noise(nnx.Module):
        def __init__(self, rngs):
            self.rngs = rngs.dropout.fork()

        def __call__(self, x):
            for _ in range(draws):
                self.rngs()
            return x

    proof = prove_pair(LinenNoise(), Noise, np.ones(3, np.float32))
    (check,) = [c for c in proof.checks if c.name == "draws"]
    assert (proof.verdict, check.status) == ("error", "error")
    assert counts in check.reason


def test_the_same_draws_in_another_order_are_equal_with_a_note() -> None:
    """The masks of two branches are drawn in another order: the same distribution, so no mistake."""

    class LinenBranches(nn.Module):
        @nn.compact
        def __call__(self, x):
            a, b = nn.Dropout(0.2, deterministic=False), nn.Dropout(0.5, deterministic=False)
            return a(x) + 2 * b(x)

    class Branches(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Dropout(0.2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            b = 2 * self.b(x)
            return self.a(x) + b

    proof = prove_pair(
        LinenBranches(), Branches, np.ones((8, 8), np.float32), protocol=Protocol(("jit",), False)
    )
    failing = {c.name: c.status for c in proof.checks}
    assert failing["train/jit/output"] == "equal", str(proof)
    assert any("another order" in note for note in proof.notes)


def test_outputs_without_a_finite_number_prove_nothing() -> None:
    class LinenLog(nn.Module):
        def __call__(self, x):
            return jnp.log(-x)

    class Log(nnx.Module):
        def __init__(self, rngs): ...

        def __call__(self, x):
            return jnp.sqrt(-x)

    proof = prove_pair(LinenLog(), Log, np.ones(3, np.float32))
    assert {c.name: c.reason for c in proof.checks if c.status == "error"} == {
        "eval/jit/output": "no finite number to compare",
        "train/jit/output": "no finite number to compare",
    }
    assert not proof.proven


def test_parameters_without_influence_are_noted() -> None:
    class LinenDead(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.relu(nn.Dense(2)(x) - 100) + nn.Dense(2, name="alive")(x)

    class Dead(nnx.Module):
        def __init__(self, rngs):
            self.Dense_0, self.alive = nnx.Linear(3, 2, rngs=rngs), nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, x):
            return nnx.silu(self.Dense_0(x) - 100) * 0 + self.alive(x)  # wrong, and nothing can show it

    proof = prove_pair(LinenDead(), Dead, np.ones((1, 3), np.float32))
    assert proof.proven, str(proof)
    assert proof.notes == [
        "the gradient is zero for Dense_0/bias, Dense_0/kernel: nothing shows how they are used"
    ]


def test_outputs_that_are_no_arrays_are_listed_as_skipped() -> None:
    class Result:
        pass

    class LinenOpaque(nn.Module):
        def __call__(self, x):
            return x, Result()

    class Opaque(nnx.Module):
        def __init__(self, rngs): ...

        def __call__(self, x):
            return x, Result()

    proof = prove_pair(LinenOpaque(), Opaque, np.ones(3, np.float32))
    assert "no arrays: 1 (" in {c.name: c.reason for c in proof.skipped}["eval/jit/output (non-arrays)"]


def test_parameters_without_influence_are_tried_at_other_points() -> None:
    """A branch whose ReLU is dead near the initial values: only farther away does the wrong port show."""

    class LinenBranch(nn.Module):
        @nn.compact
        def __call__(self, x):
            gate = self.param("gate", nn.initializers.constant(-2.0), (5,))
            return nn.Dense(5, name="alive")(x) + nn.relu(gate) ** 2

    class Branch(nnx.Module):
        def __init__(self, power, rngs):
            self.alive, self.power = nnx.Linear(3, 5, rngs=rngs), power
            self.gate = nnx.Param(jnp.full(5, -2.0))

        def __call__(self, x):
            return self.alive(x) + nnx.relu(self.gate[...]) ** self.power

    x = np.ones((1, 3), np.float32)
    right = prove_pair(LinenBranch(), lambda rngs: Branch(2, rngs), x)
    assert (right.verdict, right.notes) == ("equal", []), str(right)
    wrong = prove_pair(LinenBranch(), lambda rngs: Branch(3, rngs), x)
    assert all(name.startswith("train/jit+") for name, c in statuses(wrong).items() if c == "different")
    assert wrong.verdict == "different"
