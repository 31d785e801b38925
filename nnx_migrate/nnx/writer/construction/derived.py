"""A class that derives from a built-in layer and changes its parameters or its call."""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.derived_layers import CallOverride, ParamOverride
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.nnx.layers import LAYERS
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import indentation, one_line, replacements, rewritten
from nnx_migrate.nnx.writer.written import WrittenClass
from nnx_migrate.sources.text import Edit


def nnx_layer(layer: str) -> str:
    """The name of the NNX layer for a Linen one: `Linear` for `Dense`."""
    return str(LAYERS[f"flax.linen.{layer}"].nnx).rpartition(".")[2]


def write_derived(cls: LinenClass, override: ParamOverride | CallOverride, names: FileNames) -> WrittenClass:
    """The class that derives from the NNX layer. Raises Refuse."""
    base = f"{names.nnx()}.{nnx_layer(override.layer)}"
    edits = [Edit(*names.module.source.span(cls.node.bases[0]), base)]
    if isinstance(override, CallOverride):
        edits += _call_edits(override.method, names)
    else:
        edits.append(_param_edit(override, base, names))
    return WrittenClass(edits, has_constructor=False)


def _call_edits(method: ast.FunctionDef, names: FileNames) -> list[Edit]:
    """A `__call__` around the layer's own: it stays, without `@nn.compact`."""
    source = names.module.source
    edits = [Edit(*source.line_span(decorator), "") for decorator in method.decorator_list]
    nodes: list[ast.AST | None] = [method.args, method.returns, *method.body]
    for node in (n for n in nodes if n is not None):
        edits += [Edit(*found) for found in replacements(source, node, names.replacement)]
    return edits


def _param_edit(override: ParamOverride, base: str, names: FileNames) -> Edit:
    """`param` becomes a `__call__` that gives the layer's own another array."""
    source = names.module.source
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
    return Edit(start, end, "\n".join(lines) + "\n")
