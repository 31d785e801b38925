"""Names for the sizes that control flow changes.

Two sizes may share a variable (`in_features` before and after a layer) where they are never needed at the
same
time; that is decided by liveness over the constructor's statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.residual.nodes import Assign, Block, Line, Node


class NameAllocator:
    """Maps tokens to names: `parameters` are the tokens of input sizes with their names."""

    def __init__(self, nodes: Sequence[Node], parameters: dict[str, str], taken: set[str]) -> None:
        self.parameters, self.taken = parameters, taken
        self.conflicts: set[frozenset[str]] = set()
        self.copies: list[tuple[str, str]] = []
        self.group: dict[str, str] = {}
        live = self._live(nodes, set())
        start = [t for t in live if t in parameters] + [t for t in parameters if t not in live]
        for token in start:
            self.conflicts.update(frozenset((token, other)) for other in start if other != token)
        self._merge()

    def name(self, token: str) -> str:
        """The variable for a token."""
        match = TOKEN.fullmatch(token)
        assert match is not None
        if match["kind"] in "ls":
            return match["name"]
        root = self._find(token)
        if root not in self.parameters:
            name, number = match["name"], 2
            while name in self.taken or name in self.parameters.values():
                name, number = f"{match['name']}_{number}", number + 1
            self.parameters[root] = name
        return self.parameters[root]

    def text(self, text: str) -> str:
        """A text with all tokens replaced."""
        return TOKEN.sub(lambda match: self.name(match.group()), text)

    def _find(self, token: str) -> str:
        while token in self.group:
            token = self.group[token]
        return token

    def _merge(self) -> None:
        """Let a size take over the variable of the size that it starts from, where both are never needed."""
        for target, source in self.copies:
            a, b = self._find(target), self._find(source)
            if a == b:
                continue
            members = [[t for t in self._tokens() if self._find(t) == root] for root in (a, b)]
            if not any(frozenset((x, y)) in self.conflicts for x in members[0] for y in members[1]):
                if a in self.parameters:
                    a, b = b, a
                if a not in self.parameters:
                    self.group[a] = b

    def _tokens(self) -> set[str]:
        return {t for pair in self.conflicts for t in pair} | {t for pair in self.copies for t in pair}

    def _live(self, nodes: Sequence[Node], after: set[str]) -> set[str]:
        live = set(after)
        for node in reversed(nodes):
            if isinstance(node, Assign):
                used = _sizes(node.text)
                source = node.text if TOKEN.fullmatch(node.text) else None
                if source is not None and source in used:
                    self.copies.append((node.token, source))
                for other in live - {node.token, source or ""}:
                    self.conflicts.add(frozenset((node.token, other)))
                live = (live - {node.token}) | used
            elif isinstance(node, Line):
                live |= _sizes(node.full)
            elif node.is_loop:
                inside = set(live)
                while True:
                    again = live | self._live(node.body, inside)
                    if again == inside:
                        break
                    inside = again
                for bound in node.binds:
                    self.conflicts.update(frozenset((bound, other)) for other in inside - {bound})
                live = inside | _sizes(node.header)
            else:
                live = self._live(node.body, live) | self._live(node.orelse, live) | _sizes(node.header)
        return live


def _sizes(text: str) -> set[str]:
    return {m.group() for m in TOKEN.finditer(text) if m["kind"] in "afjtpx"}


def texts(nodes: Sequence[Node]) -> Iterator[str]:
    """Everything that nodes say, in order."""
    for node in nodes:
        if isinstance(node, Block):
            yield node.header
            yield from texts([*node.body, *node.orelse])
        else:
            yield node.full if isinstance(node, Line) else node.text


def size_tokens(nodes: Sequence[Node]) -> list[str]:
    """Every token of an input size, in order."""
    matches = (match for text in texts(nodes) for match in TOKEN.finditer(text))
    return list(dict.fromkeys(m.group() for m in matches if m["kind"] in "afjtx"))
