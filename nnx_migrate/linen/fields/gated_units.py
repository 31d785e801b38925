"""Where `glu` and `crelu`, the activations that change the size of their input, may get to in a project.

A function that is called like an activation is taken to keep the shape of its input. Where a project hands on one
of these two, the fields and variables that it reaches are left out. A function from elsewhere that changes sizes
makes the first call fail: the next layer refuses its input.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_self
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.model import LinenClass

_GATED_UNITS = ("glu", "crelu")
_TEXT = re.compile(r"\b(?:glu|crelu)\b(?!\s*\()")
_PARTIALS = frozenset({"functools.partial"})
_NAME = re.compile(r"(?<![\w.'\"])(?P<self>self\.)?(?P<name>[A-Za-z_]\w*)")
_ATTRIBUTE = re.compile(r"(?<!\bself)\.(\w+)")


class GatedUnits:
    """Follows them from where they are named to the fields of classes, variables and attributes that hold them."""

    def __init__(self, project: Project, classes: Mapping[str, LinenClass]) -> None:
        self._project, self._classes = project, classes
        self._bodies = {cls.node: cls for cls in classes.values()}
        self._fields: set[tuple[LinenClass, str]] = set()
        self._names: set[str] = set()  # of variables of functions
        self._attributes: set[str] = set()  # of objects that are no modules: `config.act`
        self._anywhere = False  # handed to something that isn't followed
        for module in project.matching(_TEXT):
            for node in _named(module):
                parent = module.parents.get(node)
                if isinstance(parent, ast.Compare):
                    self._compared(module, parent)
                else:
                    self._follow(module, node)

    def may_reach(self, cls: LinenClass, text: str) -> bool:
        """Whether what an expression in a class stands for may be one of them."""
        if self._anywhere:
            return True
        if not self._attributes.isdisjoint(_ATTRIBUTE.findall(text)):
            return True
        for found in _NAME.finditer(text):
            if found["self"] is None and found["name"] in self._names:
                return True
            if found["self"] is not None and self._holds(cls, found["name"]):
                return True
        return False

    @property
    def exist(self) -> bool:
        """Whether any is handed on at all."""
        return self._anywhere or bool(self._fields or self._names or self._attributes)

    def _holds(self, cls: LinenClass, field: str) -> bool:
        return any(field == name and (cls in owner.mro or owner in cls.mro) for owner, name in self._fields)

    def _compared(self, module: Module, test: ast.Compare) -> None:
        """`config.act == "glu"`: what is compared may be it."""
        for side in (test.left, *test.comparators):
            if isinstance(side, ast.Attribute | ast.Name):
                self._assigned(module, side)

    def _follow(self, module: Module, node: ast.expr) -> None:
        """Find out what gets the value of an expression."""
        parent = module.parents.get(node)
        name = parent.arg if isinstance(parent, ast.keyword) else None
        if isinstance(parent, ast.keyword):
            parent = module.parents.get(parent)
        if isinstance(parent, ast.Compare):
            return
        if isinstance(parent, ast.IfExp | ast.BoolOp):
            if not (isinstance(parent, ast.IfExp) and parent.test is node):
                self._follow(module, parent)
        elif isinstance(parent, ast.Call) and parent.func is not node:
            self._given(module, parent, node, name)
        elif isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            self._assigned(module, parent.targets[0])
        elif isinstance(parent, ast.AnnAssign) and parent.value is node:
            self._assigned(module, parent.target)
        elif not isinstance(parent, ast.Call | ast.Expr):
            self._anywhere = True

    def _given(self, module: Module, call: ast.Call, node: ast.expr, name: str | None) -> None:
        """An argument of a call: of the construction of a class, or it is lost."""
        target: ast.expr = call.func
        arguments = call.args
        resolved = self._resolve(module, target)
        by_name = isinstance(target, ast.Name) and target.id == "getattr"
        if by_name or (resolved in _PARTIALS and arguments[:1] == [node]):
            self._follow(module, call)
            return
        if resolved in _PARTIALS and arguments:
            target, arguments = arguments[0], arguments[1:]
        cls = self._classes.get(self._resolve(module, target) or "")
        if cls is not None and name is None and not any(isinstance(a, ast.Starred) for a in arguments):
            names = [item.name for item in cls.fields]
            index = arguments.index(node)
            name = names[index] if index < len(names) else None
        if cls is None or name is None:
            self._anywhere = True
        else:
            self._give(cls, name)

    def _assigned(self, module: Module, target: ast.expr) -> None:
        """A variable of a function, a field's default, what `setup` gives an attribute, a part of a configuration."""
        function = module.enclosing(target, ast.FunctionDef, ast.Lambda)
        cls = self._class_around(module, target)
        if isinstance(target, ast.Attribute):
            if is_self(target.value) and cls is not None:
                self._give(cls, target.attr)
            elif target.attr not in self._attributes:
                self._attributes.add(target.attr)
                for other in self._project.matching(re.compile(rf"\.{target.attr}\b"), target.attr):
                    self._follow_reads(other, other.tree, target.attr)
        elif isinstance(target, ast.Name) and function is not None:
            if target.id not in self._names:
                self._names.add(target.id)
                for read in _loads(function, target.id):
                    self._follow(module, read)
        elif isinstance(target, ast.Name) and cls is not None:
            self._give(cls, target.id)
        else:
            self._anywhere = True

    def _give(self, cls: LinenClass, field: str) -> None:
        """A field holds one: so does all that the class hands the field on to."""
        if (cls, field) in self._fields:
            return
        self._fields.add((cls, field))
        for owner in {*cls.mro, *(c for c in self._classes.values() if cls in c.mro)}:
            self._follow_reads(owner.module, owner.node, field, of_self=True)

    def _follow_reads(self, module: Module, root: ast.AST, name: str, *, of_self: bool = False) -> None:
        for node in ast.walk(root):
            if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load):
                if is_self(node.value) is of_self:
                    self._follow(module, node)

    def _resolve(self, module: Module, node: ast.expr) -> str | None:
        return self._project.resolve(node, module.scope_at(node), module)

    def _class_around(self, module: Module, node: ast.AST) -> LinenClass | None:
        found = module.enclosing(node, ast.ClassDef)
        return self._bodies.get(found) if isinstance(found, ast.ClassDef) else None


def _loads(function: ast.AST, name: str) -> Iterator[ast.Name]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            yield node


def _is_exported(module: Module, name: ast.Constant) -> bool:
    """Whether a text is one of the names in `__all__`."""
    parent = module.parents.get(name)
    statement = module.parents.get(parent) if isinstance(parent, ast.List | ast.Tuple) else None
    if isinstance(statement, ast.Assign):
        return ast.unparse(statement.targets[0]) == "__all__"
    return isinstance(statement, ast.AugAssign) and ast.unparse(statement.target) == "__all__"


def _named(module: Module) -> Iterator[ast.expr]:
    """Where a file names one of these functions other than to call it, or as text.

    Parameters and fields of these names (`glu: bool`) hold something else, or what another place names.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and node.value in _GATED_UNITS and not _is_exported(module, node):
            yield node
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        name = node.id if isinstance(node, ast.Name) else node.attr
        parent = module.parents.get(node)
        if name not in _GATED_UNITS or (isinstance(parent, ast.Call) and parent.func is node):
            continue
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        bindings = module.scope_at(node).lookup(root.id) if isinstance(root, ast.Name) else []
        kinds = {binding.kind for binding in bindings}
        if not kinds or BindingKind.IMPORT in kinds or (root is node and kinds != {BindingKind.PARAMETER}):
            yield node
