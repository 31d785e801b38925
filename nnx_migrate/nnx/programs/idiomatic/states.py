"""`TrainState` and the subclasses of a project that only add fields."""

from __future__ import annotations

import ast

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.programs.idiomatic.kinds import Kind, NotIdiomatic

TRAIN_STATE = "flax.training.train_state.TrainState"
STATE_FIELDS = frozenset({"apply_fn", "params", "tx"})


class StateClasses:
    """Tells calls of `create`. `params` is what the states call so, `stats` their fields with statistics."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.params: Kind | None = None
        self.stats: set[str] = set()

    def is_create(self, module: Module, call: ast.Call) -> bool:
        """Whether a call is `TrainState.create(...)`, or that of a subclass."""
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "create"):
            return False
        name = self._name(module, call)
        return name == TRAIN_STATE or self._definition(name) is not None

    def is_optax(self, module: Module, node: ast.expr) -> bool:
        """Whether a variable is an optimizer of optax, for good."""
        if not isinstance(node, ast.Name):
            return False
        bindings = module.scope_at(node).lookup(node.id)
        values = [b.value for b in bindings]
        if len(values) != 1 or not isinstance(values[0], ast.Call):
            return False
        where = module.scope_at(values[0])
        return (self.project.resolve(values[0].func, where, module) or "").startswith("optax.")

    def klass(self, module: Module, call: ast.Call) -> ast.ClassDef | None:
        """The project's own class of states, if it is one. Raises NotIdiomatic where it has methods."""
        found = self._definition(self._name(module, call))
        body = found.body if found is not None else []
        for statement in body:
            text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not (isinstance(statement, ast.AnnAssign | ast.Pass) or text):
                raise NotIdiomatic("a state with code of its own", module, call)
        return found

    def _name(self, module: Module, call: ast.Call) -> str:
        assert isinstance(call.func, ast.Attribute)
        return self.project.resolve(call.func.value, module.scope_at(call), module) or ""

    def _definition(self, name: str) -> ast.ClassDef | None:
        definition = self.project.definition(name) if name else None
        if definition is None or not isinstance(definition.node, ast.ClassDef):
            return None
        node, module = definition.node, definition.module
        bases = [self.project.resolve(base, module.scope_at(node), module) for base in node.bases]
        return node if bases == [TRAIN_STATE] and not node.keywords and not node.decorator_list else None
