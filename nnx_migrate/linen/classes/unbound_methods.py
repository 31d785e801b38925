"""Methods that run without variables of their own: they initialise and apply the module that they belong to.

    def generate(self, params, tokens):
        logits = self.apply({"params": params}, tokens)

A program calls them on the module that it makes, `model.generate(params, tokens)`; they read its fields alone. What
takes the module's place in programs has fields, `init` and `apply`, so these methods stay as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram, Method
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_of_self

_ENTRIES = frozenset({"apply", "init", "init_with_output"})
_METHOD = re.compile(r"\bmethod\s*=")
_LOOKUPS = frozenset({"get", "pop", "setdefault", "keys", "items"})


class UnboundMethods:
    """Finds such methods where nothing in the project can run them within a module that has its variables."""

    def __init__(self, program: LinenProgram) -> None:
        self.program = program

    def of(self, cls: LinenClass) -> frozenset[str]:
        """The names of such methods of a class."""
        return self._found.get(cls, frozenset())

    @cached_property
    def _found(self) -> dict[LinenClass, frozenset[str]]:
        suspects = {cls: frozenset(_applying(cls)) for cls in self.program}
        names = frozenset(name for found in suspects.values() for name in found)
        sure = {name for name in names if self._stays_outside(name, suspects)}
        return {cls: found for cls, found in suspects.items() if found and found <= sure}

    def _stays_outside(self, name: str, suspects: Mapping[LinenClass, frozenset[str]]) -> bool:
        """Whether attributes of a name are only read outside of modules, or in such methods, and never applied."""
        bodies = {cls.node: found for cls, found in suspects.items()}
        for module in self.program.project.mentioning(name):
            for node in module.nodes(ast.Attribute):
                if node.attr != name:
                    continue
                outer = module.parents.get(node)
                called = isinstance(outer, ast.Call) and outer.func is node
                around = _method_around(module, node, bodies)
                if around is not None and not (is_of_self(node) and around[0] in around[1]):
                    if self._is_known_otherwise(module, node.value):
                        continue
                    return False
                if not called and (self._applies_any or _may_be_applied(outer)):
                    return False
            if any(n.value == name and not _is_key(module, n) for n in module.nodes(ast.Constant)):
                return False  # it may be looked up: `getattr(model, "generate")`, `apply(..., method="generate")`
        return True

    def _is_known_otherwise(self, module: Module, node: ast.expr) -> bool:
        """Whether a name means something that is no module: `TrainState` of `TrainState.create(...)`."""
        name = self.program.project.resolve(node, module.scope_at(node), module)
        return name is not None and self.program.find(name) is None

    @cached_property
    def _applies_any(self) -> bool:
        """Whether a method may be applied that no name shows: `model.apply(variables, x, method=function)`."""
        return any(
            keyword.arg == "method" and not isinstance(keyword.value, ast.Constant | ast.Attribute)
            for module in self.program.project.matching(_METHOD, "method")
            for keyword in module.nodes(ast.keyword)
        )


def _may_be_applied(outer: ast.AST | None) -> bool:
    """Whether a method is handed over to be applied: `method=model.encode`, `nn.apply(Model.encode, model)`."""
    if isinstance(outer, ast.keyword):
        return outer.arg in ("method", "fn")
    return isinstance(outer, ast.Call) and ast.unparse(outer.func).rpartition(".")[2] in ("apply", "init")


def _applying(cls: LinenClass) -> Iterator[str]:
    """The methods that call `self.apply` and its like, and those that call such methods."""
    names = {name for owner in cls.mro for name in owner.own_methods}
    methods = [method for name in names if (method := cls.method(name)) is not None]
    usable = [m for m in methods if m.kind == "method" and not m.is_compact and _is_plain(m)]
    taken = names | {field.name for field in cls.fields}
    wanted = _ENTRIES - taken
    found: dict[str, Method] = {}
    while more := [m for m in usable if m.name not in found and _reads(m, wanted | found.keys())]:
        found |= {method.name: method for method in more}
    yield from (name for name in found if not name.startswith("__") and name != "setup")


def _is_plain(method: Method) -> bool:
    """Whether nothing but `jax.jit` decorates a method."""
    for decorator in method.transforms:
        parts = [decorator]
        if isinstance(decorator, ast.Call):
            name = method.owner.resolve_in_class(decorator.func)
            parts = decorator.args[:1] if name == "functools.partial" else [decorator.func]
        if not all(method.owner.resolve_in_class(part) == "jax.jit" for part in parts):
            return False
    return True


def _reads(method: Method, names: frozenset[str]) -> bool:
    return any(is_of_self(node) and node.attr in names for node in all_below(method.node))


def _method_around(
    module: Module, node: ast.AST, bodies: dict[ast.ClassDef, frozenset[str]]
) -> tuple[str, frozenset[str]] | None:
    """The method of a Linen class that holds a node, with the names of the class's unbound methods."""
    name, parent = "", module.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.ClassDef) and parent in bodies:
            return name, bodies[parent]
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            name = parent.name
        parent = module.parents.get(parent)
    return None


def _is_key(module: Module, text: ast.Constant) -> bool:
    """Whether a text is a key of a dictionary, or stands for nothing: `metrics["loss"]`, `{"loss": loss}`."""
    outer = module.parents.get(text)
    if isinstance(outer, ast.Subscript):
        return outer.slice is text
    if isinstance(outer, ast.Dict):
        return text in outer.keys
    if isinstance(outer, ast.Call) and isinstance(outer.func, ast.Attribute):
        return outer.func.attr in _LOOKUPS and outer.args[:1] == [text]
    return isinstance(outer, ast.Expr)
