"""From the rules' triggers to the references of a file that concern them.

Two steps, cheap first: the words that a file must contain at all (on bytes, before parsing), and the uses and
imports that resolve to a trigger (after parsing).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Guard, Scope, absolute_module

_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*")
ECOSYSTEM = (b"jax", b"flax", b"nnx", b"optax", b"orbax", b"jax2onnx", b"torch")


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
        self._byte_words = frozenset(w.encode() for w in self.words)

    def may_concern(self, data: bytes) -> bool:
        """False where no trigger's last word, or no package of the ecosystem, occurs in the file at all."""
        if not any(root in data for root in ECOSYSTEM):
            return False
        return not self._byte_words.isdisjoint(_IDENTIFIER.findall(data))

    def matches(self, qualified: str) -> bool:
        """True for a trigger, or a name below a `.*` trigger (the module itself included)."""
        if qualified in self.exact or qualified in self.prefixes:
            return True
        while qualified := qualified.rpartition(".")[0]:
            if qualified in self.prefixes:
                return True
        return False

    def hits(self, module: Module, project: Project) -> Hits:
        """Uses and imports of triggers in a parsed module."""
        hits = Hits()
        bound = self._imports(module, project, hits)
        seen: set[ast.AST] = set()
        for name in bound:
            for reference in module.scopes.names.get(name, ()):
                self._use(reference.node, reference.scope, reference.guard, module, project, hits, seen)
        for references in module.scopes.attributes.values():
            for reference in references:
                self._use(reference.node, reference.scope, reference.guard, module, project, hits, seen)
        if module.scopes.module.star_imports:
            for name, found in module.scopes.names.items():
                if name in self.words and name not in bound:
                    for reference in found:
                        self._use(reference.node, reference.scope, reference.guard, module, project, hits, seen)
        hits.uses.sort(key=lambda use: (use.node.lineno, use.node.col_offset))
        return hits

    def _imports(self, module: Module, project: Project, hits: Hits) -> set[str]:
        """Record imports of triggers; the local names whose mere mention can be a use."""
        bound: set[str] = set()
        for node, scope, guard in module.scopes.imports:
            base = absolute_module(node, module.package) if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                target = f"{base}.{alias.name}" if base else alias.name
                qualified = project.canonical(target, module)
                if qualified is None:
                    continue
                if alias.name == "*":
                    qualified = base
                if self.matches(qualified):
                    hits.imports.append(Imported(node, alias, qualified, scope, guard))
                    bound.add(alias.asname or alias.name.partition(".")[0])
        return bound

    def _use(
        self,
        node: ast.Name | ast.Attribute,
        scope: Scope,
        guard: Guard,
        module: Module,
        project: Project,
        hits: Hits,
        seen: set[ast.AST],
    ) -> None:
        qualified = project.resolve(node, scope, module)
        if qualified is None or not self.matches(qualified):
            return
        for outer in _attributes_around(node, module):
            longer = f"{qualified}.{outer.attr}"
            if not self.matches(longer):
                break
            node, qualified = outer, longer
        if node not in seen:
            seen.add(node)
            hits.uses.append(Use(node, qualified, scope, guard))


def _attributes_around(node: ast.AST, module: Module) -> Iterator[ast.Attribute]:
    """The attribute accesses of which `node` is the innermost value, inside out."""
    parent = module.parents.get(node)
    while isinstance(parent, ast.Attribute):
        yield parent
        parent = module.parents.get(parent)
