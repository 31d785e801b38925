"""The proof for one pair of models in this process: transplant, run both sides, compare everything."""

from __future__ import annotations

from collections.abc import Mapping

from nnx_migrate.numerics.inputs import DEFAULT_PROTOCOL, Alignment, Protocol
from nnx_migrate.numerics.judging import Tolerances, judge
from nnx_migrate.numerics.map_expansion import LeafSpec, MapError
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.parameter_map import ParameterMap
from nnx_migrate.numerics.perturb import perturb, probe_points
from nnx_migrate.numerics.phases import record
from nnx_migrate.numerics.recording import Recording
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.numerics.side import Side
from nnx_migrate.numerics.transplant import Translation, correspond, move
from nnx_migrate.numerics.trees import to_numpy


def prove(
    before: Side,
    after: Side,
    parameter_map: ParameterMap | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    tolerances: Tolerances | None = None,
) -> Proof:
    """Runs the protocol on both sides in this process and compares.

    `tolerances` are keyed by check name, with wildcards (``train/*/gradients``); without one every bit has to
    be equal. A map that does not fit gives a Proof with one check, ``transplant``, that lists every leaf at
    fault.
    """
    first = before.describe()
    after.streams = first.streams
    second = after.describe()
    try:
        expansion = correspond(first, second, parameter_map, after.class_of)
    except MapError as error:
        return Proof([Check("transplant", "error", "; ".join(error.problems))])
    leaves = perturb(to_numpy(first.leaves), protocol.seed)
    before.load(leaves)
    after.load(move(expansion, leaves, second.specs))
    probes: list[str] = []

    def record_before(alignment: Alignment) -> Recording:
        recording = record(
            before, trainable(first.specs), protocol, alignment, probe_points(leaves), choose_probes=True
        )
        probes[:] = recording.probes
        return recording

    def record_after(alignment: Alignment) -> Recording:
        points = {k: move(expansion, p, second.specs) for k, p in probe_points(leaves).items() if k in probes}
        return record(after, trainable(second.specs), protocol, alignment, points)

    return judge(record_before, record_after, Translation(expansion, second.specs), tolerances)


def trainable(specs: Mapping[Path, LeafSpec]) -> frozenset[Path]:
    """The leaves that an optimizer updates: Linen's params, NNX's Params."""
    return frozenset(path for path, spec in specs.items() if spec.kind == "params")
