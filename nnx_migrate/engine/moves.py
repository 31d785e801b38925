"""API moves as data: what an old name became, and a rule that is nothing but a table of such rows."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from nnx_migrate.engine.arguments import Arguments, CallView, CannotBind
from nnx_migrate.engine.context import CannotName, FileContext, FixBuilder
from nnx_migrate.engine.findings import Finding, Fix, Safety
from nnx_migrate.engine.import_moves import ImportMoves
from nnx_migrate.engine.positions import parenthesised, type_position, union_member_to_drop
from nnx_migrate.engine.rule import Rule
from nnx_migrate.engine.templates import argument_text, bind, expand, loses_comment
from nnx_migrate.engine.triggers import Use
from nnx_migrate.names.scopes import Guard, dotted

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Move:
    """One row: an API that was renamed, moved, changed or removed.

    `old`, `new`: qualified names; no `new` (and no template) means that nothing takes its place, then `help`
    says what to do. `since`: the release that made it outdated ("jax>=0.4.26"); projects pinned below are
    left alone. `removed`: the release without it, for the message, or UNKNOWN. `needs`: the release that
    brought `new`; for projects pinned below it `older` is written, if there is one. `keep`: a current name
    that ends like the old one, for files that must go on exporting it.

    `module`: everything below `old` moves along. `types`: `old` is a type whose replacement means the same in
    annotations only. `arguments`: how calls change (with `new` == `old`: calls are outdated only if they use
    what changed). `call`, `value`: templates for a call and for any other use (see templates.py); `signature`
    names the parameters of `call`.
    """

    old: str
    new: str = ""
    since: str = ""
    removed: str = ""
    needs: str = ""
    older: str = ""
    keep: str = ""
    module: bool = False
    types: bool = False
    arguments: Arguments | None = None
    signature: tuple[str, ...] = ()
    call: str = ""
    value: str = ""
    safety: Safety = Safety.SAFE
    note: str = ""
    help: str = ""

    @property
    def is_manual(self) -> bool:
        """True where nothing can be written for it."""
        return not (self.new or self.call or self.value)

    @property
    def is_rename(self) -> bool:
        """True where the new name can stand wherever the old one did."""
        return bool(self.new) and not (self.arguments or self.call or self.value or self.types)

    @property
    def message(self) -> str:
        """What a finding says."""
        package = self.since.partition(">=")[0] or self.old.partition(".")[0]
        subject = f"these arguments of `{self.old}`" if self.new == self.old else f"`{self.old}`"
        be, were = ("are", "were") if self.new == self.old else ("is", "was")
        release = self.since.partition(">=")[2]
        if self.removed == UNKNOWN:
            what = f"{subject} {were} removed from {package}"
        elif self.removed:
            what = f"{subject} {were} removed in {package} {self.removed}"
        else:
            what = f"{subject} {be} deprecated" + (f" since {package} {release}" if release else "")
        use = f"; use `{self.new}`" if self.new and self.new != self.old else ""
        note = f" ({self.note})" if self.note else ""
        return f"{what}{use}{note}"


class MovesRule(Rule):
    """A rule that is a table. Subclasses give `moves` and the documentation."""

    moves: ClassVar[tuple[Move, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {m.old for m in cls.moves if not m.module} | {f"{m.old}.*" for m in cls.moves if m.module}
        cls.triggers = frozenset(own) | cls.triggers

    @cached_property
    def _by_name(self) -> dict[str, Move]:
        return {move.old: move for move in self.moves}

    def move_of(self, qualified: str) -> Move | None:
        """The row for a name: its own, else that of the module that moved with all below it."""
        move = self._by_name.get(qualified)
        above = qualified
        while move is None and (above := above.rpartition(".")[0]):
            candidate = self._by_name.get(above)
            move = candidate if candidate is not None and candidate.module else None
        return move

    def new_name(self, move: Move, qualified: str, file: FileContext) -> str:
        """What `qualified`, an old name at or below `move.old`, is called in the project's target release."""
        new = move.new
        if move.needs and not file.targets.concerned(move.needs):
            if not move.older:
                raise CannotBind(
                    f"`{move.new}` needs {move.needs}; the project is pinned below", "target-too-old"
                )
            new = move.older
        return new + qualified[len(move.old) :]

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings for every row's uses and imports."""
        uses = [(use, move) for use in file.uses(*self.triggers) if (move := self._concerned(use, file))]
        imports = ImportMoves(self, file, [use for use, _ in uses])
        yield from imports.findings()
        for use, move in uses:
            if not imports.covers(use):
                finding = self.check_use(file, use, move)
                if finding is not None:
                    yield finding

    def applies(self, move: Move, file: FileContext) -> bool:
        """True where the row concerns the project's target releases."""
        return file.targets.concerned(move.since)

    def _concerned(self, use: Use, file: FileContext) -> Move | None:
        move = self.move_of(use.qualified)
        if move is None or not isinstance(use.node.ctx, ast.Load) or not self.applies(move, file):
            return None
        root: ast.expr = use.node
        while isinstance(root, ast.Attribute):
            root = root.value
        assert isinstance(root, ast.Name)
        for binding in use.scope.lookup(root.id):
            # `try: from jax.experimental.maps import Mesh / except ImportError: ...` serves several releases
            if binding.guard in (Guard.FALLBACK, Guard.VERSION) and self.move_of(binding.target):
                return None
        return move

    # -- one use ------------------------------------------------------------------------------------------

    def check_use(self, file: FileContext, use: Use, move: Move) -> Finding | None:
        """The finding for one use of an old name; None where this use is fine. Rules may refine it."""
        call = CallView.of(use.node, file)
        if move.new == move.old and not (call and move.arguments and move.arguments.concerns(call)):
            return None
        if move.is_manual:
            return self.finding(file, use.node, move.message, reason="no-equivalent", help=move.help)
        try:
            fix = self.rewrite(file, use, move, call)
        except CannotName as error:
            return self._unfixed(file, use, move, "name-taken", error)
        except CannotBind as error:
            return self._unfixed(file, use, move, error.reason, error)
        return self.finding(file, use.node, move.message, fix)

    def _unfixed(self, file: FileContext, use: Use, move: Move, reason: str, error: Exception) -> Finding:
        help = f"{error}. {move.help}" if move.help else f"{error}; rewrite it by hand"
        return self.finding(file, use.node, move.message, reason=reason, help=help)

    def rewrite(self, file: FileContext, use: Use, move: Move, call: CallView | None) -> Fix:
        """The fix of one use. Raises CannotName or CannotBind where there is none."""
        if "".join(file.segment(use.node).split()) != dotted(use.node):
            raise CannotBind("a comment stands inside the name", "unclear-place")
        if not _bound_here(use):
            raise CannotBind("the name comes from a star import", "star-import")
        fix = file.fix()
        safety = move.safety
        if move.types and not type_position(use.node, file):
            raise CannotBind("this is more than an annotation", "runtime-type")
        if move.call and call is not None:
            safety = _rewrite_call(fix, move, call) or safety
        elif move.value:
            text = expand(move.value, {}, lambda name: fix.name(name, at=use.node))
            fix.replace(use.node, parenthesised(text, use.node, file.parent(use.node)))
        elif call is None and (move.arguments or move.call):
            raise CannotBind("it is passed on as a value, and its arguments change", "passed-as-value")
        else:
            new = self.new_name(move, use.qualified, file)
            double = union_member_to_drop(use.node, new, file) if move.types else None
            if double is not None:
                fix.delete(*double)
            elif new != use.qualified:
                fix.replace(use.node, _new_text(fix, use, new))
            if move.arguments is not None and call is not None:
                fix.edits += move.arguments.edits(call, file.source)
        return fix.build(f"use `{move.new}`" if move.new else "rewrite", safety)


