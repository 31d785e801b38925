"""From the rules' triggers to the references of a file that concern them.

Which files are worth parsing for that, `prefilter` says. Only direct uses count: a name that another project
file re-exports is a matter of that file, where one fix serves all who import it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Guard, Scope, absolute_module, dotted


@dataclass(frozen=True, slots=True)
class Use:
    """A name or attribute in the code that means a trigger. `node` is the whole dotted expression."""

    node: ast.Name | ast.Attribute
    qualified: str
    scope: Scope
    guard: Guard


@dataclass(frozen=True, slots=True)
class Imported:
    """An import of a trigger: `from jax import tree_map`, `import jax.experimental.maps as maps`."""

    node: ast.Import | ast.ImportFrom
    alias: ast.alias
    qualified: str
    scope: Scope
    guard: Guard


@dataclass
class Hits:
    """All uses and imports of triggers in one file."""

    uses: list[Use] = field(default_factory=list)
    imports: list[Imported] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.uses or self.imports)


class Triggers:
    """The triggers of a set of rules, compiled for scanning."""

    def __init__(self, names: Iterable[str]) -> None:
        self.exact = frozenset(n for n in names if not n.endswith(".*"))
        self.prefixes = frozenset(n[:-2] for n in names if n.endswith(".*"))
        self.words = frozenset(n.rpartition(".")[2] for n in self.exact | self.prefixes)

    def matches(self, qualified: str) -> bool:
        """True for a trigger, or a name below a `.*` trigger (the module itself included)."""
        if qualified in self.exact or qualified in self.prefixes:
            return True
        while qualified := qualified.rpartition(".")[0]:
            if qualified in self.prefixes:
                return True
        return False

    def within(self, qualified: str) -> str | None:
        """The longest trigger match at the start of a name: `jax.tree_map` in `jax.tree_map.__doc__`."""
        while not self.matches(qualified):
            qualified = qualified.rpartition(".")[0]
            if not qualified:
                return None
        return qualified

    def hits(self, module: Module, project: Project) -> Hits:
        """Uses and imports of triggers in a parsed module."""
        hits = Hits()
        scopes = module.scopes
        seen: set[ast.AST] = set()
        candidates = [r for name in self._imports(module, project, hits) for r in scopes.names.get(name, ())]
        candidates += [r for word in scopes.attributes if word in self.words for r in scopes.attributes[word]]
        if scopes.module.star_imports:
            candidates += [r for word in scopes.names if word in self.words for r in scopes.names[word]]
        for reference in candidates:
            qualified = self._direct_target(reference.node, reference.scope, module, project)
            if qualified is None or not self.matches(qualified):
                continue
            node = reference.node
            for outer in _attributes_around(node, module):
                longer = f"{qualified}.{outer.attr}"
                if not self.matches(longer):
                    break
                node, qualified = outer, longer
            if node not in seen:
                seen.add(node)
                hits.uses.append(Use(node, qualified, reference.scope, reference.guard))
        hits.uses.sort(key=lambda use: (use.node.lineno, use.node.col_offset))
        return hits

    def _imports(self, module: Module, project: Project, hits: Hits) -> set[str]:
        """Record imports of triggers; the local names whose mere mention can be a use."""
        bound: set[str] = set()
        for node, scope, guard in module.scopes.imports:
            base = absolute_module(node, module.package) if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                target = base if alias.name == "*" else f"{base}.{alias.name}" if base else alias.name
                if not self.matches(target) or self._is_own(target, module, project):
                    continue
                hits.imports.append(Imported(node, alias, target, scope, guard))
                bound.add(alias.asname or alias.name.partition(".")[0])
        return bound

    def _direct_target(
        self, node: ast.Name | ast.Attribute, scope: Scope, module: Module, project: Project
    ) -> str | None:
        """What an expression means by this file's own imports alone."""
        path = dotted(node)
        if path is None:
            return None
        root, _, rest = path.partition(".")
        bindings = scope.lookup(root)
        if bindings:
            targets = {b.target for b in bindings if b.kind is BindingKind.IMPORT}
            if len(targets) != 1 or any(b.kind is not BindingKind.IMPORT for b in bindings):
                return None
            target = targets.pop()
        else:
            found = project.resolve_name(root, scope, module)
            if found is None:
                return None
            target = found
        qualified = f"{target}.{rest}" if rest else target
        return None if self._is_own(qualified, module, project) else qualified

    @staticmethod
    def _is_own(qualified: str, module: Module, project: Project) -> bool:
        """True where the package is part of the project itself (checking JAX's own sources, say)."""
        return project.has_package(qualified.partition(".")[0])


def _attributes_around(node: ast.AST, module: Module) -> Iterator[ast.Attribute]:
    """The attribute accesses of which `node` is the innermost value, inside out."""
    parent = module.parents.get(node)
    while isinstance(parent, ast.Attribute):
        yield parent
        parent = module.parents.get(parent)
