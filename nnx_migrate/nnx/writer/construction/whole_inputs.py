"""Ensembles that get all of the inputs, as they come: `nn.vmap(self.net_cls, in_axes=None, ...)()(*args)`.

NNX maps the axes that are given for each argument. Where nobody knows how many there are, the function that is
mapped takes the members alone, and hands on to each what is there in any case. Linen's `nn.vmap` ignores keyword
arguments (it warns of them), so that members never get `**kwargs`.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.lifts import Lift
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef
from nnx_migrate.nnx.writer.text import one_line

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


def hands_on(call: ast.Call, site: Site) -> bool:
    """Whether members with variables of their own all get what `*args` hold."""
    one = site.lifts[0]
    starred = any(isinstance(a, ast.Starred) for a in call.args)
    alone = len(site.lifts) == 1 and one.name == "vmap" and not one.condition
    return starred and alone and one.stacked and one.in_axes is None and isinstance(site.target, ClassRef)


def call_of_members(editor: BodyEditor, call: ast.Call, one: Lift) -> str:
    """`nnx.vmap(lambda member: member(*args))(self.net)`. Raises Refuse."""
    given = [a.value if isinstance(a, ast.Starred) else a for a in call.args]
    if not all(isinstance(node, ast.Name) for node in given):
        detail = "a module with a lifted transform gets `*args` and what isn't a variable"
        raise Refuse("unsupported-layer", detail, call)
    if any(k.arg is not None for k in call.keywords):
        detail = "a module with a lifted transform gets some arguments by name"
        raise Refuse("unsupported-layer", detail, call)
    if "axis_name" in one.options or one.axis_name is not None:
        raise Refuse("unsupported-layer", "a named axis of members that get `*args`", call)
    arguments = [one_line(editor.text(a)) for a in call.args]
    member = "member_" if any("member" in argument for argument in arguments) else "member"
    mapped = [f"lambda {member}: {member}({', '.join(arguments)})"]
    mapped += [f"out_axes={one.out_axes}"] if one.out_axes else []
    function = f"{editor.names.nnx()}.vmap({', '.join(mapped)})"
    return editor.calls.call_text(call, [one_line(editor.text(call.func))], function)
