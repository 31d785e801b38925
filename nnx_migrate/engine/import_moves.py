"""Import statements of names that moved: edited in place where the uses can stay as they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nnx_migrate.engine.arguments import CannotBind
from nnx_migrate.engine.context import CannotName, FileContext, FixBuilder
from nnx_migrate.engine.findings import Finding, Fix, ImportRequest
from nnx_migrate.engine.import_text import drop_names, drop_statement, rename_module
from nnx_migrate.engine.triggers import Imported, Use
from nnx_migrate.names.scopes import Binding, Guard
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.engine.moves import Move, MovesRule

_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass
class _Moved:
    """An import that changes. `new` is "" where it only goes."""

    imported: Imported
    move: Move
    new: str = ""

    @property
    def alias(self) -> ast.alias:
        return self.imported.alias

    @property
    def local(self) -> str:
        return self.alias.asname or self.alias.name

    @property
    def request(self) -> ImportRequest:
        base, _, _ = self.new.rpartition(".")
        return ImportRequest(self.new, self.local, base or None)


class ImportMoves:
    """What becomes of a file's imports of old names.

    An import is edited in place if the local name can stay (same last name, `as`, or other files rely on it).
    Otherwise the uses are rewritten one by one and the import editor removes what they leave behind.
    """

    def __init__(self, rule: MovesRule, file: FileContext, uses: Sequence[Use]) -> None:
        self.rule, self.file, self.uses = rule, file, uses
        self._covered: set[ast.alias] = set()
        self._findings: list[Finding] = []
        by_statement: dict[ast.AST, list[_Moved]] = {}
        for imported in file.imports(*rule.triggers):
            move = rule.move_of(imported.qualified)
            if move is not None and move.new != move.old and rule.applies(move, file):
                moved = self._decide(imported, move)
                if moved is not None:
                    by_statement.setdefault(imported.node, []).append(moved)
        for group in by_statement.values():
            fix = self._fix(group)
            for moved in group:
                self._covered.add(moved.alias)
                self._add(moved.imported, moved.move, fix)

    def findings(self) -> Iterator[Finding]:
        """One finding for each import that changes, or that can't."""
        yield from self._findings

    def covers(self, use: Use) -> bool:
        """True where a use needs no change of its own because its import is edited."""
        bindings = _root_bindings(use)
        return bool(bindings) and all(b.alias in self._covered for b in bindings)

    # -- which --------------------------------------------------------------------------------------------

    def _decide(self, imported: Imported, move: Move) -> _Moved | None:
        alias, node = imported.alias, imported.node
        if alias.name == "*":
            self._add(imported, move, None, "star-import", "import the names that are used explicitly")
            return None
        plain = isinstance(node, ast.Import) and alias.asname is None and "." in alias.name
        used = any(self._uses_import(use, imported, plain) for use in self.uses)
        if plain:
            if used:
                return None
            return _Moved(imported, move, move.new if move.is_rename else "")
        local = alias.asname or alias.name
        kept = self._is_exported(imported, local)
        if move.is_rename:
            try:
                new = self.rule.new_name(move, imported.qualified, self.file)
            except CannotBind as error:
                self._add(imported, move, None, "target-too-old", str(error))
                return None
            if alias.asname or new.rpartition(".")[2] == local:
                return _Moved(imported, move, new)
            in_string = not used and local in self._strings
            if kept or in_string or not self._can_be_spelled(imported, new):
                return _Moved(imported, move, move.keep or new)
            return None if used else _Moved(imported, move)
        if kept:
            help = f"other code imports `{local}` from here. {move.help}".strip()
            self._add(imported, move, None, "exported-name", help)
            return None
        if used or self._is_read(imported, local) or local in self._strings:
            return None
        return _Moved(imported, move)

    @staticmethod
    def _uses_import(use: Use, imported: Imported, plain: bool) -> bool:
        if plain:
            return f"{use.qualified}.".startswith(f"{imported.qualified}.")
        return any(binding.alias is imported.alias for binding in _root_bindings(use))

    def _can_be_spelled(self, imported: Imported, new: str) -> bool:
        """True where the new name can be written at every use of an import."""
        trial = self.file.fix()
        try:
            for use in self.uses:
                if self._uses_import(use, imported, plain=False):
                    trial.name(new, at=use.node)
        except CannotName:
            return False
        return True

    def _is_read(self, imported: Imported, local: str) -> bool:
        """True where the name is read at all: as something that no row knows."""
        references = self.file.module.scopes.names.get(local, ())
        return any(
            binding.alias is imported.alias
            for reference in references
            for binding in reference.scope.lookup(local)
        )

    def _is_exported(self, imported: Imported, local: str) -> bool:
        """True where other files, or the file's own `__all__`, may rely on the name."""
        if not imported.scope.is_module:
            return False
        module = self.file.module
        return (
            module.is_package
            or imported.alias.asname == imported.alias.name
            or local in self._listed
            or self.file.project.exports.uses(module.path, local)
        )

    @cached_property
    def _listed(self) -> set[str]:
        """The names in `__all__`."""
        nodes = [b.node for b in self.file.module.scopes.module.bindings.get("__all__", ())]
        constants = (c for node in nodes for c in ast.walk(node) if isinstance(c, ast.Constant))
        return {c.value for c in constants if isinstance(c.value, str)}

    @cached_property
    def _strings(self) -> set[str]:
        """Words in strings, which may be annotations or doctests."""
        constants = (c for c in ast.walk(self.file.tree) if isinstance(c, ast.Constant))
        return {w for c in constants if isinstance(c.value, str) for w in _WORD.findall(c.value)}

    def _add(self, imported: Imported, move: Move, fix: Fix | None, reason: str = "", help: str = "") -> None:
        self._findings.append(
            self.rule.finding(self.file, imported.alias, move.message, fix, reason=reason, help=help)
        )

    # -- how ----------------------------------------------------------------------------------------------

    def _fix(self, group: list[_Moved]) -> Fix:
        """The fix of one statement."""
        fix = self.file.fix()
        node = group[0].imported.node
        moving = [moved for moved in group if moved.new]
        if isinstance(node, ast.Import):
            fix.edits += [rename_module(self.file.module, node, m.alias, m.new) for m in moving]
            self._drop(fix, node, [m for m in group if not m.new])
        elif self._moves_as_one(node, moving):
            fix.edits.append(rename_module(self.file.module, node, None, moving[0].request.from_module or ""))
            for moved in moving:
                if moved.request.imported_name != self.file.segment(moved.alias):
                    fix.replace(moved.alias, moved.request.imported_name)
        else:
            self._relocate(fix, node, moving)
            self._drop(fix, node, group)
        safety = group[0].move.safety
        return fix.build("edit the import", safety)

    def _drop(self, fix: FixBuilder, node: ast.Import | ast.ImportFrom, group: list[_Moved]) -> None:
        gone = [moved.alias for moved in group]
        if not gone:
            return
        if isinstance(node, ast.Import):
            for alias in list(gone):
                root = alias.name.partition(".")[0]
                if alias.asname is None and root != alias.name and self._needs_root(root, alias):
                    fix.edits.append(rename_module(self.file.module, node, alias, root))
                    gone.remove(alias)
        if len(gone) == len(node.names):
            fix.edits.append(drop_statement(self.file.module, node))
        else:
            fix.edits += drop_names(self.file.module, node, gone)

    def _needs_root(self, root: str, alias: ast.alias) -> bool:
        """True where `import a.b` is the only statement that binds `a`, and `a` is read."""
        bindings = self.file.module.scopes.module.bindings.get(root, ())
        others = [b for b in bindings if b.alias is not alias]
        return not others and root in self.file.module.scopes.names

    def _moves_as_one(self, node: ast.ImportFrom, moving: list[_Moved]) -> bool:
        """True where all names of a statement go to one module that no other statement imports from."""
        bases = {moved.request.from_module for moved in moving}
        if len(moving) != len(node.names) or len(bases) != 1 or None in bases or node.level:
            return False
        base = bases.pop()
        if not isinstance(self.file.parent(node), ast.Module):
            return True
        return not any(
            isinstance(other, ast.ImportFrom) and other.module == base and not other.level
            for other in self.file.tree.body
        )

    def _relocate(self, fix: FixBuilder, node: ast.ImportFrom, moving: list[_Moved]) -> None:
        """Import moved names from their new modules: at module level through the import editor, elsewhere
        with a statement ahead of the old one."""
        at_top = isinstance(self.file.parent(node), ast.Module)
        if at_top and moving and moving[0].imported.guard is Guard.NONE:
            for moved in moving:
                fix.require(moved.request)
            return
        by_base: dict[str | None, list[ImportRequest]] = {}
        for moved in moving:
            by_base.setdefault(moved.request.from_module, []).append(moved.request)
        source = self.file.source
        start = source.span(node)[0]
        line_start = source.line_start(node.lineno)
        indent = source.text[line_start:start]
        separator = f"\n{indent}" if not indent.strip() else "; "
        for base, requests in by_base.items():
            names = ", ".join(request.imported_name for request in requests)
            text = f"from {base} import {names}" if base else requests[0].statement
            fix.edits.append(Edit(start, start, text + separator))


def _root_bindings(use: Use) -> list[Binding]:
    root: ast.expr = use.node
    while isinstance(root, ast.Attribute):
        root = root.value
    return use.scope.lookup(root.id) if isinstance(root, ast.Name) else []
