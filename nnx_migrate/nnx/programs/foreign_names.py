"""Code that turns another library's names of parameters into Linen's, or Linen's into those:
`key.replace(".weight", ".kernel")`.

Which names it starts from isn't shown, so neither is what they would have to become for NNX.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module

#: A name, or the end of a path, that layers of Linen give a parameter; `scale` alone may be any number's.
_OF_LINEN = re.compile(r"(?:.*[./_])?kernel|.*[./](?:scale|embedding)")


def foreign_name_obstacles(module: Module) -> Iterator[Obstacle]:
    """Places in a file that translate names of parameters piece by piece."""
    if "kernel" not in module.source.text:
        return
    for call in module.nodes(ast.Call):
        for text in _exchanged(call):
            if _OF_LINEN.fullmatch(text):
                detail = f"names of another library's parameters are translated with {text!r}"
                yield Obstacle("parameter-names", detail, module, call)
                break


def _exchanged(call: ast.Call) -> Iterator[str]:
    """The texts that `name.replace(old, new)` and `re.sub(old, new, name)` put in each other's place."""
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("replace", "sub") and len(call.args) >= 2:
        for argument in call.args[:2]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
