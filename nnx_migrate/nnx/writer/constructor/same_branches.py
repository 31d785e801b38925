"""Branches of `setup` that make the same modules: `nn.remat`, in which alone they differ, stands at the calls in NNX.

if self.gradient_checkpointing:
    CheckpointLayer = remat(Layer)
    self.layers = [CheckpointLayer(...) for ...]
else:
    self.layers = [Layer(...) for ...]
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.nnx.writer.text import dedented, indentation, meaning

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.constructor.setup import SetupWriter


def without_branches(setup: SetupWriter, node: ast.If) -> str | None:
    """What both branches come to, in place of the whole statement; None where they differ."""
    around = [setup.sites[call] for call in ast.walk(node) if call in setup.sites]
    if not any(lift.condition for site in around for lift in site.lifts):
        return None
    texts: list[str] = []
    for branch in (node.body, node.orelse):
        left = [statement for statement in branch if not setup.only_constructs(statement)]
        if len(left) != 1 or not isinstance(left[0], ast.Assign):
            return None
        inner, outer = (indentation(setup.source, statement.lineno) for statement in (left[0], node))
        texts.append(dedented(setup.replace(left[0]) or setup.inner(left[0]), inner, outer))
    if len({meaning(text) for text in texts}) != 1:
        return None
    return max(texts, key=len)  # comments are kept
