"""The ranks that a class is converted for, where its own code doesn't show them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

from nnx_migrate.linen.analyses import Fixed
from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.other_ranks import is_of_other_rank, leaves_open
from nnx_migrate.linen.arrays.shapes import NUMBERED
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.interpreter.branches.control import CONFIGURED
from nnx_migrate.linen.interpreter.frame import BUDGET, Meter
from nnx_migrate.linen.interpreter.ranks.patterns import reads_rank
from nnx_migrate.linen.programs.inputs.callers import Callers, Ranks
from nnx_migrate.linen.reasons import RankUnknown, Refuse

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion

_USUAL_RANKS = (2, 3, 4, 5)
_MAX_NEEDS = 6  # submodules that may show a rank, one after the other
# Refusals that more knowledge about the inputs may avoid.
_ABOUT_INPUTS = frozenset({"unknown-size", "shape-condition", "dynamic-construction", "sizes-differ"})


class Attempt(Protocol):
    """A function that converts a class with the given knowledge, or raises Refuse."""

    def __call__(
        self, cls: LinenClass, *, default_rank: int | None = None, known: Ranks = ..., fixed: Fixed = ...
    ) -> ClassConversion:
        """`default_rank` is that of inputs of which nothing is known, `fixed` are the values of fields."""


class Analyse(Protocol):
    """A function that interprets a class with the given knowledge, or raises Refuse."""

    def __call__(self, cls: LinenClass, known: Ranks, /, *, fixed: Fixed = ...) -> ClassAnalysis:
        """For `known` and `fixed` see Attempt."""


class RankSearch:
    """Converts one class: by its own code, else with what its callers know, else as for every rank."""

    def __init__(
        self,
        cls: LinenClass,
        callers: Callable[[], Callers],
        attempt: Attempt,
        analyse: Analyse,
        meter: Meter,
        fixed: Callable[[LinenClass], Fixed] = lambda cls: {},
    ) -> None:
        self.fixed = fixed
        self.cls, self.callers, self.attempt, self.analyse = cls, callers, attempt, analyse
        self.meter, self.limit = meter, meter.steps + BUDGET
        self.numbers_axes = (
            False  # the code names axes by their place from the front, and that doesn't show a rank
        )
        self.working: dict[int, ClassConversion] = {}  # what the usual ranks gave, for all unknown inputs
        self.unfit: set[int] = set()  # the usual ranks for which the code can't run
        self.undecided: set[int] = set()  # those for which conditions of submodules decide about sizes
        self.refused_with_known: Refuse | None = None  # what is left where callers have said what they know

    def run(self) -> ClassConversion:
        """The conversion. Raises the Refuse of the first attempt, or of the one with what callers know."""
        try:
            conversion = self.attempt(self.cls)
        except Refuse as refusal:
            if refusal.reason not in _ABOUT_INPUTS:
                raise
            known = self._known()
            self.numbers_axes = NUMBERED in refusal.detail
            found = self._with(known, explains=True) or self._as_submodules_need(refusal, known)
            found = found or self._by_rank(known) or self._of_fitting_rank(known)
            found = found or self._whatever_is_known(known)
            found = found or self._as_suggested(known)
            found = found or self._without_batch(known) or self._with_fixed_fields()
            if found is None:
                raise (self.refused_with_known or refusal).with_traceback(None) from None
            return found
        return self._checked(conversion)

    def _with_fixed_fields(self) -> ClassConversion | None:
        """Convert for the axes that every construction in the project means."""
        fixed = self.fixed(self.cls)
        if not fixed:
            return None
        attempt, analyse = partial(self.attempt, fixed=fixed), partial(self.analyse, fixed=fixed)
        try:
            return RankSearch(self.cls, self.callers, attempt, analyse, self.meter).run()
        except Refuse:
            return None

    def _known(self) -> Ranks:
        """What the project says of the inputs. Reading callers is done once for all classes: no cost of this one."""
        with self.meter.aside():
            return self.callers().ranks(self.cls)

    @cached_property
    def _looks_at_ranks(self) -> bool:
        """Whether code of the class does one thing or another by the rank of something."""
        methods = [method.node for owner in self.cls.mro for method in owner.own_methods.values()]
        tests = [
            n.test for m in methods for n in ast.walk(m) if isinstance(n, ast.If | ast.IfExp | ast.While)
        ]
        return any(reads_rank(node) for test in tests for node in ast.walk(test))

    @cached_property
    def _usual_ranks(self) -> set[int]:
        """The ranks that are usual for the layers which get the inputs."""
        try:
            return set(_usual(self.analyse(self.cls, {})).values())
        except Refuse:
            return set()

    @property
    def _is_late(self) -> bool:
        """Whether the budget for one class is used up."""
        return self.meter.steps > self.limit

    def _with(self, known: Ranks, explains: bool = False) -> ClassConversion | None:
        """Convert for ranks that aren't evident from the code. What then is in the way may explain more."""
        if not known or self._is_late:
            return None
        try:
            conversion = self.attempt(self.cls, known=known)
        except Refuse as refusal:
            # code for other ranks is out of the way then, without being gone
            if explains and not self._looks_at_ranks:
                self.refused_with_known = refusal
            return None
        conversion.assumed = known
        return conversion

    def _as_submodules_need(self, refusal: Refuse, known: Ranks) -> ClassConversion | None:
        """Convert for the ranks that submodules work for, where these get the class's own inputs.

        The submodules may have these ranks from other callers, so that no size may depend on them.
        """
        ranks = dict(known)
        for _ in range(_MAX_NEEDS):
            if ranks:
                if self._is_late:
                    return None
                try:
                    conversion = self.attempt(self.cls, known=ranks)
                except Refuse as another:
                    refusal = another
                else:
                    conversion.assumed = ranks
                    return conversion if _needs_last_axes(conversion) else None
            needed = refusal.needed if isinstance(refusal, RankUnknown) else {}
            if not needed or needed.keys() & ranks.keys() or self._looks_at_ranks:
                return None
            ranks |= needed
        return None

    def _as_suggested(self, known: Ranks) -> ClassConversion | None:
        """Convert for the ranks that the code counts on, though it may run for others.

        Whatever calls the class has to show them; and where a layer needs the size of an input of another rank, it
        refuses that.
        """
        if self._looks_at_ranks:
            return None
        try:
            session = self.analyse(self.cls, known).session
        except Refuse:
            return None
        hints = {path: min(ranks) for path, ranks in session.hinted_ranks.items() if len(ranks) == 1}
        conversion = self._with({**hints, **known}) if hints.keys() - known.keys() else None
        if conversion is None or conversion.analysis is None:
            return None
        settled = conversion.analysis.session.input_ranks.keys() - (hints.keys() - known.keys())
        usual = _usual(conversion.analysis)
        if any(-size.axis == usual.get(size.path) for size in conversion.sizes):
            return None  # no parameter has the size of a batch
        return conversion if _needs_last_axes(conversion, settled) else None

    def _checked(self, conversion: ClassConversion) -> ClassConversion:
        """Ranks that are only usual give way to what callers know, and to inputs without a batch.

        No parameter has the size of a batch: where one seems to, as in `x.reshape(-1)`, there is no batch axis.
        """
        usual = _usual(conversion.analysis)
        # `x.shape[1]` is the last size for rank 2 alone
        if not any(
            usual.get(size.path, 3) < 3 or size.axis != -1 for size in conversion.sizes if size.path in usual
        ):
            return conversion
        known = self._known()
        if any(known.get(path, rank) != rank for path, rank in usual.items()):
            found = self._with(known)
        else:
            batches = {s.path for s in conversion.sizes if -s.axis == usual.get(s.path)}
            if not batches:
                return conversion
            found = self._with({**known, **{path: usual[path] - 1 for path in batches}})
        if found is None:
            raise Refuse("unknown-size", "a size that depends on whether inputs are batched", self.cls.node)
        return found

    def _without_batch(self, known: Ranks) -> ClassConversion | None:
        """Convert for inputs without a batch axis, where submodules are made for such inputs."""
        if self._is_late:
            return None
        try:
            usual = _usual(self.analyse(self.cls, {}))
        except Refuse:
            return None
        fewer = {path: rank - 1 for path, rank in usual.items()}
        if any(known.get(path, rank) != rank for path, rank in fewer.items()):
            return None
        return self._with({**known, **fewer})

    def _by_rank(self, known: Ranks) -> ClassConversion | None:
        """Try the usual ranks of inputs; right where the result doesn't depend on which rank it is.

        A result counts if it needs no other size of the inputs than that of the last axis, those aside whose
        rank is known. One that only rank 2 gives doesn't, unless it needs no size at all (token ids, say): code
        that flattens its input works for every rank, with another size each. Code that looks at ranks has to come
        out alike for each.
        """
        shown = self._shown()
        settled = {**shown, **known}
        found: list[ClassConversion] = []
        ranks: list[int] = []
        left_open: list[int] = []
        lowest: tuple[int, ClassConversion] | None = None
        for rank in _USUAL_RANKS:
            if self._is_late:
                return None
            try:
                conversion = self.attempt(self.cls, default_rank=rank, known={**shown, **known})
            except Refuse as refusal:
                if self._looks_at_ranks:
                    return None
                if is_of_other_rank(refusal.detail):
                    self.unfit.add(rank)
                if leaves_open(refusal.detail):
                    left_open.append(rank)
                if CONFIGURED in refusal.detail:
                    self.undecided.add(rank)
                continue
            self.working[rank] = conversion
            if lowest is None:
                lowest = rank, conversion
                if not _needs_last_axes(conversion, settled) and _has_numbered_axes(*lowest, settled):
                    paths = {size.path for size in conversion.sizes if size.axis != -1}
                    return self._of_lowest_rank(*lowest, known, paths)
            if _needs_last_axes(conversion, settled):
                found.append(conversion)
                ranks.append(rank)
                if (conversion.edits, conversion.functions) != (found[0].edits, found[0].functions):
                    if any(size.path not in settled for size in found[0].sizes):
                        return None
                    # the sizes of inputs of another rank would only be those of what they meet
                    paths = {size.path for size in conversion.sizes} - settled.keys()
                    return self._of_lowest_rank(ranks[0], found[0], known, paths)
            elif self._looks_at_ranks:
                return None
        if ranks == [2] and any(size.path not in settled for size in found[0].sizes):
            return None
        if found and any(rank < ranks[-1] for rank in left_open):
            return None
        if found and not self._usual_ranks & {*_USUAL_RANKS} <= set(ranks):
            return None  # it was refused for the inputs that its layers usually get
        vectors = self._for_vectors(settled)
        spread = vectors is not None and (not found or len(vectors.sizes) < len(found[0].sizes))
        chosen = vectors if spread else found[0] if found else None
        if chosen is not None and not self._holds_without(known, shown, chosen, ranks):
            chosen.assumed = known
        return chosen

    def _whatever_is_known(self, known: Ranks) -> ClassConversion | None:
        """Convert for every rank where submodules meet what callers know in some configurations only: their masks."""
        is_in_the_way = bool(known) and self.undecided == {*_USUAL_RANKS} and not self._looks_at_ranks
        return self._by_rank({}) if is_in_the_way else None

    def _of_fitting_rank(self, known: Ranks) -> ClassConversion | None:
        """Convert for the only rank that an input can have: the code fails for each of the others.

        The ranks of other inputs are left open, so that none of these failures is theirs.
        """
        shown = self._shown() if len(self.working) == 1 and self.unfit else {}
        for rank, working in self.working.items():
            paths = {size.path for size in working.sizes} - {*shown, *known}
            if len(self.working) > 1 or len(paths) != 1 or self.unfit != {*_USUAL_RANKS} - {rank}:
                return None
            (path,) = paths
            for other in (1, *self.unfit):
                try:
                    self.attempt(self.cls, known={**known, path: other})
                except Refuse as refusal:
                    if is_of_other_rank(refusal.detail):
                        continue
                return None
            found = self._with({**known, path: rank})
            if found is not None:
                found.assumed = known
            return found
        return None

    def _of_lowest_rank(
        self, rank: int, conversion: ClassConversion, known: Ranks, paths: Collection[tuple[str | int, ...]]
    ) -> ClassConversion | None:
        """Take the lowest rank for code that numbers its axes: `jnp.swapaxes(x, 1, 2)` is about inputs of rank 3.

        `paths` are the inputs for which that makes a difference. Whatever calls the class has to show that rank; else
        a layer that gets another size refuses its input. A parameter of another size might not.
        """
        has_parameters = conversion.analysis is None or bool(conversion.analysis.facts.variables)
        if not (self.numbers_axes and paths) or has_parameters or self._looks_at_ranks:
            return None
        conversion.assumed = {**dict.fromkeys(paths, rank), **known}
        return conversion

    def _shown(self) -> Ranks:
        """The ranks that the code itself shows."""
        try:
            session = self.analyse(self.cls, {}).session
        except Refuse:
            return {}
        return {path: rank for path, rank in session.input_ranks.items() if path not in session.usual_ranks}

    def _holds_without(
        self, known: Ranks, shown: Ranks, chosen: ClassConversion, ranks: Sequence[int]
    ) -> bool:
        """Whether what callers know made no difference: the class then holds for inputs of other ranks, too."""
        if not known or self._looks_at_ranks:
            return not known
        same = 0
        for rank in ranks:
            with suppress(Refuse):
                if self.attempt(self.cls, default_rank=rank, known=shown).edits != chosen.edits:
                    return False
                same += 1
        return same > 1

    def _for_vectors(self, settled: Ranks) -> ClassConversion | None:
        """Convert for inputs with one axis only (times of a diffusion, labels), where no other rank works.

        What a vector spreads along new axes, as in `t[:, None] * freqs`, has the sizes of what it meets there; an
        array with more axes would have to have these sizes already. Not so where the shape itself is asked for.
        """
        with suppress(Refuse):
            conversion = self.attempt(self.cls, default_rank=1, known=settled)
            analysis = conversion.analysis
            writes_shape = analysis is not None and analysis.session.default_rank.written
            if _needs_last_axes(conversion, settled) and not writes_shape:
                return conversion
        return None


def _usual(analysis: ClassAnalysis | None) -> Ranks:
    """Inputs with one batch axis, as is usual for their layers, with their ranks."""
    if analysis is None:
        return {}
    session = analysis.session
    return {path: session.input_ranks[path] for path in session.usual_ranks}


def _needs_last_axes(
    conversion: ClassConversion, settled: Collection[tuple[str | int, ...]] = frozenset()
) -> bool:
    """Whether a conversion needs no other size of its inputs than those of their last axes.

    Inputs of a `settled` rank have their sizes whatever the ranks of the others are.
    """
    return all(size.axis == -1 and not size.flat for size in conversion.sizes if size.path not in settled)


def _has_numbered_axes(rank: int, conversion: ClassConversion, settled: Ranks) -> bool:
    """Whether a conversion for inputs of some rank needs sizes of axes between that of the batch and the last."""
    sizes = [size for size in conversion.sizes if size.path not in settled]
    axes = [size.axis for size in sizes if size.axis != -1]
    flat = any(size.flat for size in sizes)
    return rank > 2 and bool(axes) and not flat and all(-rank < axis < 0 for axis in axes)
