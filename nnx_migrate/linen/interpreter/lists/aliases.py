"""Lists and dicts with several names: `more = found`, then `more.append(x)`."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.frame import Frame, Slot

_DEPTH = 3


def forget_other_names(frame: Frame, changed: Any, target: ast.expr) -> None:
    """Nothing is known any more of other variables, or attributes, that hold what is changed in place as `target`."""
    if not isinstance(changed, list | dict):
        return
    own = ast.unparse(target)
    for prefix, env in (("", frame.env), ("self.", frame.session.attributes)):
        for name, slot in env.items():
            whole = f"{prefix}{name}"
            is_own = own == whole or own.startswith((f"{whole}[", f"{whole}."))
            if not is_own and _holds(slot.value, changed, _DEPTH):
                env[name] = Slot(Unknown("a list that is changed under another name"))


def _holds(value: Any, changed: Any, depth: int) -> bool:
    if value is changed:
        return True
    if isinstance(value, dict):
        value = tuple(value.values())
    return isinstance(value, list | tuple) and depth > 0 and any(_holds(v, changed, depth - 1) for v in value)
