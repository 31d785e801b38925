"""Models that a program builds and initialises in a way that anybody can repeat: `verify` compares these.

Taken are calls `model.init(key, ...)` whose construction and inputs consist of literals and of calls of JAX and
NumPy. A class is listed once, with the first such call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from nnx_migrate.linen.model import LinenProgram
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
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
    for module in project.mentioning(".init("):
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "init"
            ):
                model = _model(node, node.func.value, module, project, program)
                if model is not None and model.key not in found:
                    found.add(model.key)
                    yield model


def _model(
    call: ast.Call, receiver: ast.expr, module: Module, project: Project, program: LinenProgram
) -> FoundModel | None:
    construction = _value(receiver, module)
    if not isinstance(construction, ast.Call):
        return None
    qualified = project.resolve(construction.func, module.scope_at(construction), module)
    cls = next((c for c in program if c.qualified == qualified), None)
    method = cls.method("__call__") if cls is not None else None
    if cls is None or method is None or "<locals>" in cls.qualified:
        return None
    constructor = _arguments_text(construction, module, project)
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


def _value(node: ast.expr, module: Module) -> ast.expr | None:
    """What a name was assigned, if once."""
    if not isinstance(node, ast.Name):
        return node
    bindings = module.scope_at(node).lookup(node.id)
    return bindings[0].value if len(bindings) == 1 else None


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

    copy = ast.parse(f"({module.source.segment(node)})", mode="eval").body
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
    if len(bindings) == 1 and bindings[0].value is not None:
        return _closed(bindings[0].value, module, project, depth + 1)
    return None
