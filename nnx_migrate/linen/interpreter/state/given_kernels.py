"""Layers that are applied with a kernel from elsewhere: `self.lm_head.apply({"params": {"kernel": embedding.T}}, x)`.

Such a call makes no parameters. The layer has some of its own only if the code calls it, too, in other configurations.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.submodules.layers import layer_output
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Layer

_OPTIONS = frozenset({"features", "use_bias", "dtype", "param_dtype", "kernel_init", "precision", "name"})


def applied(frame: Frame, site: Site, args: Any, kwargs: Any, node: ast.Call | None, method: str) -> Any:
    """What such a call returns; NotImplemented for any other one.

    In code of other classes, a layer may get any variables: it is enough to know what it returns.
    """
    if frame.foreign and method == "apply" and len(args) == 2 and kwargs.keys() <= {"rngs"}:
        is_plain = isinstance(site.target, Layer) and not site.lifts
        return layer_output(frame, site, (args[1],), {}, node, "__call__") if is_plain else NotImplemented
    if method != "apply" or node is None or kernel_of(node) is None or len(args) != 2 or kwargs:
        return NotImplemented
    if site.target != Layer("Dense") or site.lifts or site.partials or len(site.args) > 1:
        return NotImplemented
    if not site.kwargs.keys() <= _OPTIONS or site.kwargs.get("use_bias") is not False:
        return NotImplemented
    if frame.session.recording:
        frame.session.facts.given_kernels[node] = site
    return layer_output(frame, site, (args[1],), {}, node, "__call__")


def kernel_of(node: ast.Call) -> ast.expr | None:
    """The kernel in `layer.apply({"params": {"kernel": kernel}}, x)`."""
    found: ast.expr | None = node.args[0] if node.args else None
    for name in ("params", "kernel"):
        keys = found.keys if isinstance(found, ast.Dict) else []
        if not isinstance(found, ast.Dict) or [getattr(key, "value", None) for key in keys] != [name]:
            return None
        found = found.values[0]
    return found
