"""Dicts of modules: `nnx.Dict` takes texts as keys, and sorts them once JAX has traced the model."""

from __future__ import annotations

import ast

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.parents import Parents

_METHODS = frozenset({"clear", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"})


def check_dict(analysis: ClassAnalysis, name: str, value: ast.expr, *, of_arrays: bool = False) -> None:
    """Refuse a dict of modules or arrays, that `self.name` gets, if its keys are no texts or their order matters.

    Keys of arrays have to show that they are texts, those of modules may come from fields.
    """
    keys = value.keys if isinstance(value, ast.Dict) else []
    literals = [key.value for key in keys if isinstance(key, ast.Constant)]
    computed = isinstance(value, ast.DictComp) and not _is_text(value.key)
    if (computed and (of_arrays or _counts(value))) or not all(isinstance(key, str) for key in literals):
        raise Refuse("unsupported-syntax", f"the keys of `self.{name}` are not texts", value)
    texts = [str(key) for key in literals]
    if keys and len(texts) == len(keys) and texts == sorted(texts) and not _METHODS.intersection(texts):
        return
    found = _ordered_use(analysis.cls, name)
    if found is not None:
        raise Refuse("unsupported-syntax", f"`nnx.Dict` doesn't keep the order of `self.{name}`", found)


def _is_text(key: ast.expr) -> bool:
    """Whether a computed key is a text: `f"level_{i}"`."""
    is_made = isinstance(key, ast.Call) and isinstance(key.func, ast.Name) and key.func.id == "str"
    return is_made or isinstance(key, ast.JoinedStr)


def _counts(made: ast.expr) -> bool:
    """Whether a comprehension has its keys of `range`, or of a display with numbers in it."""
    for generator in made.generators if isinstance(made, ast.DictComp) else ():
        over = generator.iter
        if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == "range":
            return True
        elements = over.elts if isinstance(over, ast.List | ast.Tuple | ast.Set) else []
        if any(isinstance(e, ast.Constant) and not isinstance(e.value, str) for e in elements):
            return True
    return False


def _ordered_use(cls: LinenClass, name: str) -> ast.AST | None:
    """A place that may see the order of a dict."""
    for owner in cls.mro:
        for method in owner.own_methods.values():
            for node in ast.walk(method.node):
                is_read = is_of_self(node, name) and isinstance(node.ctx, ast.Load)
                if is_read and not _is_unordered(node, owner.module.parents):
                    return node
    return None


def _is_unordered(node: ast.AST, parents: Parents) -> bool:
    """Whether an item is read, or a dict is made of the whole."""
    around = parents.get(node)
    if isinstance(around, ast.Subscript):
        return around.value is node
    if isinstance(around, ast.Compare):
        return all(isinstance(op, ast.In | ast.NotIn) for op in around.ops)
    if isinstance(around, ast.Call):
        return isinstance(around.func, ast.Name) and around.func.id == "len"
    if isinstance(around, ast.Attribute):
        if around.attr == "get":
            return True
        call = parents.get(around)
        node, around = call or around, parents.get(call or around)
    return isinstance(around, ast.comprehension) and isinstance(parents.get(around), ast.DictComp)
