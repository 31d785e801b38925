"""What arrays hold that a program makes in sight: integers, floats or booleans."""

from __future__ import annotations

import ast

from nnx_migrate.linen.effects.arguments import kind
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_ARRAY_MODULES = ("jax.numpy.", "numpy.")
# The position of `dtype`, by function; those in _FLOATS make floats without it.
_DTYPE_AT = {"ones": 1, "zeros": 1, "empty": 1, "full": 2, "array": 1, "asarray": 1}
_FLOATS = frozenset({"ones", "zeros", "empty"})
_RANDOM = {
    "normal": "float",
    "uniform": "float",
    "truncated_normal": "float",
    "randint": "int",
    "categorical": "int",
    "permutation": "int",
    "bernoulli": "bool",
}
_LITERALS = {bool: "bool", int: "int", float: "float"}


def kind_of_call(project: Project, module: Module, node: ast.Call) -> str | None:
    """The kind of the array that a call makes; None where the code doesn't state it."""
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr == "astype" and node.args:
        return _named(project, module, node.args[0])
    name = project.resolve(function, module.scope_at(function), module) or ""
    short = name.rpartition(".")[2]
    if name == "jax.ShapeDtypeStruct":
        return _named(project, module, _argument(node, 1))
    if name.startswith("jax.random."):
        stated = _argument(node, 99)
        return _RANDOM.get(short) if stated is None else _named(project, module, stated)
    if not name.startswith(_ARRAY_MODULES) or short not in _DTYPE_AT:
        return None
    stated = _argument(node, _DTYPE_AT[short])
    if stated is not None:
        return _named(project, module, stated)
    if short in _FLOATS:
        return "float"
    return _of_literal(node.args[0]) if node.args and short in ("array", "asarray") else None


def _argument(node: ast.Call, index: int) -> ast.expr | None:
    named = next((k.value for k in node.keywords if k.arg == "dtype"), None)
    return node.args[index] if named is None and len(node.args) > index else named


def _named(project: Project, module: Module, node: ast.expr | None) -> str | None:
    """The kind of a dtype: `jnp.int32`, `"float32"`, `int`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return kind(node.value)
    if not isinstance(node, ast.Name | ast.Attribute):
        return None
    qualified = project.resolve(node, module.scope_at(node), module)
    if qualified is None:
        return kind(node.id) if isinstance(node, ast.Name) and node.id in ("int", "float", "bool") else None
    return kind(qualified.rpartition(".")[2]) if qualified.startswith(_ARRAY_MODULES) else None


def _of_literal(node: ast.expr) -> str | None:
    """The kind of nested lists of numbers of one type."""
    found = {type(n.value) for n in ast.walk(node) if isinstance(n, ast.Constant)}
    plain = all(isinstance(n, ast.List | ast.Tuple | ast.Constant | ast.expr_context) for n in ast.walk(node))
    return _LITERALS.get(found.pop()) if plain and len(found) == 1 else None


def number_in(node: ast.expr) -> complex | None:
    """The number that code writes, with or without a sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        node = node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int | float | complex) else None
