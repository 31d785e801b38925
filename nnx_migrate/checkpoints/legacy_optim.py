"""Rewrites the optimizer trees of `flax.optim` (removed in Flax 0.6) into the optax layout.

`flax.optim` kept the state of every parameter beside its name: `state/param_states/<parameter>/grad_ema`.
Adam's and Momentum's state carry over exactly (measured: the next Adam step is the same); the others have no
optax twin.
"""

from __future__ import annotations

from collections.abc import Mapping

from nnx_migrate.checkpoints.errors import MappingError
from nnx_migrate.checkpoints.tree import Leaf, TreePath, inner_nodes, show_path

#: flax.optim's name of a parameter's state -> its field in the first element of the optax state.
_ADAM = {"grad_ema": "mu", "grad_sq_ema": "nu"}
_MOMENTUM = {"momentum": "trace"}


def rewrite(leaves: Mapping[TreePath, Leaf], *, keep_state: bool) -> tuple[dict[TreePath, Leaf], list[str]]:
    """The same tree with every `flax.optim.Optimizer` in it turned into params, step and opt_state.

    Args:
        leaves: the checkpoint.
        keep_state: false if only the parameters are wanted.

    Returns:
        The leaves, and a note for each optimizer.

    Raises:
        MappingError: an optimizer's state has no counterpart in optax.
    """
    nodes = inner_nodes(leaves)
    optimizers = [
        node
        for node, below in nodes.items()
        if {path[len(node)] for path in below} == {"target", "state"}
        and any(path[len(node) + 1 :][:1] == ("param_states",) for path in below)
    ]
    result: dict[TreePath, Leaf] = {}
    for path, leaf in leaves.items():
        node = next((node for node in optimizers if path[: len(node)] == node), None)
        if node is None:
            result[path] = leaf
            continue
        rest = path[len(node) :]
        # An optimizer that fills a field (`optimizer`) gives its params, step and opt_state to the node
        # around it.
        around = node[:-1] if node and node[-1] == "optimizer" else node
        if rest[0] == "target":
            result[(*around, "params", *rest[1:])] = leaf
        elif keep_state:
            result.update(_state_leaf(around, rest[1:], leaf, show_path(node)))
    notes = [
        f"{show_path(node)} is a flax.optim optimizer; its state was rewritten as that of optax"
        for node in optimizers
    ]
    return result, notes


def _state_leaf(around: TreePath, rest: TreePath, leaf: Leaf, name: str) -> dict[TreePath, Leaf]:
    if rest == ("step",):
        return {(*around, "step"): leaf, (*around, "opt_state", "0", "count"): leaf}
    if rest[0] == "param_states":
        if len(rest) == 2:
            return {}  # an optimizer without state (GradientDescent)
        field = (_ADAM | _MOMENTUM).get(rest[-1])
        if field is not None:
            return {(*around, "opt_state", "0", field, *rest[1:-1]): leaf}
    raise MappingError(
        f"The flax.optim state {show_path(rest)} of {name} has no counterpart in optax.",
        hint="Convert the parameters alone with --model-only.",
    )
