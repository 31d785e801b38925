"""Whether a project has numbers of other types than real ones of at most 32 bits."""

from __future__ import annotations

import ast
import re

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_LONGER = r"jax_enable_x64|JAX_ENABLE_X64|enable_x64\("
_COMPLEX = r"\b(?:jnp|numpy|lax)\.(?:complex|fft\b)|(?<![\w.])\d+(?:\.\d*)?[jJ]\b"
_WORDS = re.compile(f"{_LONGER}|{_COMPLEX}")
_SWITCHES = ("jax_enable_x64", "JAX_ENABLE_X64")
_ARRAY_MODULES = ("jnp", "numpy", "lax")


def is_real(project: Project) -> bool:
    """Whether all arrays are real ones of at most 32 bits: no code enables others, or makes complex numbers.

    Texts, comments and the pictures in notebooks may say what they like.
    """
    for path in project.files_where(lambda text: _WORDS.search(text) is not None):
        module = project.module(path)
        if module is None or any(_is_wide(module, node) for node in ast.walk(module.tree)):
            return False
    return True


def _is_wide(module: Module, node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, complex) or (node.value in _SWITCHES and _enables(module, node))
    if isinstance(node, ast.Attribute):
        if node.attr in _SWITCHES:
            return isinstance(node.ctx, ast.Store) and _enables(module, node)
        is_complex = node.attr == "fft" or node.attr.startswith("complex")
        return is_complex and ast.unparse(node.value).rpartition(".")[2] in _ARRAY_MODULES
    if isinstance(node, ast.keyword):
        return node.arg in _SWITCHES and not _is_off(node.value)
    if isinstance(node, ast.Call):
        is_switch = ast.unparse(node.func).rpartition(".")[2] == "enable_x64"
        return is_switch and not (node.args and _is_off(node.args[0]))
    return False


def _enables(module: Module, node: ast.expr) -> bool:
    """Whether a switch that is named here isn't plainly turned off: `config.update("jax_enable_x64", False)`."""
    user = module.parents.get(node)
    if isinstance(user, ast.Subscript):  # os.environ["JAX_ENABLE_X64"] = "0"
        user = module.parents.get(user)
    if isinstance(user, ast.Call) and user.args[:1] == [node] and len(user.args) == 2:
        return not _is_off(user.args[1])
    if isinstance(user, ast.Assign):
        return not _is_off(user.value)
    return not isinstance(user, ast.Expr)


def _is_off(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (False, "0", "false", "False")
