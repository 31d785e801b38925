from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule

_NNX = "flax.nnx"
_GONE_CLASSES = ("Jit", "Vmap", "Scan", "Remat", "Pmap", "Grad", "ValueAndGrad")
_MODES = ("train_mode", "eval_mode", "set_mode")


class NnxMoved(MovesRule):
    """Names of NNX that were renamed, moved or removed.

    What it finds
    -------------
    `nnx.pure`, `nnx.abstract_with_sharding`, `nnx.vars_as`,
    `nnx.with_sharding_constraint`, `nnx.register_variable_name_type_pair`, `nnx.TreeNode`, `nnx.GraphNode`,
    `nnx.LinenToNNX`, the class forms of the transforms (`nnx.Jit`, `nnx.Scan`, ...), `nnx.eval_mode` and its
    neighbours, `check_rep=` of `nnx.shard_map`, the `VariableState` constructor.

    Why
    ---
    They warn or are gone.

    Example
    -------
    ::

        snapshot = nnx.pure(nnx.state(model))
        # becomes
        snapshot = nnx.as_pure(nnx.state(model))

    Fix safety
    ----------
    Safe: the same functions under new names. What changed its meaning is reported only.

    Since
    -----
    Flax 0.8.4 to 0.12.8; each finding names its release.

    References
    ----------
    https://github.com/google/flax/blob/main/CHANGELOG.md
    """

    id = "nnx-moved"
    group = "nnx"
    moves = (
        Move(f"{_NNX}.pure", f"{_NNX}.as_pure", since="flax>=0.12.7"),
        Move(f"{_NNX}.abstract_with_sharding", f"{_NNX}.as_abstract", since="flax>=0.12.7"),
        Move(f"{_NNX}.vars_as", f"{_NNX}.with_vars", since="flax>=0.12.8"),
        Move(
            f"{_NNX}.with_sharding_constraint",
            "jax.lax.with_sharding_constraint",
            since="flax>=0.11.2",
            removed="0.11.2",
        ),
        Move(
            f"{_NNX}.register_variable_name_type_pair",
            f"{_NNX}.register_variable_name",
            since="flax>=0.10.4",
            removed="0.10.4",
        ),
        *(
            Move(f"{_NNX}.{name}", f"{_NNX}.Pytree", since="flax>=0.11", removed="0.11.0", needs="flax>=0.11")
            for name in ("TreeNode", "GraphNode")
        ),
        *(
            Move(
                f"{_NNX}.{name}",
                since="flax>=0.10.6",
                removed="0.10.6",
                help=f"use the function nnx.{name.lower()} on a function that takes the module",
            )
            for name in _GONE_CLASSES
        ),
        *(
            Move(
                f"{_NNX}.{name}",
                since="flax>=0.12.4",
                removed="0.12.4",
                help="use nnx.view(model, deterministic=..., use_running_average=...), or model.train() / model.eval()",
            )
            for name in _MODES
        ),
        *(
            Move(
                f"{_NNX}.{path}LinenToNNX",
                since="flax>=0.9",
                removed="0.9.0",
                help="use nnx.bridge.ToNNX(module, rngs=rngs), initialised by nnx.bridge.lazy_init(model, *inputs)",
            )
            for path in ("", "wrappers.", "compat.")
        ),
        Move(
            f"{_NNX}.shard_map",
            f"{_NNX}.shard_map",
            since="flax>=0.12.1",
            removed=UNKNOWN,
            arguments=Arguments(
                rename={"check_rep": "check_vma"},
                only_if=("check_rep",),
            ),
        ),
        Move(
            f"{_NNX}.VariableState",
            since="flax>=0.12.1",
            removed="0.12.1",
            help="leaves of a state are Variables: test with isinstance(x, nnx.Variable), make one with "
            "nnx.Param(value) and the like, and read its type with type(x)",
        ),
    )
