"""Conditions that the defaults of a call's arguments decide: `if self.aux_logits and train:` with `train=True`.

Linen creates modules when the model is initialised: those below such a condition if `init` leaves the argument out.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.inputs.init_calls import InitCalls
from nnx_migrate.linen.sites import Context
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Input


def open_parts(analysis: ClassAnalysis, context: Context, test: ast.expr) -> list[ast.expr] | None:
    """What is left of a condition where the model is initialised with the defaults of its arguments.

    None where no argument is true by default, or an initialisation in the project gives it something else.
    """
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    left = [part for part in parts if not _holds(analysis, context, part)]
    return left if len(left) < len(parts) else None


def conjunction(texts: list[str]) -> str:
    """Conditions that all have to hold, as one."""
    loose = ast.BoolOp | ast.IfExp | ast.Lambda
    parsed = [ast.parse(TOKEN.sub("size", text), mode="eval").body for text in texts]
    atoms = [f"({t})" if isinstance(node, loose) else t for t, node in zip(texts, parsed, strict=True)]
    return texts[0] if len(texts) == 1 else " and ".join(atoms)


def _holds(analysis: ClassAnalysis, context: Context, test: ast.expr) -> bool:
    wanted = True
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, wanted = test.operand, not wanted
    value = analysis.facts.values.get((context, test))
    if not (isinstance(value, Input) and isinstance(value.default, bool) and len(value.path) == 1):
        return False
    if value.default is not wanted:
        return False
    calls = InitCalls.about(analysis.session.program.project, _holders(analysis.cls))
    return calls.values(str(value.path[0]), value) == {wanted}


def _holders(cls: LinenClass) -> frozenset[str]:
    """The names of a class and of those that name it, or name one of these."""
    words = {
        other.name: {n.id for n in ast.walk(other.node) if isinstance(n, ast.Name)}
        | {n.attr for n in ast.walk(other.node) if isinstance(n, ast.Attribute)}
        for other in cls.known_classes.values()
    }
    found = {cls.name}
    while more := {name for name, used in words.items() if name not in found and used & found}:
        found |= more
    return frozenset(found)
