from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule

_API = (
    "jit", "vmap", "pmap", "grad", "value_and_grad", "jacfwd", "jacrev", "jacobian", "hessian", "jvp",
    "vjp", "linearize",
    "linear_transpose", "eval_shape", "device_put", "device_get", "make_jaxpr", "checkpoint", "remat",
    "custom_jvp",
    "custom_vjp", "custom_gradient", "closure_convert", "named_call", "disable_jit", "ShapeDtypeStruct",
    "devices",
    "device_count", "local_device_count", "default_backend",
)  # fmt: skip
_LINALG = ("cholesky", "eig", "eigh", "lu", "qr", "svd", "triangular_solve")
_PRNG = ("define_prng_impl", "seed_with_impl", "threefry_prng_impl", "rbg_prng_impl", "unsafe_rbg_prng_impl")
_TESTS = (
    "JaxTestCase", "JaxTestLoader", "check_close", "check_eq", "device_under_test", "supported_dtypes",
    "skip_on_devices",
    "rand_default", "cases_from_list", "count_primitive_compiles",
)  # fmt: skip
_JVP, _VJP = "use `f.defjvp` of `jax.custom_jvp`", "use `f.defvjp` of `jax.custom_vjp`"
_GONE = (
    ("custom_transforms", "0.2.12", "use `jax.custom_jvp` or `jax.custom_vjp`"),
    ("defjvp", "0.2.12", _JVP),
    ("defjvp_all", "0.2.12", _JVP),
    ("defvjp", "0.2.12", _VJP),
    ("defvjp_all", "0.2.12", _VJP),
    ("mask", "0.3.16", "nothing replaces it"),
    ("shapecheck", "0.3.16", "nothing replaces it"),
    ("soft_pmap", "0.3.18", "use `jax.vmap` under `jax.jit` with sharded inputs"),
    ("curry", UNKNOWN, "use `functools.partial`"),
    ("array_ref", UNKNOWN, "use `jax.new_ref`"),
    ("ArrayRef", UNKNOWN, "use `jax.Ref`"),
    ("experimental.mutable_array", UNKNOWN, "use `jax.new_ref`"),
    (
        "custom_derivatives.custom_jvp_call_jaxpr_p",
        UNKNOWN,
        "an internal of JAX that nothing public replaces",
    ),
    ("spmd_mode", "0.6.1", "nothing replaces it"),
)


def _softmax(name: str) -> Move:
    return Move(
        f"jax.nn.{name}",
        f"jax.nn.{name}",
        since="jax>=0.4.27",
        removed="0.4.36",
        arguments=Arguments(drop={"initial": ("None", "-jnp.inf", "-jax.numpy.inf")}, only_if=("initial",)),
        note="`initial` is gone, `where` is enough",
    )


