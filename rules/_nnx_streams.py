"""Which random streams stacked layers hold: those of the outer `nnx.Rngs`, or their own."""

from __future__ import annotations

import ast

from nnx_migrate.rules._nnx_types import LAYER_VARIABLES, NNX, Attributes, is_module_class

from nnx_migrate.engine.context import FileContext
from nnx_migrate.names.classes import class_of
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_STACKED = frozenset({f"{NNX}.vmap", f"{NNX}.scan"})
# Layers that hold no stream, or fork theirs from `rngs` when they are made (flax 0.12.8).
_LAYERS = frozenset(f"{NNX}.{name}" for name in (*LAYER_VARIABLES, "MultiHeadAttention"))
_ARRAYS = frozenset({"jax.Array", "jax.numpy.ndarray", "chex.Array", "jaxtyping.Array", "numpy.ndarray"})
_DEPTH = 6


def resplit_layers(file: FileContext, attributes: Attributes, decorator: ast.Call) -> bool:
    """Whether `@nnx.split_rngs(splits=n)` stands around calls of layers that already have n streams each.

    They were made by a function under `nnx.vmap`, and every module in them hands its `rngs` to layers alone: NNX
    forks these streams then and there. Nothing else that the function gets may hold streams.
    """
    function = file.parent(decorator)
    if not isinstance(function, ast.FunctionDef) or not _only_splits(decorator):
        return False
    below = function.decorator_list[function.decorator_list.index(decorator) + 1 :][:1]
    if not below or _head(file, below[0]) not in _STACKED:
        return False
    names = [argument.arg for argument in function.args.args]
    calls = [
        call
        for reference in file.module.scopes.names.get(function.name, ())
        if isinstance(call := file.parent(reference.node), ast.Call) and call.func is reference.node
    ]
    if not calls or any(call.keywords or len(call.args) != len(names) for call in calls):
        return False
    pairs = [pair for call in calls for pair in zip(function.args.args, call.args, strict=True)]
    layers = [value for parameter, value in pairs if not _is_array(file, attributes, parameter, value)]
    return bool(layers) and all(_have_own_streams(file, attributes, value) for value in layers)


def _only_splits(decorator: ast.Call) -> bool:
    return not decorator.args and [keyword.arg for keyword in decorator.keywords] == ["splits"]


def _head(file: FileContext, decorator: ast.expr) -> str | None:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    qualified = file.resolve(call)
    if qualified == "functools.partial" and isinstance(decorator, ast.Call) and decorator.args:
        return file.resolve(decorator.args[0])
    return qualified


def _is_array(file: FileContext, attributes: Attributes, parameter: ast.arg, value: ast.expr) -> bool:
    """Whether an annotation, of the parameter or of what is passed, says that it is an array."""
    declared = file.resolve(parameter.annotation) if parameter.annotation is not None else None
    return declared in _ARRAYS or attributes.class_of(value) in _ARRAYS


def _have_own_streams(file: FileContext, attributes: Attributes, value: ast.expr) -> bool:
    values = attributes.values_of(value) if isinstance(value, ast.Attribute) else []
    made = [_made_by(construction, module, file.project) for module, construction in values]
    return bool(made) and all(cls is not None and _own_streams(cls, file.project) for cls in made)


def _made_by(value: ast.expr, module: Module, project: Project) -> str | None:
    """The class of the layers that `create(rngs)` makes, `create` being a function under `nnx.vmap`."""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name)):
        return None
    bindings = module.scope_at(value).lookup(value.func.id)
    function = bindings[0].node if len(bindings) == 1 else None
    if not isinstance(function, ast.FunctionDef):
        return None
    scope = module.scope_at(function)
    heads = [d.func if isinstance(d, ast.Call) else d for d in function.decorator_list]
    if f"{NNX}.vmap" not in [project.resolve(head, scope, module) for head in heads]:
        return None
    last = function.body[-1]
    if not (isinstance(last, ast.Return) and isinstance(last.value, ast.Call)):
        return None
    return project.resolve(last.value.func, module.scope_at(last.value), module)


def _own_streams(cls: str, project: Project, depth: int = 0) -> bool:
    """Whether a class of the project hands its `rngs` to layers alone, and one of these is a Dropout."""
    return depth < _DEPTH and "dropout" in (kinds := _kinds(cls, project, depth)) and "kept" not in kinds


def _kinds(cls: str, project: Project, depth: int) -> set[str]:
    """What a class does with its `rngs`: "dropout", "layer", "kept" where it may keep them itself."""
    found = class_of(cls, project)
    if found is None or depth >= _DEPTH:
        return {"kept"}
    module, node = found
    init = next((s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
    if init is None:
        return {"kept"}
    kinds: set[str] = set()
    for reference in module.scopes.names.get("rngs", ()):
        if module.enclosing(reference.node, ast.FunctionDef) is not init:
            continue
        keyword = module.parents.get(reference.node)
        call = module.parents.get(keyword) if isinstance(keyword, ast.keyword) else None
        if not (isinstance(call, ast.Call) and isinstance(keyword, ast.keyword) and keyword.arg == "rngs"):
            return {"kept"}
        layer = project.resolve(call.func, module.scope_at(call), module)
        if layer == f"{NNX}.Dropout":
            kinds.add("dropout")
        elif layer in _LAYERS:
            kinds.add("layer")
        elif is_module_class(layer, project):
            kinds |= _kinds(layer or "", project, depth + 1)
        else:
            return {"kept"}
    return kinds
