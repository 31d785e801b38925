from __future__ import annotations

import ast

from nnx_migrate.engine.arguments import Arguments, CallView, CannotBind
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Fix
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule
from nnx_migrate.engine.triggers import Use

_SPEC_HOMES = (
    "jax.experimental",
    "jax.experimental.pjit",
    "jax.interpreters.pxla",
    "jax.interpreters.sharded_jit",
)
_HOST_CALLBACK = {
    "id_print": "use `jax.debug.print`; it returns nothing, so what used the result takes the argument "
    "itself",
    "id_tap": "use `jax.debug.callback(f, x)`: `f` gets the values alone, without `transforms`, and the "
    "call returns "
    "nothing; add `ordered=True` where the order of calls matters",
    "call": 'use `jax.pure_callback(f, result_shape, x, vmap_method="sequential")`, or '
    "`jax.experimental.io_callback` where `f` has effects",
    "barrier_wait": "use `jax.effects_barrier()`",
}
_OPTIX = (
    "adam", "adamw", "sgd", "rmsprop", "adagrad", "adabelief", "lamb", "fromage", "noisy_sgd", "radam",
    "chain", "trace",
    "clip", "clip_by_global_norm", "scale", "scale_by_adam", "scale_by_rms", "scale_by_rss",
    "scale_by_schedule",
    "scale_by_trust_ratio", "add_noise", "apply_every", "apply_updates", "masked", "global_norm",
    "centralize",
)  # fmt: skip
_ELSEWHERE = {
    "loops": "`jax.lax.fori_loop`, `jax.lax.scan` or `jax.lax.while_loop`",
    "ann": "`jax.lax.approx_max_k` and `approx_min_k`",
    "vectorize": "`jnp.vectorize(f, signature=...)`",
    "callback": "`jax.pure_callback` or `jax.debug.callback`",
    "global_device_array": "`jax.Array`, which is global",
    "gda_serialization": "`jax.experimental.array_serialization`",
    "array_api": "`jax.numpy`, which follows the array API itself",
    "export": "`jax.export`",
    "general_map": "`jax.vmap`",
    "djax": "",
    "doubledouble": "",
}
_REMOVED = {"loops": "0.3.16", "global_device_array": "0.4.7", "export": "0.4.36", "array_api": "0.5.0"}
_SHARD_MAP_HELP = (
    "`jax.shard_map(f, mesh=mesh, ..., check_vma=...)`: with `check_vma=True` gradients with respect to "
    "replicated "
    "(`P()`) inputs are summed over the mesh already, so a `pmean` of them afterwards is too large by the "
    "number of "
    "devices; drop it, or pass `check_vma=False`, or `jax.lax.pcast` the parameters first"
)


