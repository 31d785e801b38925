"""Sizes that control flow changes, in the residual constructor: what assigns them, and where."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Phi
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual.local_lists import LocalList
from nnx_migrate.nnx.writer.residual.nodes import Assign, Line, Node, assigned_phis, in_order
from nnx_migrate.nnx.writer.text import unwrapped


class CarriedSizes:
    """The sizes (`Phi`) that the constructor of one compact method carries."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        renderer: InitRenderer,
        lists: Sequence[LocalList] = (),
        context: Context = (),
    ) -> None:
        self.analysis, self.renderer, self.lists, self.context = analysis, renderer, lists, context
        self.phis: set[int] = set()

    def decided_at(self, node: ast.AST) -> list[Phi]:
        """The needed sizes that a loop or condition decides."""
        phis = self.analysis.facts.phis
        moved = {loop: made.creating for made in self.lists for loop in made.running}
        found = [phis[n] for n in sorted(self.phis) if n in phis and self._is_here(phis[n])]
        return [phi for phi in found if moved.get(phi.node, phi.node) is node]  # type: ignore[call-overload]

    def _is_here(self, phi: Phi) -> bool:
        """Whether the code that decides a size was reached by the calls that led here: a helper has more than one."""
        rounds = set(self.analysis.session.round_markers.values())
        return tuple(step for step in phi.context if step not in rounds) == self.context

    def _assign(self, phi: Phi, which: int) -> Assign:
        return Assign(phi.token, unwrapped(self.renderer.dim(phi.sources[which], phi.node)))

    def of_loop(self, node: ast.AST) -> tuple[list[Node], list[Node]]:
        """What gives the sizes of a loop their values: before it, and at the end of each round."""
        phis = self.decided_at(node)
        for phi in phis:
            if phi.node is not node:
                self._check_moved(phi, phis, node)
        return self.at_once(phis, 0, node), self.at_once(phis, 1, node)

    def at_once(self, phis: Sequence[Phi], which: int, node: ast.AST) -> list[Node]:
        """Several sizes get their values at the same place; none is to read another's new one."""
        found = in_order([self._assign(phi, which) for phi in phis])
        if found is None:
            raise Refuse("unknown-size", "a loop exchanges sizes", node)
        return list(found)

    def _check_moved(self, phi: Phi, others: Sequence[Phi], creating: ast.AST) -> None:
        """Refuse sizes of a loop over modules that the loop which creates them can't know."""
        first, last = (set(TOKEN.finditer(self.renderer.dim(d, phi.node))) for d in phi.sources)
        known = {other.token for other in others}
        variables = self.analysis.facts.loop_variables
        known |= {m.group() for m in last if m["kind"] == "l" and variables[int(m["id"])].node is creating}
        early = all(m["kind"] == "a" for m in first)
        if not early or not all(m["kind"] == "a" or m.group() in known for m in last):
            raise Refuse("unknown-size", f"a loop changes the size `{phi.name}`", phi.node)

    def resolve(self, nodes: Sequence[Node]) -> None:
        """Sizes that no statement of the constructor assigns are written out, where an expression says them."""
        for number in sorted(self.phis - assigned_phis(nodes)):
            phi = self.analysis.facts.phis.get(number)
            text = self._as_expression(phi) if phi is not None else None
            if phi is not None and text is not None:
                replace_text(nodes, phi.token, text if text.isidentifier() else f"({text})")
                continue
            detail = "a size that a condition within an expression decides"
            raise Refuse("unknown-size", detail, phi.node if phi is not None else None)

    def _as_expression(self, phi: Phi) -> str | None:
        """A size as an expression: what a loop leaves behind, or a choice by fields, made in a helper method."""
        if phi.result is not None and phi.result.known:
            return self.renderer.dim(phi.result, phi.node)
        condition = self.analysis.session.conditions.get((phi.context, phi.node))
        if phi.is_loop or condition is None or not all(dim.known for dim in phi.sources):
            return None
        first, second = (self.renderer.dim(dim, phi.node) for dim in phi.sources)
        names = {n.id for n in ast.walk(ast.parse(TOKEN.sub("x", condition))) if isinstance(n, ast.Name)}
        carried = any(m["kind"] == "p" for m in TOKEN.finditer(first + second))
        return None if names != {"self"} or carried else f"{first} if {unwrapped(condition)} else {second}"


def replace_text(nodes: Sequence[Node], old: str, new: str) -> None:
    """Put another text in the place of a token."""
    for node in nodes:
        if isinstance(node, Line):
            node.text = node.text.replace(old, new)
            node.arguments = [_replaced(argument, old, new) for argument in node.arguments]
        elif isinstance(node, Assign):
            node.text = unwrapped(node.text.replace(old, new))
        else:
            node.header = node.header.replace(old, new)
            replace_text([*node.body, *node.orelse], old, new)


def _replaced(argument: str, old: str, new: str) -> str:
    name, separator, value = argument.partition("=")
    if name.isidentifier() and separator and value == old:
        return f"{name}={unwrapped(new)}"
    return unwrapped(argument.replace(old, new))
