"""Classes used as values: `partial(ResNet, ...)`, `{"cnn": CNN}`, `build(CNN)`.

Where all that becomes of such a value is being called outside of modules, the value can be replaced by
something that makes `Functional`s. Where it is handed to a module as a field it stays a class.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference, References
from nnx_migrate.linen.programs.dataflow.callees import PARTIAL
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.uses import End, Flow, Use
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project


@dataclass(frozen=True, eq=False)
class ClassValue:
    """A class used as a value, and the calls that it gets, directly or through `functools.partial`."""

    reference: ClassReference
    flow: Flow
    calls: tuple[tuple[Module, ast.Call], ...]
    problem: str = ""
    is_field: bool = False  # it is handed to modules, as a class
    partial: ast.Call | None = None  # around it

    @property
    def cls(self) -> LinenClass:
        """The class."""
        return self.reference.cls

    @property
    def node(self) -> ast.expr:
        """The class, or the partial of it."""
        return self.partial if self.partial is not None else self.reference.node


class ClassValues:
    """Finds out what becomes of classes that are used as values."""

    def __init__(self, project: Project, references: References, finder: FlowFinder) -> None:
        self.project, self.references, self.finder = project, references, finder

    def of(self, reference: ClassReference) -> ClassValue:
        """The value that a reference makes, judged."""
        module, node = reference.module, reference.node
        parent = module.parents[node]
        partial = parent if isinstance(parent, ast.Call) and self._is_partial(module, parent, node) else None
        flow = self.finder.follow(module, partial or node, is_object=False)
        held = [use for use in flow.uses if use.end is End.HELD]
        calls = tuple(
            (u.module, u.node) for u in flow.uses if u.end is End.CALL and isinstance(u.node, ast.Call)
        )
        inside = [call for where, call in calls if self.references.in_linen_class(where, call)]
        problem = ""
        if flow.escapes:
            problem = flow.escapes[0].why
        elif (held or inside) and len(inside) < len(calls):
            problem = "it is called both within modules and outside"
        elif _is_compared(module, node):
            problem = "it is compared with the class of something"
        elif any(_reads_linen_form(reference.cls, use, flow) for use in flow.uses):
            problem = "attributes of the class are used"
        return ClassValue(reference, flow, calls, problem, bool(held or inside) and not problem, partial)

    def _is_partial(self, module: Module, call: ast.Call, node: ast.expr) -> bool:
        name = self.project.resolve(call.func, module.scope_at(call.func), module)
        return name in PARTIAL and call.args[:1] == [node]


def _reads_linen_form(cls: LinenClass, use: Use, flow: Flow) -> bool:
    """Whether an attribute of the class is read that its NNX form may not have.

    It has its name, functions that need no module, `Net.initialize_carry`, and methods for
    `apply(..., method=Net.encode)`.
    """
    if use.end is not End.ATTRIBUTE or not use.sure:
        return False
    if isinstance(use.node, ast.Attribute) and use.node.attr == "__name__" and not flow.vmapped:
        return not isinstance(use.node.ctx, ast.Load)
    method = cls.method(use.node.attr) if isinstance(use.node, ast.Attribute) else None
    if method is None or flow.vmapped or method.kind == "property":
        return True
    parent = use.module.parents[use.node]
    is_named = isinstance(parent, ast.keyword) and parent.arg == "method"
    return method.kind == "method" and not is_named


def _is_compared(module: Module, node: ast.expr) -> bool:
    """`type(model) is CNN`, `cls in (CNN, MLP)`, `issubclass(cls, (CNN, MLP))`."""
    parent = module.parents[node]
    while isinstance(parent, ast.Tuple | ast.List | ast.Set):
        parent = module.parents[parent]
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Name) and parent.func.id in ("isinstance", "issubclass")
    return isinstance(parent, ast.Compare)
