"""`self.param(...)` as an `nnx.Param`."""

from __future__ import annotations

import ast

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import VariableSite
from nnx_migrate.nnx.writer.render import InitRenderer


def variable_text(renderer: InitRenderer, site: VariableSite) -> str:
    """The construction of a variable: `nnx.Param(init(rngs.params(), shape, dtype))`."""
    args = list(site.call.args)
    keywords = {k.arg: k.value for k in site.call.keywords}
    if any(isinstance(a, ast.Starred) for a in args) or None in keywords:
        raise Refuse("unsupported-syntax", "`self.param` with `*args` or `**kwargs`", site.call)
    keywords.pop("name", None)
    positional = args[1:] if args else []
    init = positional.pop(0) if positional else keywords.pop("init_fn", None)
    if init is None:
        raise Refuse("unsupported-syntax", "`self.param` without an initializer", site.call)
    if "unbox" in keywords:
        raise Refuse("unsupported-api", "`self.param` with `unbox`", site.call)
    texts = [renderer.text(a, site.context) for a in positional]
    texts += [f"{name}={renderer.text(value, site.context)}" for name, value in keywords.items()]
    function = renderer.text(init, site.context)
    if isinstance(init, ast.Lambda):
        function = f"({function})"
    arguments = ", ".join(["rngs.params()", *texts])
    return f"{renderer.names.nnx()}.Param({function}({arguments}))"
