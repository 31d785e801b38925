"""Calls of what code that isn't known has made: it may be a module, which Linen registers where it is made.

Left in place, the NNX class would hold a Linen module, or make a new one, with new parameters, at every call.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.interpreter.calls.apply import MADE_BY
from nnx_migrate.linen.interpreter.calls.packages import comes_from_libraries, is_free_of_flax
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.shapes import Array, Global, Unknown
from nnx_migrate.linen.values import Expr, Input
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self, is_self
from nnx_migrate.names.scopes import COMPREHENSIONS

# Kinds of expressions that are functions without modules.
_PLAIN_FUNCTIONS = frozenset({"function", "elementwise", "initializer"})
# Built-in functions that give whatever they find.
_GIVE_ANYTHING = frozenset(
    {"__import__", "eval", "filter", "getattr", "globals", "locals", "map", "type", "vars"}
)
# Methods of a module that make and give variables.
OF_VARIABLES = frozenset({"get_variable", "make_rng", "param", "perturb", "put_variable", "sow", "variable"})
_MOST_STEPS = 12  # from a name to what has made it


def refuse_unknown_module(frame: Frame, node: ast.Call, target: Any) -> None:
    """Refuse to call what an unknown factory or class made."""
    if frame.foreign:
        return
    by_text = (
        isinstance(target, Expr)
        and target.kind not in _PLAIN_FUNCTIONS
        and target.text.endswith(")")
        and "initializers." not in target.text
    )
    is_method = isinstance(node.func, ast.Attribute) and not is_self(node.func.value)
    by_field = isinstance(target, Unknown) and target.reason.startswith(MADE_BY) and not is_method
    inner = (
        frame.session.facts.values.get((frame.context, node.func.func))
        if isinstance(node.func, ast.Call)
        else None
    )
    by_class = (
        isinstance(inner, Global)
        and inner.name.rpartition(".")[2][:1].isupper()
        and not _is_of_library(frame, inner.name)
    )
    if isinstance(node.func, ast.Call) and _is_of_libraries(frame, node.func.func):
        return
    by_origin = not is_method and _is_unknown(target) and any(Origins(frame).makers(node.func))
    if by_text or by_field or by_class or by_origin:
        _refuse(node, node.func)


def refuse_unknown_receiver(
    frame: Frame, node: ast.Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Refuse to hand an array to a method of what an unknown factory or class made: `self.quantizer.encode(x)`.

    What is made from arrays, like a distribution, is no module.
    """
    if frame.foreign or not isinstance(node.func, ast.Attribute):
        return
    receiver = node.func.value
    if not _is_unknown(frame.session.facts.values.get((frame.context, receiver))):
        return
    values = (effect_value(frame.session, value) for value in (*args, *kwargs.values()))
    if not any(isinstance(value, Array) for value in values):
        return
    if any(not gets_arrays(frame, maker) for maker in Origins(frame).makers(receiver)):
        _refuse(node, receiver)


def _refuse(node: ast.Call, what: ast.expr) -> None:
    raise Refuse(
        "unknown-module", f"what `{ast.unparse(what)[:80]}` is isn't known; it may be a module", node
    )


def _is_unknown(value: Any) -> bool:
    return isinstance(value, Unknown) or (isinstance(value, Expr) and value.kind not in _PLAIN_FUNCTIONS)


def gets_arrays(frame: Frame, maker: ast.Call) -> bool:
    """Whether a call may get an array."""
    found, contexts = frame.session.facts.values, {frame.context, ()}
    if isinstance(maker.func, ast.Attribute):
        receivers = (found.get((context, maker.func.value)) for context in contexts)
        if any(isinstance(effect_value(frame.session, value), Array) for value in receivers):
            return True
    arguments = (*maker.args, *(keyword.value for keyword in maker.keywords))
    values = [found.get((context, argument)) for argument in arguments for context in contexts]
    return any(
        isinstance(value, Unknown | Input) or isinstance(effect_value(frame.session, value), Array)
        for value in values
    )


