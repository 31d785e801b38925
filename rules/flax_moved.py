from __future__ import annotations

import ast

from nnx_migrate.engine.arguments import CallView
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.import_text import drop_statement
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.triggers import Use

_SCALE = "flax.training.dynamic_scale"
_REMOVED_FLAGS = {
    "flax_lazy_rng",
    "flax_use_regular_dict",
    "flax_relaxed_naming",
}  # True is what always holds


class FlaxMoved(MovesRule):
    """Flax names that moved, and flags that are gone.

    What it finds
    -------------
    `flax.optim.DynamicScale` and `flax.optim.dynamic_scale`, `flax.experimental.nnx`, `flax.jax_utils.pmean`,
    `nn.ConvLSTM`, `nn.GeGLU`, `flax.linen.spmd.logical_axis_rules`, `flax.training.prefetch_iterator`,
    `flax.config.update` of flags that are gone. `flax.jax_utils.replicate`, `flax.training.common_utils`,
    `flax.core.freeze` and `flax.struct` are current and not reported.

    Why
    ---
    The names are gone or warn; setting a flag that no longer exists raises LookupError.

    Example
    -------
    ::

        from flax.optim import DynamicScale
        from flax.experimental import nnx
        # becomes
        from flax import nnx
        from flax.training.dynamic_scale import DynamicScale

    Fix safety
    ----------
    Safe: the same things under new names. The call that sets a gone flag to True, which always holds now,
    goes; one that sets it to False is reported only.

    Since
    -----
    Flax 0.4.1 (`flax.optim.DynamicScale`) to 0.10.1; each finding names its release.

    References
    ----------
    https://github.com/google/flax/blob/main/CHANGELOG.md
    """

    id = "flax-moved"
    group = "linen"
    moves = (
        Move("flax.optim.DynamicScale", f"{_SCALE}.DynamicScale", since="flax>=0.4.1", removed="0.6.0"),
        Move("flax.optim.dynamic_scale", _SCALE, since="flax>=0.4.1", removed="0.6.0", module=True),
        Move("flax.experimental.nnx", "flax.nnx", since="flax>=0.8.4", module=True),
        Move(
            "flax.nn",
            since="flax>=0.4",
            removed="0.4.0",
            module=True,
            help="modules of that time defined `apply`; write `nnx.Module` classes whose `__init__` makes the layers",
        ),
        Move("flax.jax_utils.pmean", "jax.lax.pmean"),
        Move("flax.linen.ConvLSTM", "flax.linen.ConvLSTMCell", since="flax>=0.6.4", removed="0.6.4"),
        Move(
            "flax.linen.spmd.logical_axis_rules",
            "flax.linen.logical_axis_rules",
            since="flax>=0.10.2",
            removed="0.10.2",
        ),
        Move(
            "flax.linen.GeGLU",
            since="flax>=0.10.1",
            removed="0.10.1",
            help="write it out: a Dense of twice the size, split in two, one half times `nn.gelu` of the "
            "other",
        ),
        Move(
            "flax.training.prefetch_iterator",
            module=True,
            help="prefetch where the data is made (`tf.data`, Grain)",
        ),
        *(
            Move(
                f"flax.traverse_util.{name}",
                help="use `flax.traverse_util.path_aware_map`, or labels with `optax.partition` for "
                "optimizers",
            )
            for name in ("Traversal", "ModelParamTraversal", "TraverseTree")
        ),
        Move(
            "flax.config.update",
            "flax.config.update",
            since="flax>=0.10.1",
            removed="0.10.1",
        ),
    )

    def check_use(self, file: FileContext, use: Use, move: Move) -> Finding | None:
        """`flax.config.update` is outdated for flags that no longer exist."""
        if move.old != "flax.config.update":
            return super().check_use(file, use, move)
        call = CallView.of(use.node, file)
        if call is None or not call.args or not isinstance(call.args[0], ast.Constant):
            return None
        flag = call.args[0].value
        if flag not in _REMOVED_FLAGS:
            return None
        message = f"the flag `{flag}` was removed in flax 0.10.1"
        statement = file.parent(call.node)
        value = call.args[1] if len(call.args) == 2 else None
        if not (isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and value.value is True):
            help = "delete the call; Flax behaves as if the flag were True"
            return self.finding(file, use.node, message, reason="no-equivalent", help=help)
        fix = file.fix()
        fix.edits.append(drop_statement(file.module, statement))
        return self.finding(file, use.node, message, fix.build("delete the call"))
