"""Automatic Linen names that no pattern can express: the order of construction, replayed on a concrete model.

Linen numbers unnamed submodules per class in the order in which they are made (`Dense_0`, `Dense_1`, ...).
Behind a loop or a condition the number depends on how often the loop ran. A `SequenceEntry` therefore holds
the constructions of a class in order, with the loops around them; how long a loop is shows in the NNX
model's lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnx_migrate.numerics.map_patterns import Path, PathPattern


@dataclass(frozen=True)
class Created:
    """One construction: the class name that Linen counts under, and where NNX keeps the module.

    A `conditional` one is counted only where the NNX model has something at its path. The prefix ``"*"`` stands
    for the name of the class that the NNX model has there. `lifted` is what Linen counts under instead where a
    configuration puts a transform around the class (`CheckpointBlock`). `number` is Linen's number of a conditional
    one, where it has the same whenever it is there.
    """

    prefix: str
    nnx: PathPattern
    module: str | None
    conditional: bool = False
    lifted: str = ""
    number: int | None = None


@dataclass(frozen=True)
class Repeated:
    """A loop: `index` is the placeholder that counts its rounds in the paths below."""

    index: str
    body: tuple[Step, ...]


Step = Created | Repeated


@dataclass(frozen=True)
class SequenceEntry:
    """The unnamed submodules of a class, in construction order."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Placed:
    """One concrete submodule: its name in Linen, its path in NNX, its class."""

    linen: str
    nnx: Path
    module: str | None


def replay(
    entry: SequenceEntry,
    modules: Sequence[Path],
    class_at: Callable[[Path], str] = lambda path: "*",
    in_linen: Callable[[str], bool] = lambda name: False,
) -> list[Placed]:
    """The concrete submodules, given the paths (relative to the class's module) at which NNX has modules.

    `class_at` names the class of the NNX module at such a path; `in_linen` tells whether Linen has a submodule of a
    name.
    """
    return list(_Replay(set(modules), class_at, in_linen).steps(entry.steps, {}))


class _Replay:
    def __init__(
        self, modules: set[Path], class_at: Callable[[Path], str], in_linen: Callable[[str], bool]
    ) -> None:
        self.modules, self.class_at, self.in_linen = modules, class_at, in_linen
        self.counters: Counter[str] = Counter()

    def steps(self, steps: Sequence[Step], binding: dict[str, int]) -> Iterator[Placed]:
        for step in steps:
            if isinstance(step, Repeated):
                for index in range(_rounds(step, self.modules, binding)):
                    yield from self.steps(step.body, {**binding, step.index: index})
                continue
            path = step.nnx.render(binding)
            if not step.conditional or path in self.modules:
                prefix = self._prefix(step, path)
                yield Placed(f"{prefix}_{self.counters[prefix]}", path, step.module)
                self.counters[prefix] += 1

    def _prefix(self, step: Created, path: Path) -> str:
        if step.lifted and self.in_linen(f"{step.lifted}_{self.counters[step.lifted]}"):
            return step.lifted
        return self.class_at(path) if step.prefix == "*" else step.prefix


def _rounds(loop: Repeated, modules: set[Path], binding: Mapping[str, int]) -> int:
    """How often a loop ran: the longest of the lists that it filled."""
    longest = 0
    for path in _patterns(loop.body):
        place = next((i for i, element in enumerate(path) if element == f"{{{loop.index}}}"), None)
        if place is None:
            continue
        prefix = PathPattern(path[:place]).render(binding)
        indices = [
            int(m[place]) for m in modules if len(m) > place and m[:place] == prefix and m[place].isdecimal()
        ]
        longest = max(longest, *(i + 1 for i in indices), 0)
    return longest


def _patterns(steps: Sequence[Step]) -> Iterator[Path]:
    for step in steps:
        if isinstance(step, Created):
            yield step.nnx.elements
        else:
            yield from _patterns(step.body)


def sequence_to_json(entry: SequenceEntry) -> dict[str, Any]:
    """`{"sequence": [...]}`."""
    return {"sequence": [_step_to_json(step) for step in entry.steps]}


def sequence_from_json(raw: Mapping[str, Any]) -> SequenceEntry:
    """The inverse; raises KeyError, TypeError or PatternError for anything else."""
    return SequenceEntry(tuple(_step_from_json(step) for step in raw["sequence"]))


def _step_to_json(step: Step) -> dict[str, Any]:
    if isinstance(step, Repeated):
        return {"loop": step.index, "body": [_step_to_json(inner) for inner in step.body]}
    document: dict[str, Any] = {"prefix": step.prefix, "nnx": list(step.nnx.elements), "module": step.module}
    if step.conditional:
        document["conditional"] = True
    if step.lifted:
        document["lifted"] = step.lifted
    if step.number is not None:
        document["number"] = step.number
    return document


def _step_from_json(raw: Mapping[str, Any]) -> Step:
    if "loop" in raw:
        return Repeated(raw["loop"], tuple(_step_from_json(inner) for inner in raw["body"]))
    return Created(
        raw["prefix"],
        PathPattern.of(raw["nnx"]),
        raw["module"],
        bool(raw.get("conditional", False)),
        str(raw.get("lifted", "")),
        raw.get("number"),
    )
