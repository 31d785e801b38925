"""Which ranks the inputs of a project's classes have when its own models run: `nnx-migrate fix --trace`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.inputs.stated_inputs import names_of
from nnx_migrate.numerics.processes import DEFAULT_TIMEOUT, ChildError
from nnx_migrate.numerics.shapes_trace import trace_shapes
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.listed import ListedModel

Place = tuple[str | int, ...]


@dataclass
class Trace:
    """What was seen.

    `ranks` has, by class and by argument (or place in one), the rank that all calls agree on; `models` are those that
    ran, `problems` says why others didn't.
    """

    ranks: dict[str, dict[Place, int]] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def trace_project(
    root: Path,
    listed: Sequence[ListedModel],
    stubs: Sequence[str] = (),
    timeout: float = DEFAULT_TIMEOUT,
) -> Trace:
    """Run `init` of the models that the project lists, or builds in sight, under `jax.eval_shape`.

    Every call of every module in them is seen. `stubs` are imports to replace where they are not installed. The code
    is the user's own, and runs in a process for each model.
    """
    cases = Cases(root, root, {}, listed, stubs)
    classes: dict[str, LinenClass] = {}
    for cls in cases.code.classes.values():
        for name in names_of(cls):
            classes.setdefault(name, cls)
    seen: dict[str, dict[Place, set[int]]] = {}
    trace = Trace()
    for called in cases.called({row.model for row in listed if row.skip}):
        try:
            shapes = trace_shapes(cases.source(called), timeout)
        except ChildError as error:
            trace.problems[called.model] = str(error).strip().partition("\n")[0]
            continue
        trace.models.append(called.model)
        for module in shapes["modules"].values():
            known = classes.get(module["class"].replace(":", "."))
            if known is None:
                continue  # a layer of Flax
            places = seen.setdefault(module["class"], {})
            for call in module["calls"]:
                for place, rank in _ranks_of_call(known, call):
                    places.setdefault(place, set()).add(rank)
    for name, places in seen.items():
        trace.ranks[name] = {place: min(ranks) for place, ranks in places.items() if len(ranks) == 1}
    return trace


def _ranks_of_call(cls: LinenClass, call: dict[str, Any]) -> Iterator[tuple[Place, int]]:
    method = cls.method(call["method"])
    if method is None:
        return
    given = {**dict(zip(method.parameters, call["args"], strict=False)), **call["kwargs"]}
    for name, value in given.items():
        yield from _ranks((name,), value)


def _ranks(place: Place, value: Any) -> Iterator[tuple[Place, int]]:
    """The ranks of the arrays in a value as `numerics.shapes_trace.describe` writes it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _ranks((*place, index), item)
    elif isinstance(value, dict) and set(value) == {"shape", "dtype"} and isinstance(value["shape"], list):
        yield place, len(value["shape"])
    elif isinstance(value, dict) and set(value) not in ({"value"}, {"type"}):
        for key, item in value.items():
            yield from _ranks((*place, key), item)
