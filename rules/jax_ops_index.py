from __future__ import annotations

import ast

from nnx_migrate.rules._arrays import is_jax_array

from nnx_migrate.engine.arguments import CallView, CannotBind
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding, Fix, Safety
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.positions import atom
from nnx_migrate.engine.templates import argument_text, bind, loses_comment
from nnx_migrate.engine.triggers import Use

_UPDATES = {
    "index_update": "set",
    "index_add": "add",
    "index_mul": "multiply",
    "index_min": "min",
    "index_max": "max",
}
_SIGNATURE = ("x", "idx", "y", "indices_are_sorted", "unique_indices")


class JaxOpsIndex(MovesRule):
    """`jax.ops.index_update(x, idx, y)` is `x.at[idx].set(y)`.

    What it finds
    -------------
    `jax.ops.index_update`, `index_add`, `index_mul`, `index_min`, `index_max` and `jax.ops.index`.
    `jax.ops.segment_sum` and its neighbours are current and not reported.

    Why
    ---
    They are gone: the calls raise AttributeError.

    Example
    -------
    ::

        x = jax.ops.index_update(x, jax.ops.index[0, :], 1.0)
        # becomes
        x = jnp.asarray(x).at[0, :].set(1.0)

    (without `asarray` where `x` is certainly a JAX array)

    Fix safety
    ----------
    Safe. The old functions took anything array-like and NumPy arrays have no `.at`, so the first argument is
    converted with `jnp.asarray` unless the code shows that it is a JAX array; for one, `asarray` does
    nothing.

    Since
    -----
    Deprecated in JAX 0.2.22, removed in 0.3.2.

    References
    ----------
    https://docs.jax.dev/en/latest/_autosummary/jax.numpy.ndarray.at.html
    """

    id = "jax-ops-index"
    group = "jax"
    moves = (
        *(
            Move(
                f"jax.ops.{old}",
                since="jax>=0.2.22",
                removed="0.3.2",
                signature=_SIGNATURE,
                call=f"{{x}}.at[{{idx}}].{new}({{y}})",
                help=f"use `x.at[idx].{new}(y)`",
            )
            for old, new in _UPDATES.items()
        ),
        Move("jax.ops.index", since="jax>=0.2.22", removed="0.3.2", value="<jax.numpy.s_>"),
    )

    def check_use(self, file: FileContext, use: Use, move: Move) -> Finding | None:
        """Leave out `jax.ops.index[...]` inside a call that is reported itself."""
        if use.qualified == "jax.ops.index":
            subscript = file.parent(use.node)
            around = file.parent(subscript) if subscript is not None else None
            call = file.parent(around) if isinstance(around, ast.keyword) else around
            if isinstance(call, ast.Call) and (file.resolve(call.func) or "").startswith("jax.ops.index_"):
                return None
        return super().check_use(file, use, move)

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """`.at[...]` with the index written in place and the array converted where that is needed."""
        name = use.qualified.removeprefix("jax.ops.")
        if name == "index":
            return super().rewrite(file, use, move, call)
        if call is None:
            raise CannotBind("it is passed on as a value", "passed-as-value")
        bound = bind(call, _SIGNATURE)
        if not {"x", "idx", "y"} <= bound.keys():
            raise CannotBind("array, index or values are not given")
        fix = file.fix()
        texts = {key: argument_text(node, file.source) for key, node in bound.items()}
        array = atom(texts["x"])
        if not is_jax_array(bound["x"], file):
            array = f"{fix.name('jax.numpy.asarray', at=call.callee)}({texts['x']})"
        options = [f"{key}={texts[key]}" for key in _SIGNATURE[3:] if key in texts]
        values = ", ".join([texts["y"], *options])
        index = self._index_text(bound["idx"], texts["idx"], file)
        fix.replace(call.node, f"{array}.at[{index}].{_UPDATES[name]}({values})")
        lost = loses_comment(call.node, list(bound.values()), file.source)
        return fix.build(f"use `.at[].{_UPDATES[name]}`", Safety.UNSAFE if lost else Safety.SAFE)

    @staticmethod
    def _index_text(node: ast.expr, text: str, file: FileContext) -> str:
        """`jax.ops.index[0, :]` → `0, :`; a tuple without its parentheses."""
        if isinstance(node, ast.Subscript) and file.resolve(node.value) == "jax.ops.index":
            return file.segment(node.slice)
        if isinstance(node, ast.Tuple) and node.elts and text.startswith("(") and not _has_star(node):
            return text[1:-1].strip()
        return text


def _has_star(node: ast.Tuple) -> bool:
    return any(isinstance(element, ast.Starred) for element in node.elts)
