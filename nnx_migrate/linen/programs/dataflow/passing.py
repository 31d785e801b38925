"""Values that are handed to calls: to functions and classes of the project, to builtins, to code from outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import replace
from typing import TypeGuard

from nnx_migrate.linen.programs.dataflow.callees import (
    PARTIAL,
    RELOADERS,
    TRANSPARENT,
    Callee,
    Callees,
    parameter_of,
    taken_by,
)
from nnx_migrate.linen.programs.dataflow.containers import (
    ANY,
    Part,
    Within,
    items_of_call,
    items_of_iterator,
    judging_functions,
)
from nnx_migrate.linen.programs.dataflow.parametrised import PARAM, parameters_for
from nnx_migrate.linen.programs.dataflow.walk import Walk
from nnx_migrate.linen.programs.hidden.asked import asserts_class, is_only_told, linen_kinds
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.linen.programs.uses import FLAX_ENDS, VMAP, End
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_self

# Calls that take a value and keep nothing of it.
_HARMLESS = frozenset(
    {
        "print", "rich.print", "repr", "str", "id", "type", "hash", "len", "hasattr", "pprint.pprint", "bool",
        "dir", "sum", "callable", "functools.wraps", "inspect.signature", "int", "float", "abs", "round", "range",
    }
)  # fmt: skip
# What tests of `unittest` and absl ask of values.
_ASSERTION = re.compile(
    r"assert(?:Is|IsNot|IsNone|IsNotNone|True|False|(?:Not)?(?:AlmostEqual|Equal|In)|(?:Dict|List|Sequence|Tuple|Set)Equal"
    r"|(?:Greater|Less)(?:Equal)?|Len|Empty|NotEmpty|(?:AllClose|AlmostEquals))"
)
# Tests that call a function, which is to fail, and its place among their arguments.
_RAISING = {"self.assertRaises": 1, "self.assertRaisesRegex": 2, "pytest.raises": 1}
# Libraries whose functions take arrays, numbers and text, never a module: what goes there is something else.
_NEVER_MODULES = (
    "jax.numpy.", "numpy.", "jax.lax.", "jax.nn.", "jax.random.", "jax.tree", "optax.", "tensorflow.",
    "torch.", "os.", "logging.", "absl.logging.", "math.", "time.", "json.", "wandb.", "tqdm.", "matplotlib.",
    "importlib.",
)  # fmt: skip
# Objects with the attributes that they are made with.
_NAMESPACES = frozenset({"types.SimpleNamespace", "argparse.Namespace"})
_LOGGERS = frozenset({"logging.getLogger", "absl.logging.get_absl_logger"})
_LOGGING = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})
_CASTS = frozenset({"typing.cast", "typing_extensions.cast"})
_FIELDS = frozenset({"dataclasses.field", "flax.struct.field"})
_ASKING = frozenset({"isinstance", "type"})
_WRAPPERS = TRANSPARENT | PARTIAL | {"staticmethod"}


class Passing(Walk):
    """A walk that knows what calls do with their arguments. `holders` are classes that keep what they get.

    It follows an object, or else a class.
    """

    is_object: bool
    is_function = False  # one of the project, whose results are wanted

    def __init__(
        self, index: ProjectIndex, start: Module, callees: Callees, holders: Collection[ast.ClassDef]
    ) -> None:
        super().__init__(index, start)
        self.project, self.callees, self.holders = index.project, callees, holders

    def argument(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, within: Within
    ) -> None:
        """The value, or a container with it, is an argument of a call."""
        callees = self.callees.of(module, call.func)
        inside = items_of_call(module, call, passed, within)
        of_project = any(c.function for c in callees) and not self._is_method_of_container(module, call.func)
        if inside is not None and not (inside.may_be_project and of_project):
            # list(values), enumerate(values), values.append(value)
            self.pending += [(module, expression, rest) for expression, rest in inside.expressions]
            for holder, rest in inside.targets:
                self.stored(module, holder, rest)
            for function in judging_functions(call):
                self.judged(module, function, within if len(call.args) > 1 else within[1:])
            return
        if self.project.resolve(call.func, module.scope_at(call.func), module) in PARTIAL and call.args:
            if passed is call.args[0]:
                self.flow.is_bound = True
                self.found(module, call, within)
                return
            if all(callee.function is None for callee in callees):
                callees = [replace(c, kept=True) for c in self.callees.of(module, call.args[0])]
        for callee in callees:
            self.to_callee(module, call, passed, callee, within)

    def _is_method_of_container(self, module: Module, function: ast.expr) -> bool:
        """`models.update`, where nothing but displays and the like is bound to `models`."""
        holder = function.value if isinstance(function, ast.Attribute) else None
        if isinstance(holder, ast.Attribute):
            return self.values_made_here(holder.attr, self.index.receivers.of(module, holder.value))
        return isinstance(holder, ast.Name) and self.is_made_here(module, holder)

    def to_callee(
        self,
        module: Module,
        call: ast.Call,
        passed: ast.expr | ast.keyword,
        callee: Callee,
        within: Within,
    ) -> None:
        """One of the functions that a call may mean gets the value."""
        node = passed.value if isinstance(passed, ast.keyword) else passed
        place = call.args.index(passed) if isinstance(passed, ast.expr) else -1
        if callee.klass is not None and callee.klass in self.holders:
            self.held(module, call, callee.klass)
        elif (callee.qualified, place) in FLAX_ENDS and not within:
            self.end(module, call, FLAX_ENDS[callee.qualified or "", place])
        elif callee.qualified in VMAP and place == 0 and not within and not self.is_object:
            self.flow.vmapped.append((module, call))
            self.found(module, call)
        elif callee.function is not None:
            parameter = parameter_of(callee, call, passed)
            if parameter is None:
                self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}` by unpacking")
            else:
                key = passed.arg if isinstance(passed, ast.keyword) else None
                self.parameter(callee.module, callee.function, parameter, within, key)
        elif callee.fields is not None:
            name = passed.arg if isinstance(passed, ast.keyword) else callee.field_at(call, node)
            if name:
                self.held_by_field(module, call, callee, name, within)
        elif callee.qualified == "getattr" and place == 0 and len(call.args) >= 2:
            if not within:
                self.end(module, call, End.LOOKED_UP)
        elif callee.qualified in _ASKING and self.is_object and place == 0:
            if not within:
                self.asked(module, call, callee.qualified or "")
        elif asserts_class(call) and self.is_object and place == 0:
            if not within:
                self.asked(module, call, "isinstance")
        elif callee.qualified in RELOADERS:
            self.found(module, call, within)
        elif self._is_harmless(module, call, callee.qualified or "", place):
            return
        elif callee.passes_on or _gives_back(callee.qualified, place):
            self.found(module, call, within)
        elif callee.qualified in _FIELDS and isinstance(passed, ast.keyword):
            self.default_of_field(module, call, passed, within)
        elif callee.qualified == "getattr" and place == 2:
            self.found(module, call, within)
        elif callee.qualified == "map" and place > 0 and within:
            self.mapped(module, call, place, within)
        elif (callee.stores_keywords or callee.qualified in _NAMESPACES) and _is_named(passed):
            self.attribute_named(passed.arg or "", within)
        elif (rest := items_of_iterator(callee.qualified or "", place, within)) is not None:
            self.found(module, call, rest)
        elif not self._parametrised(module, call, passed, within, callee.qualified or ""):
            self.escape(module, node, f"it is passed to `{ast.unparse(call.func)}`")

    def held_by_field(
        self, module: Module, call: ast.Call, callee: Callee, name: str, within: Within
    ) -> None:
        """An object gets the value as a field: one that is read by names, or a named tuple."""
        if callee.is_tuple and callee.fields is not None and name in callee.fields and not callee.kept:
            self.found(module, call, (Part(callee.fields.index(name), name), *within))
        else:
            self.attribute_named(name, within, callee.klass)

    def held(self, module: Module, call: ast.expr, holder: ast.ClassDef) -> None:
        """A module gets it, now or when that class is called at last."""
        self.end(module, call, End.HELD, holder=holder)

    def default_of_field(self, module: Module, call: ast.Call, passed: ast.keyword, within: Within) -> None:
        """`field(default=...)`, `field(default_factory=...)`."""
        if passed.arg == "default":
            self.found(module, call, within)
        elif passed.arg == "default_factory" and not within:
            self.end(module, call, End.CALL)
        else:
            self.escape(module, passed.value, f"it is passed to `{ast.unparse(call.func)}`")

    def mapped(self, module: Module, call: ast.Call, place: int, within: Within) -> None:
        """`map(function, values)`: the function gets each of them."""
        for callee in self.callees.of(module, call.args[0]) if not isinstance(within[0], str) else ():
            names = taken_by(callee, place - 1, 0) if callee.function is not None else []
            if callee.function is None or not names:
                self.escape(module, call.args[place], f"it is passed to `{ast.unparse(call.args[0])}`")
            for name in names:
                self.parameter(callee.module, callee.function, name, within[1:])  # type: ignore[arg-type]

    def judged(self, module: Module, function: ast.expr, within: Within) -> None:
        """`max(models, key=lambda model: model.width)`: the function gets each of them."""
        for callee in self.callees.of(module, function):
            for name in taken_by(callee, 0, 0) if callee.function is not None else ():
                self.parameter(callee.module, callee.function, name, within)  # type: ignore[arg-type]

    def asked(self, module: Module, call: ast.Call, function: str) -> None:
        """A program asks for the class of the value."""
        if function == "isinstance":
            kinds = linen_kinds(self.project, module, call)
            if kinds is None:
                self.escape(module, call.args[0], "it is passed to `isinstance`")
            elif kinds:
                self.end(module, call, End.ASKED)
        elif is_only_told(module, call):
            self.end(module, call, End.ASKED)
        elif self.sure or _is_called(module, call):
            self.escape(module, call.args[0], "its class is asked for")

    def _is_harmless(self, module: Module, call: ast.Call, qualified: str, place: int) -> bool:
        if qualified == "isinstance":
            return linen_kinds(self.project, module, call) == []
        if self.is_function and place == _RAISING.get(qualified or ast.unparse(call.func)):
            return True  # what it returns is lost
        if not qualified and isinstance(call.func, ast.Attribute) and _ASSERTION.fullmatch(call.func.attr):
            return self.is_object and is_self(call.func.value)
        return (
            qualified in _HARMLESS
            or qualified.startswith(_NEVER_MODULES)
            or (self.is_object and self._logs(module, call.func))
        )

    def _logs(self, module: Module, function: ast.expr) -> bool:
        """`log.info`, where `log` is a logger."""
        if not (isinstance(function, ast.Attribute) and function.attr in _LOGGING):
            return False
        bindings = module.scope_at(function).lookup(ast.unparse(function.value))
        makers = [b.value.func if isinstance(b.value, ast.Call) else None for b in bindings]
        return bool(makers) and all(
            maker is not None and self.project.resolve(maker, module.scope_at(maker), module) in _LOGGERS
            for maker in makers
        )

    def unpacked(self, module: Module, call: ast.Call, within: Within) -> bool:
        """`f(**values)`, the value being under a key that is known."""
        key = within[0] if within else ANY
        if not isinstance(key, str):
            return False
        for callee in self.callees.of(module, call.func):
            if callee.klass is not None and callee.klass in self.holders:
                self.held(module, call, callee.klass)
            elif callee.function is not None:
                args = callee.function.args
                if key in [a.arg for a in (*args.args, *args.kwonlyargs)]:
                    self.parameter(callee.module, callee.function, key, within[1:])
                elif args.kwarg is not None:
                    self.parameter(callee.module, callee.function, args.kwarg.arg, within)
            elif callee.fields is not None:
                self.held_by_field(module, call, callee, key, within[1:])
            elif callee.qualified in ("dict", "builtins.dict"):
                self.found(module, call, within)
            elif callee.qualified in _NAMESPACES:
                self.attribute_named(key, within[1:])
            else:
                return False
        return True

    def _parametrised(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, within: Within, qualified: str
    ) -> bool:
        """`@parameterized.product(model=(A, B))`: the function's parameter of that name gets the values."""
        if qualified == PARAM and isinstance(passed, ast.expr):
            self.found(module, call, (call.args.index(passed), *within))
            return True
        function = module.parents[call]
        if not (isinstance(function, ast.FunctionDef) and call in function.decorator_list):
            return False
        found = parameters_for(qualified, function, call, passed, within)
        for name, rest in found or ():
            self.parameter(module, function, name, rest)
        return found is not None

    def spread(self, module: Module, call: ast.Call, starred: ast.Starred, within: Within) -> None:
        """`f(*values)`: the value becomes a positional argument."""
        first = call.args.index(starred)
        key = within[0] if not any(isinstance(a, ast.Starred) for a in call.args[:first]) else ANY
        for callee in self.callees.of(module, call.func):
            if callee.klass is not None and callee.klass in self.holders:
                self.held(module, call, callee.klass)
            elif isinstance(key, str) or callee.qualified in _HARMLESS:
                continue  # the keys of a dictionary
            elif callee.function is not None:
                for name in taken_by(callee, first, key):
                    self.parameter(callee.module, callee.function, name, within[1:])
            elif callee.fields is not None:
                for name in callee.fields[first:] if key is ANY else callee.fields[first + key :][:1]:
                    self.held_by_field(module, call, callee, name, within[1:])
            else:
                self.escape(module, starred, f"it is passed to `{ast.unparse(call.func)}` by unpacking")


def _is_named(passed: ast.expr | ast.keyword) -> TypeGuard[ast.keyword]:
    return isinstance(passed, ast.keyword) and passed.arg is not None


def _gives_back(function: str | None, place: int) -> bool:
    """Whether a function from outside returns an argument, or something that is called as it."""
    return (function in _WRAPPERS and place == 0) or (function in _CASTS and place == 1)


def _is_called(module: Module, node: ast.expr) -> bool:
    """`type(model)(width=3)`."""
    parent = module.parents[node]
    return isinstance(parent, ast.Call) and parent.func is node
