"""From two recordings to a verdict, random draws included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Protocol

from nnx_migrate.numerics.compare import EXACT, LeafComparison, Leaves, Tolerance, compare_leaves
from nnx_migrate.numerics.draws import Draw
from nnx_migrate.numerics.inputs import IN_ORDER, Alignment
from nnx_migrate.numerics.recording import Recording
from nnx_migrate.numerics.results import Check, Proof

Tolerances = Mapping[str, Tolerance]
Recorder = Callable[[Alignment], Recording]


class Translator(Protocol):
    """Brings variables, gradients and sown values of the first side into the second side's layout."""

    def variables(self, leaves: Leaves) -> Leaves:
        """Variables or gradients."""

    def sown(self, leaves: Leaves) -> Leaves:
        """What `sow` stored."""


#: Why a comparison of nothing but NaN and infinity is an error.
NOT_FINITE = "no finite number to compare"
#: Values that are compared path by path; the others belong to variables and go through the parameter map.
_BY_PATH = ("output", "loss")


def judge(
    before: Recorder,
    after: Recorder,
    translation: Translator,
    tolerances: Tolerances | None = None,
) -> Proof:
    """Compares what two recorders report; both may be asked again, with another alignment of draws."""
    first, second = before(IN_ORDER), after(IN_ORDER)
    aliases = _renamed_streams(_all_draws(first), _all_draws(second))
    if aliases:
        second = after(Alignment(aliases=aliases))
    proof = Proof(_compare(first, second, translation, tolerances or {}))
    proof.notes += [
        f"NNX draws from stream {old!r} what Linen draws from {new!r}" for old, new in aliases.items()
    ]
    drawn = _draw_check(_all_draws(first), _all_draws(second), proof.proven)
    if drawn:
        proof.checks.append(drawn)
    elif _may_be_order(proof, first):
        _retry_without_order(proof, before, after, aliases, translation, tolerances or {})
    proof.notes += dict.fromkeys([*first.notes, *second.notes, *_blind_spots(proof.checks, second)])
    return proof


def _compare(
    first: Recording, second: Recording, translation: Translator, tolerances: Tolerances
) -> list[Check]:
    checks = []
    for name in dict.fromkeys([*first.values, *second.values]):
        run, _, what = name.rpartition("/")
        if run in first.errors or run in second.errors or name in first.skipped or name in second.skipped:
            continue
        expected: Leaves = first.values.get(name, {})
        if what == "sown":
            expected = translation.sown(expected)
        elif what not in _BY_PATH:
            expected = translation.variables(expected)
        tolerance = next((t for pattern, t in tolerances.items() if fnmatch(name, pattern)), EXACT)
        checks.append(
            _verdict(name, compare_leaves(expected, second.values.get(name, {}), tolerance), tolerance)
        )
    checks += _errors(first, second)
    checks += [Check(name, "skipped", reason) for name, reason in {**first.skipped, **second.skipped}.items()]
    for run in dict.fromkeys([*first.opaque, *second.opaque]):
        names = {**first.opaque.get(run, {}), **second.opaque.get(run, {})}
        what = ", ".join(f"{'/'.join(path) or 'the output'} ({name})" for path, name in names.items())
        checks.append(Check(f"{run}/output (non-arrays)", "skipped", f"no arrays: {what}"))
    return checks


def _verdict(name: str, leaves: list[LeafComparison], tolerance: Tolerance) -> Check:
    if any(leaf.verdict == "different" for leaf in leaves):
        return Check(name, "different", leaves=tuple(leaves))
    if leaves and all(leaf.finite == 0.0 for leaf in leaves):
        return Check(name, "error", NOT_FINITE, tuple(leaves))
    if any(leaf.verdict == "close" for leaf in leaves):
        return Check(name, "close", tolerance.reason, tuple(leaves))
    return Check(name, "equal", leaves=tuple(leaves))


