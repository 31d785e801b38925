"""Whether NNX's variables hold what Linen's would hold.

Linen runs a model's methods once to initialise it, NNX doesn't: what the methods write has to be guarded, by a
condition on the initialisation itself or by a flag that no initialisation in the project sets.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.programs.inputs.init_calls import InitCalls
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Control, Write
from nnx_migrate.linen.values import InitFlag, Input
from nnx_migrate.nnx.writer.methods.caches import checked_cache


def check_state(analysis: ClassAnalysis, taken: frozenset[str]) -> None:
    """Raises Refuse where NNX's variables would not hold what Linen's hold; `taken` are names of the class."""
    facts = analysis.facts
    for lookup in facts.lookups:
        if lookup.by_calls:
            checked_cache(analysis, lookup)
            continue
        made = [
            v
            for v in facts.variables.values()
            if (v.collection, v.name) == (lookup.collection, lookup.name) and v.controls == lookup.controls
        ]
        if not made:
            detail = f"`self.has_variable` for `{lookup.name}`, which isn't created beside it"
            raise Refuse("unsupported-api", detail, lookup.node)
    for write in facts.writes:
        if write.after_init or write.variable.by_calls or _is_skipped(analysis, write):
            continue
        detail = f"`{write.variable.name}` is written when the model is initialised, too"
        raise Refuse("unsupported-api", detail, write.target)
    for (_, node), pattern in facts.sown.items():
        for name in sorted(name for name in taken if re.fullmatch(pattern, name)):
            raise Refuse("name-clash", f"`{name}` is sown, and an attribute has that name", node)


def _is_skipped(analysis: ClassAnalysis, write: Write) -> bool:
    """Whether no initialisation in the project reaches a write, by the flags that it passes."""
    calls = InitCalls.of(analysis.session.program.project)
    return any(_excluded(analysis, control, calls) for control in write.controls)


def _excluded(analysis: ClassAnalysis, control: Control, calls: InitCalls) -> bool:
    if not isinstance(control.node, ast.If | ast.IfExp) or control.branch not in ("body", "orelse"):
        return False
    flags = {i.text: i for i in _inputs(analysis, control.node.test)}
    choices = [[(name, value) for value in calls.values(name, flag)] for name, flag in flags.items()]
    if not flags or not all(choices):
        return False
    wanted = control.branch == "body"
    return all(
        _truth(analysis, control.node.test, dict(choice)) is (not wanted)
        for choice in itertools.product(*choices)
    )


def _values(analysis: ClassAnalysis, node: ast.AST) -> list[object]:
    return [value for (_, found), value in analysis.facts.values.items() if found is node]


def _inputs(analysis: ClassAnalysis, test: ast.expr) -> Iterator[Input]:
    for node in ast.walk(test):
        for value in _values(analysis, node) if isinstance(node, ast.Name) else ():
            if isinstance(value, Input):
                yield value


def _truth(analysis: ClassAnalysis, test: ast.expr, flags: dict[str, object]) -> bool | None:
    """A condition's truth in an initialisation with these flags, None where it can't be told."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(analysis, test.operand, flags)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        parts = [_truth(analysis, value, flags) for value in test.values]
        decisive = isinstance(test.op, ast.Or)
        return decisive if decisive in parts else None if None in parts else not decisive
    values = _values(analysis, test)
    if len(values) != 1:
        return None
    (value,) = values
    if isinstance(value, InitFlag):
        return value.initially
    if isinstance(value, Input) and value.text in flags:
        flag = flags[value.text]
        return bool(flag) if isinstance(flag, bool | None) else None
    return None
