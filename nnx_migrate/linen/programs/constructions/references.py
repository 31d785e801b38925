"""Where a project's code outside of modules refers to its Linen classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Scope, dotted


class Role(Enum):
    """What a reference to a class does."""

    CONSTRUCTION = auto()  # CNN(...)
    METHOD = auto()  # CNN.encode
    ANNOTATION = auto()  # model: CNN
    BASE = auto()  # class Other(CNN)
    VALUE = auto()  # anything else: partial(CNN), {"cnn": CNN}, isinstance(x, CNN)


@dataclass(frozen=True, eq=False)
class ClassReference:
    """One place that names a class. `node` is the expression; `call` the construction, if it is one."""

    module: Module
    node: ast.expr
    cls: LinenClass
    role: Role

    @property
    def call(self) -> ast.Call:
        """The construction."""
        call = self.module.parents[self.node]
        assert self.role is Role.CONSTRUCTION and isinstance(call, ast.Call)
        return call


class References:
    """All references to Linen classes, told apart by whether they stand inside of modules."""

    def __init__(self, program: LinenProgram) -> None:
        self.program = program
        self._bodies = {cls.node: cls for cls in program}
        self._names = _names_of(program)
        self.outside: list[ClassReference] = []
        self.inside: list[ClassReference] = []
        #: Names that mean a class in one of several imports or assignments, and something else in another.
        self.unclear: list[ClassReference] = []
        for module in program.project.modules():
            for reference in self._of_module(module):
                within = self.in_linen_class(module, reference.node)
                (self.inside if within else self.outside).append(reference)

    def in_linen_class(self, module: Module, node: ast.AST) -> bool:
        """Whether a node belongs to the body of a Linen class."""
        return self.enclosing_class(module, node) is not None

    def enclosing_class(self, module: Module, node: ast.AST) -> LinenClass | None:
        """The innermost Linen class in whose body a node stands."""
        parent = module.parents.get(node)
        while parent is not None:
            if isinstance(parent, ast.ClassDef) and parent in self._bodies:
                return self._bodies[parent]
            parent = module.parents.get(parent)
        return None

    def is_alias(self, reference: ClassReference) -> bool:
        """`Model = CNN`, where every read of the name is a reference of its own: that of no class's attribute."""
        module, project = reference.module, self.program.project
        parent = module.parents[reference.node]
        target = assigned_name(parent) if parent is not None else None
        if target is None:
            return False
        scope = module.scope_at(target)
        if (scope.binder(target.id) or scope).is_class:
            return False
        return self.program.find(project.resolve_name(target.id, scope, module)) is reference.cls

    def class_called(self, module: Module, call: ast.Call) -> LinenClass | None:
        """The Linen class that a call constructs."""
        return self.program.find(self.program.project.resolve(call.func, module.scope_at(call.func), module))

    def _of_module(self, module: Module) -> Iterator[ClassReference]:
        if not any(name in module.source.text for name in self._names):
            return
        known: dict[tuple[Scope | None, str], LinenClass | None] = {}
        for name, references in module.scopes.names.items():
            for reference in references:
                key = (reference.scope.binder(name), name)
                if key not in known:
                    found = self.program.project.resolve_name(name, reference.scope, module)
                    known[key] = self.program.find(found)
                cls = known[key]
                if not isinstance(reference.node, ast.expr):
                    continue
                if cls is not None:
                    yield ClassReference(module, reference.node, cls, _role(module, reference.node))
                elif (outer := self._outer(module, name, reference.scope, reference.node)) is not None:
                    self.unclear.append(ClassReference(module, reference.node, outer, Role.VALUE))
                else:
                    self._find_unclear(module, name, reference.scope, reference.node)
        for node in module.nodes(ast.Attribute):
            if node.attr in self._names and not isinstance(node.ctx, ast.Del):
                found = self.program.project.resolve(node, module.scope_at(node), module)
                cls = self.program.find(found)
                if cls is not None and isinstance(node.ctx, ast.Store):  # `config.MODEL = Other`
                    self.unclear.append(ClassReference(module, node, cls, Role.VALUE))
                elif cls is not None:
                    yield ClassReference(module, node, cls, _role(module, node))
                elif path := dotted(node):
                    self._find_unclear(module, path, module.scope_at(node), node)

    def _outer(self, module: Module, name: str, scope: Scope, node: ast.expr) -> LinenClass | None:
        """The class that `Block = Block` in the body of a class reads, where the name means another thing later."""
        if not scope.is_class or name not in scope.bindings or scope.parent is None or _is_store(node):
            return None
        return self.program.find(self.program.project.resolve_name(name, scope.parent, module))

    def _find_unclear(self, module: Module, path: str, scope: Scope, node: ast.expr) -> None:
        """Classes that a path may mean by one of the imports that bind its first name."""
        name, dot, rest = path.partition(".")
        if len(scope.lookup(name) or module.scopes.module.star_imports) < 2:
            return
        for found in self.program.project.imported_as(name, scope, module):
            cls = self.program.find(self.program.project.canonical(f"{found}{dot}{rest}", module))
            if cls is not None:
                self.unclear.append(ClassReference(module, node, cls, _role(module, node)))


def _names_of(program: LinenProgram) -> set[str]:
    """The names of Linen classes in their project: their own, and those of aliases and of imports `as` another."""
    known = {name.rpartition(".")[2] for name in program.classes}
    renamed: dict[str, set[str]] = {}
    for module in program.project.modules():
        for scope in module.scopes.all_scopes():
            for local, bindings in scope.bindings.items():
                for binding in bindings:
                    meant = binding.target if binding.value is None else dotted(binding.value)
                    original = (meant or "").rpartition(".")[2]
                    if original and original != local:
                        renamed.setdefault(original, set()).add(local)
    waiting = list(known)
    while waiting:
        more = renamed.get(waiting.pop(), set()) - known
        known |= more
        waiting += more
    return known


def _is_store(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def _role(module: Module, node: ast.expr) -> Role:
    parent = module.parents[node]
    if isinstance(parent, ast.Call) and parent.func is node:
        return Role.CONSTRUCTION
    if isinstance(parent, ast.Attribute):
        return Role.METHOD
    if isinstance(parent, ast.ClassDef) and node in parent.bases:
        return Role.BASE
    return Role.ANNOTATION if is_annotation(module, node) else Role.VALUE


def is_annotation(module: Module, node: ast.AST) -> bool:
    """Whether a node is part of an annotation, which nothing evaluates for its value."""
    child, parent = node, module.parents.get(node)
    while parent is not None and not isinstance(parent, ast.stmt):
        if isinstance(parent, ast.arg):
            return parent.annotation is child
        child, parent = parent, module.parents.get(parent)
    if isinstance(parent, ast.AnnAssign):
        return parent.annotation is child
    return isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and parent.returns is child


def assigned_name(statement: ast.AST) -> ast.Name | None:
    """The one name that an assignment binds."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return None
    return target if isinstance(target, ast.Name) else None
