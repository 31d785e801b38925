from __future__ import annotations

from nnx_migrate.engine.arguments import Arguments, CallView, CannotBind
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Fix
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.triggers import Use

_HOSTS = {"host_id": "process_index", "host_count": "process_count", "host_ids": "process_indices"}


class JaxDevices(MovesRule):
    """Functions about hosts and devices that were renamed or removed.

    What it finds
    -------------
    `jax.host_id`, `jax.host_count`, `jax.host_ids`, `jax.device_put_replicated`, `jax.device_put_sharded` and
    `jax.clear_backends`. `jax.pmap` and `flax.jax_utils.replicate` are current and not reported.

    Why
    ---
    Hosts are called processes, and the old names warn. The `device_put_*` functions are gone.

    Example
    -------
    ::

        if jax.host_id() == 0:
            params = jax.device_put_replicated(params, jax.local_devices())
        # becomes
        if jax.process_index() == 0:
            params = flax.jax_utils.replicate(params, jax.local_devices())

    Fix safety
    ----------
    Safe. `device_put_replicated` adds a leading axis of devices, which `jax.device_put` alone does not;
    `flax.jax_utils.replicate` does, and is written in files that use Flax. Elsewhere it is reported only.

    Since
    -----
    The hosts: deprecated in JAX 0.2.13. `device_put_replicated`: deprecated in 0.8.1, removed in 0.10.0.
    `clear_backends`: removed in 0.4.36.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html
    """

    id = "jax-devices"
    group = "jax"
    moves = (
        *(
            Move(f"jax.{old}", f"jax.{new}", since="jax>=0.4.14" if old == "host_ids" else "jax>=0.2.13")
            for old, new in _HOSTS.items()
        ),
        Move(
            "jax.jit",
            "jax.jit",
            since="jax>=0.4.14",
            arguments=Arguments(
                drop={"device": ("None",), "backend": ("None",)}, only_if=("device", "backend")
            ),
            note="`device` and `backend`",
            help="put the inputs there with `jax.device_put`, and leave the choice to them",
        ),
        Move(
            "jax.device_put_replicated",
            "flax.jax_utils.replicate",
            since="jax>=0.8.1",
            removed="0.10.0",
            help="for code under `jax.pmap`, stack one copy per device along a new first axis and put it "
            "there with "
            "`NamedSharding(Mesh(devices, ('i',)), PartitionSpec('i'))`; for `jax.jit`, "
            "`jax.device_put(x, NamedSharding(mesh, PartitionSpec()))` without that axis",
        ),
        Move(
            "jax.device_put_sharded",
            since="jax>=0.8.1",
            removed="0.10.0",
            help="use `jax.device_put(jnp.stack(shards), NamedSharding(Mesh(devices, ('i',)), "
            "PartitionSpec('i')))`, "
            "for each leaf where the shards are trees",
        ),
        Move(
            "jax.clear_backends",
            "jax.extend.backend.clear_backends",
            since="jax>=0.4.26",
            removed="0.4.36",
        ),
    )

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """`device_put_replicated` only where Flax is there anyway."""
        if move.old == "jax.device_put_replicated":
            flax = any(
                binding.target.partition(".")[0] == "flax"
                for bindings in file.module.scopes.module.bindings.values()
                for binding in bindings
            )
            if not flax:
                raise CannotBind(
                    "this file does not use Flax, whose `jax_utils.replicate` does the same", "no-equivalent"
                )
        return super().rewrite(file, use, move, call)
