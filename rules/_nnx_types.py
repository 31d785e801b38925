"""What the rules about NNX know of its classes, and how they find out what an attribute holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.classes import ancestors, derives_from
from nnx_migrate.names.instances import Instances, self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

NNX = "flax.nnx"
MODULE_ROOTS = frozenset({f"{NNX}.Module", f"{NNX}.Object", f"{NNX}.Pytree"})
VARIABLES = frozenset(
    f"{NNX}.{name}"
    for name in (
        "Variable", "Param", "BatchStat", "Cache", "Intermediate", "Perturbation", "LoRAParam", "RngState",
        "RngCount", "RngKey", "OptState", "OptArray", "OptVariable", "MetricState", "Buffer",
    )
)  # fmt: skip
# Built-in layers with the attributes that are Variables holding arrays (flax 0.12.8, `nnx.state` of each).
LAYER_VARIABLES = {
    "Linear": {"kernel", "bias"},
    "LinearGeneral": {"kernel", "bias"},
    "Einsum": {"kernel", "bias"},
    "Conv": {"kernel", "bias"},
    "ConvTranspose": {"kernel", "bias"},
    "Embed": {"embedding"},
    "BatchNorm": {"mean", "var", "scale", "bias"},
    "LayerNorm": {"scale", "bias"},
    "RMSNorm": {"scale"},
    "GroupNorm": {"scale", "bias"},
    "InstanceNorm": {"scale", "bias"},
    "LoRA": {"lora_a", "lora_b"},
    "PReLU": {"negative_slope"},
}
LAYERS = frozenset(
    f"{NNX}.{name}"
    for name in (
        *LAYER_VARIABLES, "Dropout", "MultiHeadAttention", "Sequential", "LSTMCell", "OptimizedLSTMCell", "GRUCell",
        "SimpleCell", "RNN", "Bidirectional", "LoRALinear", "SpectralNorm", "WeightNorm", "Rngs", "RngStream",
        "MultiMetric", "Optimizer", "ModelAndOptimizer", "List", "Dict",
    )
)  # fmt: skip


def is_module_class(qualified: str | None, project: Project) -> bool:
    """True for NNX's own layers and for project classes that derive from `nnx.Module`."""
    return qualified is not None and (
        qualified in LAYERS or derives_from(qualified, MODULE_ROOTS | LAYERS, project)
    )


def is_variable_class(qualified: str | None, project: Project) -> bool:
    """True for `nnx.Param` and its like, and project classes that derive from them."""
    return qualified is not None and derives_from(qualified, VARIABLES, project)


def nnx_classes(module: Module, project: Project) -> Iterator[ast.ClassDef]:
    """The classes of a file that are NNX modules."""
    for node, scope in module.scopes.of_node.items():
        if isinstance(node, ast.ClassDef) and is_module_class(f"{module.name}.{scope.qualname()}", project):
            yield node


class Attributes:
    """What attributes of objects hold, through the classes of the project and NNX's own layers."""

    def __init__(self, module: Module, project: Project) -> None:
        self.module, self.project = module, project
        self.instances = Instances(module, project)

    def class_of(self, node: ast.expr, depth: int = 0) -> str | None:
        """Like `Instances.class_of`, and through attributes of objects whose class is known."""
        found = self.instances.class_of(node)
        if found is not None or depth > 6 or not isinstance(node, ast.Attribute):
            return found
        owner = self.owner_of(node, depth)
        if owner is None:
            return None
        if node.attr in LAYER_VARIABLES.get(owner.removeprefix(f"{NNX}."), ()):
            return f"{NNX}.Param"
        answers = {
            Instances(m, self.project).class_of(value)
            for m, value in assigned(owner, node.attr, self.project)
        }
        return answers.pop() if len(answers) == 1 else None

    def owner_of(self, node: ast.Attribute, depth: int = 0) -> str | None:
        """The class of the object that an attribute is taken from (the surrounding class for `self`)."""
        if isinstance(node.value, ast.Name) and node.value.id == self_name(node, self.module):
            owner = self.module.enclosing(node, ast.ClassDef)
            if isinstance(owner, ast.ClassDef):
                return f"{self.module.name}.{self.module.scopes.of_node[owner].qualname()}"
        return self.class_of(node.value, depth + 1)

    def values_of(self, node: ast.expr) -> list[tuple[Module, ast.expr]]:
        """Every expression that can have given `node` its value; empty where that isn't known."""
        if isinstance(node, ast.Call):
            return [(self.module, node)]
        if isinstance(node, ast.Attribute):
            owner = self.owner_of(node)
            return list(assigned(owner, node.attr, self.project)) if owner else []
        return [(self.module, call) for call in self.instances.constructions(node)]


def assigned(owner: str, attr: str, project: Project) -> Iterator[tuple[Module, ast.expr]]:
    """The expressions that the methods of a class (or the classes above it) assign to `self.<attr>`."""
    for module, node in ancestors(owner, project):
        found = False
        for statement in ast.walk(node):
            if isinstance(statement, ast.Assign):
                targets, value = statement.targets, statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets, value = [statement.target], statement.value
            else:
                continue
            if any(is_self_attribute(target, attr, module) for target in targets):
                found = True
                yield module, value
        if found:
            return


def is_self_attribute(node: ast.expr, attr: str | None, module: Module) -> bool:
    """True for `self.<attr>` (any attribute where `attr` is None)."""
    return (
        isinstance(node, ast.Attribute)
        and attr in (None, node.attr)
        and isinstance(node.value, ast.Name)
        and node.value.id == self_name(node, module)
    )
