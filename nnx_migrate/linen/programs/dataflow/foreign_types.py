"""Parameters that are declared to be models of TensorFlow or PyTorch: no Linen module gets there.

Projects with implementations for several frameworks look models up in one place, so that any of them seems to reach
the code of all.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.project import Project

_FRAMEWORKS = ("tensorflow.", "tf_keras.", "keras.", "torch.", "mxnet.", "paddle.")
#: A file that has these may use a module of Linen whatever it declares.
_OF_JAX = re.compile(r"\b(?:jax|flax|linen)\b|\.apply\(")


def is_foreign(project: Project, module: Module, parameter: ast.arg) -> bool:
    """Whether a parameter is one of another framework's classes, in a file that has nothing to do with JAX."""
    kinds = _kinds(parameter.annotation) if parameter.annotation is not None else []
    if not kinds or _is_of_jax(module.source.text):
        return False
    scope = module.scope_at(parameter)
    found = [project.resolve(kind, scope, module) or "" for kind in kinds]
    return all(name.startswith(_FRAMEWORKS) for name in found)


@lru_cache(maxsize=256)
def _is_of_jax(text: str) -> bool:
    return _OF_JAX.search(text) is not None


def _kinds(annotation: ast.expr) -> list[ast.expr]:
    """The classes of `tf.keras.Model`, `Optional[tf.keras.Model]`, `torch.nn.Module | None`; none of containers."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _kinds(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return []
    if isinstance(annotation, ast.Name | ast.Attribute):
        return [annotation]
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [s for s in (annotation.left, annotation.right) if not is_none(s)]
        kinds = [_kinds(side) for side in sides]
        return [kind for found in kinds for kind in found] if all(kinds) else []
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Optional"):
        return _kinds(annotation.slice)
    return []
