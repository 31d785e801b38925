from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.instances import Instances
from nnx_migrate.names.scopes import Binding

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
    Safe: the field holds what the first element of the pair was. `_` as the first name gets no line of its
    own.

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
            if not _is_stopper(method.value, file, instances):
                continue
            improved, state = (file.segment(element) for element in target.elts)
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


def _is_stopper(node: ast.expr, file: FileContext, instances: Instances, depth: int = 0) -> bool:
    """True for `EarlyStopping(...)`, and for names bound only to one, or to what `update` made of one."""
    if not isinstance(node, ast.Name) or depth > 8:
        return instances.class_of(node) == _CLASS
    bindings = file.module.scope_at(node).lookup(node.id)
    sources = [_source_of(binding, file) for binding in bindings]
    return bool(sources) and all(
        source is not None
        and (
            (isinstance(source, ast.Name) and source.id == node.id and len(sources) > 1)
            or _is_stopper(source, file, instances, depth + 1)
        )
        for source in sources
    )


def _source_of(binding: Binding, file: FileContext) -> ast.expr | None:
    """What a binding takes its value from; the receiver where that is `x.update(...)`, unpacked or not."""
    value = binding.value
    if value is None:
        target = file.parent(binding.node)
        assign = file.parent(target) if isinstance(target, ast.Tuple) else None
        if not (isinstance(assign, ast.Assign) and isinstance(assign.value, ast.Call)):
            return None
        value = assign.value
        if not (isinstance(value.func, ast.Attribute) and value.func.attr == "update"):
            return None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "update":
        return value.func.value
    return value
