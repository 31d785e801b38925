"""The proof for two trees of a project: each side in a process of its own, compared in this one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from nnx_migrate.numerics import parameter_map as maps
from nnx_migrate.numerics import recording as recordings
from nnx_migrate.numerics.compare import Leaves, Tolerance
from nnx_migrate.numerics.inputs import DEFAULT_PROTOCOL, IN_ORDER, Alignment, Inputs, Protocol
from nnx_migrate.numerics.judging import Tolerances, judge
from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.linen_side import LinenSide
from nnx_migrate.numerics.map_expansion import Expansion, LeafPair, MapError
from nnx_migrate.numerics.nnx_side import NNXSide
from nnx_migrate.numerics.perturb import draw_constants, perturb, probe_points
from nnx_migrate.numerics.phases import record
from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, run_child
from nnx_migrate.numerics.proof import trainable
from nnx_migrate.numerics.recording import Recording
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.numerics.side import Side
from nnx_migrate.numerics.source import ModelSource, SourceNamespace
from nnx_migrate.numerics.transplant import Translation, correspond, move
from nnx_migrate.numerics.trees import to_numpy

#: What accelerators may make of one computation written in two ways: XLA picks their kernels by the whole program.
ROUNDING = Tolerance(rtol=2e-2, reason="XLA rounds otherwise on accelerators")

#: What jit may make of one computation that a side does before the call (in a constructor, say): XLA rounds constants
#: otherwise than the operations that it runs one by one. Only for sides that are equal without jit.
_COMPILED = "equal without jit; XLA rounds otherwise what it compiles together"
COMPILED = {
    "training/*": Tolerance(
        rtol=2e-2, reason=_COMPILED
    ),  # where Adam divides tiny gradients by their own size
    "*/jit*": Tolerance(max_ulp=8, rtol=1e-3, reason=_COMPILED),
}


def prove_in_processes(
    before: ModelSource,
    after: ModelSource,
    parameter_map: maps.ParameterMap | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    tolerances: Tolerances | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    optimize: bool = False,
    platform: str | None = None,
) -> Proof:
    """Like `proof.prove`, for two sources; see `run_child` for `timeout` (of each run), `optimize`, `platform`.

    On an accelerator, where no tolerance was stated, `ROUNDING` is accepted; who wants to rely on such a result
    has to look at the same comparison on CPU. Raises ChildError where a side cannot be imported or built at all.
    """
    with tempfile.TemporaryDirectory(prefix="nnx-migrate-") as folder:
        pair = _Pair(before, after, parameter_map, protocol, Path(folder), timeout, optimize, platform)
        try:
            pair.record_before(IN_ORDER)
            if not tolerances and pair.platform != "cpu":
                tolerances = {"*": ROUNDING}
            proof = judge(pair.record_before, pair.record_after, pair, tolerances)
            proof.pairs, proof.specs = pair.translation.expansion.pairs, pair.translation.targets
            proof.classes = pair.classes
        except MapError as error:
            proof = Proof([Check("transplant", "error", "; ".join(error.problems))])
        proof.platform, proof.device = pair.platform, pair.device
        return proof


class _Pair:
    """The two child processes, and what the first of them found out for the second."""

    def __init__(
        self,
        before: ModelSource,
        after: ModelSource,
        parameter_map: maps.ParameterMap | None,
        protocol: Protocol,
        folder: Path,
        timeout: float,
        optimize: bool,
        platform: str | None,
    ):
        self.before = before
        self.after = after
        self.map = None if parameter_map is None else maps.to_json(parameter_map)
        self.protocol = protocol
        self.folder = folder
        self.run: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda job: run_child(
            job, timeout, optimize=optimize, platform=platform
        )
        self.platform = self.device = ""

    @cached_property
    def _first(self) -> tuple[Path, Recording]:
        """The first side's report and recording, draws in order."""
        path = self.folder / "before.npz"
        return path, self._record("before", self.before, IN_ORDER, path)[1]

    def record_before(self, alignment: Alignment) -> Recording:
        if alignment == IN_ORDER:
            return self._first[1]
        return self._record("before", self.before, alignment, self.folder / "rerun.npz")[1]

    def record_after(self, alignment: Alignment) -> Recording:
        extra = {"report": str(self._first[0]), "parameter_map": self.map}
        answer, recording = self._record("after", self.after, alignment, self.folder / "after.npz", extra)
        scopes = {tuple(scope): tuple(path) for scope, path in answer["scopes"]}
        expansion = Expansion([_pair_from_json(raw) for raw in answer["pairs"]], scopes)
        self.translation = Translation(expansion, self.description.specs)
        self.classes = frozenset(answer["classes"])
        return recording

    def variables(self, leaves: Leaves) -> Leaves:
        return self.translation.variables(leaves)

    def sown(self, leaves: Leaves) -> Leaves:
        return self.translation.sown(leaves)

    def _record(
        self,
        action: str,
        source: ModelSource,
        alignment: Alignment,
        path: Path,
        extra: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], Recording]:
        answer = self.run(
            {
                "action": action,
                "source": {**source.to_json(), "root": str(Path(source.root).resolve())},
                "protocol": asdict(self.protocol),
                "alignment": asdict(alignment),
                "output": str(path),
                **(extra or {}),
            }
        )
        if "problems" in answer:
            raise MapError(answer["problems"])
        self.platform, self.device = answer["platform"], answer["device"]
        description, recording = recordings.load(path)
        assert description is not None and recording is not None
        self.description = description
        return answer, recording


