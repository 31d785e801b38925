from __future__ import annotations

import ast

from nnx_migrate.engine.arguments import CallView, CannotBind
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding, Fix
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.positions import atom, parenthesised
from nnx_migrate.engine.triggers import Use

# Functions that take a tensor itself where they once took a capsule.
_CONSUMERS = {
    "jax.dlpack.from_dlpack",
    "jax.numpy.from_dlpack",
    "torch.from_dlpack",
    "torch.utils.dlpack.from_dlpack",
    "numpy.from_dlpack",
    "cupy.from_dlpack",
}


class JaxDlpack(MovesRule):
    """DLPack without capsules: arrays are handed over themselves.

    What it finds
    -------------
    `jax.dlpack.to_dlpack(x)`, and capsules of `torch.utils.dlpack.to_dlpack(t)` given to JAX.
    `jax.dlpack.from_dlpack(tensor)` is current and not reported.

    Why
    ---
    `to_dlpack` is gone, and `from_dlpack` takes objects with `__dlpack__`, no capsules.

    Example
    -------
    ::

        t = torch.utils.dlpack.from_dlpack(jax.dlpack.to_dlpack(x))
        y = jax.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(t))
        # becomes
        t = torch.utils.dlpack.from_dlpack(x)
        y = jax.dlpack.from_dlpack(t.detach())

    Fix safety
    ----------
    Safe where the capsule goes straight into a function that takes arrays too: memory is shared as before.
    Capsules that are stored or given to other functions are reported only.

    Since
    -----
    `to_dlpack`: deprecated in JAX 0.6.0, removed in 0.7.0. Capsules: deprecated in 0.4.32, removed in 0.7.2.

    References
    ----------
    https://docs.jax.dev/en/latest/jax.dlpack.html
    """

    id = "jax-dlpack"
    group = "jax"
    moves = (
        Move(
            "jax.dlpack.to_dlpack",
            since="jax>=0.6.0",
            removed="0.7.0",
            signature=("x",),
            call="{x}",
            help="give the array itself to the other library's `from_dlpack`",
        ),
        Move(
            "torch.utils.dlpack.to_dlpack",
            since="jax>=0.7.2",
            signature=("x",),
            call="{x}",
            note="capsules are no longer taken by JAX",
        ),
    )

    def check_use(self, file: FileContext, use: Use, move: Move) -> Finding | None:
        """Capsules of PyTorch concern us only where JAX gets them."""
        if move.old.startswith("torch.") and not (self._consumer(file, use) or "").startswith("jax."):
            return None
        return super().check_use(file, use, move)

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """The array in place of its capsule."""
        if call is None or self._consumer(file, use) not in _CONSUMERS:
            raise CannotBind("the capsule is not given straight to a `from_dlpack` that takes arrays")
        if len(call.args) != 1 or call.keywords or call.has_star:
            raise CannotBind("only a call with the array alone has a direct equivalent")
        fix = file.fix()
        text = file.segment(call.args[0])
        if move.old.startswith("torch.") and not text.endswith(".detach()"):
            text = f"{atom(text)}.detach()"
        fix.replace(call.node, parenthesised(text, call.node, file.parent(call.node)))
        return fix.build("hand over the array itself")

    @staticmethod
    def _consumer(file: FileContext, use: Use) -> str | None:
        """What the capsule of `to_dlpack(...)` is given to."""
        call = file.call_of(use.node)
        outer = file.parent(call) if call is not None else None
        if isinstance(outer, ast.Call) and outer.args and outer.args[0] is call:
            return file.resolve(outer.func)
        return None
