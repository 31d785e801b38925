"""Parameters that a module reads by Linen's names: `self.variables["params"]["Embed_0"]["embedding"]`,
`embed.variables["params"]["embedding"]` and `self.get_variable("params", "codebook")`.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Shape, Unknown
from nnx_migrate.linen.sites import ParameterRead
from nnx_migrate.linen.values import Instance, Layer, OwnVariables

PARAMS = "params"


def parameter(frame: Frame, value: OwnVariables, node: ast.expr | None) -> Any:
    """What stands at a path of the parameters: more of the path, or an array."""
    if not frame.foreign and (node is None or frame.session.entry == "setup"):
        raise Refuse("unsupported-api", "`self.variables` in setup", node)
    if node is None or _goes_on(frame, node):
        return value
    names = value.path[1:]
    if not frame.foreign:
        if not names:
            raise Refuse("unsupported-api", "`self.variables`", node)
        frame.session.facts.parameter_reads[frame.context, node] = ParameterRead(names, value.module)
    return _array(frame, value.module, names)


def _goes_on(frame: Frame, node: ast.expr) -> bool:
    """Whether another subscript of the code names something inside."""
    parent = frame.module.parents.get(node)
    return (
        isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.slice, ast.Constant)
    )


def _array(frame: Frame, module: Instance | None, names: tuple[str, ...]) -> Any:
    if module is None and len(names) == 1:
        return frame.session.parameters.get(names[0], Unknown(f"the parameter `{names[0]}`"))
    if module is not None and module.site.target == Layer("Embed") and names == ("embedding",):
        site = module.site
        given = {**dict(zip(("num_embeddings", "features"), site.args, strict=False)), **site.kwargs}
        dims = [as_dim(given.get(name)) for name in ("num_embeddings", "features")]
        if all(dim is not None for dim in dims):
            return Array(Shape(tuple(dim for dim in dims if dim is not None)))
    return Array(Shape((), ""))
