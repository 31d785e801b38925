from __future__ import annotations

import ast

from nnx_migrate.engine.arguments import CallView
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Fix
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.positions import parenthesised, type_position
from nnx_migrate.engine.triggers import Use

_OLD = (
    "jax.numpy.DeviceArray",
    "jax.interpreters.xla.DeviceArray",
    "jax.interpreters.xla._DeviceArray",
    "jax.interpreters.pxla.ShardedDeviceArray",
    "jax.lib.xla_extension.DeviceArray",
    "jax.lib.xla_extension.ArrayImpl",
    "jax.xla.DeviceArray",
)
_HELP = (
    "in annotations `jax.Array`; to ask for a concrete array, `isinstance(x, jax.Array) and not "
    "isinstance(x, jax.core.Tracer)`, because tracers count as `jax.Array`"
)


class JaxDeviceArray(MovesRule):
    """`jnp.DeviceArray` is `jax.Array`, but a tracer is one too.

    What it finds
    -------------
    `jax.numpy.DeviceArray`, `jax.interpreters.xla.DeviceArray`, `jax.interpreters.pxla.ShardedDeviceArray`
    and other names of the class that concrete arrays had before JAX 0.4.

    Why
    ---
    The names are gone; all arrays are `jax.Array`.

    Example
    -------
    ::

        def norm(x: jnp.DeviceArray) -> float: ...
        if isinstance(x, jnp.DeviceArray): ...
        # becomes
        def norm(x: jax.Array) -> float: ...
        if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer): ...

    Fix safety
    ----------
    Safe for annotations and for `isinstance` of a plain variable: a tracer was no DeviceArray and is a
    `jax.Array`, so tracers are excluded explicitly. Other uses at run time are reported only.

    Since
    -----
    Deprecated in JAX 0.4.7, removed in 0.4.14.

    References
    ----------
    https://docs.jax.dev/en/latest/jax_array_migration.html
    """

    id = "jax-device-array"
    group = "jax"
    moves = tuple(
        Move(old, "jax.Array", since="jax>=0.4.7", removed="0.4.14", types=True, help=_HELP) for old in _OLD
    )

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """`isinstance` of a variable excludes tracers; everything else as an annotation."""
        question = self._isinstance_of(file, use.node)
        if question is None or type_position(use.node, file):
            return super().rewrite(file, use, move, call)
        fix = file.fix()
        subject = file.segment(question.args[0])
        kinds = file.segment(question.args[1])
        start = file.source.span(question.args[1])[0]
        old_start, old_end = (offset - start for offset in file.source.span(use.node))
        kinds = f"{kinds[:old_start]}{fix.name('jax.Array', at=use.node)}{kinds[old_end:]}"
        tracer = fix.name("jax.core.Tracer", at=use.node)
        text = f"isinstance({subject}, {kinds}) and not isinstance({subject}, {tracer})"
        fix.replace(question, parenthesised(text, question, file.parent(question)))
        return fix.build("exclude tracers")

    @staticmethod
    def _isinstance_of(file: FileContext, node: ast.expr) -> ast.Call | None:
        """The `isinstance(x, C)` or `isinstance(x, (np.ndarray, C))` around a class, `x` a plain variable."""
        parent = file.parent(node)
        others: list[ast.expr] = []
        if isinstance(parent, ast.Tuple):
            others = [e for e in parent.elts if e is not node]
            node, parent = parent, file.parent(parent)
        if not (isinstance(parent, ast.Call) and len(parent.args) == 2 and parent.args[1] is node):
            return None
        if not (isinstance(parent.func, ast.Name) and parent.func.id == "isinstance"):
            return None
        if file.module.scope_at(parent).binder("isinstance") is not None:
            return None
        subject: ast.expr = parent.args[0]
        while isinstance(subject, ast.Attribute):
            subject = subject.value
        # of the other classes none may have tracers among its instances
        harmless = all((file.resolve(e) or "").startswith("numpy.") or _is_builtin(e, file) for e in others)
        return parent if isinstance(subject, ast.Name) and harmless else None


def _is_builtin(node: ast.expr, file: FileContext) -> bool:
    return (
        isinstance(node, ast.Name)
        and node.id in {"int", "float", "complex", "bool", "str", "list", "tuple", "dict", "set", "bytes"}
        and file.module.scope_at(node).binder(node.id) is None
    )
