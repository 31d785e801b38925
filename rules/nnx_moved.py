from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule

_NNX = "flax.nnx"
_GONE_CLASSES = ("Jit", "Vmap", "Scan", "Remat", "Pmap", "Grad", "ValueAndGrad")
_EARLY = (
    "Empty", "EMPTY", "fork", "ForkStates", "field", "treenode_field", "variable_field", "param_field",
    "compatibility", "flags", "Rng",
)  # fmt: skip
_SHORT_LIVED = (
    "mutable_array", "MutableArray", "freeze", "mutable", "array_ref", "ArrayRef", "to_refs", "to_arrays",
    "use_refs", "use_mutable_arrays", "use_hijax", "as_hijax_vars", "as_mutable_vars", "as_ref_vars",
)  # fmt: skip
_MODES = ("train_mode", "eval_mode", "set_mode")


class NnxMoved(MovesRule):
    """Names of NNX that were renamed, moved or removed.

    What it finds
    -------------
    `nnx.pure`, `nnx.abstract_with_sharding`, `nnx.vars_as`, `nnx.with_sharding_constraint`,
    `nnx.register_variable_name_type_pair`, `nnx.TreeNode`, `nnx.GraphNode`, `nnx.Sequence`, `nnx.LinenToNNX`,
    `nnx.State.merge`, the class forms of the transforms (`nnx.Jit`, `nnx.Scan`, ...), `nnx.eval_mode` and its
    neighbours, `sharding=` of variables, `check_rep=` of `nnx.shard_map`, `wrt=` of `nnx.grad`, arguments of
    `nnx.Dropout` by position, the `VariableState` constructor, names of early or short-lived releases (`nnx.Rng`,
    `nnx.mutable_array`, ...).

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
        Move(f"{_NNX}.State.merge", f"{_NNX}.merge_state", since="flax>=0.10.4"),
        Move(f"{_NNX}.Sequence", f"{_NNX}.Sequential", since="flax>=0.9", removed=UNKNOWN),
        Move(
            f"{_NNX}.Dropout",
            f"{_NNX}.Dropout",
            since="flax>=0.11",
            removed="0.11.0",
            arguments=Arguments(
                signature=("rate", "broadcast_dims", "deterministic", "rng_collection"),
                keyword=("broadcast_dims", "deterministic", "rng_collection"),
                only_if=("broadcast_dims", "deterministic", "rng_collection"),
            ),
            note="all but the rate go by keyword",
        ),
        *(
            Move(
                f"{_NNX}.{function}",
                f"{_NNX}.{function}",
                since="flax>=0.9",
                removed=removed,
                arguments=Arguments(drop={name: ()}, only_if=(name,)),
                help=help,
            )
            for function, name, removed, help in (
                ("grad", "wrt", "0.9.0", "write `argnums=nnx.DiffState(0, ...)` with what `wrt` was given"),
                (
                    "value_and_grad",
                    "wrt",
                    "0.9.0",
                    "write `argnums=nnx.DiffState(0, ...)` with what `wrt` was given",
                ),
                ("pmap", "global_arg_shapes", UNKNOWN, "leave it out"),
                ("jit", "abstracted_axes", UNKNOWN, "JAX has no dynamic shapes of that kind any more"),
            )
        ),
        *(
            Move(
                f"{_NNX}.{name}",
                f"{_NNX}.{name}",
                since="flax>=0.12.0",
                arguments=Arguments(
                    drop={"sharding": (), "sharding_names": ()}, only_if=("sharding", "sharding_names")
                ),
                note="`out_sharding` now, and the variable is made on the mesh",
                help="write `out_sharding=` and construct the model under `with jax.set_mesh(mesh):`, or "
                "without a mesh under `with nnx.use_eager_sharding(False):`, as it was before flax 0.12",
            )
            for name in ("Variable", "Param", "BatchStat", "Cache", "Intermediate")
        ),
        *(
            Move(
                f"{_NNX}.{name}",
                since="flax>=0.9",
                removed=UNKNOWN,
                help="nothing takes its place under one name; see the API reference of NNX for what you use it for",
            )
            for name in _EARLY
        ),
        *(
            Move(
                f"{_NNX}.{name}",
                since="flax>=0.12.2",
                removed=UNKNOWN,
                help="use nnx.with_vars or nnx.var_defaults with `ref=` or `hijax=`, or jax.new_ref and jax.freeze",
            )
            for name in _SHORT_LIVED
        ),
        Move(
            f"{_NNX}.nnx",
            since="flax>=0.10",
            removed="0.10.0",
            module=True,
            help="an internal package; take the names from `flax.nnx`",
        ),
        Move(
            f"{_NNX}.VariableState",
            since="flax>=0.12.1",
            removed="0.12.1",
            help="leaves of a state are Variables: test with isinstance(x, nnx.Variable), make one with "
            "nnx.Param(value) and the like, and read its type with type(x)",
        ),
    )
