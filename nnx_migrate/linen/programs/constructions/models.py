"""Models that a program builds and initialises in a way that anybody can repeat: `verify` compares these.

Taken are calls `model.init(key, ...)` whose construction and inputs consist of literals and of calls of JAX and
NumPy, through names, defaults and other files. A class is listed once, with the first such call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.dataflow.closing import closed
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.instances import InstanceFinder
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.parameter_entries import class_key

TRAIN_FLAGS = frozenset({"train", "training", "is_training", "is_train", "enable_dropout"})
EVAL_FLAGS = frozenset({"deterministic", "use_running_average", "eval_mode", "testing"})


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


def find_models(finder: InstanceFinder, project: Project) -> Iterator[FoundModel]:
    """The models of a project that can be built and called from its own code."""
    found: set[str] = set()
    for instance in finder.known_instances:
        for module, call in instance.inits:
            if class_key(instance.cls) in found:
                break
            model = _model(instance, module, call, project)
            if model is not None:
                found.add(model.key)
                yield model


def train_flags(cls: LinenClass) -> dict[str, bool]:
    """The parameters of `__call__` that switch training, with their value in training."""
    method = cls.method("__call__")
    names = method.parameters if method is not None else []
    return {name: name in TRAIN_FLAGS for name in names if name in TRAIN_FLAGS | EVAL_FLAGS}


def _model(instance: Instance, module: Module, call: ast.Call, project: Project) -> FoundModel | None:
    cls, construction = instance.cls, instance.reference.call
    method = cls.method("__call__")
    if method is None or "<locals>" in cls.qualified or any(k.arg == "method" for k in call.keywords):
        return None
    constructor = _arguments_text(construction, instance.reference.module, project)
    bound = _bound(call, method.parameters, module, project)
    if constructor is None or bound is None:
        return None
    flags = train_flags(cls)
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
        text = closed(node, module, project)
        if name is None or name not in parameters or text is None:
            return None
        texts[name] = text
    return texts


def _arguments_text(call: ast.Call, module: Module, project: Project) -> str | None:
    texts = []
    for argument in call.args:
        text = closed(argument, module, project)
        if text is None:
            return None
        texts.append(text)
    for keyword in call.keywords:
        text = closed(keyword.value, module, project)
        if text is None or keyword.arg is None:
            return None
        texts.append(f"{keyword.arg}={text}")
    return ", ".join(texts)
