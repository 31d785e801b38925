"""What the migrated program expects: the abstract state of its models and optimizers.

The user names a function or an expression that builds the model ("pkg.train:make_model"). It is run under
`nnx.eval_shape`, so nothing of the model's size is allocated.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.tree import TreePath, show_path
from nnx_migrate.numerics.layer_maps import canonical_class
from nnx_migrate.numerics.map_expansion import LeafSpec

#: The kind of an NNX leaf that no checkpoint of a Linen model holds.
RNG = "rng"
_TRANSIENT = ("intermediates", "perturbations")


@dataclass(frozen=True)
class Part:
    """One model, with the optimizer that belongs to it.

    Attributes:
        model_class: the key of its class in the parameter map ("pkg.models:CNN").
        leaves: its NNX state by path, list indices as strings; PRNG state has the kind `RNG`.
        classes: the classes of the submodule at each path, subclass first.
        optimizer: the state of its `nnx.Optimizer` by path, if one was built. None as a value stands for a
            place that holds nothing (a masked moment).
        combined: whether model and optimizer are one object (`nnx.ModelAndOptimizer`).
    """

    model_class: str
    leaves: Mapping[TreePath, LeafSpec]
    classes: Mapping[TreePath, Sequence[str]]
    optimizer: Mapping[TreePath, LeafSpec | None] | None = None
    combined: bool = False

    def of_kind(self, *kinds: str) -> dict[TreePath, LeafSpec]:
        """Its leaves of some kinds."""
        return {path: spec for path, spec in self.leaves.items() if spec.kind in kinds}

    def below(self, place: TreePath) -> bool:
        """Whether a submodule holds anything but PRNG state."""
        return any(path[: len(place)] == place for path in self.stored())

    def stored(self) -> dict[TreePath, LeafSpec]:
        """The leaves that a trained model's checkpoint has to supply: all but PRNG state."""
        return {path: spec for path, spec in self.leaves.items() if spec.kind != RNG}


@dataclass(frozen=True)
class Target:
    """All models that a checkpoint holds, by their place in it; a single model has the empty path."""

    parts: Mapping[TreePath, Part]
    build: Callable[[], Any] = field(repr=False)

    def fresh(self, wanted: Mapping[TreePath, Sequence[TreePath]]) -> dict[TreePath, dict[TreePath, Any]]:
        """The initial values of some model leaves, by part; nothing else of the model is computed."""
        import jax
        from flax import nnx

        def initial() -> list[list[Any]]:
            models = models_in(self.build())
            states = {place: _flat_state(nnx, models[place]) for place in wanted}
            return [[states[place][path].get_value() for path in paths] for place, paths in wanted.items()]

        # Under jit everything that the result does not depend on is dead code and never allocated.
        values = jax.jit(initial)()
        return {
            place: dict(zip(paths, leaves, strict=True))
            for (place, paths), leaves in zip(wanted.items(), values, strict=True)
        }


def load_target(expression: str, folder: Path) -> Target:
    """Builds the abstract models that `expression` names.

    Args:
        expression: "module:expression". A callable is called, with `rngs=nnx.Rngs(0)` if it takes `rngs`. The
            result is a model, a model and its optimizer, or a dict of those by their place in the checkpoint.
        folder: put in front of `sys.path`, as `python -m` would do.

    Raises:
        CheckpointError: it can't be imported or built, or is no NNX model.
    """
    from flax import nnx

    build = resolve(expression, folder)

    def checked() -> Any:
        built = build()
        _objects(built)  # raises where it is no model, which JAX would say less clearly
        return built

    try:
        built = nnx.eval_shape(checked)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"The model {expression} can't be built: {type(error).__name__}: {error}",
            hint="Name a function without arguments that returns the migrated model.",
        ) from error
    parts = {place: _part(nnx, *objects) for place, objects in _objects(built).items()}
    return Target(parts, build)


