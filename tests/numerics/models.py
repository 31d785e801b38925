"""What several tests here share: calling a model with aligned draws, and shorthands for proofs."""

from typing import Any

import jax
from flax import linen as nn
from flax import nnx

from nnx_migrate.numerics.draws import AlignedDraws, aligned_draws, base_key, seed_streams
from nnx_migrate.numerics.inputs import Inputs, Protocol
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.proof import prove
from nnx_migrate.numerics.results import Proof

#: Enough to see most differences; the full protocol runs where it is the subject.
QUICK = Protocol(modes=("jit",), steps=0)
FORWARD = Protocol(modes=("jit",), gradients=False)


def call_linen(
    model: nn.Module,
    variables: Any,
    *args: Any,
    seed: int = 0,
    jit: bool = False,
    streams=("dropout",),
    **alignment: Any,
) -> tuple[Any, AlignedDraws]:
    drawn: list[AlignedDraws] = []

    def run(args: Any, seed: Any) -> Any:
        with aligned_draws(**alignment) as draws:
            drawn.append(draws)
            return model.apply(variables, *args, rngs={name: base_key(seed) for name in streams})

    output = (jax.jit(run) if jit else run)(args, seed)
    return output, drawn[-1]


def call_nnx(
    model: nnx.Module, *args: Any, seed: int = 0, jit: bool = False, **alignment: Any
) -> tuple[Any, AlignedDraws]:
    drawn: list[AlignedDraws] = []
    graphdef, state = nnx.split(model)

    def run(state: Any, args: Any, seed: Any) -> Any:
        model = nnx.merge(graphdef, seed_streams(state, seed), copy=True)
        with aligned_draws(**alignment) as draws:
            drawn.append(draws)
            return model(*args)

    output = (jax.jit(run) if jit else run)(state, args, seed)
    return output, drawn[-1]


def prove_pair(
    linen: nn.Module,
    build: Any,
    *args: Any,
    parameter_map: ParameterMap | None = None,
    protocol: Protocol = QUICK,
    tolerances: Any = None,
    eval_kwargs: Any = None,
    train_kwargs: Any = None,
    method: str | None = None,
    **linen_options: Any,
) -> Proof:
    inputs = Inputs(args, eval_kwargs or {}, train_kwargs, method)
    before, after = LinenSide(linen, inputs, **linen_options), NNXSide(build, inputs)
    return prove(before, after, parameter_map, protocol, tolerances)


def statuses(proof: Proof) -> dict[str, str]:
    return {check.name: check.status for check in proof.checks}
