"""Methods that JAX's arrays had once: `x.split(3, axis=-1)` is `jnp.split(x, 3, axis=-1)` since jax 0.4.14."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.values import Input

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


def as_function(editor: BodyEditor, call: ast.Call) -> str | None:
    """The text of a call of such a method on what is certainly an array; None for other calls."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "split":
        return None
    named = any(keyword.arg == "axis" for keyword in call.keywords)
    values = [v for (_, node), v in editor.analysis.facts.values.items() if node is function.value]
    if not values or not all(isinstance(v, Array) or (named and isinstance(v, Input)) for v in values):
        return None
    arguments = [editor.text(node) for node in (function.value, *call.args)]
    arguments += [
        f"{k.arg}={editor.text(k.value)}" if k.arg else f"**{editor.text(k.value)}" for k in call.keywords
    ]
    return f"{editor.names.jnp()}.split({', '.join(arguments)})"
