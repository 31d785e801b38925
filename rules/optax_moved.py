from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import Move, MovesRule

_TREE = {
    "tree_scalar_mul": "tree_scale",
    "tree_add_scalar_mul": "tree_add_scale",
}
_NORMS = {"tree_l1_norm": ("ord=1",), "tree_l2_norm": (), "tree_linf_norm": ('ord="inf"',)}
_CONTROL_VARIATES = (
    "score_function_jacobians", "pathwise_jacobians", "measure_valued_jacobians", "control_delta_method",
    "control_variates_jacobians", "moving_avg_baseline",
)  # fmt: skip


class OptaxMoved(MovesRule):
    """Names that Optax renamed, moved or removed.

    What it finds
    -------------
    `optax.global_norm`, `additive_weight_decay`, `maybe_update`, `inject_stateful_hyperparams`, `dpsgd`,
    `differentially_private_aggregate`, `convex_kl_divergence`, `optimistic_adam`, `hvp` and other
    second-order and control-variate functions, `optax.tree_utils.tree_scalar_mul` and its neighbours,
    `optax.add_noise(seed=)`. `optax.multi_transform` is current and not reported.

    Why
    ---
    They warn or are gone.

    Example
    -------
    ::

        norm = optax.global_norm(grads)
        # becomes
        norm = optax.tree.norm(grads)

    Fix safety
    ----------
    Safe: the same functions under new names. `optimistic_adam` changed its arguments and is reported only.

    Since
    -----
    Optax 0.1.8 to 0.2.7; each finding names its release.

    References
    ----------
    https://optax.readthedocs.io/en/latest/api/utilities.html
    """

    id = "optax-moved"
    group = "optax"
    moves = (
        Move("optax.global_norm", "optax.tree.norm", since="optax>=0.2.7"),
        Move(
            "optax.additive_weight_decay", "optax.add_decayed_weights", since="optax>=0.1.8", removed="0.1.8"
        ),
        Move("optax.maybe_update", "optax.conditionally_transform", since="optax>=0.2.5", removed="0.2.5"),
        Move(
            "optax.MaybeUpdateState",
            "optax.ConditionallyTransformState",
            since="optax>=0.2.3",
            removed="0.2.5",
        ),
        Move("optax.inject_stateful_hyperparams", "optax.inject_hyperparams", since="optax>=0.1.9"),
        *(
            Move(f"optax.{name}", f"optax.contrib.{name}", since="optax>=0.2.3")
            for name in ("dpsgd", "differentially_private_aggregate")
        ),
        Move("optax.convex_kl_divergence", "optax.losses.generalized_kl_divergence", needs="optax>=0.2.5"),
        Move(
            "optax.losses.convex_kl_divergence",
            "optax.losses.generalized_kl_divergence",
            needs="optax>=0.2.5",
        ),
        *(
            Move(f"optax.tree_utils.{old}", f"optax.tree_utils.{new}", since="optax>=0.2.5")
            for old, new in _TREE.items()
        ),
        *(
            Move(
                f"optax.tree_utils.{old}",
                "optax.tree_utils.tree_norm",
                since="optax>=0.2.5",
                arguments=Arguments(signature=("tree",), append=added),
            )
            for old, added in _NORMS.items()
        ),
        *(
            Move(
                f"optax.{name}",
                f"optax.{name}",
                since="optax>=0.2.5",
                arguments=Arguments(rename={"seed": "key"}, only_if=("seed",)),
                note="`seed` is `key`",
            )
            for name in ("add_noise", "noisy_sgd")
        ),
        Move(
            "optax.optimistic_adam",
            help="use `optax.optimistic_adam_v2(learning_rate, alpha=..., beta=...)` and compare a few "
            "steps: its "
            "defaults and arguments differ",
        ),
        *(
            Move(f"optax.{name}", since="optax>=0.1.8", removed="0.1.8", help=help)
            for name, help in (
                ("hvp", "use `jax.jvp(jax.grad(loss), (params,), (v,))[1]`"),
                ("hessian_diag", "use `jax.hessian` or products with basis vectors"),
                ("fisher_diag", "square the per-example gradients and average"),
            )
        ),
        *(
            Move(
                f"optax.{name}",
                since="optax>=0.1.8",
                removed="0.1.8",
                help="nothing replaces it; copy the function you need into your project",
            )
            for name in _CONTROL_VARIATES
        ),
        Move(
            "optax.monte_carlo",
            module=True,
            since="optax>=0.2.7",
            removed="0.2.7",
            help="nothing replaces it; copy the function you need into your project",
        ),
        Move(
            "optax.experimental.split_real_and_imaginary",
            "optax.contrib.split_real_and_imaginary",
            since="optax>=0.2.2",
            removed="0.2.2",
        ),
        Move("optax.experimental.named_chain", "optax.named_chain", since="optax>=0.1.8", removed="0.1.8"),
    )
