"""Models that a program builds and initialises in a way that anybody can repeat: `verify` compares these.

Taken are calls `model.init(key, ...)` whose construction and inputs consist of literals and of calls of JAX and
NumPy, through names, defaults and other files. A class is listed once, with the first such call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from nnx_migrate.linen.model import LinenProgram
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Scope
from nnx_migrate.nnx.parameter_entries import class_key

TRAIN_FLAGS = frozenset({"train", "training", "is_training", "is_train", "enable_dropout"})
EVAL_FLAGS = frozenset({"deterministic", "use_running_average", "eval_mode", "testing"})
_LIBRARIES = {"jax": "jax", "jax.numpy": "jnp", "numpy": "np", "flax": "flax", "flax.linen": "nn"}


@dataclass(frozen=True)
class FoundModel:
    """A model with its constructor arguments and inputs as source text, in terms of jax, jnp and np.

    `arguments` are those of `__call__` by name, the first `positional` of them in its order; `flags` the ones
    that switch training.
    """

    key: str
    module: str
    name: str
    constructor: str
    arguments: dict[str, str]
    positional: int
    flags: dict[str, bool] = field(default_factory=dict)

    def keywords(self, train: bool) -> dict[str, str]:
        """The flags as keyword arguments for training or evaluation."""
        return {name: str(training is train) for name, training in self.flags.items()}


def find_models(project: Project) -> Iterator[FoundModel]:
    """The models of a project that can be built and called from its own code."""
    program = LinenProgram(project)
    found: set[str] = set()
    for instance in InstanceFinder(program).known_instances:
        for module, call in instance.inits:
            if class_key(instance.cls) in found:
                break
            model = _model(instance, module, call, project)
            if model is not None:
                found.add(model.key)
                yield model


def _model(instance: Instance, module: Module, call: ast.Call, project: Project) -> FoundModel | None:
    cls, construction = instance.cls, instance.reference.call
    method = cls.method("__call__")
    if method is None or "<locals>" in cls.qualified or any(k.arg == "method" for k in call.keywords):
        return None
    constructor = _arguments_text(construction, instance.reference.module, project)
    bound = _bound(call, method.parameters, module, project)
    if constructor is None or bound is None:
        return None
    flags = {
        name: name in TRAIN_FLAGS for name in method.parameters if name in TRAIN_FLAGS or name in EVAL_FLAGS
    }
    leading = list(takewhile(lambda name: name in bound and name not in flags, method.parameters))
    others = [name for name in bound if name not in flags and name not in leading]
    arguments = {name: bound[name] for name in [*leading, *others]}
    name = class_key(cls).partition(":")[2]
    return FoundModel(class_key(cls), cls.module.name, name, constructor, arguments, len(leading), flags)


def _bound(call: ast.Call, parameters: list[str], module: Module, project: Project) -> dict[str, str] | None:
    """The inputs of `init` by parameter of `__call__`; the first argument is the key."""
    texts: dict[str, str] = {}
    positional = list(zip(parameters, call.args[1:], strict=False))
    if len(call.args) - 1 > len(parameters):
        return None
    for name, node in [*positional, *((k.arg, k.value) for k in call.keywords)]:
        if name == "rngs" and name not in parameters:
            continue
        text = _closed(node, module, project)
        if name is None or name not in parameters or text is None:
            return None
        texts[name] = text
    return texts


def _arguments_text(call: ast.Call, module: Module, project: Project) -> str | None:
    texts = []
    for argument in call.args:
        text = _closed(argument, module, project)
        if text is None:
            return None
        texts.append(text)
    for keyword in call.keywords:
        text = _closed(keyword.value, module, project)
        if text is None or keyword.arg is None:
            return None
        texts.append(f"{keyword.arg}={text}")
    return ", ".join(texts)


def _closed(node: ast.expr, module: Module, project: Project, depth: int = 0) -> str | None:
    """An expression with the file's own names replaced, None where that leaves any."""
    if depth > 8:
        return None
    replaced: dict[str, str] = {}
    for name in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
        text = _name_text(name, node, module, project, depth)
        if text is None:
            return None
        replaced[name] = text

    class Replace(ast.NodeTransformer):
        def visit_Name(self, found: ast.Name) -> ast.expr:
            return ast.parse(f"({replaced[found.id]})", mode="eval").body

    try:
        copy = ast.parse(f"({module.source.segment(node)})", mode="eval").body
    except SyntaxError:  # `*inputs`
        return None
    return ast.unparse(ast.fix_missing_locations(Replace().visit(copy)))


def _name_text(name: str, at: ast.expr, module: Module, project: Project, depth: int) -> str | None:
    scope = module.scope_at(at)
    bindings = scope.lookup(name)
    if not bindings:
        return (
            name
            if name in ("range", "len", "int", "float", "tuple", "list", "dict", "True", "False")
            else None
        )
    target = project.resolve_name(name, scope, module) or ""
    for library, short in sorted(_LIBRARIES.items(), key=lambda item: -len(item[0])):
        if target == library or target.startswith(f"{library}."):
            return short + target[len(library) :]
    for binding in bindings:  # any of several values will do: both sides get the same
        value = binding.value
        if value is None and binding.kind is BindingKind.PARAMETER:
            value = _default(name, scope)
        text = None if value is None else _closed(value, module, project, depth + 1)
        if text is not None:
            return text
    definition = project.definition(target) if target else None
    if definition is not None and definition.module is not module and definition.binding.value is not None:
        return _closed(definition.binding.value, definition.module, project, depth + 1)
    return None


def _default(name: str, scope: Scope) -> ast.expr | None:
    """The default of a function's parameter."""
    binder = scope.binder(name)
    function = binder.node if binder is not None else None
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return None
    args = function.args
    positional = [*args.posonlyargs, *args.args]
    pairs = [*zip(reversed(positional), reversed(args.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
    return next((default for arg, default in pairs if arg.arg == name), None)
