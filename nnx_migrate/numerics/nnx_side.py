"""The NNX side of a proof."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jax
from flax import nnx

from nnx_migrate.numerics.bridges import initialise
from nnx_migrate.numerics.draws import aligned_draws, seed_streams
from nnx_migrate.numerics.inputs import Alignment, Inputs, Phase
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.nnx_model import (
    class_names,
    hold_arrays,
    leaves_of,
    sown_in,
    specs_of,
    submodule,
    variables_of,
    with_leaves,
)
from nnx_migrate.numerics.recording import Description
from nnx_migrate.numerics.side import Outcome, Side
from nnx_migrate.numerics.trees import flatten, split_arrays


class NNXSide(Side):
    """An NNX model, built by `build(rngs)` so that its streams carry the names that the other side uses.

    `mode_flags` calls `model.train()` or `model.eval()` before each call, for models that take no flag as an
    argument.
    """

    kind = "nnx"

    def __init__(self, build: Callable[[nnx.Rngs], nnx.Module], inputs: Inputs, mode_flags: bool = False):
        super().__init__(inputs)
        self.build = build
        self.mode_flags = mode_flags
        self._model: nnx.Module | None = None
        self._graphdef: Any = None
        self._state: Any = None

    @property
    def model(self) -> nnx.Module:
        """The live model; it keeps its own initial values (calls run on copies)."""
        if self._model is None:
            names = ["params", *self.streams, "carry"]
            self._model = self.build(
                nnx.Rngs(0, **{name: i + 1 for i, name in enumerate(dict.fromkeys(names))})
            )
            hold_arrays(self._model)
            inputs = self.inputs
            initialise(self._model, inputs.method, inputs.args, inputs.kwargs("eval"))
            self._graphdef, self._state = nnx.split(self._model)
            self.leaves = leaves_of(self._state)
        return self._model

    def describe(self) -> Description:
        """See `Side.describe`."""
        name = class_names(self.model)[0]
        specs = specs_of(self.model)
        reads: dict[Path, None] = {}
        phases: tuple[Phase, ...] = ("train", "eval")
        for phase in phases:
            self._trace(phase, reads)
        return Description(self.kind, name, specs, list(reads), self.streams, dict(self.leaves))

    def class_of(self, path: Path) -> Sequence[str]:
        """See `Side.class_of`."""
        node = submodule(self.model, path)
        return () if node is None else class_names(node)

    @property
    def classes(self) -> list[str]:
        """See `Side.classes`."""
        modules = (node for _, node in nnx.iter_graph(self.model) if isinstance(node, nnx.Module))
        return sorted({class_names(node)[0] for node in modules})

    def _trace(self, phase: Phase, reads: dict[Path, None]) -> None:
        """Notes the order in which a call reads the model's leaves, without computing anything."""
        arrays, rebuild = split_arrays((self.inputs.args, dict(self.inputs.kwargs(phase))))

        def abstract(leaves: Any, arrays: Any) -> Any:
            args, kwargs = rebuild(arrays)
            self._run(leaves, 0, args, kwargs, phase, Alignment(), reads)
            return 0

        try:
            jax.eval_shape(abstract, self.leaves, arrays)
        except Exception as error:  # user code may raise anything; the run proper reports it
            self.notes.append(f"tracing the {phase} call of the NNX model failed: {type(error).__name__}")

    def call(
        self,
        leaves: Mapping[Path, Any],
        seed: int | jax.Array,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        phase: Phase,
        alignment: Alignment,
    ) -> Outcome:
        """See `Side.call`."""
        return self._run(leaves, seed, args, kwargs, phase, alignment)

    def _run(
        self,
        leaves: Mapping[Path, Any],
        seed: int | jax.Array,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        phase: Phase,
        alignment: Alignment,
        reads: dict[Path, None] | None = None,
    ) -> Outcome:
        state = seed_streams(with_leaves(self._state, leaves), seed)
        model = nnx.merge(self._graphdef, state)
        if self.mode_flags:
            (model.train if phase == "train" else model.eval)()
        function = getattr(model, self.inputs.method or "__call__")
        args, kwargs = _with_seeded_streams((args, dict(kwargs)), seed)
        with warnings.catch_warnings(), aligned_draws(alignment.ordered, alignment.aliases) as draws:
            warnings.simplefilter("ignore", DeprecationWarning)  # `sow` outside of nnx.capture
            if reads is None:
                output = function(*args, **kwargs)
            else:
                with _recorded_reads(model, reads):
                    output = function(*args, **kwargs)
        return Outcome(output, leaves_of(model), sown_in(model), draws)


def _with_seeded_streams(arguments: Any, seed: int | jax.Array) -> Any:
    """Call arguments whose streams (`model(x, rngs=nnx.Rngs(0))`) start from the aligned base key."""

    def seeded(node: Any) -> Any:
        if not isinstance(node, (nnx.Rngs, nnx.RngStream)):
            return node
        graphdef, state = nnx.split(node)
        return nnx.merge(graphdef, seed_streams(state, seed))

    return jax.tree.map(seeded, arguments, is_leaf=lambda x: isinstance(x, (nnx.Rngs, nnx.RngStream)))


@contextmanager
def _recorded_reads(model: nnx.Module, reads: dict[Path, None]) -> Iterator[None]:
    """Notes every leaf whose Variable is read, in order; not those that nnx transforms copy."""
    original = nnx.Variable.get_value
    paths = {
        id(variable): [path + below for below in flatten(original(variable))]
        for path, variable in variables_of(model).items()
    }

    def get_value(variable: Any, **kwargs: Any) -> Any:
        for path in paths.get(id(variable), ()):
            reads.setdefault(path)
        return original(variable, **kwargs)

    with mock.patch.object(nnx.Variable, "get_value", get_value):
        yield
