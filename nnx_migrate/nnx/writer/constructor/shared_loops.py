"""Loops of setup that carry sizes for compact methods, too.

    def setup(self):
        self.blocks = [nn.Dense(width) for width in self.widths]

    @nn.compact
    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return nn.Dense(self.classes)(x)

What the method's loop leaves behind, the loop that makes the blocks knows: the constructor needs no second one.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.construction.carried import CarriedValues
from nnx_migrate.nnx.writer.residual.nodes import Assign, Block, Node


def carried_by_setup(
    nodes: Sequence[Node], analysis: ClassAnalysis, carried: CarriedValues
) -> tuple[list[Node], list[str]]:
    """The nodes without loops that do nothing but carry sizes which setup can carry, and the tokens of these."""
    left: list[Node] = []
    tokens: list[str] = []
    for node in nodes:
        found = _carried(node, analysis, carried)
        while found and left and isinstance(left[-1], Assign) and left[-1].token in found:
            left.pop()
        if found:
            tokens += found
        else:
            left.append(node)
    return left, tokens


def _carried(node: Node, analysis: ClassAnalysis, carried: CarriedValues) -> list[str]:
    """The sizes that a loop carries, if it does nothing else, and setup makes the modules that it takes."""
    if not (isinstance(node, Block) and node.is_loop and node.body) or node.orelse or node.binds:
        return []
    assigned = [inner.token for inner in node.body if isinstance(inner, Assign)]
    phis = [_phi(token, analysis) for token in assigned]
    if len(assigned) < len(node.body) or not all(phi and _in_setup(phi, analysis, carried) for phi in phis):
        return []
    return assigned


def _phi(token: str, analysis: ClassAnalysis) -> Phi | None:
    match = TOKEN.fullmatch(token)
    return analysis.facts.phis.get(int(match["id"])) if match is not None else None


def _in_setup(phi: Phi, analysis: ClassAnalysis, carried: CarriedValues) -> bool:
    """Whether the one loop that makes what another one takes stands in setup."""
    setup = analysis.cls.own_methods.get("setup")
    loops = carried.carrying(phi) if isinstance(phi.node, ast.For) else []
    return (
        setup is not None and loops != [phi.node] and bool(loops) and set(loops) <= set(ast.walk(setup.node))
    )
