"""The analyses of a program's classes: each is made once for what is known of the class's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis, analyse
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.fields.function_fields import known_functions
from nnx_migrate.linen.given.modules import GivenModules
from nnx_migrate.linen.interpreter.frame import DefaultRank, Meter
from nnx_migrate.linen.reasons import Refuse

if TYPE_CHECKING:
    from nnx_migrate.linen.programs.instance import Instance as MadeByProgram

Ranks = Mapping[tuple[str | int, ...], int]
Fixed = Mapping[str, int | tuple[int, ...]]
_Key = tuple[
    LinenClass,
    frozenset[tuple[tuple[str | int, ...], int]],
    int | None,
    tuple[tuple[str, int | tuple[int, ...]], ...],
]


class Analyses:
    """Analyses by class, known ranks of its inputs, and the rank that all others are taken to have."""

    def __init__(
        self,
        program: LinenProgram,
        factories: Factories,
        kinds: Callable[[LinenClass], Mapping[tuple[str | int, ...], str]] = lambda cls: {},
        made: Callable[[], Sequence[MadeByProgram]] = lambda: (),
    ) -> None:
        """`kinds` tells what a class's inputs hold, `made` what programs construct: called where that matters."""
        self.program, self.factories, self.kinds = program, factories, kinds
        self.meter = Meter()
        self.given = GivenModules(factories.uses, self._aside, made)
        self._made: dict[_Key, ClassAnalysis | Refuse] = {}
        self._written: set[_Key] = set()
        self._defaults: dict[_Key, DefaultRank] = {}

    def read(
        self,
        cls: LinenClass,
        known: Ranks = MappingProxyType({}),
        default_rank: int | None = None,
        fixed: Fixed = MappingProxyType({}),
    ) -> ClassAnalysis:
        """An analysis to look at. Raises Refuse."""
        key = (cls, frozenset(known.items()), default_rank, tuple(fixed.items()))
        if key not in self._made:
            try:
                self._made[key] = self._analyse(*key)
            except Refuse as refusal:
                self._made[key] = refusal
        found = self._made[key]
        if isinstance(found, Refuse):
            raise Refuse(found.reason, found.detail, found.node)
        return found

    def to_write(
        self,
        cls: LinenClass,
        known: Ranks = MappingProxyType({}),
        default_rank: int | None = None,
        fixed: Fixed = MappingProxyType({}),
    ) -> ClassAnalysis:
        """An analysis for the class writer, which adds to it: nobody else writes from the same one.

        Raises Refuse.
        """
        key = (cls, frozenset(known.items()), default_rank, tuple(fixed.items()))
        if key in self._written:
            return self._analyse(*key)
        found = self.read(cls, known, default_rank, fixed)
        self._written.add(key)
        return found

    def asks_default(self, cls: LinenClass, known: Ranks, default_rank: int | None, fixed: Fixed) -> bool:
        """Whether an analysis, or what was written from it, would differ by the rank that inputs have by default."""
        default = self._defaults.get((cls, frozenset(known.items()), default_rank, tuple(fixed.items())))
        return default is not None and default.asked

    def _analyse(
        self,
        cls: LinenClass,
        known: frozenset[tuple[tuple[str | int, ...], int]],
        default_rank: int | None,
        fixed: tuple[tuple[str, int | tuple[int, ...]], ...],
        setup_only: bool = False,
    ) -> ClassAnalysis:
        factories = self.factories.of(cls)
        fields = {name: factory.value for name, factory in factories.items()}
        fields |= known_functions(cls, self.factories.uses)
        fields |= dict(fixed)
        given = partial(self.given.of, cls)
        default = self._defaults.setdefault((cls, known, default_rank, fixed), DefaultRank(default_rank))
        analysis = analyse(
            self.program,
            cls,
            default,
            fields,
            dict(known),
            self.meter,
            given,
            self._kinds_of(cls),
            setup_only,
        )
        analysis.fixed = dict(fixed)
        parts = (one for factory in factories.values() for one in factory.several)
        analysis.facts.late_modes |= {one.value.call for one in parts if one.flag}
        return analysis

    def _kinds_of(self, cls: LinenClass) -> Callable[[], Mapping[tuple[str | int, ...], str]]:
        """The inputs that are known to hold integers, when somebody asks."""

        def ask() -> Mapping[tuple[str | int, ...], str]:
            with self.meter.aside():
                return {path: kind for path, kind in self.kinds(cls).items() if kind == "int"}

        return ask

    def _aside(self, cls: LinenClass) -> ClassAnalysis:
        """An analysis in the middle of another one, which its steps don't count for; at least that of `setup`.

        Raises Refuse.
        """
        with self.meter.aside():
            try:
                return self.read(cls)
            except Refuse:
                if cls.method("setup") is None:
                    raise
                return self._analyse(cls, frozenset(), None, (), setup_only=True)
