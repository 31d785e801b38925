"""Loops of a compact method over modules of `setup`: the variables of the loops that made these aren't theirs.

    def setup(self):
        self.blocks = [Block(self.widths[i]) for i in range(len(self.widths))]

    @nn.compact
    def __call__(self, x):
        for n in range(len(self.blocks)):
            x = self.blocks[n](x)  # with `self.widths[i]` features
            x = nn.LayerNorm()(x)

Where both loops count the same rounds, one's number is the other's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LoopVariable
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Iterated
from nnx_migrate.nnx.writer.residual.allocation import texts
from nnx_migrate.nnx.writer.residual.carried_sizes import replace_text
from nnx_migrate.nnx.writer.residual.nodes import Node


def as_own_numbers(analysis: ClassAnalysis, loop: ast.For, nodes: Sequence[Node]) -> None:
    """Write the number of a loop's round for that of the loop which made the modules that it takes by numbers."""
    counted = [lists for (_, node), lists in analysis.facts.counted.items() if node is loop]
    for modules in (one for lists in counted for one in lists):
        made = modules.rounds
        counts = made is not None and isinstance(made.iterable, Iterated) and made.iterable.kind == "range"
        if (
            made is None
            or not counts
            or len(made.iterable.args) != 1
            or not isinstance(loop.target, ast.Name)
        ):
            continue
        for token, variable in list(_of_setup(analysis, texts(nodes))):
            if variable.node is made.loop and variable.node is not loop:
                replace_text(nodes, token, loop.target.id)


def check_variables(analysis: ClassAnalysis, nodes: Sequence[Node]) -> None:
    """Refuse a constructor of a compact method that names a variable of a loop of `setup`, which has ended there."""
    for _, variable in _of_setup(analysis, texts(nodes)):
        detail = f"`{variable.name}`, by which `setup` makes modules, tells a size of others"
        raise Refuse("unknown-size", detail, variable.node)


def _of_setup(analysis: ClassAnalysis, texts: Iterable[str]) -> Iterator[tuple[str, LoopVariable]]:
    """The variables of loops of `setup` that texts name, with the tokens that stand for them."""
    setup = analysis.cls.method("setup")
    own = frozenset(ast.walk(setup.node)) if setup is not None else frozenset()
    for text in texts:
        for match in TOKEN.finditer(text):
            variable = analysis.facts.loop_variables.get(int(match["id"])) if match["kind"] == "l" else None
            if variable is not None and variable.node in own:
                yield match.group(), variable
