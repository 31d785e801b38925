"""Running one side through the protocol: eval, train with gradients, optimizer steps."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from nnx_migrate.numerics.descent import Descent
from nnx_migrate.numerics.inputs import IN_ORDER, Alignment, Mode, Phase, Protocol
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.recording import Recording
from nnx_migrate.numerics.side import Side
from nnx_migrate.numerics.trees import flatten_output, is_trainable, split_arrays, to_numpy

Leaves = dict[Path, Any]


def record(
    side: Side,
    trainable: frozenset[Path],
    protocol: Protocol,
    alignment: Alignment = IN_ORDER,
    probes: Mapping[str, Leaves] | None = None,
    choose_probes: bool = False,
) -> Recording:
    """Everything the protocol asks for, from the side's current leaves; `trainable` names its parameters.

    Gradients are taken at `probes` too: at all of them or, with `choose_probes`, at those where a parameter
    that has had no influence so far has some. What raises is recorded as an error of that run, so that one
    failing run does not hide the others.
    """
    runner = _Runner(side, trainable, protocol, alignment)
    for mode in protocol.modes:
        runner.evaluate(mode)
        runner.train(mode)
    failed = runner.recording.errors
    main: Mode = "jit" if "jit" in protocol.modes and "train/jit" not in failed else "eager"
    runner.probe(main, probes or {}, choose_probes)
    runner.optimize(main)
    runner.recording.notes += side.notes
    return runner.recording


class _Runner:
    def __init__(self, side: Side, trainable: frozenset[Path], protocol: Protocol, alignment: Alignment):
        self.side = side
        self.seed = jnp.asarray(protocol.seed, jnp.uint32)
        self.protocol = protocol
        self.alignment = alignment
        self.recording = Recording()
        self.trainable = {p for p, v in side.leaves.items() if p in trainable and is_trainable(v)}
        self.params, self.rest = self._split(side.leaves)
        self._gradient: dict[Mode, Any] = {}

    def evaluate(self, mode: Mode) -> None:
        """Output and state of one eval call."""
        name = f"eval/{mode}"
        arrays, _ = self._arrays("eval")

        def forward(leaves: Leaves, seed: Any, arrays: Any) -> Any:
            return self._call(name, "eval", leaves, seed, arrays)

        run = jax.jit(forward) if mode == "jit" else forward
        try:
            self._keep(name, **run({**self.params, **self.rest}, self.seed, arrays))
        except Exception as error:
            self._failed(name, error)

    def train(self, mode: Mode) -> None:
        """Output, state and gradients of one train call."""
        name = f"train/{mode}"
        arrays, _ = self._arrays("train")
        try:
            if self.protocol.gradients and self.params:
                run = self._gradients(name, mode)
                (_, computed), gradients = run(self.params, self.rest, self.seed, arrays)
                if any(jnp.issubdtype(value.dtype, jnp.inexact) for value in computed["output"].values()):
                    self._keep(name, gradients=gradients)
                else:
                    self.recording.skipped[f"{name}/gradients"] = "the output has no floats"
            else:
                forward = self._loss(name)
                run = jax.jit(forward) if mode == "jit" else forward
                _, computed = run(self.params, self.rest, self.seed, arrays)
                why = (
                    "the model has no parameters"
                    if self.protocol.gradients
                    else "gradients were not asked for"
                )
                self.recording.skipped[f"{name}/gradients"] = why
            self._keep(name, **computed)
        except Exception as error:
            self._failed(name, error)

    def probe(self, mode: Mode, points: Mapping[str, Leaves], choose: bool) -> None:
        """Output and gradients of train calls at other points."""
        gradients = self.recording.values.get(f"train/{mode}/gradients", {})
        idle = {path for path, value in gradients.items() if not value.any()}
        for point, leaves in points.items():
            if not gradients or (choose and not idle):
                return
            params, rest = self._split({path: jnp.asarray(value) for path, value in leaves.items()})
            try:
                run = self._gradients(f"train/{mode}", mode)
                (_, computed), found = run(params, rest, self.seed, self._arrays("train")[0])
            except Exception as error:
                self._failed(f"train/{mode}+{point}", error)
                return
            used = {path for path in idle if jnp.isfinite(found[path]).all() and found[path].any()}
            if used or not choose:
                idle -= used
                self.recording.probes.append(point)
                self._keep(f"train/{mode}+{point}", output=computed["output"], gradients=found)

    def optimize(self, mode: Mode) -> None:
        """The losses and the final variables of some optimizer steps, each with draws of its own."""
        name = f"training/{mode}"
        if reason := self._no_training(mode):
            self.recording.skipped[f"{name}/state"] = self.recording.skipped[f"{name}/loss"] = reason
            return
        arrays, _ = self._arrays("train")
        try:
            descent, rest, losses = Descent(self.protocol, mode, self.params), self.rest, []
            for step in range(self.protocol.steps):
                params = descent.params
                (loss, computed), gradients = self._gradients(f"train/{mode}", mode)(
                    params, rest, self.seed + (step + 1), arrays
                )
                rest = {path: v for path, v in computed["state"].items() if path not in params}
                descent.step(gradients)
                losses.append(loss)
            self._keep(
                name,
                loss={("step", str(i)): loss for i, loss in enumerate(losses)},
                state={**descent.params, **rest},
            )
        except Exception as error:
            self._failed(name, error)

    def _no_training(self, mode: Mode) -> str | None:
        gradients = f"train/{mode}/gradients"
        if self.protocol.steps == 0:
            return "no optimizer steps were asked for"
        if gradients in self.recording.skipped:
            return f"no gradients: {self.recording.skipped[gradients]}"
        return "no gradients: the train call failed" if gradients not in self.recording.values else None

    def _gradients(self, name: str, mode: Mode) -> Any:
        if mode not in self._gradient:
            function = jax.value_and_grad(self._loss(name), has_aux=True)
            self._gradient[mode] = jax.jit(function) if mode == "jit" else function
        return self._gradient[mode]

    def _loss(self, name: str) -> Any:
        def loss(params: Leaves, rest: Leaves, seed: Any, arrays: Any) -> Any:
            computed = self._call(name, "train", {**params, **rest}, seed, arrays)
            return sum_of_sines(computed["output"]), computed

        return loss

    def _call(self, name: str, phase: Phase, leaves: Leaves, seed: Any, arrays: Any) -> dict[str, Leaves]:
        _, rebuild = self._arrays(phase)
        args, kwargs = rebuild(arrays)
        outcome = self.side.call(leaves, seed, args, kwargs, phase, self.alignment)
        pick = self.side.inputs.output or (lambda output: output)
        flat, opaque = flatten_output(pick(outcome.output))
        self.recording.draws[name] = outcome.draws.distinct
        if opaque:
            self.recording.opaque[name] = opaque
        computed = {"output": flat, "state": outcome.leaves}
        return {**computed, "sown": outcome.sown} if outcome.sown else computed

    def _split(self, leaves: Leaves) -> tuple[Leaves, Leaves]:
        """Parameters and the rest."""
        params = {path: value for path, value in leaves.items() if path in self.trainable}
        return params, {path: value for path, value in leaves.items() if path not in params}

    def _arrays(self, phase: Phase) -> Any:
        return split_arrays((self.side.inputs.args, dict(self.side.inputs.kwargs(phase))))

    def _keep(self, name: str, **values: Leaves) -> None:
        for what, leaves in values.items():
            self.recording.values[f"{name}/{what}"] = to_numpy(leaves)

    def _failed(self, name: str, error: Exception) -> None:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise error  # says nothing of the model, and the next run would end alike
        self.recording.errors[name] = f"{type(error).__name__}: {error}"


def sum_of_sines(output: Mapping[Path, Any]) -> jax.Array:
    """A scalar that depends on every float of an output: a plain sum would be blind to normalised ones."""
    terms = []
    for value in output.values():
        if jnp.issubdtype(value.dtype, jnp.complexfloating):
            terms += [jnp.sin(value.real).sum(), jnp.sin(value.imag).sum()]
        elif jnp.issubdtype(value.dtype, jnp.floating):
            terms.append(jnp.sin(value.astype(jnp.promote_types(value.dtype, jnp.float32))).sum())
    return reduce(operator.add, terms, jnp.zeros(()))
