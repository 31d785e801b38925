"""Expressions in terms that anybody knows: a program's own names replaced by what they stand for.

What remains consists of literals, of calls of JAX, NumPy and Flax, and of a few builtins; it means the same in any
file that knows `jax`, `jnp`, `np`, `flax` and `nn`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import defaults
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Scope, dotted

_LIBRARIES = {"jax": "jax", "jax.numpy": "jnp", "numpy": "np", "flax": "flax", "flax.linen": "nn"}
_BUILTINS = ("range", "len", "int", "float", "tuple", "list", "dict", "True", "False")
_MAX_DEPTH = 8


def closed(
    node: ast.expr,
    module: Module,
    project: Project,
    unknown: str | None = None,
    own: bool = False,
    depth: int = 0,
) -> str | None:
    """An expression with the program's names replaced, as text.

    A name that nothing is known of makes it None or, where `unknown` is given, is replaced by that, with the
    attributes, subscripts and calls that hang on it (`config.hidden[0]`). Whatever key random numbers are drawn
    from, it becomes `jax.random.key(0)`. With `own` the project's own classes and functions may remain, under their
    qualified names (`pkg.blocks.Block`, see `own_modules`).
    """
    if depth > _MAX_DEPTH:
        return None
    replaced: dict[str, str] = {}
    keys = _keys(node, module, project)
    in_keys = {part for key in keys for part in ast.walk(key)}
    for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n not in in_keys}:
        text = _name_text(name, node, module, project, unknown, own, depth)
        if text is not None:
            replaced[name] = text
        elif unknown is None:
            return None
    try:
        copy = ast.parse(f"({module.source.segment(node)})", mode="eval").body
    except SyntaxError:  # `*inputs`
        return None
    same = dict(zip(ast.walk(node), ast.walk(copy), strict=True))
    replace = _Replace(replaced, unknown, {same[key] for key in keys})
    return ast.unparse(ast.fix_missing_locations(replace.visit(copy)))


def _keys(node: ast.expr, module: Module, project: Project) -> set[ast.expr]:
    """The keys that calls of `jax.random` in an expression draw from."""
    keys = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and call.args:
            target = project.resolve(call.func, module.scope_at(call), module) or ""
            if target.startswith("jax.random.") and target.rpartition(".")[2] not in ("key", "PRNGKey"):
                keys.add(call.args[0])
    return keys


class _Replace(ast.NodeTransformer):
    def __init__(self, replaced: dict[str, str], unknown: str | None, keys: set[ast.AST]) -> None:
        self.replaced, self.unknown, self.keys = replaced, unknown, keys

    def visit(self, node: ast.AST) -> ast.AST:
        if node in self.keys:
            return ast.parse("jax.random.key(0)", mode="eval").body
        root = _root(node)
        if root is not None and root not in self.replaced and self.unknown is not None:
            return ast.parse(self.unknown, mode="eval").body
        if isinstance(node, ast.Name):
            return ast.parse(f"({self.replaced[node.id]})", mode="eval").body
        return self.generic_visit(node)


def _root(node: ast.AST) -> str | None:
    """The name at the start of `name.attribute[0](...)`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def own_modules(texts: Iterable[str], project: Project) -> list[str]:
    """The project's modules that closed expressions name, which have to be imported for them."""
    found: dict[str, None] = {}
    for node in (part for text in texts for part in ast.walk(ast.parse(text, mode="eval"))):
        module, _, name = (
            (dotted(node) or "").rpartition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        )
        is_own = bool(name) and project.has_package(module.partition(".")[0])
        if is_own and project.definition(module) is None:  # `Config.WIDTH` hangs on a class of the module
            found[module] = None
    return [module for module in found if not any(other.startswith(f"{module}.") for other in found)]


def _name_text(
    name: str, at: ast.expr, module: Module, project: Project, unknown: str | None, own: bool, depth: int
) -> str | None:
    scope = module.scope_at(at)
    bindings = scope.lookup(name)
    if not bindings:
        return name if name in _BUILTINS else None
    target = project.resolve_name(name, scope, module) or ""
    for library, short in sorted(_LIBRARIES.items(), key=lambda item: -len(item[0])):
        if target == library or target.startswith(f"{library}."):
            return short + target[len(library) :]
    for binding in bindings:  # any of several values will do: both sides get the same
        value = binding.value
        if value is None and binding.kind is BindingKind.PARAMETER:
            value = _default(name, scope)
        text = None if value is None else closed(value, module, project, unknown, own, depth + 1)
        if text is not None and text != unknown:
            return text
    definition = project.definition(target) if target else None
    if definition is None:
        return None
    if definition.module is not module and definition.binding.value is not None:
        return closed(definition.binding.value, definition.module, project, unknown, own, depth + 1)
    is_own = isinstance(definition.node, ast.ClassDef | ast.FunctionDef) and "<locals>" not in target
    can_be_said = all(map(str.isidentifier, target.split(".")))  # a notebook's name need not be
    return target if own and is_own and can_be_said else None


def _default(name: str, scope: Scope) -> ast.expr | None:
    """The default of a function's parameter."""
    binder = scope.binder(name)
    function = binder.node if binder is not None else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return None
    return next((default for arg, default in defaults(function.args) if arg.arg == name), None)
