"""Functions and classes of the project that neither make modules nor give what unknown code has made.

What they give can't be a Linen module, unless they get one. Everything that such code reads or calls has to be
known: a name that nothing explains, a class of modules, a call of an argument or of an object's own method make it
code of which nothing is sure.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from functools import cached_property, lru_cache

from nnx_migrate.linen.chosen.filled import is_filled
from nnx_migrate.linen.classes.model import LinenProgram
from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.fields.activations import is_elementwise
from nnx_migrate.linen.interpreter.calls.packages import CALLING, is_free_of_flax
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import contains, last_name
from nnx_migrate.names.scopes import Binding, BindingKind, Scope, dotted

Code = tuple[Module, ast.AST]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
# Parts of code that make no values, or none that anyone gets.
_SKIPPED = frozenset({"annotation", "returns", "type_params"})
# What gives objects by their names, or from files.
_GIVING = (
    "builtins.", "gc.", "importlib.", "inspect.", "joblib.", "marshal.", "operator.", "pickle.", "pkgutil.", "pydoc.",
    "runpy.", "shelve.", "sys.", "torch.load", "types.",
)  # fmt: skip
_GIVING_BUILTINS = frozenset(
    {"__import__", "compile", "eval", "exec", "getattr", "globals", "locals", "setattr", "vars"}
)
# Where functions of JAX get functions, if not first; and the names of such parameters.
_PLACES = {"cond": (1, 2), "fori_loop": (2,), "switch": (1,), "while_loop": (0, 1), "pure_callback": (0,)}
_FUNCTION_KEYWORDS = frozenset(
    {
        "body_fun",
        "branches",
        "callback",
        "cond_fun",
        "f",
        "false_fun",
        "fn",
        "fun",
        "func",
        "function",
        "true_fun",
    }
)
_CALLING_BUILTINS = frozenset({"filter", "map"})
_PARTS_OF_FLAX = (
    "flax.core.freeze", "flax.core.unfreeze", "flax.core.FrozenDict", "flax.core.frozen_dict.", "flax.linen.dtypes.",
    "flax.linen.initializers.", "flax.struct.", "flax.traverse_util.",
)  # fmt: skip
_CONTAINERS = (bytes, dict, float, int, list, set, str, tuple)
# Methods of arrays, of texts and of containers; `x.at[i].set(...)`.
_METHODS = frozenset(
    name for kind in _CONTAINERS for name in dir(kind) if not name.startswith("_")
) | frozenset(
    {
        "apply", "block_until_ready", "conj", "copy", "divide", "dot", "fill", "flatten", "item", "items", "keys",
        "multiply", "nonzero", "power", "read", "readlines", "repeat", "set", "swapaxes", "tobytes", "tolist",
        "values", "view", "write",
    }
)  # fmt: skip


class PlainCode:
    """Knows which code of a project gives no modules."""

    def __init__(self, program: LinenProgram) -> None:
        self.program, self.project = program, program.project
        self._sure: dict[ast.AST, bool] = {}
        self._needed: dict[ast.AST, tuple[Code, ...] | None] = {}

    def gives_none(self, module: Module, node: ast.AST) -> bool:
        """Whether a function or class, or the value of an expression on a file's top level, gives no modules."""
        owner = module.parents.get(node)
        node = owner if isinstance(owner, ast.ClassDef) else node  # a method belongs to its class
        if node not in self._sure:
            self._sure[node] = self._is_sure(module, node)
        return self._sure[node]

    def _is_sure(self, module: Module, node: ast.AST) -> bool:
        waiting, seen = [(module, node)], {node}
        while waiting:
            code = waiting.pop()
            if code[1] not in self._needed:
                self._needed[code[1]] = _Reading(self, *code).needed()
            needed = self._needed[code[1]]
            if needed is None:
                return False
            waiting += [other for other in needed if other[1] not in seen]
            seen.update(other for _, other in needed)
        return True

    @cached_property
    def classes_of_modules(self) -> frozenset[ast.AST]:
        """The project's classes of modules."""
        return frozenset(cls.node for cls in self.program)


