"""What the user can decide about a conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from nnx_migrate.checkpoints.tree import TreePath, show_path


@dataclass(frozen=True)
class Options:
    """Choices of one conversion.

    Attributes:
        layout: see `nnx_migrate.checkpoints.layout`.
        pure: write `nnx.to_pure_dict(state)` instead of the state.
        model_only: leave out optimizer state and everything else that is no variable of a model.
        drop: patterns (`*` also matches "/") of source leaves to leave out.
        fresh: patterns of NNX leaves that get the new model's initial values.
        rngs: write the new model's initial PRNG state, so that `nnx.state(model)` is complete.
        cast: convert variables to the dtypes of the model, where they differ.
        unreplicate: drop the leading device axis that `jax_utils.replicate` adds to every leaf.
        root_class: the model's class in the parameter map, where it can't be told from the model.
    """

    layout: str = "nnx"
    pure: bool = False
    model_only: bool = False
    drop: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    rngs: bool = True
    cast: bool = False
    unreplicate: bool = False
    root_class: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Options:
        """From the JSON of `dataclasses.asdict`."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        return cls(**values)


def matches(path: TreePath, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern names the leaf or a node above it."""
    name = show_path(path)
    return any(
        fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern.rstrip('/')}/*") for pattern in patterns
    )
