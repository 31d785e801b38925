from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.moves import Move, MovesRule

_KEY_HELP = (
    "`jax.Array` in annotations; to ask at run time whether `x` is a typed key, "
    "`jnp.issubdtype(x.dtype, jax.dtypes.prng_key)`"
)


class JaxRandom(MovesRule):
    """Key types and functions that left `jax.random`.

    What it finds
    -------------
    `jax.random.KeyArray` and `jax.random.PRNGKeyArray`, `jax.random.shuffle`, and `threefry2x32_key`,
    `rbg_key` and `unsafe_rbg_key`. `jax.random.PRNGKey` is current and not reported.

    Why
    ---
    They are gone: typed keys are arrays, so their type is `jax.Array`.

    Example
    -------
    ::

        def shuffled(key: jax.random.KeyArray, x):
            return jax.random.shuffle(key, x)
        # becomes
        def shuffled(key: jax.Array, x):
            return jax.random.permutation(key, x, independent=True)

    Fix safety
    ----------
    Annotations: safe. `isinstance(x, KeyArray)` is reported only, because `isinstance(x, jax.Array)` is
    true of every array. `shuffle` shuffled each column on its own, so `independent=True` is added: the same
    numbers, bit for bit (without it, whole rows are permuted).

    Since
    -----
    The types: deprecated in JAX 0.4.16, removed in 0.4.24. `shuffle`: deprecated in 0.4.21, removed in
    0.4.31.

    References
    ----------
    https://docs.jax.dev/en/latest/jep/9263-typed-keys.html
    """

    id = "jax-random"
    group = "jax"
    moves = (
        *(
            Move(old, "jax.Array", since="jax>=0.4.16", removed="0.4.24", types=True, help=_KEY_HELP)
            for old in ("jax.random.KeyArray", "jax.random.PRNGKeyArray", "jax.prng.PRNGKeyArray")
        ),
        Move(
            "jax.random.shuffle",
            "jax.random.permutation",
            since="jax>=0.4.21",
            removed="0.4.31",
            arguments=Arguments(signature=("key", "x", "axis"), append=("independent=True",)),
            help="use `jax.random.permutation(key, x, independent=True)`",
        ),
        *(
            Move(
                f"jax.random.{name}_key",
                since="jax>=0.4.17",
                removed="0.4.24",
                help=f'use `jax.random.key(seed, impl="{name}")`, or `jax.random.PRNGKey` with that `impl` '
                "where the key is handled as an array of integers",
            )
            for name in ("threefry2x32", "rbg", "unsafe_rbg")
        ),
    )
