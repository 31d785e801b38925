"""Classes that a person asks for although code that uses them stays Linen (`fix --convert`).

That code goes on with Linen copies: every reference to such a class outside of the classes that move means its copy.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference, References
from nnx_migrate.linen.programs.inputs.stated_inputs import names_of
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_self


def is_asked_for(cls: LinenClass, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (`pkg.models:CNN`, `models.CNN`, `CNN`, with `*`) means a class."""
    names = names_of(cls)
    return any(fnmatchcase(name, pattern.replace(":", ".")) for pattern in patterns for name in names)


@dataclass(frozen=True, eq=False)
class KeptProgram:
    """A file that goes on with the Linen form of some classes."""

    name: str
    references: tuple[ClassReference, ...]


class AskedClasses:
    """The classes of the groups around those that are asked for, and the programs that keep their Linen form."""

    def __init__(self, references: References, patterns: Sequence[str]) -> None:
        self.references, self.patterns = references, patterns
        self.wanted: set[LinenClass] = set()
        self.around: set[LinenClass] = set()
        #: What programs go on to use in its Linen form, by file.
        self.kept: list[KeptProgram] = []

    def take(self, groups: Iterable[Sequence[LinenClass]]) -> bool:
        """Find them among groups of classes that would stay. False where nothing in these is asked for."""
        for classes in groups:
            wanted = {cls for cls in classes if is_asked_for(cls, self.patterns)}
            if wanted:
                self.wanted |= wanted
                self.around |= set(classes)
        files: dict[Module, list[ClassReference]] = {}
        for reference in self.references.outside:
            if reference.cls in self.around:
                files.setdefault(reference.module, []).append(reference)
        self.kept = [KeptProgram(module.path.name, tuple(found)) for module, found in files.items()]
        return bool(self.wanted)

    def obstacles(self) -> list[tuple[LinenClass, Obstacle]]:
        """Classes with references outside of modules that modules may reach: these would get the copy's modules."""
        if not self.kept:
            return []
        reached = ReachedCode(self.references)
        found = []
        for reference in (r for program in self.kept for r in program.references):
            if not _is_of_programs(reference, reached):
                detail = "modules may get it from here, and programs that stay Linen, too"
                obstacle = Obstacle("uses-not-converted", detail, reference.module, reference.node)
                found.append((reference.cls, obstacle))
        return found


class ReachedCode:
    """The statements of files that the code of Linen classes may run or read, by all names in it.

    An attribute of something unknown may be that of any class outside of modules that defines it.
    """

    def __init__(self, references: References) -> None:
        self.references, self.project = references, references.program.project
        self._statements: dict[tuple[Module, str], list[ast.stmt]] = {}
        #: By name, what sets an attribute of objects that are no modules: methods, and statements.
        self._attributes: dict[str, list[tuple[Module, ast.AST]]] = {}
        self._classes = {cls.node for cls in references.program}
        for module in self.project.modules():
            for statement in module.tree.body:
                for name in _bound(statement):
                    self._statements.setdefault((module, name), []).append(statement)
            for node in module.nodes(ast.ClassDef):
                for part in node.body if node not in self._classes else ():
                    for name in _bound(part):
                        self._attributes.setdefault(name, []).append((module, part))
            for stored in module.nodes(ast.Attribute):
                if isinstance(stored.ctx, ast.Store) and not references.in_linen_class(module, stored):
                    statement = module.statement_of(stored)
                    self._attributes.setdefault(stored.attr, []).append((module, statement))
        self.code: set[ast.AST] = set()
        self._follow([(cls.module, cls.node) for cls in references.program])

    def _follow(self, waiting: list[tuple[Module, ast.AST]]) -> None:
        while waiting:
            module, code = waiting.pop()
            if isinstance(code, ast.ClassDef) and code not in self._classes:
                waiting += [(module, part) for part in _made_with(code)]
            elif code not in self.code:
                self.code.add(code)
                for node in all_below(code):
                    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                        waiting += self._meant(module, node)

    def _meant(self, module: Module, node: ast.Name | ast.Attribute) -> list[tuple[Module, ast.AST]]:
        """What a name in the code may mean: statements of files, or the function around it that has it."""
        if isinstance(node, ast.Name):
            binder = module.scope_at(node).binder(node.id) or module.scopes.module
            if not binder.is_module:
                return [(module, binder.node)] if binder.node not in self._classes else []
            if (module, node.id) in self._statements:
                return [(module, statement) for statement in self._statements[module, node.id]]
        elif self._is_of_own_class(module, node):
            return []
        qualified = self.project.resolve(node, module.scope_at(node), module)
        if qualified is None:
            return self._attributes.get(node.attr, []) if isinstance(node, ast.Attribute) else []
        holder, _, name = qualified.rpartition(".")
        attributes = self._attributes.get(name, [])  # of a class that is named
        while holder:
            if (home := self.project.find_module(holder, module)) is not None:
                return [*attributes, *((home, s) for s in self._statements.get((home, name), ()))]
            holder, _, name = holder.rpartition(".")
        return []

    def _is_of_own_class(self, module: Module, node: ast.Attribute) -> bool:
        """`self.width` in a Linen class, or `super().setup`: what it and its bases have."""
        value = node.value
        if isinstance(value, ast.Call):
            return isinstance(value.func, ast.Name) and value.func.id == "super"
        return is_self(value) and self.references.in_linen_class(module, node)


def _made_with(cls: ast.ClassDef) -> list[ast.AST]:
    """What runs where a class is named or called: its other methods run by their names."""
    named = [n for n in cls.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        *cls.bases,
        *cls.decorator_list,
        *(n for n in cls.body if n not in named or n.name.startswith("__")),
    ]


def _is_of_programs(reference: ClassReference, reached: ReachedCode) -> bool:
    """Whether only programs reach the code around a reference: a definition that no module's code comes to, or what
    runs if the file is a script.
    """
    module = reference.module
    around = [reference.node, *_above(module, reference.node)]
    outermost = around[-1]
    if isinstance(outermost, ast.If) and "__main__" in ast.dump(outermost.test):
        return True
    return bool(_bound(outermost)) and not any(node in reached.code for node in around)


def _above(module: Module, node: ast.AST) -> list[ast.AST]:
    """The nodes around one, up to a statement of the file."""
    found = []
    parent = module.parents[node]
    while parent is not module.tree:
        found.append(parent)
        parent = module.parents[parent]
    return found


def _bound(statement: ast.AST) -> set[str]:
    """The names that a statement of a file binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    found = set()
    for node in all_below(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found
