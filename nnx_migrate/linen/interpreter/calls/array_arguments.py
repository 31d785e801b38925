"""Which arguments of a model's method hold arrays, by their declarations."""

from __future__ import annotations

import ast
import re

from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.programs.constructions.models import EVAL_FLAGS, TRAIN_FLAGS
from nnx_migrate.linen.values import Attribute, Input
from nnx_migrate.names.parameters import defaults

# Declared types that are no arrays: flags, names, numbers, functions and modules.
_NO_ARRAY = re.compile(r"\b(?:bool|int|str|float|Callable|Module|ModuleDef|Type|type)\b")
_ARRAY = re.compile(r"Array|ndarray|Tensor|jnp|PyTree")
_NUMBERS_OF_ARRAYS = frozenset({"dtype", "ndim", "shape", "size"})


def is_array_argument(method: Method | None, argument: Input) -> bool:
    """Whether an argument of a method, or a part of one, may be taken for an array: no flag, no name, no module."""
    name, *parts = argument.path
    if parts:
        return not (isinstance(parts[-1], Attribute) and parts[-1] in _NUMBERS_OF_ARRAYS)
    if name in TRAIN_FLAGS | EVAL_FLAGS or isinstance(argument.default, bool | str):
        return False
    if method is None:
        return True
    spec = method.node.args
    positional = [*spec.posonlyargs, *spec.args]
    default = {argument.arg: value for argument, value in defaults(spec)}.get(str(name))
    if isinstance(default, ast.Constant) and isinstance(default.value, bool | str):
        return False
    declared = next((a.annotation for a in [*positional, *spec.kwonlyargs] if a.arg == name), None)
    text = ast.unparse(declared) if declared is not None else ""
    return bool(_ARRAY.search(text)) or not _NO_ARRAY.search(text)
