"""The loops of `setup` that carry the sizes of what goes through the modules that they make."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Phi
from nnx_migrate.linen.symbols import numbers
from nnx_migrate.names.nodes import contains
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
        self.given: set[str] = set()  # sizes that loops of setup carry, around the call of a method

    def find(self, text: str) -> bool:
        """Find the loops that have to assign the sizes that a text names; False when all are known."""
        grew = False
        for number in numbers(text, "p"):
            phi = self.analysis.facts.phis.get(number)
            if phi is None or not isinstance(phi.node, ast.For):
                continue
            loops = self.setup.writer.carried.carrying(phi)
            if not loops:
                raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)
            if self._is_given(phi, loops):
                continue
            for loop in [loop for loop in loops if self._needs(loop, phi)] or loops[:1]:
                known = self.sizes.setdefault(loop, [])
                if phi not in known:
                    known.append(phi)
                    grew = True
        return grew

    def _is_given(self, phi: Phi, loops: Sequence[ast.AST]) -> bool:
        """Whether the loops that carry a size are those around a call of the method that is written."""
        if not self.analysis.setup_helpers:
            return False
        elsewhere = [loop for loop in loops if not contains(self.setup.setup.node, loop)]
        if elsewhere and (not self.setup.context or len(elsewhere) < len(loops)):
            raise Refuse("unknown-size", f"loops of several methods change the size `{phi.name}`", phi.node)
        if elsewhere:
            self.given.add(phi.token)
        return bool(elsewhere)

    def _needs(self, loop: ast.AST, phi: Phi) -> bool:
        """Whether the modules that a loop makes get a size."""
        return phi.token in self._without_sizes(loop)

    def _without_sizes(self, loop: ast.AST) -> str:
        """The text of a loop as if it carried none."""
        sizes = self.sizes.pop(loop, None)
        text = self.setup.inner(loop)
        if sizes is not None:
            self.sizes[loop] = sizes
        return text

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
        if len(node.targets) != 1:
            raise Refuse("unsupported-syntax", "several names for a list that a loop fills", node)
        target = self.source.segment(node.targets[0])
        indent = indentation(self.source, node.lineno)
        before, *rest = self._appending(target, comprehension, indent)
        lines = [*self._assignments(comprehension, 0), f"{target} = {self._empty(node.targets[0])}"]
        return ("\n" + indent).join([*lines, before, *rest])

    def _appending(self, target: str, comprehension: ast.ListComp, indent: str) -> list[str]:
        """A list comprehension as a loop that fills a list."""
        (generator,) = comprehension.generators
        if generator.ifs:
            detail = "modules created in a comprehension with a condition"
            raise Refuse("unsupported-syntax", detail, comprehension)
        element = append_text(
            target, self.setup.element(comprehension.elt), indent + "    ", self.setup.limit
        )
        header = f"for {self.source.segment(generator.target)} in {self.setup.inner(generator.iter)}:"
        after = self._assignments(comprehension, 1) if comprehension in self.sizes else []
        return [header, *(f"    {line}" for line in (element, *after))]

    def _empty(self, target: ast.expr) -> str:
        """An empty list for modules; one of Python's own for a variable that setup adds to others: NNX's can't be."""
        names = [
            n
            for n in ast.walk(self.setup.setup.node)
            if isinstance(n, ast.Name) and isinstance(target, ast.Name)
        ]
        parents = self.setup.names.module.parents
        added = any(n.id == ast.unparse(target) and isinstance(parents.get(n), ast.BinOp) for n in names)
        return "[]" if added else f"{self.setup.names.nnx()}.List()"

    def is_joined(self, node: ast.Assign) -> bool:
        """Whether a statement puts lists together, of which loops that carry sizes make some."""
        found = _parts(node.value) if isinstance(node.value, ast.BinOp | ast.List) else None
        return any(part in self.sizes for part in found or ())

    def joined(self, node: ast.Assign) -> str:
        """`[Dense(width) for width in widths] + [Dense(size)]` as statements that fill the list in order."""
        parts = _parts(node.value) or []
        target = self.source.segment(node.targets[0])
        if len(node.targets) != 1:
            raise Refuse("unsupported-syntax", "several names for a list that a loop fills", node)
        indent = indentation(self.source, node.lineno)
        lines = [f"{target} = {self._empty(node.targets[0])}"]
        for part in parts:
            if isinstance(part, ast.ListComp):
                before = self._assignments(part, 0) if part in self.sizes else []
                lines += [*before, *self._appending(target, part, indent)]
            elif isinstance(part, ast.Starred):
                lines.append(f"{target}.extend({self.setup.inner(part.value)})")
            else:
                lines.append(append_text(target, self.setup.element(part), indent, self.setup.limit))
        return ("\n" + indent).join(lines)

    def loop(self, node: ast.For) -> str:
        """A loop that makes modules, and carries sizes."""
        indent = indentation(self.source, node.lineno)
        inner = indentation(self.source, node.body[0].lineno)
        text = self._without_sizes(node)
        before = "".join(f"{line}\n{indent}" for line in self._assignments(node, 0))
        return before + text + "".join(f"\n{inner}{line}" for line in self._assignments(node, 1))


def _parts(node: ast.expr) -> list[ast.expr] | None:
    """What lists are put together of, in order: elements, comprehensions, and other lists (`*blocks`)."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [_parts(node.left), _parts(node.right)]
        return None if None in sides else [part for side in sides for part in side or ()]
    if isinstance(node, ast.ListComp):
        return [node]
    if isinstance(node, ast.Name):
        return [ast.Starred(node, ast.Load())]
    if not isinstance(node, ast.List):
        return None
    found: list[ast.expr] = []
    for item in node.elts:
        inner = _parts(item.value) if isinstance(item, ast.Starred) else [item]
        if inner is None:
            return None
        found += inner
    return found
