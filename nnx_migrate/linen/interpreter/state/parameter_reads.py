"""Parameters that a module reads by Linen's names: `self.variables["params"]["Embed_0"]["embedding"]`,
`embed.variables["params"]["embedding"]` and `self.get_variable("params", "codebook")`.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.interpreter.convert import as_dim
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import ParameterRead, Site
from nnx_migrate.linen.values import ClassRef, Instance, Layer, OwnVariables

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
    """An array as far as it is known: whether there is a parameter of that name is checked later."""
    if not names:
        return Unknown("all parameters of a module together")
    if module is None and len(names) == 1:
        return frame.session.parameters.get(names[0], Unknown(f"the parameter `{names[0]}`"))
    from nnx_migrate.linen.interpreter.submodules.modules import bind_fields
    from nnx_migrate.linen.interpreter.summaries import submodules

    if module is None:
        session = frame.session
        attributes = {name: slot.value for name, slot in session.attributes.items()}
        site = _named(list(session.facts.ordered_sites()), attributes, names[0])
        names = names[1:]
    else:
        site = module.site
    while site is not None and isinstance(site.target, ClassRef) and len(names) > 1:
        cls = site.target.cls
        site = _named(*submodules(frame.session, cls, bind_fields(frame, site, cls)), names[0])
        names = names[1:]
    return layer_parameter(site, names)


def _named(sites: list[Site], attributes: dict[str, Any], name: str) -> Site | None:
    """The submodule of that name: explicit, an attribute of setup, or counted by class."""
    held = attributes.get(name)
    if isinstance(held, Instance) and held.site.kwargs.get("name") is None:
        return held.site
    automatic = [
        s for s in sites if s.method != "setup" and s.kwargs.get("name") is None and not s.carry_only
    ]
    counted = [
        f"{s.linen_class}_{[o.linen_class for o in automatic[:n]].count(s.linen_class)}"
        for n, s in enumerate(automatic)
    ]
    found = [s for s in sites if s.kwargs.get("name") == name]
    found += [s for s, given in zip(automatic, counted, strict=True) if given == name]
    return found[0] if len(found) == 1 else None


def layer_parameter(site: Site | None, names: tuple[str, ...]) -> Any:
    """A parameter of a stock layer, as far as its shape is known."""
    if site is not None and site.target == Layer("Embed") and names == ("embedding",):
        given = {**dict(zip(("num_embeddings", "features"), site.args, strict=False)), **site.kwargs}
        dims = [as_dim(given.get(name)) for name in ("num_embeddings", "features")]
        if all(dim is not None for dim in dims):
            return Array(Shape(tuple(dim for dim in dims if dim is not None)))
    return Unknown("a parameter of another module")
