"""Calls with an argument that has a factory field's name, but that construct no module: `projection(x, norm="l2")`."""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

#: Libraries whose functions make nothing of a project's classes that nobody hands to them.
_LIBRARIES = frozenset(
    {
        "PIL", "chex", "cv2", "einops", "jax", "jaxopt", "math", "matplotlib", "numpy", "optax", "pandas", "scipy",
        "seaborn", "sklearn", "tensorflow", "tensorflow_datasets", "torch", "torchvision", "wandb",
    }
)  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def makes_no_module(project: Project, module: Module, call: ast.Call, argument: str) -> bool:
    """Whether a call that gives `argument` by name constructs no class of the project by itself.

    It reaches a function of a library, or one of the project that has such a parameter: what that function's own
    code makes of it is looked at there.
    """
    function = call.func
    scope = module.scope_at(function)
    named = project.resolve(function, scope, module)
    if named is not None:
        found = project.definition(named)
        if found is not None:
            return _takes(found.node, argument)
        return named.partition(".")[0] in _LIBRARIES
    if isinstance(function, ast.Name) and scope.binder(function.id) is None:
        return function.id == "dict" and _is_streams(module, call)
    return _takes(_own_method(module, function), argument)


def _is_streams(module: Module, call: ast.Call) -> bool:
    """Whether a dict holds keys of random streams: `rngs=dict(dropout=key)`."""
    outer = module.parents.get(call)
    return isinstance(outer, ast.keyword) and outer.arg == "rngs"


def _own_method(module: Module, function: ast.expr) -> ast.AST | None:
    """The method that `self.method` calls, where the class around it has one of that name, and nothing else."""
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return None
    around = module.enclosing(function, *_FUNCTIONS)
    cls = module.enclosing(function, ast.ClassDef)
    if not (isinstance(around, _FUNCTIONS) and isinstance(cls, ast.ClassDef) and around in cls.body):
        return None
    own = [*around.args.posonlyargs, *around.args.args][:1]
    if [argument.arg for argument in own] != [function.value.id]:
        return None
    methods = [n for n in cls.body if isinstance(n, _FUNCTIONS) and n.name == function.attr]
    stored = any(
        isinstance(n, ast.Attribute) and n.attr == function.attr and not isinstance(n.ctx, ast.Load)
        for n in ast.walk(module.tree)
    )
    return methods[0] if len(methods) == 1 and not stored else None


def _takes(function: ast.AST | None, argument: str) -> bool:
    """Whether a function has a parameter of that name."""
    if not isinstance(function, _FUNCTIONS):
        return False
    spec = function.args
    return argument in {a.arg for a in (*spec.args, *spec.kwonlyargs)}
