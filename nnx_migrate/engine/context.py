"""What a rule sees: one file (or the project) with resolved names, and a builder for its fix."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.engine.findings import FileChange, Fix, ImportRequest, Safety
from nnx_migrate.engine.triggers import Hits, Imported, Triggers, Use
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Guard, Scope, dotted
from nnx_migrate.sources.text import Edit, SourceText

if TYPE_CHECKING:
    from nnx_migrate.config import Config
    from nnx_migrate.engine.targets import Targets

# How the field spells its imports; every other module gets `import a.b` / `from a import b`.
PREFERRED_IMPORTS = {
    "jax": ImportRequest("jax", "jax"),
    "jax.numpy": ImportRequest("jax.numpy", "jnp"),
    "flax": ImportRequest("flax", "flax"),
    "flax.nnx": ImportRequest("flax.nnx", "nnx", "flax"),
    "flax.training.train_state": ImportRequest("flax.training.train_state", "train_state", "flax.training"),
    "optax": ImportRequest("optax", "optax"),
    "orbax.checkpoint": ImportRequest("orbax.checkpoint", "ocp"),
    "numpy": ImportRequest("numpy", "np"),
    "torch": ImportRequest("torch", "torch"),
    "functools": ImportRequest("functools", "functools"),
    "dataclasses": ImportRequest("dataclasses", "dataclasses"),
}

# Modules that `import <package>` doesn't load: `jax.extend.core` needs an import of its own.
LAZY_MODULES = frozenset(
    {
        "flax.nnx",
        "flax.training.dynamic_scale",
        "flax.training.early_stopping",
        "flax.training.train_state",
        "jax.ad_checkpoint",
        "jax.example_libraries.optimizers",
        "jax.example_libraries.stax",
        "jax.experimental.array_serialization",
        "jax.experimental.layout",
        "jax.experimental.mesh_utils",
        "jax.experimental.multihost_utils",
        "jax.experimental.pjit",
        "jax.experimental.shard_map",
        "jax.extend.backend",
        "jax.extend.core",
        "jax.extend.linear_util",
        "jax.extend.random",
    }
)


class CannotName(Exception):
    """A qualified name can't be spelled at a place: what it would be called there is already taken."""


@dataclass
class ProjectContext:
    """The project as rules see it, with configuration and target versions."""

    project: Project
    config: Config
    targets: Targets
    traced: Mapping[str, Mapping[tuple[str | int, ...], int]] = field(
        default_factory=dict
    )  # see `fix --trace`

    def file(self, module: Module, hits: Hits | None = None) -> FileContext:
        """The context of one module."""
        return FileContext(module, self, hits or Hits())


