"""The process that runs one side of `checkpoint check`: `python -m nnx_migrate.checkpoints.child JOB ANSWER`.

Like `nnx_migrate.numerics.child`, with the actions "linen" (the old model, on the variables of the old
checkpoint) and "nnx" (the migrated model, restored by Orbax from the converted one). Both write their outputs
to an npz file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.options import Options
from nnx_migrate.checkpoints.planner import source_leaves
from nnx_migrate.checkpoints.target import models_in, resolve
from nnx_migrate.checkpoints.tree import ArrayLeaf, show_path
from nnx_migrate.numerics.child import main
from nnx_migrate.numerics.source import ModelSource


def run_linen(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """Applies the Linen model to the variables of the old checkpoint."""
    model = resolve(source.model, Path(source.root))()
    options = Options.from_json(job["options"])
    checkpoint = open_checkpoint(Path(job["checkpoint"]), allow_pickle=job["allow_pickle"])
    leaves, _ = source_leaves(checkpoint, options)
    variables: dict[str, Any] = {}
    for path, stored in job["leaves"]:
        leaf = leaves[tuple(stored)]
        assert isinstance(leaf, ArrayLeaf)
        node = variables
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = leaf.read()
    output = model.apply(variables, *_inputs(job), **_keywords(job), method=job["method"])
    return _save(job, output)


def run_nnx(source: ModelSource, job: Mapping[str, Any]) -> dict[str, Any]:
    """Restores the NNX model from the converted checkpoint and calls it."""
    from flax import nnx

    model = models_in(resolve(source.model, Path(source.root))())[tuple(job["place"])]
    variables = {tuple(map(str, path)): variable for path, variable in nnx.to_flat_state(nnx.state(model))}
    places = {tuple(path): tuple(leaf) for path, leaf in job["leaves"]}
    restored = _restore(
        job["checkpoint"], {leaf: variables[path].get_value() for path, leaf in places.items()}
    )
    for path, leaf in places.items():
        value = restored[leaf]
        if value.shape != variables[path].get_value().shape:
            raise CheckpointError(
                f"{show_path(leaf)} has the shape {value.shape}, unlike the model's variable."
            )
        variables[path].set_value(value)
    method = model if job["method"] is None else getattr(model, job["method"])
    return _save(job, method(*_inputs(job), **_keywords(job)))


def _restore(folder: str, leaves: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    """Restores some leaves of an Orbax checkpoint, into arrays like those given."""
    import orbax.checkpoint as ocp

    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    with ocp.PyTreeCheckpointer() as checkpointer:
        arguments = ocp.checkpoint_utils.construct_restore_args(tree)
        restored = checkpointer.restore(
            folder, args=ocp.args.PyTreeRestore(item=tree, restore_args=arguments, partial_restore=True)
        )
    found = {}
    for path in leaves:
        value = restored
        for name in path:
            value = value[name]
        found[path] = value
    return found


def _inputs(job: Mapping[str, Any]) -> list[Any]:
    import jax
    import jax.numpy as jnp

    names = {"jax": jax, "jnp": jnp, "np": np}
    return [eval(text, names) for text in job["inputs"]]


def _keywords(job: Mapping[str, Any]) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    keywords: dict[str, Any] = eval(f"dict({job['keywords']})", {"jax": jax, "jnp": jnp, "np": np})
    return keywords


def _save(job: Mapping[str, Any], output: Any) -> dict[str, Any]:
    from nnx_migrate.numerics.trees import flatten_output

    arrays, _ = flatten_output(output)
    if not arrays:
        raise CheckpointError("The model's output holds no array.")
    named: dict[str, Any] = {"/".join(("output", *path)): np.asarray(leaf) for path, leaf in arrays.items()}
    np.savez(job["output"], **named)
    return {}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], {"linen": run_linen, "nnx": run_nnx})
