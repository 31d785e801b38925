from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule

_EXTENDED = (
    "Primitive", "Jaxpr", "ClosedJaxpr", "JaxprEqn", "Literal", "Var", "Token", "jaxpr_as_fun",
)  # fmt: skip
_EXTENDED_SINCE_0_10 = (
    "CallPrimitive", "DebugInfo", "DropVar", "Effect", "check_jaxpr", "concrete_or_error", "gensym",
    "get_opaque_trace_state", "jaxprs_in_params", "new_jaxpr_eqn", "valid_jaxtype",
    "primal_dtype_to_tangent_dtype",
)  # fmt: skip
_ERRORS_OF_0_4_24 = (
    "UnexpectedTracerError", "ConcretizationTypeError", "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
)  # fmt: skip
_NO_EQUIVALENT = (
    "raise_to_shaped", "ConcreteArray", "unit", "unitvar", "axis_frame", "call_p", "cur_sublevel",
    "new_base_main", "NamedShape",
    "new_main", "new_sublevel", "thread_local_state", "as_named_shape", "AxisSize", "MapPrimitive",
    "map_bind",
    "MainTrace", "Sublevel", "NameGen", "TypedJaxpr", "full_lower", "lattice_join", "join_effects",
    "extend_axis_env", "reset_trace_state", "subjaxprs", "pp_jaxpr", "pp_eqn", "pp_var", "check_eqn",
    "leaked_tracer_error", "maybe_find_leaked_tracers",
)  # fmt: skip


class JaxCore(MovesRule):
    """Internals that left `jax.core`.

    What it finds
    -------------
    `jax.core.Primitive`, `Jaxpr`, `ClosedJaxpr`, `JaxprEqn`, `Literal`, `Var`, `Token` and `jaxpr_as_fun`
    (now in `jax.extend.core`), `jax.core.get_aval`, the error classes (now in `jax.errors`),
    `jax.abstract_arrays.ShapedArray`, and internals that nothing replaces. `jax.core.Tracer`, `ShapedArray`
    and `eval_jaxpr` are current and not reported.

    Why
    ---
    `jax.core` was never meant to be public; what others need moved to `jax.extend.core`.

    Example
    -------
    ::

        from jax.core import Primitive, ShapedArray
        # becomes
        from jax.core import ShapedArray
        from jax.extend.core import Primitive

    Fix safety
    ----------
    Safe: the same objects under new names. `jax.typeof` returns what `get_aval` did.

    Since
    -----
    Deprecated in JAX 0.4.38 and removed in 0.6.0; the errors moved in 0.4.24; `get_aval` was removed in
    0.10.0.

    References
    ----------
    https://docs.jax.dev/en/latest/jax.extend.core.html
    """

    id = "jax-core"
    group = "jax"
    moves = (
        *(
            Move(f"jax.core.{name}", f"jax.extend.core.{name}", since="jax>=0.4.38", removed="0.6.0")
            for name in _EXTENDED
        ),
        *(
            Move(f"jax.core.{name}", f"jax.extend.core.{name}", since="jax>=0.10.0")
            for name in _EXTENDED_SINCE_0_10
        ),
        Move("jax.ShapedArray", "jax.core.ShapedArray", since="jax>=0.4.13", removed=UNKNOWN),
        Move("jax.core.get_aval", "jax.typeof", since="jax>=0.8.2", removed="0.10.0"),
        *(
            Move(f"jax.core.{name}", f"jax.errors.{name}", since="jax>=0.4.16", removed="0.4.24")
            for name in _ERRORS_OF_0_4_24
        ),
        Move(
            "jax.abstract_arrays.ShapedArray", "jax.core.ShapedArray", since="jax>=0.4.12", removed="0.4.16"
        ),
        Move(
            "jax.abstract_arrays",
            module=True,
            since="jax>=0.4.12",
            removed="0.4.16",
            help="only `ShapedArray` lives on, as `jax.core.ShapedArray`",
        ),
        *(
            Move(
                f"jax.core.{name}",
                since="jax>=0.4.38",
                removed=UNKNOWN,
                help="an internal of JAX that nothing public replaces",
            )
            for name in _NO_EQUIVALENT
        ),
    )
