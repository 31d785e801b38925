"""Calls of layers with a kernel from elsewhere: a function of the kernel, for layers that may have none."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.interpreter.state.given_kernels import kernel_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.nnx.writer.constructor.asked_layers import needed_field
from nnx_migrate.nnx.writer.text import one_line

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

HELPER = "linear_with_kernel"
_TAKEN = ("dtype", "precision")


def given_kernel_call(editor: BodyEditor, call: ast.Call, site: Site) -> str:
    """`linear_with_kernel(x, kernel, dtype=self.dtype)`. Raises Refuse."""
    setup, statement = (
        editor.analysis.cls.own_methods.get("setup"),
        editor.names.module.parents.get(site.call),
    )
    is_plain = isinstance(statement, ast.Assign) and setup is not None and statement in setup.node.body
    if not is_plain or setup is None or needed_field(editor.analysis, site) is None:
        detail = f"`{site.label}` is applied with another kernel, and may have none of its own"
        raise Refuse("unsupported-layer", detail, call)
    stored = {n.id for n in ast.walk(setup.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    options: list[str] = []
    for keyword in site.call.keywords:
        if keyword.arg in _TAKEN:
            if any(isinstance(n, ast.Name) and n.id in stored for n in ast.walk(keyword.value)):
                raise Refuse(
                    "unsupported-layer", f"`{keyword.arg}` of `{site.label}` is a local variable", call
                )
            options.append(f"{keyword.arg}={one_line(editor.text(keyword.value))}")
    kernel = kernel_of(call)
    assert kernel is not None
    arguments = [one_line(editor.text(call.args[1])), one_line(editor.text(kernel)), *options]
    return f"{editor.names.helper(HELPER)}({', '.join(arguments)})"