def run_before(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """The first side, in its own process."""
    side = side_of(source)
    protocol = _protocol(job)
    if protocol.max_bytes is not None and isinstance(side, LinenSide):
        side.refuse_above(protocol.max_bytes)
    description = side.describe()
    description.leaves = perturb(to_numpy(description.leaves), protocol.seed)
    side.load(description.leaves)
    points = probe_points(description.leaves)
    recording = record(
        side, trainable(description.specs), protocol, _alignment(job), points, choose_probes=True
    )
    recordings.save(job["output"], description, recording)
    return _machine()


def run_after(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """The second side, in its own process: takes over the variables in the first side's report."""
    before, computed = recordings.load(job["report"])
    assert before is not None and computed is not None
    side = side_of(source)
    side.streams = before.streams
    description = side.describe()
    parameter_map = None if job["parameter_map"] is None else maps.from_json(job["parameter_map"])
    try:
        expansion = correspond(before, description, parameter_map, side.class_of)
    except MapError as error:
        return {"problems": error.problems}
    side.load(move(expansion, before.leaves, description.specs))
    points = {
        name: move(expansion, point, description.specs)
        for name, point in probe_points(before.leaves).items()
        if name in computed.probes
    }
    recording = record(side, trainable(description.specs), _protocol(job), _alignment(job), points)
    description.leaves = {}
    recordings.save(job["output"], description, recording)
    return {
        "pairs": [_pair_to_json(pair) for pair in expansion.pairs],
        "scopes": [[list(scope), list(path)] for scope, path in expansion.scopes.items()],
        "classes": side.classes,
        **_machine(),
    }


def _machine() -> dict[str, Any]:
    """What this process computes on."""
    return {"platform": jax.default_backend(), "device": jax.devices()[0].device_kind}


def side_of(source: ModelSource) -> Side:
    """The side that a source describes; its code is imported now."""
    names = SourceNamespace(source)
    drawn = draw_constants if source.draw_constants else lambda arguments: arguments
    inputs = Inputs(
        drawn(names.positional(source.args)),
        drawn(names.keywords(source.eval_kwargs)),
        None if source.train_kwargs is None else drawn(names.keywords(source.train_kwargs)),
        source.method,
        None if source.output is None else names.evaluate(source.output),
    )
    side = _build(source, names, inputs)
    side.streams = tuple(dict.fromkeys([*side.streams, *source.streams]))
    side.notes += names.notes
    return side


def _build(source: ModelSource, names: SourceNamespace, inputs: Inputs) -> Side:
    if source.kind == "nnx":
        build: Callable[[nnx.Rngs], nnx.Module] = lambda rngs: names.evaluate(source.model, rngs=rngs)  # noqa: E731
        return NNXSide(build, inputs, source.mode_flags)
    return LinenSide(
        names.evaluate(source.model),
        inputs,
        None if source.init_args is None else names.positional(source.init_args),
        None if source.init_kwargs is None else names.keywords(source.init_kwargs),
        source.init_method,
        source.mutable,
    )


def _alignment(job: Mapping[str, Any]) -> Alignment:
    return Alignment(**job["alignment"])


def _protocol(job: Mapping[str, Any]) -> Protocol:
    return Protocol(**{**job["protocol"], "modes": tuple(job["protocol"]["modes"])})


def _pair_to_json(pair: LeafPair) -> list[Any]:
    return [[list(path) for path in pair.linen], [list(path) for path in pair.nnx], pair.transform.to_json()]


def _pair_from_json(raw: list[Any]) -> LeafPair:
    linen, nnx_paths, transform = raw
    return LeafPair(tuple(map(tuple, linen)), tuple(map(tuple, nnx_paths)), Transform.from_json(transform))