class Origins:
    """Finds the calls that may have made a value, by the code around, of which nothing shows what they make."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.module = frame, frame.module
        self.project = frame.session.program.project
        self._seen: set[ast.AST] = set()

    def makers(self, node: ast.expr, depth: int = _MOST_STEPS) -> Iterator[ast.Call]:
        """Such calls, of which one may have made what an expression stands for."""
        for made in self._made(node, depth):
            if self._is_unknown(made.func, depth):
                yield made

    def _made(self, node: ast.expr, depth: int) -> Iterator[ast.Call]:
        """The calls one of which may have made what an expression, or an element of it, stands for."""
        if node in self._seen or depth < 1:
            return
        self._seen.add(node)
        if isinstance(node, ast.Call):
            yield node
        for part in self._parts(node):
            yield from self._made(part, depth - 1)

    def _parts(self, node: ast.expr) -> Iterator[ast.expr]:
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from (node.body, node.orelse)
        elif isinstance(node, ast.BoolOp):
            yield from node.values
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield from node.elts
        elif isinstance(node, ast.Dict):
            yield from node.values
        elif isinstance(node, COMPREHENSIONS):
            yield node.value if isinstance(node, ast.DictComp) else node.elt
        elif isinstance(node, ast.Call) and self._hands_on(node):
            yield from node.args
        elif is_of_self(node) and isinstance(node, ast.Attribute):
            yield from self._assigned(node.attr)
        elif isinstance(node, ast.Name):
            yield from self._bound(node)

    def _hands_on(self, call: ast.Call) -> bool:
        """Whether a call gives elements of its arguments: `zip(self.convs, self.norms)`."""
        return isinstance(call.func, ast.Name) and call.func.id in (
            "enumerate", "iter", "list", "next", "reversed", "tuple", "zip",
        )  # fmt: skip

    def _bound(self, name: ast.Name) -> Iterator[ast.expr]:
        for binding in self.module.scope_at(name).lookup(name.id):
            if binding.value is not None:
                yield binding.value
                continue
            statement = self._statement(binding.node)
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                yield statement.value
            elif isinstance(statement, ast.For | ast.comprehension):
                yield statement.iter
            elif isinstance(statement, ast.withitem):
                yield statement.context_expr

    def _statement(self, node: ast.AST | None) -> ast.AST | None:
        while isinstance(node, ast.expr):
            node = self.module.parents.get(node)
        return node

    def _assigned(self, attribute: str) -> Iterator[ast.expr]:
        """What the methods of the class, as far as they stand in this file, give an attribute."""
        for cls in self.frame.session.cls.mro:
            for method in cls.own_methods.values() if cls.module is self.module else ():
                for node in ast.walk(method.node):
                    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                        continue
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    named = (n for t in targets for n in ast.walk(t) if is_of_self(n))
                    if any(isinstance(n, ast.Attribute) and n.attr == attribute for n in named):
                        yield node.value

    def _is_unknown(self, function: ast.expr, depth: int) -> bool:
        """Whether nothing shows what a call of a function gives, which was followed if that is possible."""
        if depth < 1:
            return True
        if isinstance(function, ast.IfExp | ast.BoolOp | ast.NamedExpr):
            return any(self._is_unknown(part, depth - 1) for part in self._parts(function))
        if isinstance(function, ast.Call):
            # A function that a function gives: `partial(table[kind], 3)(8)`.
            return any(self._is_unknown(part, depth - 1) for part in (function.func, *function.args[:1]))
        if not isinstance(function, ast.Name | ast.Attribute):
            return True
        if comes_from_libraries(self.module, function):
            return False
        qualified = self.project.resolve(function, self.module.scope_at(function), self.module)
        if qualified is not None:
            return self._is_unknown_name(qualified)
        if isinstance(function, ast.Attribute) and function.attr in modelled_methods():
            return False  # of an array: `x.mean(axis=1)`
        if is_of_self(function) and isinstance(function, ast.Attribute) and function.attr in OF_VARIABLES:
            return False
        if not isinstance(function, ast.Name):
            return True
        bindings = self.module.scope_at(function).lookup(function.id)
        if not bindings:
            return function.id in _GIVE_ANYTHING or not hasattr(builtins, function.id)
        parts = list(self._bound(function))
        return not parts or any(self._is_unknown(part, depth - 1) for part in parts)

    def _is_unknown_name(self, qualified: str) -> bool:
        definition = self.project.definition(qualified)
        if definition is None:
            return not is_free_of_flax(qualified) and not qualified.startswith("flax.")
        if isinstance(definition.node, ast.ClassDef):
            return not self._is_plain(definition.node, definition.module)
        parent = definition.module.parents.get(definition.node)  # `Schedule.create(...)`
        return not isinstance(parent, ast.ClassDef) or not self._is_plain(parent, definition.module)

    def _is_plain(self, node: ast.ClassDef, module: Module) -> bool:
        """Whether a class derives from nothing but classes of the project and of libraries that aren't modules."""
        program = self.frame.session.program
        if any(cls.node is node for cls in program):
            return False
        for base in node.bases:
            qualified = self.project.resolve(base, module.scope_at(node), module)
            definition = self.project.definition(qualified) if qualified is not None else None
            if definition is not None and isinstance(definition.node, ast.ClassDef):
                if definition.node is node or not self._is_plain(definition.node, definition.module):
                    return False
            elif qualified is None or not (
                is_free_of_flax(qualified) or qualified.startswith("flax.struct.")
            ):
                return isinstance(base, ast.Name) and hasattr(builtins, base.id)
        return True


def _is_of_library(frame: Frame, qualified: str) -> bool:
    """Whether a class comes from a package that can't define Linen modules."""
    return is_free_of_flax(qualified) and frame.session.program.project.definition(qualified) is None


def _is_of_libraries(frame: Frame, node: ast.expr) -> bool:
    """Whether a dotted name of the module comes from such packages."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    is_global = isinstance(root, ast.Name) and frame.lookup(root.id) is None
    return is_global and isinstance(node, ast.Attribute) and comes_from_libraries(frame.module, node)