def _new_text(fix: FixBuilder, use: Use, new: str) -> str:
    """The new name as the place spells it; one from the same module keeps the user's way to that module."""
    home, _, last = new.rpartition(".")
    if isinstance(use.node, ast.Attribute) and use.qualified.rpartition(".")[0] == home:
        return f"{fix.file.segment(use.node.value)}.{last}"
    return fix.name(new, at=use.node)


def _rewrite_call(fix: FixBuilder, move: Move, call: CallView) -> Safety | None:
    """Write a call anew from the row's template; UNSAFE where a comment would get lost."""
    source = fix.file.source
    bound = bind(call, move.signature)
    texts = {name: argument_text(node, source) for name, node in bound.items()}
    text = expand(move.call, texts, lambda name: fix.name(name, at=call.callee))
    fix.replace(call.node, parenthesised(text, call.node, fix.file.parent(call.node)))
    return Safety.UNSAFE if loses_comment(call.node, list(bound.values()), source) else None


def _bound_here(use: Use) -> bool:
    """True where the name comes from an explicit import (not from `import *`)."""
    root: ast.expr = use.node
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and use.scope.binder(root.id) is not None


def target_names(moves: Iterable[Move]) -> Iterator[tuple[Move, str]]:
    """Every name that rows write, for the test that imports them all."""
    for move in moves:
        for name in (move.new, move.older, move.keep):
            if name and not (name == move.new and move.module):
                yield move, name
