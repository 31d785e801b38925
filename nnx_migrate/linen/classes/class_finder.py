"""Which classes of a project are Linen modules, across files.

Works on texts first and keeps names instead of syntax trees, so that `check` can list the classes of a large
project in little memory. `LinenProgram` builds the model of what is found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from nnx_migrate.linen.symbols import LINEN, canonical, linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Scope
from nnx_migrate.sources.words import words

_DERIVED_CLASS = re.compile(r"^[ \t\f]*class\b[^\n:]*[(\[\\]", re.MULTILINE)
#: Where bases come from that have nothing to do with modules.
_NO_MODULES = ("abc.", "collections.", "enum.", "flax.struct.", "typing.", "typing_extensions.", "unittest.")


@dataclass(frozen=True)
class FoundClass:
    """A class statement with bases. `bases` are their qualified names, None for one that isn't known."""

    qualified: str
    path: Path
    module: str
    position: tuple[int, int]  # line and column of the statement, as in `ast`
    head: tuple[int, int]  # character offsets of `class Name`
    bases: tuple[str | None, ...]
    is_taken_for_one: bool = False  # a base isn't known, and the class has what only modules have

    @property
    def name(self) -> str:
        """The class's own name."""
        return self.qualified.rpartition(".")[2]


def find_linen_classes(project: Project, *, keep_modules: bool = True) -> list[FoundClass]:
    """All classes that derive from Linen's, by module and line.

    Without `keep_modules`, files that had to be parsed for this are forgotten again.
    """
    return _Finder(project, keep_modules).run()


class _Finder:
    def __init__(self, project: Project, keep_modules: bool) -> None:
        self.project, self.keep_modules = project, keep_modules
        self.derived = set(project.files_where(lambda text: _DERIVED_CLASS.search(text) is not None))
        self.candidates: dict[str, FoundClass] = {}
        self._words: dict[Path, frozenset[bytes]] = {}
        self._read: set[Path] = set()

    def run(self) -> list[FoundClass]:
        """Bases are resolved by qualified name, repeatedly, until no further class turns out to be Linen."""
        linen: set[str] = set()
        paths = [*self.project.files_mentioning("linen")]
        paths += [user for path in paths for user in self._users_of_linen(path)]
        while paths:  # files that mention neither Linen nor a class found so far are never parsed
            for path in paths:
                if path in self.derived and path not in self._read:
                    self._read.add(path)
                    self._add_candidates(path)
            names = {name.rpartition(".")[2].encode() for name in self._close(linen)}
            paths = [p for p in self.project.paths if p in self.derived and self._mentions(p, names)]
        found = [self.candidates[qualified] for qualified in linen]
        return sorted(found, key=lambda c: (c.module, c.position[0]))

    def _mentions(self, path: Path, names: set[bytes]) -> bool:
        if not names:
            return False
        if path not in self._words:
            self._words[path] = frozenset(words(self.project.text(path).encode(errors="replace")))
        return not names.isdisjoint(self._words[path])

    def _users_of_linen(self, path: Path) -> Iterator[Path]:
        """Files that get Linen through another file's import of it (`from common import nn`)."""
        if not self.project.exports.imports(path, "linen"):
            return
        with self._module(path) as module:
            bindings = module.scopes.module.bindings if module is not None else {}
            names = [n for n, bs in bindings.items() if any(canonical(b.target) == LINEN for b in bs)]
        for name in names:
            yield from self.project.exports.users(path, name)

    def _add_candidates(self, path: Path) -> None:
        with self._module(path) as module:
            if module is None:
                return
            for node, scope in list(module.scopes.of_node.items()):
                if isinstance(node, ast.ClassDef) and node.bases and scope.parent is not None:
                    qualified = f"{module.name}.{scope.qualname()}"
                    start, _ = module.source.span(node)
                    bases = tuple(self._base_name(base, scope.parent, module) for base in node.bases)
                    self.candidates[qualified] = FoundClass(
                        qualified,
                        path,
                        module.name,
                        (node.lineno, node.col_offset),
                        (start, start + len(f"class {node.name}")),
                        bases,
                        self._is_taken_for_one(node, bases, module),
                    )

    def _is_taken_for_one(self, node: ast.ClassDef, bases: tuple[str | None, ...], module: Module) -> bool:
        """Whether a class that derives from one of another library shows that this is a Linen module."""
        unknown = [b for b in bases if b is not None and "." in b and linen_name(b) is None]
        unknown = [b for b in unknown if not b.startswith(_NO_MODULES)]
        if not unknown:  # as with most classes: what they have need not be looked at
            return False
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
        compact = any(
            linen_name(canonical(self.project.resolve(d, module.scope_at(d), module))) == "compact"
            for method in methods
            for d in method.decorator_list
            if isinstance(d, ast.Name | ast.Attribute)
        )
        return (compact or _has_setup(methods)) and any(self.project.definition(b) is None for b in unknown)

    def _base_name(self, base: ast.expr, scope: Scope, module: Module) -> str | None:
        if isinstance(base, ast.Subscript):  # Generic[T]
            base = base.value
        if not isinstance(base, ast.Name | ast.Attribute):
            return None
        name = canonical(self.project.resolve(base, scope, module))
        return name or (base.id if isinstance(base, ast.Name) else None)

    def _close(self, linen: set[str]) -> set[str]:
        """Add every candidate that derives from Linen, directly or through others; what was added."""
        before = set(linen)
        grew = True
        while grew:
            grew = False
            for qualified, candidate in self.candidates.items():
                is_linen = candidate.is_taken_for_one or any(_is_linen(b, linen) for b in candidate.bases)
                if qualified not in linen and is_linen:
                    linen.add(qualified)
                    grew = True
        return linen - before

    def _module(self, path: Path) -> AbstractContextManager[Module | None]:
        return nullcontext(self.project.module(path)) if self.keep_modules else self.project.visit(path)


def _has_setup(methods: list[ast.FunctionDef]) -> bool:
    """Whether methods are those of a module with `setup`, and of nothing that is constructed in another way."""
    names = {method.name for method in methods}
    setup = next((m for m in methods if m.name == "setup"), None)
    alone = setup is not None and len(setup.args.args) == 1 and not setup.args.kwonlyargs
    return alone and "__init__" not in names


def _is_linen(base: str | None, linen: set[str]) -> bool:
    if base is None:
        return False
    name = linen_name(base)
    return base in linen or (name is not None and name[:1].isupper())
