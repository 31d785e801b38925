"""Modules that are pure functions of their inputs: they keep no state and draw nothing.

JAX's own transforms may be given such a module (`jax.vmap(self.mlp)(x)`), in NNX as in Linen. Others may not: in NNX
they would change their variables, or the counts of their random streams, inside of another trace.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import LINEN, linen_name
from nnx_migrate.linen.values import (
    Bound,
    ClassChoice,
    ClassRef,
    Closure,
    DerivedLayer,
    Either,
    FieldFactory,
    FieldModule,
    Instance,
    Layer,
    Maybe,
    ModuleList,
    Partial,
)
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Definition, Project
from nnx_migrate.nnx.layers import function

_LAYERS = frozenset(
    {
        "Conv", "ConvTranspose", "Dense", "DenseGeneral", "Einsum", "Embed", "GRUCell", "GroupNorm", "LSTMCell",
        "LayerNorm", "MGUCell", "OptimizedLSTMCell", "PReLU", "RMSNorm", "Sequential", "SimpleCell",
    }
)  # fmt: skip
#: Layers that are pure without certain arguments, and how many they take by position in front of these.
_ATTENTION = frozenset({"MultiHeadAttention", "MultiHeadDotProductAttention", "SelfAttention"})
_IN_FRONT, _WITH_STATE = 5, frozenset({"attention_fn", "decode", "dropout_rate", None})
_HARMLESS = frozenset({"Module", "compact", "nowrap"})
# What may be a module, make one, or run one.
_MODULES = (Bound, ClassChoice, ClassRef, Closure, FieldFactory, FieldModule, ModuleList, Partial)
_STATE = frozenset(
    {"has_variable", "is_initializing", "is_mutable_collection", "make_rng", "perturb", "put_variable"}
    | {"sow", "variable", "variables"}
)


@contextmanager
def inside_transform(frame: Frame) -> Iterator[None]:
    """The code of a function that JAX transforms."""
    frame.session.transforms += 1
    try:
        yield
    finally:
        frame.session.transforms -= 1


def check_pure(frame: Frame, module: Instance, node: ast.AST | None) -> None:
    """Raises Refuse where a function that JAX transforms calls a module that may change or draw something."""
    if frame.session.transforms and frame.session.recording and not is_pure(module):
        detail = f"`{module.site.target_name}`, which may have state or draw, inside of a transform of JAX"
        raise Refuse("unsupported-layer", detail, node or module.site.call)


def is_pure(value: Any) -> bool:
    """Whether a value is a submodule without state and random draws, its own and those of modules that it has.

    One of several submodules is one if all of them are.
    """
    if isinstance(value, Maybe):
        return is_pure(value.value)
    if isinstance(value, Either):
        return all(is_pure(one) for one in value.values)
    if not isinstance(value, Instance) or value.site.lifts:
        return False
    site = value.site
    given = [*site.args, *(v for p in site.partials for v in (*p.args, *dict(p.kwargs).values()))]
    if any(_may_have_state(argument) for argument in (*given, *site.kwargs.values())):
        return False
    if isinstance(site.target, ClassRef):
        return _is_pure_class(site.target.cls, set())
    if not isinstance(site.target, Layer) or isinstance(site.target, DerivedLayer):
        return False
    if site.target.name in _ATTENTION:
        return not site.partials and _is_plain_attention(site.call)
    return site.target.name in _LAYERS


def _may_have_state(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_may_have_state(item) for item in value)
    if isinstance(value, Layer):
        return value.is_class
    if isinstance(value, Instance):
        return not is_pure(value)
    return isinstance(value, _MODULES)


def _is_pure_class(cls: LinenClass, seen: set[LinenClass | ast.AST]) -> bool:
    if cls in seen:
        return True
    seen.add(cls)
    for owner in cls.mro:
        if (
            owner.problem
            or (owner.layer_base is not None and owner.layer_base not in _LAYERS)
            or any(m.transforms for m in owner.own_methods.values())
        ):
            return False
        for node in ast.walk(owner.node):
            if isinstance(node, ast.Attribute) and node.attr in _STATE:
                return False
            if not _is_harmless(cls, owner.module, node, seen):
                return False
    return True


def _is_harmless(cls: LinenClass, module: Module, node: ast.AST, seen: set[LinenClass | ast.AST]) -> bool:
    """Whether a name stands for nothing that could be, or make, a module with state."""
    if not isinstance(node, ast.Name | ast.Attribute):
        return True
    project: Project = cls.program_project
    qualified = project.resolve(node, module.scope_at(node), module)
    if qualified in cls.known_classes:
        return _is_pure_class(cls.known_classes[qualified], seen)
    linen = linen_name(qualified)
    if linen is None:
        return all(_makes_nothing(cls, d, seen) for d in _definitions(project, module, node, qualified))
    if linen in _HARMLESS | _LAYERS or linen.startswith("initializers"):
        return True
    if linen in _ATTENTION:
        call = module.parents[node]
        return isinstance(call, ast.Call) and call.func is node and _is_plain_attention(call)
    return not linen[:1].isupper() and function(f"{LINEN}.{linen}") is not None


def _definitions(project: Project, module: Module, node: ast.expr, qualified: str | None) -> list[Definition]:
    """What a name may stand for at the top level of a file: `NORMS = {"batch": nn.BatchNorm}` has no other name."""
    if qualified is None and isinstance(node, ast.Name):
        bindings = module.scopes.module.lookup(node.id)
        return [Definition(module, binding.node, binding) for binding in bindings]
    definition = project.definition(qualified) if qualified is not None else None
    return [] if definition is None else [definition]


def _makes_nothing(cls: LinenClass, definition: Definition, seen: set[LinenClass | ast.AST]) -> bool:
    """Whether a function, or what a name at the top level of a file stands for, has nothing of modules with state."""
    code = definition.binding.value or definition.node
    if code in seen or not isinstance(code, ast.FunctionDef | ast.expr):
        return True
    seen.add(code)
    return not any(
        _names_linen(cls.program_project, definition.module, node)
        or not _is_harmless(cls, definition.module, node, seen)
        for node in ast.walk(code)
    )


def _is_plain_attention(call: ast.Call) -> bool:
    """Whether the construction of attention gives neither dropout nor a cache nor another function."""
    return len(call.args) <= _IN_FRONT and not any(k.arg in _WITH_STATE for k in call.keywords)


def _names_linen(project: Project, module: Module, node: ast.AST) -> bool:
    if not isinstance(node, ast.Name | ast.Attribute):
        return False
    name = linen_name(project.resolve(node, module.scope_at(node), module))
    return name is not None and name[:1].isupper()
