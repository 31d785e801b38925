"""A project's modules and what their names mean across files.

Resolution follows import aliases, plain `name = dotted.name` aliases, relative imports, re-exports and star
imports between the project's own files. Where a name could mean two things the answer is None: a rule that
gets no answer leaves the code alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nnx_migrate.names.import_prefix import ImportPrefixes
from nnx_migrate.names.layout import Layout, importable_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Binding, BindingKind, Scope, dotted
from nnx_migrate.names.texts import Texts
from nnx_migrate.sources.text import SourceError, SourceText

if TYPE_CHECKING:
    from nnx_migrate.names.exports import Exports

_MAX_HOPS = 20
Found = TypeVar("Found")


@dataclass(frozen=True)
class Definition:
    """A class, function or variable at module level (or inside classes): where and what it is."""

    module: Module
    node: ast.AST
    binding: Binding


class Project:
    """The files under migration. `load` reads one file's source; it may raise SourceError or OSError."""

    def __init__(
        self, paths: Iterable[Path], load: Callable[[Path], SourceText], words: Collection[str] = ()
    ) -> None:
        self.paths = list(dict.fromkeys(paths))
        self.words = words
        self.errors: dict[Path, SourceError] = {}
        self.consulted: set[Path] = set()  # files asked for since this was last cleared (for the cache)
        self._texts = Texts(load)
        self._layout = Layout(self.paths, lambda folder: self.import_prefixes.is_search_path(folder))
        self._modules: dict[Path, Module | None] = {}

    def module(self, path: Path) -> Module | None:
        """The module of a project file; None where it can't be read or parsed (see `errors`)."""
        self.consulted.add(path)
        if path not in self._modules:
            try:
                name = self._layout.names.get(path) or importable_name(path)
                module = Module(path, name, self._texts.source(path), self.words)
                _ = module.tree
                self._modules[path] = module
            except OSError as error:
                self.errors[path] = SourceError(f"can't be read: {error.strerror or error}")
                self._modules[path] = None
            except SourceError as error:
                self.errors[path] = error
                self._modules[path] = None
        return self._modules[path]

    def modules(self) -> Iterator[Module]:
        """Every module that can be parsed, in path order."""
        return self._parsed(self.paths)

    def __contains__(self, path: Path) -> bool:
        return path in self._layout.names

    def source(self, path: Path) -> SourceText:
        """A file's text as it is now, with positions. Raises OSError or SourceError."""
        return self._texts.source(path)

    def text(self, path: Path) -> str:
        """A file's text as it is now. Raises OSError or SourceError."""
        return self._texts.text(path)

    def mentioning(self, *words: str) -> Iterator[Module]:
        """Modules whose text contains all the words; the others aren't parsed."""
        return self._parsed(self.files_mentioning(*words))

    def matching(self, pattern: re.Pattern[str], word: str = "") -> Iterator[Module]:
        """Modules in whose text a pattern is found; the others aren't parsed. See `matching_files` for `word`."""
        return self._parsed(self.matching_files(pattern, word))

    def matching_files(self, pattern: re.Pattern[str], word: str = "") -> Iterator[Path]:
        """Files in whose text a pattern is found; it holds `word`, which is looked for first, as that is faster."""
        return self.files_where(lambda text: word in text and pattern.search(text) is not None)

    def files_mentioning(self, *words: str) -> Iterator[Path]:
        """Files whose text contains all the words."""
        return self.files_where(lambda text: all(word in text for word in words))

    def files_where(self, wanted: Callable[[str], bool]) -> Iterator[Path]:
        """Files whose text is wanted, in path order."""
        for path in self.paths:
            try:
                text = self.text(path)
            except (OSError, SourceError):
                continue  # whoever scans the file reports it
            if wanted(text):
                yield path

    def _parsed(self, paths: Iterable[Path]) -> Iterator[Module]:
        for path in paths:
            module = self.module(path)
            if module is not None:
                yield module

    def having(
        self, paths: Iterable[Path], find: Callable[[Module], list[Found]]
    ) -> Iterator[tuple[Module, list[Found]]]:
        """Modules in which `find` finds something, with that; the others are forgotten again."""
        for path in paths:
            known = path in self._modules
            module = self.module(path)
            found = find(module) if module is not None else []
            if module is not None and found:
                yield module, found
            elif not known:
                self.release(path)

    def replace(self, path: Path, source: SourceText) -> None:
        """Give a file new content (in memory); its module is built anew when next asked for."""
        self._texts.replace(path, source)
        self._modules.pop(path, None)
        self.errors.pop(path, None)
        self.exports.forget(path)

    def release(self, path: Path) -> None:
        """Forget a parsed module to save memory; it is parsed again if asked for."""
        self._modules.pop(path, None)

    @property
    def loaded(self) -> list[Path]:
        """The files whose modules are in memory."""
        return [path for path, module in self._modules.items() if module is not None]

    def release_all(self) -> None:
        """Forget every parsed module."""
        self._modules.clear()

    @contextmanager
    def visit(self, path: Path) -> Iterator[Module | None]:
        """`module` for a short look: forgotten afterwards, unless it was in memory before."""
        known = path in self._modules
        try:
            yield self.module(path)
        finally:
            if not known:
                self.release(path)

    @cached_property
    def exports(self) -> Exports:
        """Which names the project's files take from each other."""
        from nnx_migrate.names.exports import Exports

        return Exports(self)

    def has_package(self, name: str) -> bool:
        """True where a top-level module or package of that name is one of the project's files."""
        return self._layout.has_package(name)

    @cached_property
    def import_prefixes(self) -> ImportPrefixes:
        """Under which names the project imports what stands in its folders."""
        return ImportPrefixes(self)

    # -- modules by name ----------------------------------------------------------------------------------

    def find_path(self, name: str, importer: Module) -> Path | None:
        """The project file that `import name` in `importer` means, whatever folder is on `sys.path`."""
        return self._layout.find(name, importer.path)

    def find_module(self, name: str, importer: Module) -> Module | None:
        """The module of `find_path`; None where it can't be parsed."""
        path = self.find_path(name, importer)
        return self.module(path) if path is not None else None

    def module_named(self, node: ast.expr, importer: Module) -> Module | None:
        """The module that an expression names, None where it names something in one, or nothing of the project."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        qualified = self.resolve(node, importer.scope_at(node), importer)
        if qualified is None or self.definition(qualified) is not None:
            return None
        return self.find_module(qualified, importer)

    # -- names --------------------------------------------------------------------------------------------

    def resolve(self, node: ast.expr, scope: Scope, module: Module) -> str | None:
        """Canonical qualified name of a dotted expression ("flax.linen.Dense", "pkg.models.CNN") or None."""
        path = dotted(node)
        return self.resolve_name(path, scope, module) if path else None

    def resolve_name(self, path: str, scope: Scope, module: Module, hops: int = 0) -> str | None:
        """`resolve` for a dotted path given as text."""
        if hops > _MAX_HOPS:
            return None
        root, _, rest = path.partition(".")
        bindings = scope.lookup(root)
        binder = scope.binder(root)
        if not bindings or binder is None:
            found = self._from_star_imports(root, scope.module, module, hops)
            return self._join(found, rest, module, hops)
        targets = {self._target(binding, binder, module, hops) for binding in bindings}
        if len(targets) > 1 and all(binding.kind is BindingKind.IMPORT for binding in bindings):
            targets = set(self.imported_as(root, scope, module, hops))  # from a package, or beside the file
        if len(targets) != 1:
            return None
        return self._join(targets.pop(), rest, module, hops)

    def imported_as(self, name: str, scope: Scope, module: Module, hops: int = 0) -> list[str]:
        """The canonical names of what each import of a name brings, in alternatives and one after the other."""
        bindings = scope.lookup(name)
        if not bindings:
            return sorted(self._starred(name, scope.module, module, hops))
        targets = [b.target for b in bindings if b.kind is BindingKind.IMPORT and b.target]
        return [found for target in targets if (found := self.canonical(target, module, hops + 1))]

    def _target(self, binding: Binding, binder: Scope, module: Module, hops: int) -> str | None:
        if binding.kind is BindingKind.IMPORT:
            return binding.target
        if binding.kind in (BindingKind.CLASS, BindingKind.FUNCTION):
            qualname = binder.qualname()
            if qualname and not binder.is_class:
                qualname += ".<locals>"
            return ".".join(p for p in (module.name, qualname, binding.name) if p)
        if binding.kind is BindingKind.ASSIGNMENT and binding.value is not None:
            path = dotted(binding.value)
            # `x = x` style rebinding would recurse into itself
            if path and path.partition(".")[0] != binding.name:
                return self.resolve_name(path, binder, module, hops + 1)
        return None

    def _from_star_imports(self, name: str, scope: Scope, module: Module, hops: int) -> str | None:
        """A name that only a star import can have brought: exactly one project module exports it, or a
        single star import from outside the project is there to have done so."""
        found = self._starred(name, scope, module, hops)
        if found:
            return found.pop() if len(found) == 1 else None
        outside = {base for base in scope.star_imports if self.find_module(base, module) is None}
        return f"{outside.pop()}.{name}" if len(outside) == 1 and name not in _BUILTINS else None

    def _starred(self, name: str, scope: Scope, module: Module, hops: int) -> set[str]:
        """What the star imports of project modules may bring under a name."""
        found: set[str] = set()
        for base in scope.star_imports:
            other = self.find_module(base, module)
            if other is not None and other is not module and self._exports(other, name):
                target = self.resolve_name(name, other.scopes.module, other, hops + 1)
                found.add(target or f"{other.name}.{name}")
        return found

    def _exports(self, module: Module, name: str) -> bool:
        """Whether a module has a name of its own, or from star imports of project modules."""
        near = [] if name.startswith("_") else [module]
        for one in near:  # grows
            if name in one.scopes.module.bindings:
                return True
            others = (self.find_module(base, one) for base in one.scopes.module.star_imports)
            near += [other for other in others if other is not None and other not in near]
        return False

    def _join(self, target: str | None, rest: str, module: Module, hops: int) -> str | None:
        if target is None:
            return None
        return self.canonical(f"{target}.{rest}" if rest else target, module, hops + 1)

    def canonical(self, qualified: str, importer: Module, hops: int = 0) -> str | None:
        """Follow re-exports through the project's modules; names from outside come back unchanged."""
        if hops > _MAX_HOPS:
            return None
        parts = qualified.split(".")
        for cut in range(len(parts), 0, -1):
            module = self.find_module(".".join(parts[:cut]), importer)
            if module is None:
                continue
            rest = parts[cut:]
            if not rest:
                return module.name
            scope = module.scopes.module
            if rest[0] not in scope.bindings:
                starred = self._from_star_imports(rest[0], scope, module, hops + 1)
                if starred is None:
                    return ".".join([module.name, *rest])
                return self._join(starred, ".".join(rest[1:]), module, hops + 1)
            targets = {self._target(b, scope, module, hops + 1) for b in scope.bindings[rest[0]]}
            if targets == {None}:  # a variable: its own name is all there is to say
                return ".".join([module.name, *rest])
            if len(targets) != 1:
                return None
            target = targets.pop() or ""
            own = f"{module.name}.{rest[0]}"
            if target == own:
                return ".".join([own, *rest[1:]])
            return self._join(target, ".".join(rest[1:]), module, hops + 1)
        return qualified

    def definition(self, qualified: str) -> Definition | None:
        """Where a canonical project name ("pkg.models.CNN", "pkg.models.CNN.setup") is defined, if once."""
        parts = qualified.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            path = self._layout.by_name(".".join(parts[:cut]))
            module = self.module(path) if path is not None else None
            if module is None:
                continue
            scope: Scope | None = module.scopes.module
            binding: Binding | None = None
            for part in (p for p in parts[cut:] if p != "<locals>"):
                bindings = scope.bindings.get(part, []) if scope is not None else []
                if len(bindings) != 1:
                    return None
                binding = bindings[0]
                scope = module.scopes.of_node.get(binding.node)
            return Definition(module, binding.node, binding) if binding else None
        return None

    def redefinitions(self, qualified: str) -> list[Definition]:
        """All definitions of a module-level name, where it is defined more than once (as notebooks do)."""
        name, _, last = qualified.rpartition(".")
        path = self._layout.by_name(name)
        module = self.module(path) if path is not None else None
        if module is None:
            return []
        bindings = module.scopes.module.bindings.get(last, [])
        return (
            [Definition(module, binding.node, binding) for binding in bindings] if len(bindings) > 1 else []
        )


_BUILTINS = frozenset(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)
