from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.instances import Instances

_CLASS = "flax.training.early_stopping.EarlyStopping"


class FlaxEarlyStopping(Rule):
    """`EarlyStopping.update` returns the new state alone; whether it improved is a field.

    What it finds
    -------------
    `improved, early_stop = early_stop.update(metric)` where `early_stop` is a
    `flax.training.early_stopping.EarlyStopping`.

    Why
    ---
    `update` returned a pair; now unpacking its result raises TypeError.

    Example
    -------
    ::

        improved, early_stop = early_stop.update(loss)
        # becomes
        early_stop = early_stop.update(loss)
        improved = early_stop.has_improved

    Fix safety
    ----------
    Safe: the field holds what the first element of the pair was. `_` as the first name gets no line of its own.

    Since
    -----
    Flax 0.7.5.

    References
    ----------
    https://flax.readthedocs.io/en/latest/api_reference/flax.training.html
    """

    id = "flax-early-stopping"
    group = "linen"
    since = "flax>=0.7.5"
    triggers = frozenset({_CLASS, "flax.training.early_stopping"})

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings for unpacked results."""
        instances = Instances(file.module, file.project)
        for node in ast.walk(file.tree):
            if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
                continue
            target, value = node.targets[0], node.value
            if not (isinstance(target, ast.Tuple) and len(target.elts) == 2 and isinstance(value, ast.Call)):
                continue
            method = value.func
            if not (isinstance(method, ast.Attribute) and method.attr == "update"):
                continue
            receiver = file.segment(method.value)
            improved, state = (file.segment(element) for element in target.elts)
            if receiver != state and not self._is_early_stopping(method.value, instances):
                continue
            if not self._constructed(method.value, file, instances):
                continue
            fix = file.fix()
            fix.replace(target, state)
            if improved != "_":
                start = file.source.span(node)[0]
                indent = file.source.text[file.source.line_start(node.lineno) : start]
                separator = f"\n{indent}" if not indent.strip() else "; "
                end = file.source.span(node)[1]
                fix.insert(end, f"{separator}{improved} = {state}.has_improved")
            yield self.finding(
                file,
                node,
                "`EarlyStopping.update` returns the new state alone since flax 0.7.5",
                fix.build("read `has_improved`"),
            )

    @staticmethod
    def _is_early_stopping(node: ast.expr, instances: Instances) -> bool:
        return instances.class_of(node) == _CLASS

    @staticmethod
    def _constructed(node: ast.expr, file: FileContext, instances: Instances) -> bool:
        """True where a plain name is bound to `EarlyStopping(...)` and otherwise to its own updates only."""
        if not isinstance(node, ast.Name):
            return instances.class_of(node) == _CLASS
        found = False
        for binding in file.module.scope_at(node).lookup(node.id):
            if isinstance(binding.value, ast.Call):
                method = binding.value.func
                own = isinstance(method, ast.Attribute) and file.segment(method.value) == node.id
                if file.resolve(method) == _CLASS:
                    found = True
                elif not own:
                    return False
            elif binding.value is not None:
                return False
            elif not _is_own_update(binding.node, node.id, file):
                return False
        return found


def _is_own_update(node: ast.AST, name: str, file: FileContext) -> bool:
    """True where a tuple target takes part in `improved, name = name.update(...)`."""
    parent = file.parent(node)
    assign = file.parent(parent) if parent is not None else None
    return (
        isinstance(assign, ast.Assign)
        and isinstance(assign.value, ast.Call)
        and isinstance(assign.value.func, ast.Attribute)
        and assign.value.func.attr == "update"
        and file.segment(assign.value.func.value) == name
    )