class FileContext:
    """One file under a rule's eyes."""

    def __init__(self, module: Module, project: ProjectContext, hits: Hits) -> None:
        self.module, self.context, self._hits = module, project, hits

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.module.path

    @property
    def source(self) -> SourceText:
        """Its text, with positions."""
        return self.module.source

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return self.module.tree

    @property
    def project(self) -> Project:
        """The files around it."""
        return self.context.project

    @property
    def targets(self) -> Targets:
        """The releases that the project is written for."""
        return self.context.targets

    def uses(self, *triggers: str) -> Iterator[Use]:
        """Reads of the given names (exact, or everything below with `.*`), in source order.

        Code inside `try: ... except ImportError:` and version checks is left out: it already serves two
        releases. Definitions found through a plain alias (`tree_map = jax.tree_map`) count once, where the
        dotted name stands.
        """
        wanted = Triggers(triggers)
        for use in self._hits.uses:
            matched = wanted.within(use.qualified) if use.guard in (Guard.NONE, Guard.TYPING) else None
            if matched is not None:  # another rule may be about a longer name that starts with this one
                node: ast.expr = use.node
                for _ in range(use.qualified.count(".") - matched.count(".")):
                    if not isinstance(node, ast.Attribute):
                        break
                    node = node.value
                else:
                    assert isinstance(node, ast.Name | ast.Attribute)
                    yield Use(node, matched, use.scope, use.guard)

    def imports(self, *triggers: str) -> Iterator[Imported]:
        """Imports of the given names, guarded ones left out as in `uses`."""
        wanted = Triggers(triggers)
        for imported in self._hits.imports:
            if imported.guard in (Guard.NONE, Guard.TYPING) and wanted.matches(imported.qualified):
                yield imported

    def resolve(self, node: ast.expr) -> str | None:
        """Qualified name of a dotted expression, None where it is unknown or ambiguous."""
        return self.project.resolve(node, self.module.scope_at(node), self.module)

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around a node."""
        return self.module.parents.get(node)

    def call_of(self, node: ast.AST) -> ast.Call | None:
        """The call of which `node` is the callee."""
        parent = self.parent(node)
        return parent if isinstance(parent, ast.Call) and parent.func is node else None

    def segment(self, node: ast.AST) -> str:
        """Source of a node."""
        return self.source.segment(node)

    def fix(self) -> FixBuilder:
        """An empty fix for this file."""
        return FixBuilder(self)


@dataclass
class FixBuilder:
    """Collects the edits of one fix; further files join through `other_file`."""

    file: FileContext
    edits: list[Edit] = field(default_factory=list)
    requests: list[ImportRequest] = field(default_factory=list)
    others: dict[Path, FixBuilder] = field(default_factory=dict)
    creates: dict[Path, str] = field(default_factory=dict)

    def replace(self, node: ast.AST | tuple[int, int], text: str) -> None:
        """Replace a node's source (or a span)."""
        start, end = node if isinstance(node, tuple) else self.file.source.span(node)
        self.edits.append(Edit(start, end, text))

    def insert(self, offset: int, text: str) -> None:
        """Insert text at a character offset."""
        self.edits.append(Edit(offset, offset, text))

    def delete(self, start: int, end: int) -> None:
        """Remove a span."""
        self.edits.append(Edit(start, end, ""))

    def name(self, qualified: str, at: ast.AST) -> str:
        """How `qualified` is spelled at a place, by the file's own imports where they serve.

        `at` is the expression that gives way (or any node there): the name it starts with is known to work
        there. Asks for an import where none serves. Raises CannotName where the name is shadowed there.
        """
        scope = self.file.module.scope_at(at)
        parts = qualified.split(".")
        root, root_target = self._root_of(at, scope)
        for cut in range(len(parts), 0, -1):
            prefix = ".".join(parts[:cut])
            local = root if root_target == prefix else self._local_name(prefix, scope)
            if local is not None:
                lazy = self._lazy_module(parts, cut)
                if lazy:
                    self._add(ImportRequest(lazy, parts[0]), scope.module)
                return ".".join([local, *parts[cut:]])
        return self._request(parts, scope)

    @staticmethod
    def _root_of(node: ast.AST, scope: Scope) -> tuple[str, str]:
        """The name that a dotted expression starts with and what its imports mean by it, "" if unclear."""
        path = dotted(node) if isinstance(node, ast.expr) else None
        root = (path or "").partition(".")[0]
        targets = {b.target for b in scope.lookup(root)}
        return (root, targets.pop()) if len(targets) == 1 else (root, "")

    def _local_name(self, prefix: str, scope: Scope) -> str | None:
        """A name visible in `scope`, bound once and unguarded, by a module-level import of `prefix`."""
        scopes = self.file.module.scopes
        visible = (n for n in scopes.imported.get(prefix, ()) if scope.binder(n) is scopes.module)
        return next(visible, None)

    @staticmethod
    def _lazy_module(parts: list[str], cut: int) -> str | None:
        """The submodule in a dotted name that nobody has loaded when its first `cut` parts are imported."""
        prefixes = (".".join(parts[:end]) for end in range(len(parts), cut, -1))
        return next((prefix for prefix in prefixes if prefix in LAZY_MODULES), None)

    def _request(self, parts: list[str], scope: Scope) -> str:
        for cut in range(len(parts) - 1, 0, -1):
            request = PREFERRED_IMPORTS.get(".".join(parts[:cut]))
            if request is not None:
                break
        else:
            cut = max(1, len(parts) - 1)
            module = ".".join(parts[:cut])
            parent, _, name = module.rpartition(".")
            request = ImportRequest(module, name, parent) if parent else ImportRequest(module, module)
        lazy = self._lazy_module(parts, cut)
        if lazy and request.binding == parts[0]:
            request = ImportRequest(lazy, parts[0])
        self._add(request, scope)
        return ".".join([request.binding, *parts[cut:]])

    def _add(self, request: ImportRequest, scope: Scope) -> None:
        taken = scope.binder(request.binding)
        if taken is not None and not self._same_import(request, taken):
            raise CannotName(f"`{request.binding}` already means something else here")
        self.require(request)

    @staticmethod
    def _same_import(request: ImportRequest, scope: Scope) -> bool:
        target = request.binding if request.is_submodule else request.qualified
        return scope.is_module and all(
            b.kind is BindingKind.IMPORT and b.target == target for b in scope.lookup(request.binding)
        )

    def require(self, request: ImportRequest) -> None:
        """Ask for an import in a given form."""
        if request not in self.requests:
            self.requests.append(request)

    def other_file(self, module: Module) -> FixBuilder:
        """The builder of another file that has to change together with this one."""
        if module.path == self.file.path:
            return self
        if module.path not in self.others:
            self.others[module.path] = FixBuilder(self.file.context.file(module))
        return self.others[module.path]

    def create(self, path: Path, text: str) -> None:
        """Write a new file (a helper that the migrated code needs) if it isn't there yet."""
        self.creates[path] = text

    def build(self, title: str, safety: Safety = Safety.SAFE) -> Fix:
        """The finished fix."""
        builders = {self.file.path: self, **self.others}
        changes = {p: FileChange(tuple(b.edits), tuple(b.requests)) for p, b in builders.items()}
        return Fix(title, safety, changes, dict(self.creates))