def resolve(expression: str, folder: Path) -> Callable[[], Any]:
    """The function that builds what "module:expression" names; nothing is built yet.

    Raises:
        CheckpointError: the module can't be imported or has no such name.
    """
    from flax import nnx

    module_name, _, code = expression.partition(":")
    if not module_name or not code:
        raise CheckpointError(
            f"{expression!r} names no model.", hint='Write it as "package.module:function".'
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(module_name)
        compiled = compile(code, expression, "eval")
    except Exception as error:
        raise CheckpointError(
            f"{module_name} can't be imported: {type(error).__name__}: {error}",
            hint="Run the command in the project's folder and environment.",
        ) from error

    def build() -> Any:
        value = eval(compiled, {"nnx": nnx, **vars(module)})
        if isinstance(value, (type, functools.partial)) or inspect.isroutine(value):
            # A module's class hides the signature of its __init__ behind its metaclass.
            signature = inspect.signature(getattr(value, "__init__") if isinstance(value, type) else value)  # noqa: B009
            takes_rngs = "rngs" in signature.parameters
            value = value(rngs=nnx.Rngs(0)) if takes_rngs else value()
        return value

    return build


def models_in(built: Any) -> dict[TreePath, Any]:
    """The models, by their place, in what the user's function returned."""
    return {place: model for place, (model, _) in _objects(built).items()}


def _objects(built: Any) -> dict[TreePath, tuple[Any, Any]]:
    """The (model, optimizer or None) pairs in what the user's function returned."""
    if isinstance(built, Mapping):
        return {tuple(str(key).strip("/").split("/")): _pair(value) for key, value in built.items()}
    return {(): _pair(built)}


def _pair(value: Any) -> tuple[Any, Any]:
    from flax import nnx

    members = list(value) if isinstance(value, (tuple, list)) else [value]
    models = [member for member in members if isinstance(member, nnx.Module)]
    optimizers = [member for member in members if isinstance(member, nnx.Optimizer)]
    if not models and len(optimizers) == 1 and isinstance(optimizers[0], nnx.ModelAndOptimizer):
        return optimizers[0].model, optimizers[0]
    if len(models) != 1 or len(optimizers) > 1:
        kinds = ", ".join(type(member).__name__ for member in members)
        raise CheckpointError(
            f"Expected one NNX model, and at most one nnx.Optimizer with it; got {kinds}.",
            hint="For several models return a dict: {'actor': actor, 'critic': critic}.",
        )
    return models[0], optimizers[0] if optimizers else None


def _part(nnx: Any, model: Any, optimizer: Any) -> Part:
    flat = _flat_state(nnx, model)
    leaves = {path: _spec(nnx, path, variable) for path, variable in flat.items()}
    classes = {
        _strings(path): [canonical_class(base.__module__, base.__qualname__) for base in type(module).__mro__]
        for path, module in nnx.iter_modules(model)
    }
    combined = isinstance(optimizer, nnx.ModelAndOptimizer)
    state = None if optimizer is None else _optimizer_state(nnx, optimizer, combined)
    kept = {path: spec for path, spec in leaves.items() if spec.kind not in _TRANSIENT}
    return Part(classes[()][0], kept, classes, state, combined)


def _optimizer_state(nnx: Any, optimizer: Any, combined: bool) -> dict[TreePath, LeafSpec | None]:
    flat = _flat_state(nnx, optimizer)
    return {
        path: _spec(nnx, path, variable) if hasattr(variable.get_value(), "shape") else None
        for path, variable in flat.items()
        if not (combined and path[0] == "model")
    }


def _flat_state(nnx: Any, node: Any) -> dict[TreePath, Any]:
    return {_strings(path): variable for path, variable in nnx.to_flat_state(nnx.state(node))}


def _spec(nnx: Any, path: TreePath, variable: Any) -> LeafSpec:
    value = variable.get_value()
    if not hasattr(value, "shape"):
        if isinstance(variable, (nnx.Intermediate, nnx.Perturbation)):
            return LeafSpec((), "", _TRANSIENT[0])
        raise CheckpointError(
            f"The variable {show_path(path)} of the model holds a {type(value).__name__}, not an array;"
            " such variables can't be converted."
        )
    return LeafSpec(tuple(value.shape), str(value.dtype), _kind(nnx, variable))


def _kind(nnx: Any, variable: Any) -> str:
    """The Linen collection that stands for the type of an NNX variable."""
    kinds = {
        nnx.RngState: RNG,
        nnx.Param: "params",
        nnx.BatchStat: "batch_stats",
        nnx.Cache: "cache",
        nnx.Intermediate: _TRANSIENT[0],
        nnx.Perturbation: _TRANSIENT[1],
    }
    for base in type(variable).__mro__:
        if base in kinds:
            return kinds[base]
    return type(variable).__name__


def _strings(path: Sequence[Any]) -> TreePath:
    return tuple(str(part) for part in path)