class JaxExperimental(MovesRule):
    """What left `jax.experimental`: pjit, maps, stax, PartitionSpec, shard_map, host_callback and others.

    What it finds
    -------------
    Uses and imports of `jax.experimental.{PartitionSpec, pjit, maps, stax, optix, host_callback, shard_map,
    enable_x64, disable_x64, loops, ann, vectorize, ...}`, and of `PartitionSpec` and `Mesh` in
    `jax.interpreters.pxla`. `jax.example_libraries.stax` is current and not reported.

    Why
    ---
    They became public API elsewhere, or are gone.

    Example
    -------
    ::

        from jax.experimental.maps import Mesh
        from jax.experimental.pjit import PartitionSpec as P, pjit
        step = pjit(step, donate_argnums=0)
        # becomes
        import jax
        from jax.sharding import Mesh, PartitionSpec as P
        step = jax.jit(step, donate_argnums=0)

    Fix safety
    ----------
    Safe where the new name is the same thing. `pjit` with shardings or axis resources is reported only:
    `jax.jit` wants `NamedSharding` where pjit took a bare PartitionSpec, and `None` means "unspecified"
    instead of "replicated". `shard_map` is rewritten if it says `check_rep=False` (then `check_vma=False`
    is the same); otherwise it is reported only, since gradients inside of it may change by the number of
    devices.

    Since
    -----
    JAX 0.2.25 (`stax`) to 0.9.0 (`enable_x64`); each finding names its release.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html, https://docs.jax.dev/en/latest/notebooks/shard_map.html
    """

    id = "jax-experimental"
    group = "jax"
    moves = (
        *(
            Move(f"{home}.PartitionSpec", "jax.sharding.PartitionSpec", since="jax>=0.4.4", removed="0.4.11")
            for home in _SPEC_HOMES
        ),
        *(
            Move(f"{home}.Mesh", "jax.sharding.Mesh", since="jax>=0.4.4", removed="0.4.11")
            for home in ("jax.experimental.maps", "jax.interpreters.pxla")
        ),
        Move(
            "jax.jit",
            "jax.jit",
            since="jax>=0.8.2",
            removed="0.8.2",
            arguments=Arguments(drop={"abstracted_axes": ("None",)}, only_if=("abstracted_axes",)),
            note="`abstracted_axes`",
            help="JAX has no dynamic shapes of that kind any more",
        ),
        Move(
            "jax.experimental.maps.xmap",
            since="jax>=0.4.26",
            removed="0.4.31",
            help="use `jax.vmap` for one device, `jax.shard_map` for a mesh",
        ),
        Move(
            "jax.experimental.maps.mesh",
            since="jax>=0.3.8",
            removed="0.3.8",
            help="use `jax.sharding.Mesh(devices, names)`",
        ),
        Move(
            "jax.experimental.maps",
            module=True,
            since="jax>=0.4.26",
            removed="0.4.31",
            help="`Mesh` is `jax.sharding.Mesh`; nothing public replaces the rest",
        ),
        Move(
            "jax.experimental.pjit.pjit",
            "jax.jit",
            since="jax>=0.8.0",
            arguments=Arguments(signature=("fun",)),
            help="pass `in_shardings` and `out_shardings` as `NamedSharding(mesh, spec)`",
        ),
        Move(
            "jax.experimental.pjit.with_sharding_constraint",
            "jax.lax.with_sharding_constraint",
            since="jax>=0.4.16",
            removed="0.4.16",
            arguments=Arguments(signature=("x", "axis_resources"), rename={"axis_resources": "shardings"}),
        ),
        Move(
            "jax.experimental.stax",
            "jax.example_libraries.stax",
            since="jax>=0.2.25",
            removed="0.3.16",
            module=True,
        ),
        *(Move(f"jax.experimental.optix.{name}", f"optax.{name}", removed="0.2.7") for name in _OPTIX),
        Move("jax.experimental.optix", module=True, removed="0.2.7", help="it became the package `optax`"),
        Move(
            "jax.experimental.enable_x64",
            "jax.enable_x64",
            since="jax>=0.8.0",
            removed="0.9.0",
            arguments=Arguments(signature=("new_val",), append=("True",)),
        ),
        Move(
            "jax.experimental.disable_x64",
            "jax.enable_x64",
            since="jax>=0.8.0",
            removed="0.9.0",
            arguments=Arguments(append=("False",)),
        ),
        Move(
            "jax.experimental.shard_map.shard_map",
            "jax.shard_map",
            since="jax>=0.8.0",
            needs="jax>=0.6.1",
            arguments=Arguments(
                signature=("f", "mesh", "in_specs", "out_specs", "check_rep", "auto"),
                keyword=("mesh", "in_specs", "out_specs", "check_rep"),
                rename={"check_rep": "check_vma"},
                drop={"auto": ("frozenset()",)},
            ),
            help=_SHARD_MAP_HELP,
        ),
        *(
            Move(f"jax.experimental.host_callback.{name}", since="jax>=0.4.26", removed="0.4.35", help=help)
            for name, help in _HOST_CALLBACK.items()
        ),
        Move(
            "jax.experimental.host_callback",
            module=True,
            since="jax>=0.4.26",
            removed="0.8.0",
            help="use `jax.debug.callback`, `jax.debug.print`, `jax.pure_callback` or "
            "`jax.experimental.io_callback`",
        ),
        *(
            Move(
                f"jax.experimental.{name}",
                module=True,
                since="jax>=0.4.36"
                if name == "export"
                else "jax>=0.5.0"
                if name == "array_api"
                else "jax>=0.4.13",
                removed=_REMOVED.get(name, UNKNOWN),
                help=f"use {instead}" if instead else "nothing replaces it",
            )
            for name, instead in _ELSEWHERE.items()
        ),
        *(
            Move(
                f"jax.interpreters.xla.{name}",
                f"jax.{name}",
                since="jax>=0.4.7",
                removed="0.4.14",
            )
            for name in ("Device", "device_put")
        ),
        Move(
            "jax.interpreters.pxla.thread_resources",
            since="jax>=0.8.2",
            help="it only sees `with mesh:`; under `jax.set_mesh(mesh)` ask "
            "`jax.sharding.get_abstract_mesh()`",
        ),
        Move(
            "jax.experimental.compilation_cache.compilation_cache.initialize_cache",
            "jax.experimental.compilation_cache.compilation_cache.set_cache_dir",
            since="jax>=0.4.24",
            removed="0.8.0",
        ),
        Move(
            "jax.experimental.layout.DeviceLocalLayout",
            since="jax>=0.7.0",
            removed="0.7.0",
            help="`DeviceLocalLayout` is `Layout` now, what was `Layout` is `Format`, and `.layout` is "
            "`.format`",
        ),
    )

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """pjit without shardings is jit; shard_map without replication check is `check_vma=False`."""
        if move.old.endswith(".pjit.pjit"):
            self._check_pjit(call)
            if call is None:  # a bare decorator
                fix = file.fix()
                fix.replace(use.node, fix.name("jax.jit", at=use.node))
                return fix.build("use `jax.jit`")
        if move.old.endswith(".shard_map.shard_map"):
            self._check_shard_map(call)
        return super().rewrite(file, use, move, call)

    @staticmethod
    def _check_pjit(call: CallView | None) -> None:
        if call is None:
            return
        if len(call.args) > 1:
            raise CannotBind("pjit's second positional argument is a sharding")
        for name, keyword in call.by_keyword.items():
            sharding = "shardings" in name or "axis_resources" in name
            if sharding and not (isinstance(keyword.value, ast.Constant) and "shardings" in name):
                raise CannotBind(f"`{name}=` may hold bare partition specs, which `jax.jit` does not take")

    @staticmethod
    def _check_shard_map(call: CallView | None) -> None:
        if call is None:
            raise CannotBind("it is passed on as a value, and its arguments change", "passed-as-value")
        given = call.by_keyword.get("check_rep")
        value = given.value if given else call.args[4] if len(call.args) > 4 and not call.has_star else None
        if not (isinstance(value, ast.Constant) and value.value is False):
            raise CannotBind("without `check_rep=False` gradients may change", "changed-semantics")
