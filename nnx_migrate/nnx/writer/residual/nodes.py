"""What the residual constructor is made of before it becomes source: lines, blocks, sizes that get a value.

Texts hold tokens for sizes until `NameAllocator` gives them names.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nnx_migrate.linen.sites import Control
from nnx_migrate.linen.symbols import TOKEN


@dataclass
class Line:
    """One statement: `target = callee(arguments)`, or any text (`callee` empty)."""

    text: str
    callee: str = ""
    arguments: list[str] = field(default_factory=list)
    closing: str = ""
    comment: str = ""
    is_list: bool = False  # `callee([arguments])`
    follows_indent: bool = False  # lines after the first are as far to the right of it as they say
    is_display: bool = False  # `[arguments]`

    @property
    def leaves_out(self) -> bool:
        """Whether this is the None for a module that another branch makes."""
        return not self.callee and self.text.endswith((".append(None)", " = None"))

    @property
    def full(self) -> str:
        """Everything on one line, tokens and all."""
        if self.is_display:
            return f"{self.text}[{', '.join(self.arguments)}]{self.closing}"
        if not self.callee:
            return self.text
        opening, closing = ("([", "])") if self.is_list else ("(", ")")
        return f"{self.text}{self.callee}{opening}{', '.join(self.arguments)}{closing}{self.closing}"


@dataclass
class Block:
    """A compound statement with its parts."""

    header: str
    body: list[Node] = field(default_factory=list)
    orelse: list[Node] = field(default_factory=list)
    is_loop: bool = False
    binds: tuple[str, ...] = ()  # sizes that a loop's header gives a value in each round


@dataclass
class Assign:
    """A size that gets a value: `token = text`."""

    token: str
    text: str


Node = Line | Block | Assign


def assigned_phis(nodes: Sequence[Node]) -> set[int]:
    """The numbers of the sizes that get a value somewhere in these nodes."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, Assign):
            found.update(int(m["id"]) for m in [TOKEN.fullmatch(node.token)] if m)
        elif isinstance(node, Block):
            found.update(int(m["id"]) for bound in node.binds for m in [TOKEN.fullmatch(bound)] if m)
            found |= assigned_phis(node.body) | assigned_phis(node.orelse)
    return found


def sets_sizes(nodes: Sequence[Node]) -> bool:
    """Whether nodes do more than create modules."""
    return any(
        isinstance(node, Assign)
        or (isinstance(node, Line) and not node.callee and not node.leaves_out)
        or (isinstance(node, Block) and sets_sizes([*node.body, *node.orelse]))
        for node in nodes
    )


def unconditional(nodes: Sequence[Node]) -> list[Node]:
    """What conditions leave of nodes: the lines outside of `if`, and what the conditions themselves say."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Block):
            inner = unconditional([*node.body, *node.orelse]) if node.is_loop else []
            found.append(Block(node.header, inner, is_loop=node.is_loop, binds=node.binds))
        else:
            found.append(node)
    return found


def in_order(assignments: Sequence[Assign]) -> list[Assign] | None:
    """Assignments that mean to happen at once, so that none reads what another has set; None for an exchange."""
    left, ordered = list(assignments), []
    while left:
        read = {a.token: {m.group() for m in TOKEN.finditer(a.text)} for a in left}
        ready = [a for a in left if not any(a.token in read[b.token] for b in left if b is not a)]
        if not ready:
            return None
        ordered.append(ready[0])
        left.remove(ready[0])
    return ordered


def merged(nodes: Sequence[Node]) -> list[Node]:
    """Constructions under conditional expressions, those of one condition and of its opposite as one statement."""
    found: list[Node] = []
    for node in nodes:
        last = found[-1] if found else None
        if not (isinstance(node, Block) and isinstance(last, Block)) or node.is_loop or last.is_loop:
            found.append(node)
        elif node.header == last.header and not last.orelse and not node.orelse:
            last.body += node.body
        elif node.header == f"if not ({last.header[3:-1]}):" and not node.orelse:
            last.orelse += node.body
        else:
            found.append(node)
    return found


def align(body: list[Node], orelse: list[Node]) -> None:
    """Where one branch of a loop's condition appends a module, the other appends None: indices stay
    aligned.
    """
    appended = [_appended(nodes) for nodes in (body, orelse)]
    _add(body, [Line(f"{target}None)") for target in appended[1] if target not in appended[0]])
    _add(orelse, [Line(f"{target}None)") for target in appended[0] if target not in appended[1]])


def _add(nodes: list[Node], lines: Sequence[Line]) -> None:
    """Add lines to a branch; where that is nothing but another condition (`elif`), to each branch of this."""
    only = nodes[0] if len(nodes) == 1 else None
    if isinstance(only, Block) and not only.is_loop and only.body and only.orelse:
        _add(only.body, lines)
        _add(only.orelse, lines)
    else:
        nodes.extend(lines)


def complete(nodes: Sequence[Node]) -> list[str]:
    """Give the attributes of modules that only one branch of a condition creates a None in the other.

    Returns the `self.x = ` of all modules below.
    """
    found: list[str] = []
    for node in nodes:
        if isinstance(node, Block) and not node.is_loop:
            made = [complete(node.body), complete(node.orelse)]
            _add(node.body, [Line(f"{target}None") for target in made[1] if target not in made[0]])
            _add(node.orelse, [Line(f"{target}None") for target in made[0] if target not in made[1]])
            found += [*made[0], *(target for target in made[1] if target not in made[0])]
        elif isinstance(node, Block):
            complete(node.body)
        elif isinstance(node, Line) and node.callee and node.text.startswith("self."):
            if node.text.endswith(" = "):
                found.append(node.text)
    return found


def appended_twice(nodes: Sequence[Node]) -> set[str]:
    """The `self.x.append(` that one round of a loop does more than once."""
    counts = Counter(text for node in nodes for text in dict.fromkeys(_appended([node])))
    return {text for text, count in counts.items() if count > 1}


def within(control: Control, around: ast.AST) -> bool:
    """Whether what decides about a construction is an expression in a statement, or in a lambda."""
    return not isinstance(control.node, ast.stmt) and any(n is control.node for n in ast.walk(around))


def _appended(nodes: Sequence[Node]) -> list[str]:
    """The `self.x.append(` of modules below a branch; the branches of a nested condition are aligned already."""
    found: list[str] = []
    for node in nodes:
        if (
            isinstance(node, Line)
            and node.callee
            and node.text.startswith("self.")
            and node.text.endswith(".append(")
        ):
            found.append(node.text)
        elif isinstance(node, Block) and not node.is_loop:
            found += [t for t in _appended([*node.body, *node.orelse]) if t not in found]
    return found
