from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule

_REMOVED_0_4_16 = {"product": "prod", "cumproduct": "cumprod", "alltrue": "all", "sometrue": "any"}
_CLIP = Arguments(
    signature=("a", "min", "max"),
    positional=("a",),
    rename={"a_min": "min", "a_max": "max"},
    only_if=("a", "a_min", "a_max"),
)
_SORT = Arguments(
    drop={"kind": ("'quicksort'", "'heapsort'", "None"), "order": ("None",)},
    replace={("kind", "'stable'"): "stable=True", ("kind", "'mergesort'"): "stable=True"},
    only_if=("kind", "order"),
)


def _gone(old: str, new: str, since: str, removed: str) -> Move:
    return Move(f"jax.numpy.{old}", f"jax.numpy.{new}", since=f"jax>={since}", removed=removed)


class JaxNumpy(MovesRule):
    """Functions, constants and arguments that left `jax.numpy`.

    What it finds
    -------------
    - renamed: `alltrue`, `sometrue`, `product`, `cumproduct`, `trapz`, `row_stack`, `round_`, `fix`
    - replaced by another call: `in1d`, `msort`
    - constants: `NINF`, `PINF`, `PZERO`, `NZERO`
    - arguments: `clip(a_min=, a_max=)`, `reshape(newshape=)`, `percentile(interpolation=)` and its three
      neighbours, `where(condition=, x=, y=)`, `sort(kind=)`, `argsort(kind=)`, `array(x, dtype, copy)` by
      position

    Only `jax.numpy` is looked at: `np.clip(x, a_min=0)` is fine.

    Why
    ---
    They are gone, most of them since NumPy dropped or renamed its own.

    Example
    -------
    ::

        x = jnp.clip(x, a_min=0.0, a_max=1.0)
        mask = jnp.in1d(ids, known)
        # becomes
        x = jnp.clip(x, min=0.0, max=1.0)
        mask = jnp.isin(ids, known).ravel()

    Fix safety
    ----------
    Safe. `in1d` flattened its input, so `.ravel()` is added; `msort` sorted along the first axis, so `axis=0`
    is. All sorts of JAX were stable whatever `kind` said. A call with `*args` or `**kwargs` is reported only.

    Since
    -----
    JAX 0.4.9 (`msort`) to 0.10.1 (positional `copy`); each finding names its release.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html
    """

    id = "jax-numpy"
    group = "jax"
    moves = (
        *(_gone(old, new, "0.4.12", "0.4.16") for old, new in _REMOVED_0_4_16.items()),
        _gone("trapz", "trapezoid", "0.4.16", "0.4.24"),
        _gone("row_stack", "vstack", "0.4.16", "0.4.24"),
        _gone("round_", "round", "0.4.33", "0.4.38"),
        _gone("fix", "trunc", "0.9.0", "0.10.0"),
        Move(
            "jax.numpy.in1d",
            "jax.numpy.isin",
            since="jax>=0.4.16",
            removed="0.4.24",
            arguments=Arguments(
                signature=("ar1", "ar2", "assume_unique", "invert"),
                rename={"ar1": "element", "ar2": "test_elements"},
                suffix=".ravel()",
            ),
            help="use `jnp.isin(a, b).ravel()`: `in1d` flattened its first argument",
        ),
        Move(
            "jax.numpy.msort",
            "jax.numpy.sort",
            since="jax>=0.4.9",
            removed="0.4.9",
            arguments=Arguments(signature=("a",), append=("axis=0",)),
            help="use `jnp.sort(a, axis=0)`: `msort` sorted along the first axis",
        ),
        Move("jax.numpy.NINF", since="jax>=0.4.16", removed="0.4.24", value="-<jax.numpy.inf>"),
        Move("jax.numpy.PINF", "jax.numpy.inf", since="jax>=0.4.13", removed=UNKNOWN),
        Move("jax.numpy.PZERO", since="jax>=0.4.16", removed="0.4.24", value="0.0"),
        Move("jax.numpy.NZERO", since="jax>=0.4.16", removed="0.4.24", value="-0.0"),
        Move(
            "jax.numpy.issubsctype",
            since="jax>=0.4.16",
            removed="0.4.24",
            help="use `jnp.issubdtype(x.dtype, t)`, or `jnp.issubdtype(x, t)` where `x` is a dtype",
        ),
        Move(
            "jax.numpy.clip",
            "jax.numpy.clip",
            since="jax>=0.4.27",
            removed="0.10.0",
            arguments=_CLIP,
            note="`min`, `max` and a positional array",
        ),
        Move(
            "jax.numpy.reshape",
            "jax.numpy.reshape",
            since="jax>=0.4.28",
            removed="0.4.36",
            arguments=Arguments(rename={"newshape": "shape"}, only_if=("newshape",)),
            note="`newshape` is `shape`",
        ),
        *(
            Move(
                f"jax.numpy.{name}",
                f"jax.numpy.{name}",
                since="jax>=0.4.13",
                removed="0.8.0",
                arguments=Arguments(rename={"interpolation": "method"}, only_if=("interpolation",)),
                note="`interpolation` is `method`",
            )
            for name in ("percentile", "quantile", "nanpercentile", "nanquantile")
        ),
        *(
            Move(
                f"jax.numpy.{name}",
                f"jax.numpy.{name}",
                since="jax>=0.4.24",
                removed="0.4.28",
                arguments=_SORT,
                note="sorts are stable",
            )
            for name in ("sort", "argsort")
        ),
        Move(
            "jax.numpy.where",
            "jax.numpy.where",
            since="jax>=0.4.21",
            removed="0.4.27",
            arguments=Arguments(
                signature=("condition", "x", "y"),
                positional=("condition", "x", "y"),
                only_if=("condition", "x", "y"),
            ),
            note="they are positional",
        ),
        Move(
            "jax.numpy.array",
            "jax.numpy.array",
            since="jax>=0.10.1",
            arguments=Arguments(
                signature=("object", "dtype", "copy", "order", "ndmin"),
                keyword=("copy", "order", "ndmin"),
                only_if=("copy", "order", "ndmin"),
            ),
            note="`copy`, `order` and `ndmin` are passed by keyword",
        ),
    )
