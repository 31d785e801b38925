"""Which classes may stay Linen inside of NNX modules, behind `nnx.bridge.ToNNX`.

`ToNNX` calls the Linen module as a program would: `init` for its variables, `apply` afterwards. What it holds has to
compute the same there as below another Linen module, so its code, and all code of the project that this reaches, may
neither look at what is around it nor at what the program lets it change.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.effects.registry import modelled_methods
from nnx_migrate.linen.fields.configurations import methods_of_configurations
from nnx_migrate.linen.symbols import LINEN, canonical, linen_name
from nnx_migrate.linen.unrelated import is_of_library, is_unrelated
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import contains, is_none
from nnx_migrate.names.scopes import BindingKind

#: Collections that layers change or fill in calls; None where that differs from call to call.
_COLLECTIONS = {
    "BatchNorm": ("batch_stats",),
    "SpectralNorm": ("batch_stats",),
    "WeightNorm": (),
    **dict.fromkeys(
        (
            "Bidirectional", "Conv", "ConvLSTMCell", "ConvLocal", "ConvTranspose", "Dense", "DenseGeneral", "Dropout",
            "Einsum", "Embed", "GRUCell", "GroupNorm", "InstanceNorm", "LSTMCell", "LayerNorm", "MGUCell", "Module",
            "MultiHeadAttention", "MultiHeadDotProductAttention", "OptimizedLSTMCell", "PReLU", "RMSNorm", "RNN",
            "RNNCellBase", "SelfAttention", "Sequential", "SimpleCell",
        ),
        (),
    ),
}  # fmt: skip
#: What a Linen module can tell, or do, only below the module and the program that it was written for.
_SURROUNDINGS = frozenset(
    {
        "bind", "clone", "has_rng", "is_mutable_collection", "parent", "path", "perturb", "put_variable", "scope",
        "sow", "unbind", "with_logical_partitioning", "with_partitioning",
    }
)  # fmt: skip
#: Methods of every module; what they make is read where it is made.
_OF_MODULES = frozenset({"get_variable", "has_variable", "is_initializing", "make_rng", "param", "variable"})
#: Options of layers with which calls make variables.
_OPTIONS = frozenset({"decode", "sow_weights"})
#: Attributes of `ToNNX` and of modules, which can't be names of variables, submodules or methods that others call.
TAKEN = frozenset(
    {
        "eval", "iter_children", "iter_modules", "lazy_init", "module", "perturb", "rngs", "set_attributes", "sow",
        "train",
        "apply", "bind", "clone", "copy", "get_variable", "has_rng", "has_variable", "init", "init_with_output",
        "is_initializing", "is_mutable_collection", "make_rng", "module_paths", "param", "path", "put_variable",
        "setup", "tabulate", "unbind", "variable", "variables",
    }
)  # fmt: skip


@dataclass
class Bridged:
    """How a class stays Linen: `problem` says why it can't, else empty; `collections` are those that calls change.

    `classes` are all classes of the project that its code reaches, itself included. `unknown_calls` are calls of
    something that a configuration may hold, by the field of the class that is called, or by "" for all other ones.
    """

    problem: str = ""
    collections: tuple[str, ...] = ()
    unknown_calls: Mapping[str, str] = field(default_factory=dict)
    classes: frozenset[LinenClass] = frozenset()

    def unknown_call(self, name: str) -> str:
        """The call that may be one of what the field `name` gets; empty if there is none."""
        return self.unknown_calls.get(name) or self.unknown_calls.get("", "")


class Bridges:
    """Judges classes that are not converted."""

    def __init__(self, program: LinenProgram) -> None:
        self.program = program
        self._known: dict[LinenClass, Bridged] = {}

    def of(self, cls: LinenClass) -> Bridged:
        """How a class stays Linen in NNX modules."""
        if cls not in self._known:
            reader = _Reader(self.program)
            problem = cls.problem or reader.read(cls) or _taken(cls)
            names = tuple(sorted(reader.collections))
            unknown = {} if problem else reader.unknown_calls(cls)
            self._known[cls] = Bridged(problem, names, unknown, frozenset(reader.classes))
        return self._known[cls]

    def is_harmless(self, module: Module, function: ast.AST) -> bool:
        """Whether a function makes no modules, of itself or of what it is given."""
        return _Reader(self.program).is_harmless(module, function)


@dataclass
class _Reader:
    """Reads all code of the project that a class reaches."""

    program: LinenProgram
    classes: dict[LinenClass, None] = field(default_factory=dict)
    collections: set[str] = field(default_factory=set)
    variables: dict[str, set[str]] = field(default_factory=dict)  # by name: the collections that have one
    _calls: list[tuple[Module, ast.Call]] = field(default_factory=list)
    _waiting: list[tuple[Module, ast.AST]] = field(default_factory=list)
    _seen: set[ast.AST] = field(default_factory=set)
    _attributes: set[str] = field(default_factory=set)  # the names of all that are read
    _has_layers: bool = False

    def read(self, cls: LinenClass) -> str:
        """Why a class can't stand behind a bridge; empty if it can."""
        self._add(cls)
        return self.read_on()

    def read_on(self) -> str:
        """The same for code that waits to be read."""
        while self._waiting:
            module, node = self._waiting.pop()
            if node in self._seen:
                continue
            self._seen.add(node)
            for inner in _code(node):
                if problem := self._problem(module, inner):
                    return f"{problem} ({module.path.name}:{getattr(inner, 'lineno', 0)})"
        for name, collections in self.variables.items():
            if len(collections) > 1:
                return f"{' and '.join(sorted(collections))} may both have a variable `{name}`"
        return ""

    def unknown_calls(self, cls: LinenClass) -> dict[str, str]:
        """Calls of something of which the code doesn't show what it is: it may be a module, or make one."""
        known = {*modelled_methods(), *_of_containers(), *_OF_MODULES, "at", "set", "get", "add", "multiply"}
        for reached in self.classes:
            known.update(reached.own_methods)
            stored = (n for n in ast.walk(reached.node) if isinstance(n, ast.Attribute))
            known.update(n.attr for n in stored if isinstance(n.ctx, ast.Store))
            known.update(methods_of_configurations(reached, self.is_harmless))
        own = {(owner.module, owner.node) for owner in cls.mro}
        fields = {item.name for item in cls.fields}
        found: dict[str, str] = {}
        for module, call in self._calls:
            if self._is_unknown(module, call.func, known) and not self._is_elsewhere(call):
                shown = f"`{ast.unparse(call.func)}` ({module.path.name}:{call.lineno})"
                found.setdefault(_field_called(module, call, own, fields), shown)
        return found

    def is_harmless(self, module: Module, node: ast.AST) -> bool:
        """Whether code makes no modules, of itself or of what it is given."""
        reader = _Reader(self.program)
        reader._waiting.append((module, node))
        methods = {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}
        known = {*modelled_methods(), *_of_containers(), *methods}
        return not (
            reader.read_on()
            or reader.classes
            or reader._has_layers
            or reader.variables
            or any(reader._is_unknown(where, call.func, known) for where, call in reader._calls)
        )

    def _is_elsewhere(self, call: ast.Call) -> bool:
        """Whether a call stands in a static or class method that nothing of what was read calls."""
        for cls in self.classes:
            for method in cls.own_methods.values():
                if method.kind in ("class", "static") and contains(method.node, call):
                    return method.name not in self._attributes
        return False

    def _is_unknown(self, module: Module, called: ast.expr, known: Collection[str]) -> bool:
        if isinstance(called, ast.Attribute):
            if called.attr in known or self._resolve(module, called) is not None:
                return False
            return not self._is_layer(module, called.value)
        if isinstance(called, ast.Name):
            bindings = module.scope_at(called).lookup(called.id)
            return any(
                b.kind is BindingKind.PARAMETER
                or (isinstance(b.value, ast.Attribute) and self._resolve(module, b.value) is None)
                or isinstance(b.value, ast.Subscript)
                for b in bindings
            )
        return not isinstance(called, ast.Call | ast.Lambda | ast.Subscript)

    def _is_layer(self, module: Module, node: ast.expr) -> bool:
        """Whether an expression is one of Linen's own layers: `nn.Conv(...)`, or a name for that."""
        bindings = module.scope_at(node).lookup(node.id) if isinstance(node, ast.Name) else []
        values = [b.value for b in bindings] if isinstance(node, ast.Name) else [node]
        return bool(values) and all(
            isinstance(value, ast.Call)
            and linen_name(canonical(self._resolve(module, value.func))) in _COLLECTIONS
            for value in values
        )

    def _resolve(self, module: Module, node: ast.expr) -> str | None:
        return self.program.project.resolve(node, module.scope_at(node), module)

    def _add(self, cls: LinenClass) -> None:
        for one in cls.mro:
            if one not in self.classes:
                self.classes[one] = None
                self._waiting.append((one.module, one.node))

    def _problem(self, module: Module, node: ast.AST) -> str:
        if isinstance(node, ast.keyword) and node.arg in _OPTIONS | _SURROUNDINGS and not _is_detached(node):
            return f"it gives `{node.arg}`"
        if (
            isinstance(node, ast.Attribute)
            and node.attr in _SURROUNDINGS
            and not self._is_library(module, node)
            and not self._asks_whether_initialised(module, node)
        ):
            return f"it reads `{node.attr}`"
        if isinstance(node, ast.Attribute):
            self._attributes.add(node.attr)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "self.name":
            return "it reads its own name"
        if isinstance(node, ast.Call):
            self._calls.append((module, node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if problem := self._variable(node, node.func.attr):
                return problem
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            parent = module.parents.get(node)
            if not (isinstance(parent, ast.Attribute) and parent.value is node):
                return self._reference(module, node)
        return ""

    def _is_library(self, module: Module, node: ast.Attribute) -> bool:
        """Whether it is a name of a library: `os.path`."""
        found = self.program.project.resolve(node, module.scope_at(node), module)
        return found is not None and is_of_library(found)

    def _asks_whether_initialised(self, module: Module, node: ast.Attribute) -> bool:
        """`self.is_mutable_collection("params")`: behind a bridge, too, only an initialisation changes parameters."""
        call = module.parents.get(node)
        if node.attr != "is_mutable_collection" or not isinstance(call, ast.Call) or call.func is not node:
            return False
        given = [*call.args, *(k.value for k in call.keywords)]
        known = len(given) == 1 and isinstance(given[0], ast.Constant) and given[0].value == "params"
        return known and not self.program.makes_all_mutable

    def _variable(self, call: ast.Call, method: str) -> str:
        """Note a variable that a call makes or reads; why it can't be told, if so."""
        if method == "param":
            collection, rest = "params", [*call.args, *(k.value for k in call.keywords if k.arg == "name")]
        elif method in ("variable", "get_variable", "has_variable"):
            if not call.args or not (
                isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
            ):
                return "the collection of a variable is computed"
            collection, rest = call.args[0].value, call.args[1:]
        else:
            return ""
        if collection == "intermediates":
            return "it keeps intermediate values"
        if collection != "params":
            self.collections.add(collection)
        name = rest[0].value if rest and isinstance(rest[0], ast.Constant) else "*"
        self.variables.setdefault(str(name), set()).add(collection)
        if "*" in self.variables and len(set().union(*self.variables.values())) > 1:
            return "the name of a variable is computed"
        return ""

    def _reference(self, module: Module, node: ast.Name | ast.Attribute) -> str:
        """Follow a name to what it means; why that isn't known, if so."""
        scope, project = module.scope_at(node), self.program.project
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            return ""
        found = canonical(project.resolve(node, scope, module))
        if found is None:
            known = scope.binder(root.id) is not None or hasattr(builtins, root.id)
            return "" if known else f"`{root.id}` isn't known"
        if found in (LINEN, "flax"):
            return f"`{ast.unparse(node)}` is used as a value"
        if (layer := linen_name(found)) is not None:
            return self._layer(layer.partition(".")[0])
        return self._own(found)

    def _layer(self, name: str) -> str:
        if name[:1].isupper() and not name.isupper():  # no constant
            self._has_layers = True
            if name not in _COLLECTIONS:
                return f"it uses `nn.{name}`"
            self.collections.update(_COLLECTIONS[name])
        return ""

    def _own(self, found: str) -> str:
        """A name of the project or of a library."""
        while found:
            cls = self.program.find(found)
            if cls is not None:
                self._add(cls)
                return ""
            definition = self.program.project.definition(found)
            if definition is not None:
                value = definition.binding.value
                node = definition.node if value is None else value
                self._waiting.append((definition.module, node))
                return ""
            if is_unrelated(found):
                return ""
            shorter = found.rpartition(".")[0]
            if "." not in shorter:
                return f"what `{found}` does isn't known"
            found = shorter
        return ""


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in `node` but annotations, which do nothing."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _is_detached(given: ast.keyword) -> bool:
    """`parent=None`: a layer that is nowhere, for `init` and `apply` or for what its class tells."""
    return given.arg == "parent" and is_none(given.value)


def _field_called(
    module: Module, call: ast.Call, own: Collection[tuple[Module, ast.AST]], fields: Collection[str]
) -> str:
    """The field that `self.field(...)` calls in the own code of a class; empty for every other call."""
    called = call.func
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
        return ""
    around: ast.AST | None = call
    while around is not None and (module, around) not in own:
        around = module.parents.get(around)
    is_field = around is not None and called.value.id == "self" and called.attr in fields
    return called.attr if is_field else ""


def _of_containers() -> frozenset[str]:
    return frozenset(name for kind in (list, dict, str, tuple, set, bytes) for name in dir(kind))


def _taken(cls: LinenClass) -> str:
    """The name of a variable or submodule that the bridge has for something else."""
    methods = {name for owner in cls.mro for name in owner.own_methods}
    for name in _names(cls):
        if name in TAKEN or name in methods or name.startswith(("to_nnx__", "_")):
            return f"`{name}` is the name of something else behind a bridge"
    return ""


def _names(cls: LinenClass) -> Iterator[str]:
    """The names that its own code gives submodules and variables."""
    for node in (n for owner in cls.mro for n in ast.walk(owner.node)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Call):
            makes = isinstance(node.func, ast.Attribute) and node.func.attr in ("param", "variable")
            given = [*(node.args[:2] if makes else ()), *(k.value for k in node.keywords if k.arg == "name")]
            yield from (g.value for g in given if isinstance(g, ast.Constant) and isinstance(g.value, str))
