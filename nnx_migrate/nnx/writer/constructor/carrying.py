"""The loops of `setup` that carry the sizes of what goes through the modules that they make."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.residual.nodes import Assign, in_order
from nnx_migrate.nnx.writer.text import append_text, indentation, unwrapped

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.constructor.setup import SetupWriter


class CarryingLoops:
    """Which loops of one class's setup assign sizes, and how these are written."""

    def __init__(self, setup: SetupWriter) -> None:
        self.setup = setup
        self.analysis, self.source = setup.analysis, setup.source
        self.sizes: dict[ast.AST, list[Phi]] = {}

    def find(self, text: str) -> bool:
        """Find the loops that have to assign the sizes that a text names; False when all are known."""
        grew = False
        for match in TOKEN.finditer(text):
            phi = self.analysis.facts.phis.get(int(match["id"])) if match["kind"] == "p" else None
            if phi is None or not isinstance(phi.node, ast.For):
                continue
            loops = self.setup.writer.carried.carrying(phi)
            if not loops:
                raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)
            for loop in loops:
                known = (
                    self.sizes.setdefault(loop, []) if loop is loops[0] or self._needs(loop, phi) else None
                )
                if known is not None and phi not in known:
                    known.append(phi)
                    grew = True
        return grew

    def _needs(self, loop: ast.AST, phi: Phi) -> bool:
        """Whether the modules that a loop makes get a size."""
        sizes = self.sizes.pop(loop, None)
        text = self.setup.inner(loop)
        if sizes is not None:
            self.sizes[loop] = sizes
        return phi.token in text

    def check(self, text: str) -> None:
        """Refuse what no statement of the text gives a value: loops within other expressions."""
        for phi in (phi for phis in self.sizes.values() for phi in phis):
            if re.search(rf"^[ \t]*{re.escape(phi.token)} = ", text, re.MULTILINE) is None:
                raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)

    def _assignments(self, loop: ast.AST, which: int) -> list[str]:
        values = [(p, self.setup.writer.carried.at_loop(loop, p, which)) for p in self.sizes[loop]]
        found = in_order([Assign(p.token, self.setup.renderer.dim(value, p.node)) for p, value in values])
        if found is None:
            raise Refuse("unknown-size", "a loop exchanges sizes", loop)
        return [f"{assignment.token} = {unwrapped(assignment.text)}" for assignment in found]

    def comprehension(self, node: ast.Assign) -> str:
        """A list comprehension of modules as a loop that carries sizes."""
        comprehension = node.value
        assert isinstance(comprehension, ast.ListComp)
        (generator,) = comprehension.generators
        if generator.ifs or len(node.targets) != 1:
            raise Refuse("unsupported-syntax", "modules created in a comprehension with a condition", node)
        target = self.source.segment(node.targets[0])
        indent = indentation(self.source, node.lineno)
        inner = indent + "    "
        element = append_text(target, self.setup.element(comprehension.elt), inner, self.setup.limit)
        lines = [
            *self._assignments(comprehension, 0),
            f"{target} = {self.setup.names.nnx()}.List()",
            f"for {self.source.segment(generator.target)} in {self.setup.inner(generator.iter)}:",
        ]
        body = [element, *self._assignments(comprehension, 1)]
        return ("\n" + indent).join(lines) + "".join(f"\n{inner}{line}" for line in body)

    def loop(self, node: ast.For) -> str:
        """A loop that makes modules, and carries sizes."""
        indent = indentation(self.source, node.lineno)
        inner = indentation(self.source, node.body[0].lineno)
        sizes = self.sizes.pop(node)
        text = self.setup.inner(node)
        self.sizes[node] = sizes
        before = "".join(f"{line}\n{indent}" for line in self._assignments(node, 0))
        return before + text + "".join(f"\n{inner}{line}" for line in self._assignments(node, 1))
