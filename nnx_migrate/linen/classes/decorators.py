"""Decorators of methods that check types, or give traces a name: the method computes the same under them."""

from __future__ import annotations

import ast

from nnx_migrate.linen.symbols import canonical
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_KEEPING = frozenset({
    "beartype.beartype",
    "jax.named_call",
    "jax.named_scope",
    "jax.profiler.annotate_function",
    "jaxtyping.jaxtyped",
    "kauldron.ktyping.typechecked",
    "kauldron.typing.typechecked",
    "typeguard.typechecked",
    "typing.no_type_check",
    "typing.override",
    "typing_extensions.override",
})  # fmt: skip


def keeps_method(decorator: ast.expr, module: Module, project: Project, depth: int = 3) -> bool:
    """Whether a decorator is one of these, bare, with options, or under a name of the project's own.

    `def typecheck(f): return jaxtyped(typechecker=beartype)(f)`, or `return jaxtyped(f, typechecker=beartype)`
    """

    def resolve(node: ast.expr) -> str | None:
        return canonical(project.resolve(node, module.scope_at(node), module))

    if isinstance(decorator, ast.Call):
        name = resolve(decorator.func)
        if name == "functools.partial" and decorator.args:
            return keeps_method(decorator.args[0], module, project, depth)
        return name in _KEEPING or (
            isinstance(decorator.func, ast.Call) and keeps_method(decorator.func, module, project, depth)
        )
    name = resolve(decorator)
    if name is None:
        bound = module.scopes.module.lookup(decorator.id) if isinstance(decorator, ast.Name) else []
        value = bound[0].value if len(bound) == 1 else None
        return depth > 0 and value is not None and keeps_method(value, module, project, depth - 1)
    if name in _KEEPING:
        return True
    definition = project.definition(name) if depth else None
    if definition is None:
        return False
    value = definition.binding.value
    if isinstance(definition.node, ast.FunctionDef):
        return _applies_one(definition.node, definition.module, project, depth - 1)
    return value is not None and keeps_method(value, definition.module, project, depth - 1)


def _applies_one(function: ast.FunctionDef, module: Module, project: Project, depth: int) -> bool:
    """Whether a function does nothing but return its one argument under such a decorator."""
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    args = function.args
    plain = len(args.args) == 1 and not (args.posonlyargs or args.kwonlyargs or args.vararg or args.kwarg)
    if not plain or len(body) != 1 or not isinstance(body[0], ast.Return) or function.decorator_list:
        return False
    value = body[0].value
    while isinstance(value, ast.Call) and _is_cast(value, module, project):
        value = value.args[1]
    given = value.args if isinstance(value, ast.Call) else []
    if (
        not isinstance(value, ast.Call)
        or any(k.arg != "typechecker" for k in value.keywords)
        or len(given) != 1
    ):
        return False
    is_argument = isinstance(given[0], ast.Name) and given[0].id == args.args[0].arg
    return is_argument and keeps_method(value.func, module, project, depth)


def _is_cast(call: ast.Call, module: Module, project: Project) -> bool:
    name = canonical(project.resolve(call.func, module.scope_at(call.func), module))
    return name == "typing.cast" and len(call.args) == 2 and not call.keywords