def _errors(first: Recording, second: Recording) -> list[Check]:
    """A run that raises alike on both sides proves nothing; on one side only, it is an error."""
    checks = []
    for run in dict.fromkeys([*first.errors, *second.errors]):
        old, new = first.errors.get(run), second.errors.get(run)
        if old and new and old.partition(":")[0] == new.partition(":")[0]:
            checks.append(Check(run, "skipped", f"raises on both sides: {old}"))
        elif old and not new:
            checks.append(Check(run, "error", f"raises before the migration only: {old}"))
        else:
            checks.append(
                Check(run, "error", f"after the migration: {new}" + (f" (before: {old})" if old else ""))
            )
    return checks


def _all_draws(recording: Recording) -> frozenset[Draw]:
    return frozenset().union(*recording.draws.values())


def _renamed_streams(first: frozenset[Draw], second: frozenset[Draw]) -> dict[str, str]:
    """The one stream of each side that the other lacks, if the same draws are made from both."""
    old, new = {d.stream for d in first}, {d.stream for d in second}
    if len(old - new) != 1 or len(new - old) != 1:
        return {}
    (before,), (after,) = old - new, new - old
    old_places = {(draw.depth, draw.ordinal) for draw in first if draw.stream == before}
    new_places = {(draw.depth, draw.ordinal) for draw in second if draw.stream == after}
    return {after: before} if old_places == new_places else {}


def _draw_check(old: frozenset[Draw], new: frozenset[Draw], proven: bool) -> Check | None:
    """An error where the sides draw different numbers of keys.

    Not so for a stream that only one side draws from, if all else is equal: its keys then have no influence
    (nnx.RNN draws one to make a carry of zeros).
    """
    streams = sorted({draw.stream for draw in old ^ new})
    if not streams:
        return None
    counts = ", ".join(f"{s}: {_count(old, s)} before, {_count(new, s)} after" for s in streams)
    if proven and not {draw.stream for draw in old & new} & set(streams):
        return Check("draws", "equal", f"different numbers of keys, but nothing depends on them ({counts})")
    return Check("draws", "error", f"different numbers of random keys ({counts})")


def _count(draws: frozenset[Draw], stream: str) -> int:
    return sum(draw.stream == stream for draw in draws)


def _may_be_order(proof: Proof, recording: Recording) -> bool:
    """Whether the order of draws may be all that differs: in every run that failed, random outputs did."""
    failed = {check.name for check in proof.checks if check.status in ("different", "error")}
    runs = {name.rpartition("/")[0] for name in failed}
    return bool(runs) and all(
        recording.draws.get(run.replace("training/", "train/").partition("+")[0])
        and failed & {f"{run}/output", f"{run}/loss"}
        for run in runs
    )


def _retry_without_order(
    proof: Proof,
    before: Recorder,
    after: Recorder,
    aliases: Mapping[str, str],
    translation: Translator,
    tolerances: Tolerances,
) -> None:
    """Both sides drew the same keys but disagree: perhaps only about which draw gets which key."""
    alignment = Alignment(ordered=False, aliases=aliases)
    checks = _compare(before(alignment), after(alignment), translation, tolerances)
    if Proof(checks).proven:
        proof.checks = checks
        proof.notes.append(
            "equal when all draws of a stream share one key: same draws, another order or nesting"
        )


def _blind_spots(checks: Sequence[Check], recording: Recording) -> list[str]:
    """Notes on what could not be seen: values that are not finite, parameters without any influence."""
    infinite = [f"{c.name} {'/'.join(leaf.path)}" for c in checks for leaf in c.leaves if leaf.finite == 0.0]
    notes = [f"no finite number in {', '.join(infinite)}"] if infinite else []
    gradients = [leaves for name, leaves in recording.values.items() if name.endswith("/gradients")]
    paths = gradients[0] if gradients else {}
    idle = ["/".join(path) for path in paths if not any(leaves[path].any() for leaves in gradients)]
    if idle:
        notes.append(f"the gradient is zero for {', '.join(idle)}: nothing shows how they are used")
    return notes
