from __future__ import annotations

import ast

from nnx_migrate.engine.arguments import CallView
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Fix
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.triggers import Use

_SAME = (
    "device_count", "local_device_count", "devices", "local_devices", "process_count", "process_index",
    "default_backend",
)  # fmt: skip


class JaxXlaBridge(MovesRule):
    """`jax.lib.xla_bridge` and its neighbours are gone: `jax.default_backend()`, `jax.device_count()`.

    What it finds
    -------------
    `jax.lib.xla_bridge`, `jax.lib.xla_client` and `jax.lib.xla_extension`, imported or used.

    Why
    ---
    These modules were internals of JAX; importing them raises ImportError.

    Example
    -------
    ::

        from jax.lib import xla_bridge
        print(xla_bridge.get_backend().platform)
        # becomes
        import jax
        print(jax.default_backend())

    Fix safety
    ----------
    Safe: `jax.default_backend()` is defined as `get_backend().platform`. Other uses of the backend object
    get it from `jax.extend.backend.get_backend`. What has no public equivalent is reported only.

    Since
    -----
    Deprecated in JAX 0.4.32, removed in 0.8.0 (`device_count` and the like were removed in 0.4.3).

    References
    ----------
    https://docs.jax.dev/en/latest/jax.extend.backend.html
    """

    id = "jax-xla-bridge"
    group = "jax"
    moves = (
        Move(
            "jax.lib.xla_bridge.get_backend",
            "jax.extend.backend.get_backend",
            since="jax>=0.4.32",
            removed="0.8.0",
        ),
        *(
            Move(f"jax.lib.xla_bridge.{name}", f"jax.{name}", since="jax>=0.4.3", removed="0.4.3")
            for name in _SAME
        ),
        Move("jax.lib.xla_bridge.host_id", "jax.process_index", since="jax>=0.4.3", removed="0.4.3"),
        Move("jax.lib.xla_bridge.host_count", "jax.process_count", since="jax>=0.4.3", removed="0.4.3"),
        Move(
            "jax.lib.xla_bridge",
            module=True,
            since="jax>=0.4.32",
            removed="0.8.0",
            help="public parts are `jax.devices`, `jax.default_backend` and `jax.extend.backend`",
        ),
        *(
            Move(
                f"jax.lib.{module}.XlaRuntimeError",
                "jax.errors.JaxRuntimeError",
                since="jax>=0.6.0",
                removed="0.8.0",
            )
            for module in ("xla_extension", "xla_client")
        ),
        *(
            Move(f"jax.lib.{module}.Device", "jax.Device", since="jax>=0.6.0", removed="0.8.0")
            for module in ("xla_extension", "xla_client")
        ),
        *(
            Move(
                f"jax.lib.{module}",
                module=True,
                since="jax>=0.6.0",
                removed="0.8.0",
                help="internals of JAX; `jax.errors.JaxRuntimeError`, `jax.Array`, `jax.Device` and "
                "`jax.ffi` "
                "are the public ones",
            )
            for module in ("xla_extension", "xla_client")
        ),
    )

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """`get_backend().platform` is `jax.default_backend()`."""
        if call is not None and use.qualified.endswith(".get_backend") and not (call.args or call.keywords):
            around = file.parent(call.node)
            if isinstance(around, ast.Attribute) and around.attr == "platform":
                fix = file.fix()
                fix.replace(around, f"{fix.name('jax.default_backend', at=use.node)}()")
                return fix.build("use `jax.default_backend`")
        return super().rewrite(file, use, move, call)
