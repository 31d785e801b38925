"""Lists of arrays in the constructor: lists of those of their sizes that it needs.

The sizes are appended, taken out, read and iterated over where the method does so with the arrays.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.arrays.array_lists import ArrayList
from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.interpreter.branches.control import size_name
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.lists.names import is_followed
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import ListStep
from nnx_migrate.linen.symbols import TOKEN, token
from nnx_migrate.nnx.writer.residual.nodes import Assign, Block, Line, Node
from nnx_migrate.nnx.writer.text import rewritten
from nnx_migrate.nnx.writer.words import singular

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.residual.builder import Residual

_MAX_RANK = 8


class ListMirror:
    """The steps of one method body, for a `Residual` that decides which sizes are needed."""

    def __init__(self, residual: Residual) -> None:
        self.residual = residual
        self.facts = residual.analysis.facts
        self.statements: dict[ast.stmt, list[tuple[ast.AST, ListStep]]] = {}
        self.labels: dict[str, set[str]] = {}
        names = residual.writer.names
        for (context, node), step in self.facts.list_steps.items():
            if context == residual.context:
                self.statements.setdefault(names.home_of(node).statement_of(node), []).append((node, step))
                self.labels.setdefault(step.name, set()).add(step.label)
        for (context, _), variables in self.facts.list_items.items():
            if context == residual.context:
                for name in self.labels:
                    self.labels[name].update(variables)

    def reads(self, statement: ast.stmt) -> list[Node]:
        """The sizes of the elements that a statement reads, in the order in which it does."""
        nodes: list[Node] = []
        for node, step in self.statements.get(statement, []):
            if step.kind == "pop":
                nodes += self._pops(step)
            elif step.kind == "item":
                assert isinstance(node, ast.Subscript)
                nodes += self._items(node, step)
        return nodes

    def changes(self, statement: ast.stmt) -> list[Node]:
        """What a statement appends, and the list that it makes."""
        nodes: list[Node] = []
        for node, step in self.statements.get(statement, []):
            for axis in self._needed(step.name):
                name = self._token(step.name, axis)
                if step.kind == "append":
                    assert step.items is not None
                    nodes.append(Line(f"{name}.append({self._size(step.items[0], axis, node)})"))
                elif step.kind == "set":
                    nodes.append(Assign(name, self._made(node, step, axis)))
        return nodes

    def header(self, loop: ast.For) -> tuple[str, tuple[str, ...]] | None:
        """The header of a loop over lists of arrays, and the tokens that it binds; None for other loops."""
        context = self.residual.context
        variables = self.facts.list_items.get((context, loop))
        if variables is None:
            return None
        phis = self.residual.sizes.phis
        axes = sorted(
            {a for numbers in variables.values() for a, number in numbers.items() if number in phis}
        )
        if len(axes) > 1:
            raise Refuse("unknown-size", "several sizes of the arrays that a loop takes from a list", loop)
        axis = axes[0] if axes else -1
        tokens = {
            name: token(size_name(name, axis), "p", numbers[axis])
            for name, numbers in variables.items()
            if axis in numbers
        }
        source = self.residual.writer.names.home_of(loop).source
        target = rewritten(
            source, loop.target, lambda n: tokens.get(n.id) if isinstance(n, ast.Name) else None
        )
        return f"for {target} in {self._text(loop.iter, axis)}:", tuple(tokens.values())

    # ---- parts ------------------------------------------------------------------------------------------

    def _pops(self, step: ListStep) -> list[Node]:
        nodes: list[Node] = []
        axes = {axis for axis, number in step.reads.items() if number in self.residual.sizes.phis}
        for axis in sorted(axes.union(self._needed(step.name))):
            text = f"{self._token(step.name, axis)}.pop({step.index})"
            nodes.append(Assign(self._element(step, axis), text) if axis in axes else Line(text))
        return nodes

    def _items(self, node: ast.Subscript, step: ListStep) -> list[Node]:
        axes = [axis for axis, number in step.reads.items() if number in self.residual.sizes.phis]
        return [Assign(self._element(step, axis), self._text(node, axis)) for axis in sorted(axes)]

    def _element(self, step: ListStep, axis: int) -> str:
        return token(size_name(step.label, axis), "p", step.reads[axis])

    def _made(self, node: ast.AST, step: ListStep, axis: int) -> str:
        if step.items is not None:
            return f"[{', '.join(self._size(item, axis, node) for item in step.items)}]"
        assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        return self._text(node.value, axis)

    def _size(self, item: object, axis: int, node: ast.AST) -> str:
        array = effect_value(self.residual.analysis.session, item)
        if not isinstance(array, Array):
            raise Refuse("unknown-size", "a list of other things than arrays", node)
        return self.residual.renderer.dim(array.shape.dim(axis), node)

    def _text(self, node: ast.expr, axis: int) -> str:
        """An expression over lists of arrays as one over lists of their sizes."""
        return self.residual.renderer.mirrored(
            node, self.residual.context, lambda part: self._part(part, axis)
        )

    def _part(self, node: ast.AST, axis: int) -> str | None:
        value = self.facts.values.get((self.residual.context, node))
        if isinstance(node, ast.Name) and self._is_followed(node) and isinstance(value, list | ArrayList):
            return self._token(node.id, axis)
        if isinstance(value, tuple | list) and value and isinstance(node, ast.Name | ast.Tuple | ast.List):
            arrays = [effect_value(self.residual.analysis.session, item) for item in value]
            if all(isinstance(array, Array) for array in arrays):
                return f"[{', '.join(self._size(array, axis, node) for array in arrays)}]"
        return None

    def _is_followed(self, node: ast.Name) -> bool:
        """Whether the steps of a list are known by the name; a later list of that name is another one."""
        home = self.residual.writer.names.home_of(node)
        function = home.enclosing(node, ast.FunctionDef)
        return (
            node.id in self.labels
            and function is not None
            and is_followed(function, home.parents, node.id, node)
        )

    # ---- names ------------------------------------------------------------------------------------------

    def _number(self, name: str, axis: int) -> int:
        return self.residual.analysis.session.number_of(("list", self.residual.context, name, axis))

    def _token(self, name: str, axis: int) -> str:
        if name in self.facts.unrolled_lists:
            raise Refuse("unknown-size", f"`{name}` is filled in a loop over submodules")
        one = singular(name)
        label = one if len(one) > 1 and one not in self.labels[name] else name
        return token(size_name(label, axis), "p", self._number(name, axis))

    def _needed(self, name: str) -> list[int]:
        return [axis for axis in range(-_MAX_RANK, 0) if self._number(name, axis) in self.residual.sizes.phis]


def inlined(nodes: Sequence[Node]) -> list[Node]:
    """Elements that are read once, by the very next statement, written there instead of in a line before."""
    counts: dict[str, int] = {}
    _count(nodes, counts)
    return _inlined(list(nodes), counts)


def _inlined(nodes: list[Node], counts: dict[str, int]) -> list[Node]:
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Block):
            node.body, node.orelse = _inlined(node.body, counts), _inlined(node.orelse, counts)
        previous = result[-1] if result else None
        if isinstance(previous, Assign) and _is_read(previous.text) and counts[previous.token] == 2:
            name, text = previous.token, previous.text
            if isinstance(node, Line) and _mentions(node.full, name) and ".pop(" not in node.full:
                node.text = node.text.replace(name, text)
                node.arguments = [argument.replace(name, text) for argument in node.arguments]
                result.pop()
            elif isinstance(node, Assign) and _mentions(node.text, name) and ".pop(" not in node.text:
                node.text = node.text.replace(name, text)
                result.pop()
        result.append(node)
    return result


def _is_read(text: str) -> bool:
    match = TOKEN.match(text)
    return match is not None and text[match.end() :].startswith((".pop(", "["))


def _mentions(text: str, name: str) -> bool:
    return any(match.group() == name for match in TOKEN.finditer(text))


def _count(nodes: Sequence[Node], counts: dict[str, int]) -> None:
    for node in nodes:
        texts = [node.full] if isinstance(node, Line) else [node.header] if isinstance(node, Block) else []
        if isinstance(node, Assign):
            texts = [node.token, node.text]
        for match in (m for text in texts for m in TOKEN.finditer(text)):
            counts[match.group()] = counts.get(match.group(), 0) + 1
        if isinstance(node, Block):
            _count([*node.body, *node.orelse], counts)
