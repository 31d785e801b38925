from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.arguments import Arguments
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule
from nnx_migrate.names.scopes import BindingKind

_MESHES = ("jax.sharding.Mesh", "jax.make_mesh")
_GONE = {
    "PositionalSharding": ("jax>=0.6.0", "0.7.0"),
    "PmapSharding": ("jax>=0.8.2", "0.10.0"),
    "GSPMDSharding": ("jax>=0.7.0", UNKNOWN),
    "OpShardingSharding": ("jax>=0.4.12", "0.4.12"),
    "MeshPspecSharding": ("jax>=0.4.12", UNKNOWN),
}


class JaxSharding(MovesRule):
    """Sharding classes and mesh contexts that changed.

    What it finds
    -------------
    `jax.sharding.use_mesh`, `jax.lax.pvary`, `jax.sharding.PositionalSharding` and other sharding classes
    that are gone, and `with mesh:`. `jax.pmap`, `jax.sharding.Mesh` and `NamedSharding` are current and not
    reported.

    Why
    ---
    The names are gone. `with mesh:` warns since JAX 0.10.1, and what took its place is not the same thing.

    Example
    -------
    ::

        with jax.sharding.use_mesh(mesh):
            y = jax.lax.pvary(x, "i")
        # becomes
        with jax.set_mesh(mesh):
            y = jax.lax.pcast(x, "i", to="varying")

    Fix safety
    ----------
    Safe for `use_mesh` and `pvary`. `with mesh:` is reported only: arrays created under
    `jax.set_mesh(mesh)` are committed to all devices, so `jit(in_shardings=...)` may refuse them, and a
    mesh from `jax.make_mesh` is explicit by default.

    Since
    -----
    `use_mesh`: removed in JAX 0.7.1. `pvary`: deprecated in 0.8.2, removed in 0.10.0. `with mesh:`:
    deprecated in 0.10.1.

    References
    ----------
    https://docs.jax.dev/en/latest/notebooks/explicit-sharding.html
    """

    id = "jax-sharding"
    group = "jax"
    triggers = frozenset(_MESHES)
    moves = (
        Move("jax.sharding.use_mesh", "jax.set_mesh", since="jax>=0.7.1", removed="0.7.1"),
        Move(
            "jax.lax.pvary",
            "jax.lax.pcast",
            since="jax>=0.8.2",
            removed="0.10.0",
            arguments=Arguments(signature=("x", "axis_name"), append=('to="varying"',)),
        ),
        Move(
            "jax.shard_map",
            "jax.shard_map",
            since="jax>=0.8.0",
            removed="0.8.0",
            arguments=Arguments(drop={"auto": ("frozenset()",)}, only_if=("auto",)),
            help="give `axis_names=` the axes of the mesh that `auto` left out",
        ),
        Move(
            "jax.sharding.XLACompatibleSharding",
            "jax.sharding.Sharding",
            since="jax>=0.4.29",
            removed="0.4.34",
            types=True,
        ),
        *(
            Move(
                f"jax.sharding.{name}",
                since=since,
                removed=removed,
                help="use `jax.sharding.NamedSharding(mesh, PartitionSpec(...))`",
            )
            for name, (since, removed) in _GONE.items()
        ),
    )

    def check(self, file: FileContext) -> Iterable[Finding]:
        """The table, and `with mesh:`."""
        yield from super().check(file)
        if not file.targets.concerned("jax>=0.10.1"):
            return
        if not any(True for _ in file.uses(*_MESHES)):
            return
        for node in ast.walk(file.tree):
            if isinstance(node, ast.With | ast.AsyncWith):
                for item in node.items:
                    if self._is_mesh(item.context_expr, file):
                        yield self.finding(
                            file,
                            item.context_expr,
                            "a mesh as context manager is deprecated since jax 0.10.1",
                            reason="changed-semantics",
                            help="`jax.set_mesh(mesh)` commits arrays created inside of it to all devices: "
                            "shard "
                            "them with `jax.device_put(x, PartitionSpec(...))`, and build the mesh with "
                            "`axis_types=(jax.sharding.AxisType.Auto,) * n` if the code relies on "
                            "`with_sharding_constraint`",
                        )

    @staticmethod
    def _is_mesh(node: ast.expr, file: FileContext) -> bool:
        """`Mesh(...)` itself, or a name that is only ever bound to one."""
        if isinstance(node, ast.Call):
            return file.resolve(node.func) in _MESHES
        if not isinstance(node, ast.Name):
            return False
        bindings = file.module.scope_at(node).lookup(node.id)
        return bool(bindings) and all(
            binding.kind is BindingKind.ASSIGNMENT
            and isinstance(binding.value, ast.Call)
            and file.resolve(binding.value.func) in _MESHES
            for binding in bindings
        )
