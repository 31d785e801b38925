"""A class that derives from a built-in layer and computes with other parameters than it holds."""

from __future__ import annotations

import ast

from nnx_migrate.linen.derived_layers import ParamOverride
from nnx_migrate.linen.model import LinenClass
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import indentation, one_line, rewritten
from nnx_migrate.nnx.writer.written import WrittenClass
from nnx_migrate.sources.text import Edit


def nnx_layer(layer: str) -> str:
    """The name of the NNX layer for a Linen one: `Linear` for `Dense`."""
    return str(LAYERS[f"flax.linen.{layer}"].nnx).rpartition(".")[2]


def write_derived(cls: LinenClass, override: ParamOverride, names: FileNames) -> WrittenClass:
    """`param` becomes a `__call__` that gives the layer's own another array. Raises Refuse."""
    source = names.module.source
    base = f"{names.nnx()}.{nnx_layer(override.layer)}"
    array = f"self.{override.parameter}[...]"

    def replaced(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name) and node.id == override.variable:
            return array
        return names.replacement(node)

    value = one_line(rewritten(source, override.value, replaced))
    method = override.method
    outer = indentation(source, method.lineno)
    inner = indentation(source, method.body[0].lineno)
    lines = [
        f"{outer}def __call__(self, inputs):",
        f"{inner}{override.parameter} = {value}",
        f"{inner}return {names.helper('call_with')}({base}, self, inputs, {override.parameter}={override.parameter})",
    ]
    start = source.line_start(method.lineno)
    end = source.line_start((method.end_lineno or 0) + 1)
    edits = [Edit(*source.span(cls.node.bases[0]), base), Edit(start, end, "\n".join(lines) + "\n")]
    return WrittenClass(edits, has_constructor=False)