@lru_cache(maxsize=4)
def plain_code(program: LinenProgram) -> PlainCode:
    """What is known of a project's code, found once."""
    return PlainCode(program)


class _Unsure(Exception):
    """Something in the code isn't known."""


class _Reading:
    """One look at the code of a function, a class or an expression: the other code that it needs."""

    def __init__(self, plain: PlainCode, module: Module, node: ast.AST) -> None:
        self.plain, self.module, self.node = plain, module, node
        self.project = plain.project
        self.found: list[Code] = []

    def needed(self) -> tuple[Code, ...] | None:
        """The code that it calls and the values that it reads; None where one of them isn't known."""
        if self.node in self.plain.classes_of_modules or self._is_patched():
            return None
        try:
            for node in self._nodes():
                if isinstance(node, ast.Call):
                    self._call(node)
                elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                    self._path(node)
                elif isinstance(node, ast.Global):
                    return None
        except _Unsure:
            return None
        return tuple(self.found)

    def _is_patched(self) -> bool:
        """Whether the file sets attributes of the class from outside."""
        if not isinstance(self.node, ast.ClassDef):
            return False
        stored = (n.value for n in self.module.nodes(ast.Attribute) if not isinstance(n.ctx, ast.Load))
        calls = (n for n in self.module.nodes(ast.Call) if isinstance(n.func, ast.Name) and n.args)
        given = (n.args[0] for n in calls if n.func.id in ("delattr", "setattr"))  # type: ignore[attr-defined]
        return any(isinstance(n, ast.Name) and n.id == self.node.name for n in (*stored, *given))

    def _nodes(self) -> Iterator[ast.AST]:
        """All parts of the code that run; of dotted paths the whole ones only."""
        waiting: list[ast.AST] = [self.node]
        while waiting:
            node = waiting.pop()
            yield node
            if isinstance(node, ast.Attribute) and dotted(node) is not None:
                continue
            for name, value in ast.iter_fields(node):
                values = value if isinstance(value, list) else [value]
                if name not in _SKIPPED:
                    waiting += [n for n in values if isinstance(n, ast.AST) and not isinstance(n, ast.Raise)]

    # -- calls --------------------------------------------------------------------------------------------

    def _call(self, call: ast.Call) -> None:
        function = call.func
        if isinstance(function, ast.Name | ast.Attribute) and dotted(function) is not None:
            self._call_by_name(call, function)
        elif isinstance(function, ast.Attribute):
            if function.attr not in _methods() and not self._is_of_library(function.value):
                raise _Unsure
        elif isinstance(function, ast.Call):
            # What a function has made of others: `jax.vmap(step)(x)`.
            if not self._is_of_library(function) or self._gets_argument(function):
                raise _Unsure
        elif isinstance(function, ast.Subscript):  # of a table of the file
            root = function.value
            bindings = self._bindings(root) if isinstance(root, ast.Name) else []
            if not bindings or self._is_local(root):  # type: ignore[arg-type]
                raise _Unsure
        elif not isinstance(function, ast.Lambda):
            raise _Unsure

    def _call_by_name(self, call: ast.Call, function: ast.Name | ast.Attribute) -> None:
        name = last_name(function)
        if name in CALLING | _CALLING_BUILTINS and self._gets_argument(call):
            raise _Unsure
        if self._resolve(function) is not None:
            return  # which `_path` looks at
        bindings = self._bindings(function)
        if isinstance(function, ast.Name):
            if not bindings:
                if name in _GIVING_BUILTINS and not self._reads_known(call):
                    raise _Unsure
            elif self._is_local(function) and not all(map(self._is_function, bindings)):
                raise _Unsure
        elif name not in _methods() and not self._is_own_method(function):
            values = [binding.value for binding in bindings]
            if not values or not all(v is not None and self._is_of_library(v) for v in values):
                raise _Unsure

    def _gets_argument(self, call: ast.Call) -> bool:
        """Whether a call hands on an argument of the function under analysis, which may be called there."""
        given: list[ast.expr] = [
            keyword.value for keyword in call.keywords if keyword.arg in _FUNCTION_KEYWORDS
        ]
        if isinstance(call.func, ast.Name | ast.Attribute):
            name = last_name(call.func)
            given += [call.args[i] for i in _PLACES.get(name, (0,)) if i < len(call.args)]
        else:
            given += [*call.args, *(keyword.value for keyword in call.keywords)]
        starred = any(isinstance(argument, ast.Starred) for argument in call.args)
        return starred or any(self._is_from_outside(value) for value in given)

    def _is_from_outside(self, value: ast.expr) -> bool:
        """Whether a function may be one that this code gets or reads from what it gets."""
        if isinstance(value, ast.Lambda):
            return False
        names = [n for n in ast.walk(value) if isinstance(n, ast.Name) and self._is_local(n)]
        return any(b.kind is not BindingKind.FUNCTION for name in names for b in self._bindings(name))

    def _reads_known(self, call: ast.Call) -> bool:
        """`getattr(jnp, name)`, or of an attribute that stands there: `getattr(config, "size", 3)`."""
        if not isinstance(call.func, ast.Name) or call.func.id != "getattr" or len(call.args) < 2:
            return False
        holder, name = call.args[:2]
        qualified = self._resolve(holder) if isinstance(holder, ast.Name | ast.Attribute) else None
        if qualified is not None:
            return is_free_of_flax(qualified) and not f"{qualified}.".startswith(_GIVING)
        return isinstance(name, ast.Constant) and isinstance(holder, ast.Name) and self._is_local(holder)

    def _is_function(self, binding: Binding) -> bool:
        """Whether a local name stands for code that is looked at here, or for what a library gives."""
        if binding.kind is BindingKind.FUNCTION:
            return True
        if binding.kind is BindingKind.PARAMETER:
            return self._is_class_argument(binding)
        return binding.value is not None and self._is_known_function(binding.value)

    def _is_known_function(self, value: ast.expr) -> bool:
        if isinstance(value, ast.IfExp):
            return self._is_known_function(value.body) and self._is_known_function(value.orelse)
        if isinstance(value, ast.Name | ast.Attribute):
            return self._resolve(value) is not None
        is_made = (
            isinstance(value, ast.Call) and self._is_of_library(value) and not self._gets_argument(value)
        )
        return is_made or isinstance(value, ast.Lambda)

    def _is_class_argument(self, binding: Binding) -> bool:
        """`cls` of the methods of a class that is looked at as a whole."""
        return isinstance(self.node, ast.ClassDef) and binding.name == "cls"

    def _is_own_method(self, function: ast.Attribute) -> bool:
        """`self.step(...)` of such a class."""
        own = self.module.scopes.of_node.get(self.node) if isinstance(self.node, ast.ClassDef) else None
        holder = function.value.id if isinstance(function.value, ast.Name) else ""
        bindings = (
            own.bindings.get(function.attr, []) if own is not None and holder in ("self", "cls") else []
        )
        return bool(bindings) and all(b.kind is BindingKind.FUNCTION for b in bindings)

    def _is_of_library(self, value: ast.expr) -> bool:
        """Whether a library has made a value: `jax.jit(step)`, `Path(name)`."""
        if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name | ast.Attribute):
            return False
        qualified = self._resolve(value.func)
        if qualified is None:
            return isinstance(value.func, ast.Name) and value.func.id == "super"
        return is_free_of_flax(qualified) and self.project.definition(qualified) is None

    # -- names --------------------------------------------------------------------------------------------

    def _path(self, node: ast.Name | ast.Attribute) -> None:
        if dotted(node) is None:
            return
        qualified = self._resolve(node)
        if qualified is not None:
            self._known(qualified)
            return
        bindings = self._bindings(node)
        name = _root(node).id
        if not bindings:
            parent = self.module.parents.get(node)
            is_called = isinstance(parent, ast.Call) and parent.func is node
            if not hasattr(builtins, name) and name not in ("__file__", "__name__"):
                raise _Unsure
            if name in _GIVING_BUILTINS and not is_called:
                raise _Unsure
        elif not self._is_local(_root(node)):
            scope = self._scope(node).binder(name)
            if scope is None or not scope.is_module:
                raise _Unsure
            for binding in bindings:
                self._variable(self.module, binding)

    def _known(self, qualified: str) -> None:
        """What a qualified name stands for."""
        definition, path = self.project.definition(qualified), qualified
        while definition is None and "." in path:
            path = path.rpartition(".")[0]
            definition = self.project.definition(path)
        if definition is None:
            if not is_free(qualified):
                raise _Unsure
            return
        module, node, binding = definition.module, definition.node, definition.binding
        owner = module.parents.get(node)
        if isinstance(node, ast.ClassDef):
            if path != qualified:  # an attribute that something else sets
                raise _Unsure
            self.found.append((module, node))
        elif isinstance(owner, ast.ClassDef):
            self.found.append((module, owner))
        elif isinstance(node, _FUNCTIONS):
            if not contains(self.node, node):  # else it is looked at with the variables that it reads
                self.found.append((module, node))
        else:
            self._variable(module, binding)

    def _variable(self, module: Module, binding: Binding) -> None:
        """A variable of a file: what it is made of, unless code may fill it."""
        value = binding.value
        if binding.kind in (BindingKind.FUNCTION, BindingKind.CLASS):
            self.found.append((module, binding.node))
            return
        if binding.kind is not BindingKind.ASSIGNMENT or value is None:
            raise _Unsure
        if _is_container(value) and (_is_empty(value) or is_filled(module, binding.name)):
            raise _Unsure
        self.found.append((module, value))

    def _resolve(self, node: ast.Name | ast.Attribute) -> str | None:
        if self._is_argument(node):
            return None
        return self.project.resolve(node, self._scope(node), self.module)

    def _is_argument(self, node: ast.Name | ast.Attribute) -> bool:
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        bindings = self._scope(node).lookup(root.id) if isinstance(root, ast.Name) else []
        return any(b.kind is BindingKind.PARAMETER for b in bindings)

    def _bindings(self, node: ast.expr) -> list[Binding]:
        return self._scope(node).lookup(_root(node).id) if dotted(node) is not None else []

    def _scope(self, node: ast.AST) -> Scope:
        return self.module.scope_at(node)

    def _is_local(self, name: ast.Name) -> bool:
        """Whether the code itself binds a name."""
        scope = self._scope(name).binder(name.id)
        inside: ast.AST | None = scope.node if scope is not None else None
        while inside is not None and inside is not self.node:
            inside = self.module.parents.get(inside)
        return inside is not None


def _root(node: ast.expr) -> ast.Name:
    while isinstance(node, ast.Attribute):
        node = node.value
    assert isinstance(node, ast.Name)
    return node


def is_free(qualified: str) -> bool:
    """Whether a name from outside of the project stands for what neither makes nor gives modules."""
    if f"{qualified}.".startswith(_GIVING):
        return False
    if is_free_of_flax(qualified) or qualified.startswith(_PARTS_OF_FLAX):
        return True
    return qualified.startswith("flax.linen.") and is_elementwise(qualified)


def _methods() -> frozenset[str]:
    return _METHODS.union(modelled_methods())


def _is_container(value: ast.expr) -> bool:
    name = (dotted(value.func) or "").rpartition(".")[2] if isinstance(value, ast.Call) else ""
    return isinstance(value, ast.Dict | ast.List | ast.Set) or name in (
        "OrderedDict", "defaultdict", "dict", "list", "set",
    )  # fmt: skip


def _is_empty(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return not value.args and not value.keywords
    return not (value.keys if isinstance(value, ast.Dict) else value.elts)  # type: ignore[attr-defined]