class JaxMisc(MovesRule):
    """Other names and arguments that left JAX.

    What it finds
    -------------
    `jax.api`, `jax.partial`, `jax.linear_util`, `jax.prng`, `jax.util`, `jax.lax_linalg`, `jax.nn.normalize`,
    `jax.xla_computation`, `jax.ad_checkpoint.checkpoint`, `jax.test_util.JaxTestCase`, old transformations,
    profiler names, members of `jax.lax` and `jax.scipy`, and arguments: `jax.jit(fun=)`,
    `jax.pure_callback(vectorized=)`, `jax.checkpoint(concrete=)`, `jax.nn.softmax(initial=)`,
    `jax.scipy.linalg.solve(sym_pos=)`, `jax.lax.dot` by position. `jax.named_call` is current and not
    reported.

    Why
    ---
    They are gone or renamed.

    Example
    -------
    ::

        x = jax.nn.normalize(x, axis=-1)
        y = jax.pure_callback(f, shape, x, vectorized=False)
        # becomes
        x = jax.nn.standardize(x, axis=-1)
        y = jax.pure_callback(f, shape, x, vmap_method="sequential")

    Fix safety
    ----------
    Safe where the new call is the same thing. What has no equivalent is reported with what to do.

    Since
    -----
    JAX 0.2.21 (`jax.partial`) to 0.10.0; each finding names its release.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html
    """

    id = "jax-misc"
    group = "jax"
    moves = (
        Move("jax.partial", "functools.partial", removed="0.2.21"),
        *(Move(f"jax.api.{name}", f"jax.{name}", removed="0.2.21") for name in _API),
        Move("jax.api", module=True, removed="0.2.21", help="its functions are in `jax` itself"),
        *(
            Move(
                f"jax.{name}",
                since="jax>=0.6.0" if removed == UNKNOWN else f"jax>={removed}",
                removed=removed,
                help=help,
            )
            for name, removed, help in _GONE
        ),
        Move(
            "jax.linear_util",
            "jax.extend.linear_util",
            since="jax>=0.4.16",
            removed="0.4.24",
            module=True,
            note="`wrap_init` wants `debug_info=`",
        ),
        *(
            Move(f"jax.prng.{name}", f"jax.extend.random.{name}", since="jax>=0.4.16", removed="0.4.24")
            for name in _PRNG
        ),
        Move(
            "jax.prng",
            module=True,
            since="jax>=0.4.16",
            removed="0.4.24",
            help="public parts are in `jax.extend.random`",
        ),
        Move(
            "jax.util",
            module=True,
            since="jax>=0.6.0",
            removed="0.8.0",
            help="internals of JAX: write the few lines of `safe_map`, `safe_zip`, `split_list` or `unzip2` "
            "into "
            "your project, and use `functools.partial` and `functools.wraps`",
        ),
        *(
            Move(f"jax.lax_linalg.{name}", f"jax.lax.linalg.{name}", since="jax>=0.4.13", removed=UNKNOWN)
            for name in _LINALG
        ),
        Move(
            "jax.lax_linalg", module=True, since="jax>=0.4.13", removed=UNKNOWN, help="use `jax.lax.linalg`"
        ),
        Move(
            "jax.lax_reference",
            module=True,
            since="jax>=0.4.13",
            removed=UNKNOWN,
            help="use `jax.lax` or NumPy",
        ),
        Move("jax.nn.normalize", "jax.nn.standardize", since="jax>=0.4.21", removed="0.4.29"),
        _softmax("softmax"),
        _softmax("log_softmax"),
        Move(
            "jax.lax.tie_in",
            since="jax>=0.4.25",
            removed="0.4.29",
            signature=("x", "y"),
            call="{y}{?x:}",
            help="`tie_in(x, y)` is `y`",
        ),
        Move("jax.lax.prod", "math.prod", since="jax>=0.4.16", removed="0.4.16"),
        Move("jax.lax.zeros_like_array", "jax.numpy.zeros_like", since="jax>=0.7.2", removed="0.9.0"),
        *(
            Move(f"jax.lax.{name}", since=f"jax>={release}", removed=removed, help="nothing replaces it")
            for name, release, removed in (
                ("infeed", "0.7.0", "0.7.0"),
                ("outfeed", "0.7.0", "0.7.0"),
                ("xeinsum", "0.4.31", "0.4.31"),
                ("pdot", "0.6.0", UNKNOWN),
            )
        ),
        Move(
            "jax.lax.dot",
            "jax.lax.dot",
            since="jax>=0.7.1",
            removed="0.9.0",
            arguments=Arguments(
                signature=("lhs", "rhs", "precision", "preferred_element_type"),
                keyword=("precision", "preferred_element_type"),
                only_if=("precision", "preferred_element_type"),
            ),
            note="`precision` is passed by keyword",
        ),
        Move("jax.scipy.linalg.tril", "jax.numpy.tril", since="jax>=0.4.16", removed="0.4.24"),
        Move("jax.scipy.linalg.triu", "jax.numpy.triu", since="jax>=0.4.16", removed="0.4.24"),
        Move(
            "jax.scipy.linalg.solve",
            "jax.scipy.linalg.solve",
            since="jax>=0.3.15",
            removed="0.4.21",
            arguments=Arguments(
                drop={"sym_pos": ("False",)},
                replace={("sym_pos", "True"): 'assume_a="pos"'},
                only_if=("sym_pos",),
            ),
            note='`sym_pos=True` is `assume_a="pos"`',
        ),
        Move(
            "jax.scipy.special.sph_harm",
            "jax.scipy.special.sph_harm_y",
            since="jax>=0.7.0",
            removed="0.10.0",
            signature=("m", "n", "theta", "phi", "n_max"),
            call="<jax.scipy.special.sph_harm_y>({n}, {m}, {phi}, {theta}{?n_max:, n_max={n_max}})",
            note="both pairs of arguments change places",
        ),
        Move("jax.ad_checkpoint.checkpoint", "jax.checkpoint", since="jax>=0.8.2", removed="0.10.0"),
        Move("jax.ad_checkpoint.remat", "jax.remat", since="jax>=0.8.2", removed="0.10.0"),
        *(
            Move(
                f"jax.{name}",
                f"jax.{name}",
                since="jax>=0.3.17",
                removed="0.3.17",
                arguments=Arguments(drop={"concrete": ("False",)}, only_if=("concrete",)),
                note="`concrete` is gone, `static_argnums` takes its place",
                help="mark the arguments that must be concrete with `static_argnums=`",
            )
            for name in ("checkpoint", "remat")
        ),
        Move(
            "jax.jit",
            "jax.jit",
            since="jax>=0.6.0",
            removed="0.7.0",
            arguments=Arguments(signature=("fun",), positional=("fun",), only_if=("fun",)),
            note="the function is positional",
        ),
        Move(
            "jax.pure_callback",
            "jax.pure_callback",
            since="jax>=0.4.35",
            removed="0.6.0",
            arguments=Arguments(
                replace={
                    ("vectorized", "False"): 'vmap_method="sequential"',
                    ("vectorized", "True"): 'vmap_method="legacy_vectorized"',
                },
                only_if=("vectorized",),
            ),
            note="`vectorized` is `vmap_method`",
        ),
        Move(
            "jax.ShapeDtypeStruct",
            "jax.ShapeDtypeStruct",
            since="jax>=0.4.34",
            removed="0.4.34",
            arguments=Arguments(drop={"named_shape": ("None",)}, only_if=("named_shape",)),
            note="`named_shape` is gone",
        ),
        Move("jax.stages.OutInfo", "jax.ShapeDtypeStruct", since="jax>=0.7.0", removed="0.7.0", types=True),
        Move(
            "jax.xla_computation",
            since="jax>=0.4.30",
            removed="0.4.34",
            help='`jax.xla_computation(f)(*args)` is `jax.jit(f).lower(*args).compiler_ir("hlo")`, its text '
            '`jax.jit(f).lower(*args).as_text("hlo")`',
        ),
        *(
            Move(f"jax.profiler.{old}", f"jax.profiler.{new}", since="jax>=0.3.15", removed="0.3.15")
            for old, new in (
                ("TraceContext", "TraceAnnotation"),
                ("StepTraceContext", "StepTraceAnnotation"),
                ("trace_function", "annotate_function"),
            )
        ),
        *(
            Move(
                f"jax.test_util.{name}",
                since="jax>=0.3.1",
                removed="0.3.15",
                help="a test helper of JAX itself: use `absl.testing`, `numpy.testing` or pytest",
            )
            for name in _TESTS
        ),
    )
