"""Whose attribute an expression reads: `self.net` in one class isn't `self.net` in an unrelated one.

Two classes may share instances where some class of the project derives from both (or is one of them). Only what the
code states counts: `self` and `cls` in methods, `super()`, the names of classes and of imported modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind

Owner = ast.ClassDef | None
FunctionDef = ast.FunctionDef | ast.AsyncFunctionDef


class Receivers:
    """The classes of a project, what they derive from, and which of them an attribute may belong to."""

    def __init__(self, project: Project) -> None:
        self.project = project

    # ---- classes ----------------------------------------------------------------------------------------

    @cached_property
    def _modules(self) -> dict[ast.ClassDef, Module]:
        return {
            node: module
            for module in self.project.modules()
            for node in module.scopes.of_node
            if isinstance(node, ast.ClassDef)
        }

    @cached_property
    def _bases(self) -> dict[ast.ClassDef, list[Owner]]:
        """The project's classes among the bases of each class; None for a base that isn't known."""
        found: dict[ast.ClassDef, list[Owner]] = {}
        for node, module in self._modules.items():
            bases = found.setdefault(node, [])
            for base in node.bases:
                bases += self._base(module, base.value if isinstance(base, ast.Subscript) else base)
            if any(self._is_own_function(module, d) for d in node.decorator_list):
                bases.append(None)  # it may return another class
        return found

    def _is_own_function(self, module: Module, decorator: ast.expr) -> bool:
        head = decorator.func if isinstance(decorator, ast.Call) else decorator
        qualified = self.project.resolve(head, module.scope_at(head), module)
        return qualified is None or self.project.has_package(qualified.partition(".")[0])

    def _base(self, module: Module, base: ast.expr) -> list[Owner]:
        """The classes that a base may be: none for one from outside of the project."""
        if not isinstance(base, ast.Name | ast.Attribute):
            return [None]
        scope = module.scope_at(base)
        if isinstance(base, ast.Name):
            bindings = scope.lookup(base.id)
            if not bindings:
                return []  # a builtin
            nodes = [b.node for b in bindings]
            if all(isinstance(node, ast.ClassDef) for node in nodes):
                return [node for node in nodes if isinstance(node, ast.ClassDef)]
        qualified = self.project.resolve(base, scope, module)
        if qualified is None:
            return [None]
        known = self.project.definition(qualified)
        definitions = self.project.redefinitions(qualified) or ([known] if known is not None else [])
        if not definitions:
            return [None] if self.project.has_package(qualified.partition(".")[0]) else []
        return [d.node if isinstance(d.node, ast.ClassDef) else None for d in definitions]

    @cached_property
    def _above(self) -> dict[ast.ClassDef, frozenset[Owner]]:
        """Each class with all above it, None among them where something isn't known."""
        found: dict[ast.ClassDef, frozenset[Owner]] = {}
        for node in self._bases:
            seen: set[Owner] = set()
            pending: list[Owner] = [node]
            while pending:
                cls = pending.pop()
                if cls not in seen:
                    seen.add(cls)
                    pending += self._bases.get(cls, ()) if cls is not None else ()
            found[node] = frozenset(seen)
        return found

    @cached_property
    def _sharing(self) -> dict[ast.ClassDef, set[Owner]]:
        """By class, all classes that some class derives from together with it."""
        found: dict[ast.ClassDef, set[Owner]] = {}
        for above in self._above.values():
            for cls in above:
                if cls is not None:
                    found.setdefault(cls, set()).update(above)
        return found

    @cached_property
    def _borrowed(self) -> set[ast.ClassDef]:
        """Classes whose methods run for others: `forward = Base.forward`, `Base.forward(self)` in another class."""
        found: set[ast.ClassDef] = set()
        for module in self.project.modules():
            values = [assign.value for assign in module.nodes(ast.Assign)]
            values += [call.func for call in module.nodes(ast.Call) if self._passes_self(module, call)]
            for value in values:
                owner = self._class_named(module, value.value) if isinstance(value, ast.Attribute) else None
                if isinstance(value, ast.Attribute) and owner is not None and _method(owner, value.attr):
                    within = module.enclosing(value, ast.ClassDef)
                    if not isinstance(within, ast.ClassDef) or within not in self._sharing.get(owner, ()):
                        found.add(owner)
        return found

    @staticmethod
    def _passes_self(module: Module, call: ast.Call) -> bool:
        first = call.args[0] if call.args else None
        return isinstance(first, ast.Name) and first.id == self_name(call, module)

    def may_share(self, one: Owner, other: Owner) -> bool:
        """Whether an object may be an instance of both; None stands for any class."""
        if one is None or other is None or one is other:
            return True
        if one not in self._sharing or other not in self._sharing:
            return True
        together = self._sharing[one]
        if other in together or one in self._borrowed or other in self._borrowed:
            return True
        # what derives from something unknown may derive from the other class that way
        return None in together or None in self._sharing[other]

    # ---- attributes -------------------------------------------------------------------------------------

    def may_be(self, owner: Owner, module: Module, node: ast.expr) -> bool:
        """Whether an expression may be an instance of `owner` (or anything of the project, if that is None)."""
        if self._is_foreign(module, node, owner is not None):
            return False
        known = self.of(module, node)
        return known is None or owner is None or self.may_share(owner, known)

    def of(self, module: Module, node: ast.expr) -> Owner:
        """The class that an expression surely is, or is an instance of."""
        if isinstance(node, ast.Name):
            bindings = module.scope_at(node).lookup(node.id)
            if node.id == self_name(node, module):
                return self._of_self(module, node, [b.node for b in bindings])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
            owner = module.enclosing(node, ast.ClassDef)
            return owner if isinstance(owner, ast.ClassDef) else None
        return self._class_named(module, node)

    @staticmethod
    def _of_self(module: Module, node: ast.Name, bindings: list[ast.AST]) -> Owner:
        """The class around a method, whose first parameter the name is."""
        binder = module.scope_at(node).binder(node.id)
        function = binder.node if binder is not None else None
        owner = module.parents.get(function) if function is not None else None
        if not (isinstance(owner, ast.ClassDef) and isinstance(function, FunctionDef)):
            return None
        return owner if len(bindings) == 1 and isinstance(bindings[0], ast.arg) else None

    def _class_named(self, module: Module, node: ast.expr) -> Owner:
        """The class of the project that a name stands for."""
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        scope = module.scope_at(node)
        if isinstance(node, ast.Name):
            bindings = scope.lookup(node.id)
            if len(bindings) == 1 and isinstance(bindings[0].node, ast.ClassDef):
                return bindings[0].node
        qualified = self.project.resolve(node, scope, module)
        definition = self.project.definition(qualified) if qualified else None
        if definition is None or self.project.redefinitions(qualified or ""):
            return None
        return definition.node if isinstance(definition.node, ast.ClassDef) else None

    def _is_foreign(self, module: Module, node: ast.expr, objects: bool) -> bool:
        """Whether a name stands for a module from outside of the project; with `objects`, for anything of one."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or (root is not node and not objects):
            return False
        bindings = module.scope_at(root).lookup(root.id)
        if not bindings or any(b.kind is not BindingKind.IMPORT for b in bindings):
            return False
        if not objects and not all(isinstance(b.node, ast.Import) for b in bindings):
            return False
        return not any(self.project.has_package(b.target.partition(".")[0]) for b in bindings)

    # ---- methods ----------------------------------------------------------------------------------------

    def methods(
        self, owner: ast.ClassDef, name: str, above_only: bool = False
    ) -> list[tuple[Module, FunctionDef]]:
        """The methods that `self.name` may be in the body of a class; with `above_only`, `super().name`."""
        nearest = self._nearest(owner, name, skip=above_only)
        others = [
            (self._modules[cls], method)
            for cls in self._sharing.get(owner, ())
            if cls is not None
            and cls not in self._above[owner]
            and not (above_only and owner in self._above[cls])
            for method in [_method(cls, name)]
            if method is not None
        ]
        return [*nearest, *others]

    def _nearest(self, owner: ast.ClassDef, name: str, skip: bool) -> Iterator[tuple[Module, FunctionDef]]:
        """The first definition on each way up."""
        pending: list[Owner] = [*self._bases[owner]] if skip else [owner]
        while pending:
            cls = pending.pop(0)
            if cls is None:
                continue
            method = _method(cls, name)
            if method is not None:
                yield self._modules[cls], method
            else:
                pending += self._bases[cls]

    def starts_outside(self, owner: ast.ClassDef) -> bool:
        """Whether `super()` looks at a class from outside of the project first, or at one that isn't known."""
        if not owner.bases:
            return False
        first = self._base(self._modules[owner], owner.bases[0])
        return not first or None in first


def _method(cls: ast.ClassDef, name: str) -> FunctionDef | None:
    """The method that the body of a class defines (the last one of that name)."""
    found = [s for s in cls.body if isinstance(s, FunctionDef) and s.name == name]
    return found[-1] if found else None
