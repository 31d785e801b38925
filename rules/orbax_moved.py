from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.moves import UNKNOWN, Move, MovesRule
from nnx_migrate.engine.triggers import Use

_ASYNC = "orbax.checkpoint.StandardCheckpointer"
_WAITS = {"wait_until_finished", "close"}


class OrbaxMoved(MovesRule):
    """Orbax names that are gone, and saves that nobody waits for.

    What it finds
    -------------
    `ocp.checkpoint_utils.restore_args_from_target`, the `*_context` helpers, `save_pytree` and
    `load_pytree` of `orbax.checkpoint.v1`, and a `StandardCheckpointer` that saves in a file which never
    waits for it. `ocp.PyTreeCheckpointer` is current and not reported.

    Why
    ---
    The names are gone or warn. `StandardCheckpointer.save` returns before the checkpoint is written: a
    script that ends then leaves a folder `*.orbax-checkpoint-tmp` and nothing else.

    Example
    -------
    ::

        args = ocp.checkpoint_utils.restore_args_from_target(target)
        # becomes
        args = ocp.checkpoint_utils.construct_restore_args(target)

    Fix safety
    ----------
    Safe for the renames. Waiting is reported only: where to wait is the program's decision.

    Since
    -----
    `restore_args_from_target`: removed in Orbax 0.3.2. Asynchronous saves: Orbax 0.6.0.

    References
    ----------
    https://orbax.readthedocs.io/en/latest/guides/checkpoint/async_checkpointing.html
    """

    id = "orbax-moved"
    group = "orbax"
    triggers = frozenset({_ASYNC})
    moves = (
        Move(
            "orbax.checkpoint.checkpoint_utils.restore_args_from_target",
            "orbax.checkpoint.checkpoint_utils.construct_restore_args",
            since="orbax-checkpoint>=0.3.2",
            removed="0.3.2",
        ),
        *(
            Move(
                f"orbax.checkpoint.{name}_context",
                since="orbax-checkpoint>=0.5.8",
                removed="0.5.10",
                help=f"write `with ocp.{cls}(...) as ...:`",
            )
            for name, cls in (
                ("checkpoint_manager", "CheckpointManager"),
                ("checkpointer", "Checkpointer"),
                ("async_checkpointer", "AsyncCheckpointer"),
            )
        ),
        *(
            Move(
                f"orbax.checkpoint.{name}",
                since="orbax-checkpoint>=0.3.0",
                removed=UNKNOWN,
                module=True,
                help="an internal of Orbax that nothing public replaces",
            )
            for name in ("lazy_utils", "value_metadata")
        ),
        *(
            Move(
                f"orbax.checkpoint.{home}.{old}",
                f"orbax.checkpoint.{home}.{new}",
                since="orbax-checkpoint>=0.12.0",
            )
            for home in ("v1", "experimental.v1")
            for old, new in (("save_pytree", "save"), ("load_pytree", "load"))
        ),
    )

    def check(self, file: FileContext) -> Iterable[Finding]:
        """The table, and asynchronous saves that nobody waits for."""
        yield from super().check(file)
        if file.targets.concerned("orbax-checkpoint>=0.6.0"):
            for use in file.uses(_ASYNC):
                call = file.call_of(use.node)
                if call is not None and self._saves_without_waiting(file, use, call):
                    yield self.finding(
                        file,
                        use.node,
                        "`StandardCheckpointer.save` returns before the checkpoint is written, and nothing "
                        "here waits",
                        reason="changed-semantics",
                        help="call `.wait_until_finished()` before the program ends or the checkpoint is "
                        "read, or "
                        "write `with ocp.StandardCheckpointer() as checkpointer:`",
                    )

    @staticmethod
    def _saves_without_waiting(file: FileContext, use: Use, call: ast.Call) -> bool:
        """True for `StandardCheckpointer().save(...)`, and for a variable that only ever saves."""
        parent = file.parent(call)
        if isinstance(parent, ast.Attribute):
            return parent.attr == "save"
        if not (isinstance(parent, ast.Assign) and len(parent.targets) == 1):
            return False
        target = parent.targets[0]
        if not isinstance(target, ast.Name | ast.Attribute):
            return False
        name = file.segment(target)
        methods: set[str] = set()
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Name | ast.Attribute) or node is target:
                continue
            if isinstance(node, ast.Attribute) and file.segment(node.value) == name:
                methods.add(node.attr)
            elif file.segment(node) == name and not isinstance(file.parent(node), ast.Attribute):
                return False  # handed on, returned or entered: somebody else may wait
        return "save" in methods and not methods & _WAITS
