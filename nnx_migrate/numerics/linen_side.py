"""The Linen side of a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core import unfreeze
from flax.core.scope import Scope
from flax.errors import ModifyScopeVariableError

from nnx_migrate.numerics.draws import MissingStreamError, aligned_draws, base_key
from nnx_migrate.numerics.inputs import Alignment, Inputs, Phase
from nnx_migrate.numerics.layer_maps import canonical_class
from nnx_migrate.numerics.map_expansion import TRANSIENT_COLLECTIONS
from nnx_migrate.numerics.map_patterns import Path
from nnx_migrate.numerics.recording import Description
from nnx_migrate.numerics.side import Outcome, Side
from nnx_migrate.numerics.trees import flatten, is_array, spec_of, split_arrays

Result = TypeVar("Result")


class TooLargeError(RuntimeError):
    """A model that is larger than was allowed."""


class LinenSide(Side):
    """A Linen module with the arguments of its `init` (by default those of the eval call).

    `mutable` names the collections that a call may write: None means all but params in the train phase and,
    in the eval phase, none unless the model insists.
    """

    kind = "linen"

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        init_args: Sequence[Any] | None = None,
        init_kwargs: Mapping[str, Any] | None = None,
        init_method: str | None = None,
        mutable: Sequence[str] | None = None,
    ):
        super().__init__(inputs)
        self.model = model
        self.init_args = inputs.args if init_args is None else tuple(init_args)
        self.init_kwargs = inputs.eval_kwargs if init_kwargs is None else init_kwargs
        self.init_method = init_method or inputs.method
        self.mutable = mutable
        self._structure: Any = None
        self._eval_writes = False
        self._eval_streams: tuple[str, ...] = ()

    def describe(self) -> Description:
        """See `Side.describe`; also finds out which streams the model asks for."""
        if self._structure is None:
            self._set_variables(self._init())
        reads: dict[Path, None] = {}
        with _recorded_reads(reads):
            self._trace("train")
            self._trace("eval")
        specs = {path: spec_of(leaf, path[0]) for path, leaf in self.leaves.items() if is_array(leaf)}
        model = type(self.model)
        name = canonical_class(model.__module__, model.__qualname__)
        known = [path for path in reads if path in self.leaves]
        return Description(self.kind, name, specs, known, self.streams, dict(self.leaves))

    def refuse_above(self, max_bytes: int) -> None:
        """Raises TooLargeError where the variables need more; found out without making them."""
        arrays, rebuild = split_arrays((self.init_args, dict(self.init_kwargs)))

        def init(arrays: Any) -> Any:
            args, kwargs = rebuild(arrays)
            keys = {name: jax.random.key(0) for name in ("params", *self.streams)}
            return state_collections(self.model.init(keys, *args, method=self.init_method, **kwargs))

        try:
            shapes = jax.tree.leaves(jax.eval_shape(init, arrays))
        except Exception:  # what is wrong is said when the model is built
            return
        needed = sum(leaf.size * leaf.dtype.itemsize for leaf in shapes)
        if needed > max_bytes:
            raise TooLargeError(f"its variables need {needed / 2**20:,.0f} MiB")

    def _init(self) -> Mapping[str, Any]:
        keys = {name: jax.random.key(i) for i, name in enumerate(("params", *self.streams))}
        arrays, rebuild = split_arrays((self.init_args, dict(self.init_kwargs)))

        def init(keys: Any, arrays: Any) -> Any:
            args, kwargs = rebuild(arrays)
            return state_collections(self.model.init(keys, *args, method=self.init_method, **kwargs))

        try:
            return jax.jit(init)(keys, arrays)  # type: ignore[no-any-return]
        except Exception:  # code that looks at values of its arguments runs eagerly only
            return init(keys, arrays)  # type: ignore[no-any-return]

    def _set_variables(self, variables: Mapping[str, Any]) -> None:
        kept = jax.tree.map(jnp.asarray, dict(variables))
        self.leaves = flatten(kept)
        self._structure = jax.tree.structure(kept)

    def _variables(self, leaves: Mapping[Path, Any]) -> dict[str, Any]:
        ordered = [leaves[path] for path in self.leaves]
        return jax.tree.unflatten(self._structure, ordered)  # type: ignore[no-any-return]

    def _trace(self, phase: Phase) -> None:
        """Learns, without computing, which streams the model asks for and whether it writes in eval mode."""
        arrays, rebuild = split_arrays((self.inputs.args, dict(self.inputs.kwargs(phase))))

        def abstract(leaves: Any, arrays: Any) -> Any:
            args, kwargs = rebuild(arrays)
            self.call(leaves, 0, args, kwargs, phase, Alignment())
            return 0

        try:
            self._retry(phase, lambda: jax.eval_shape(abstract, self.leaves, arrays))
        except Exception as error:  # user code may raise anything; the run proper reports it
            self.notes.append(f"tracing the {phase} call of the Linen model failed: {type(error).__name__}")

    def _retry(self, phase: Phase, run: Callable[[], Result]) -> Result:
        """Runs again with what turns out to be needed: a random stream, or permission to write."""
        while True:
            try:
                return run()
            except MissingStreamError as error:
                if error.stream in self._streams(phase):
                    raise
                if phase == "eval":
                    self._eval_streams = (*self._eval_streams, error.stream)
                self.streams = tuple(dict.fromkeys((*self.streams, error.stream)))
            except ModifyScopeVariableError:
                if self._eval_writes:
                    raise
                self._eval_writes = True
                self.notes.append(
                    "the Linen model writes variables in eval mode; its collections are mutable there"
                )

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
        variables = self._variables(leaves)
        mutable = [*self._mutable(phase, variables), "intermediates"]
        rngs = {name: base_key(seed) for name in self._streams(phase)}
        with aligned_draws(alignment.ordered, alignment.aliases) as draws:
            output, updated = self.model.apply(
                variables, *args, rngs=rngs, mutable=mutable, method=self.inputs.method, **kwargs
            )
        after = flatten(state_collections({**variables, **updated}))
        return Outcome(output, after, flatten(updated.get("intermediates", {})), draws)

    def _streams(self, phase: Phase) -> Sequence[str]:
        """In eval mode only what the model insists on, as programs do; `has_rng` then answers as it did."""
        return self.streams if phase == "train" else self._eval_streams

    def _mutable(self, phase: Phase, variables: Mapping[str, Any]) -> list[str]:
        if self.mutable is not None:
            return list(self.mutable) if phase == "train" or self._eval_writes else []
        return (
            [name for name in variables if name != "params"] if phase == "train" or self._eval_writes else []
        )


@contextmanager
def _recorded_reads(reads: dict[Path, None]) -> Iterator[None]:
    """Notes every leaf that a module reads, in order, as ``(collection, *scope, name)``."""
    original = Scope.get_variable

    def get_variable(scope: Scope, col: str, name: str, default: Any = None) -> Any:
        value = original(scope, col, name, default)
        for below in flatten(value) if scope.has_variable(col, name) else ():
            reads.setdefault((col, *scope.path, name, *below))
        return value

    with mock.patch.object(Scope, "get_variable", get_variable):
        yield


def state_collections(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Linen variables as plain dictionaries, metadata boxes and transient collections left out."""
    plain = unfreeze(nn.meta.unbox(dict(variables)))
    return {name: tree for name, tree in plain.items() if name not in TRANSIENT_COLLECTIONS}


def linen_leaves(variables: Mapping[str, Any]) -> dict[Path, jax.Array]:
    """The arrays of a Linen variable dictionary by path, starting with the collection."""
    return {path: jnp.asarray(leaf) for path, leaf in flatten(state_collections(variables)).items()}
