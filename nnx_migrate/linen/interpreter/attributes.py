"""What names, attributes and subscripts stand for."""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any

from nnx_migrate.linen.arrays.optional_arrays import present
from nnx_migrate.linen.arrays.shapes import Array, Global, InitialDtype, Shape, Unknown
from nnx_migrate.linen.arrays.tuple_choices import TupleChoice, part_of_choice
from nnx_migrate.linen.chosen.filled import is_filled
from nnx_migrate.linen.classes.lifts import REMAT
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.convert import input_array
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.records import REPLACING, part
from nnx_migrate.linen.interpreter.sizes.kept_numbers import kept_number
from nnx_migrate.linen.interpreter.submodules.deep_submodules import owner_of_variables
from nnx_migrate.linen.interpreter.submodules.homes import at_home
from nnx_migrate.linen.interpreter.submodules.tables import table
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import (
    Bound,
    ClassChoice,
    ClassRef,
    Closure,
    DerivedLayer,
    Either,
    Expr,
    FieldModule,
    Input,
    Instance,
    Layer,
    Maybe,
    ModuleList,
    OwnVariables,
    Record,
    SelfValue,
    SuperValue,
    VariableValue,
)
from nnx_migrate.names.scopes import BindingKind

_FLAGS = "absl.flags.FLAGS"  # it has its values before a program makes modules
_LAYER_METHODS = frozenset({"attend", "initialize_carry"})  # those of built-in layers
_MODULE_METHODS = frozenset(
    {
        "param",
        "variable",
        "make_rng",
        "sow",
        "perturb",
        "has_variable",
        "is_initializing",
        "is_mutable_collection",
        "put_variable",
        "get_variable",
        "has_rng",
        "init",
        "apply",
        "bind",
        "unbind",
        "clone",
        "copy",
        "lazy_init",
        "init_with_output",
        "tabulate",
        "module_paths",
    }
)


# ---- names -------------------------------------------------------------------------------------------------


def qualified_name(frame: Frame, node: ast.expr) -> str | None:
    """The canonical qualified name of a dotted expression that starts at an import or a global of the
    project.
    """
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name) or frame.lookup(root.id) is not None:
        return None
    scope = frame.module.scopes.module
    bindings = scope.lookup(root.id)
    if (
        isinstance(node, ast.Attribute)
        and bindings
        and all(b.kind is BindingKind.ASSIGNMENT for b in bindings)
    ):
        return None  # an attribute of a variable
    return frame.session.program.meaning(node, frame.module)


def global_value(frame: Frame, node: ast.Name) -> Any:
    """A name that no function on the way defines."""
    qualified = frame.session.program.meaning(node, frame.module)
    if qualified is None:
        if hasattr(builtins, node.id):
            return Global(f"builtins.{node.id}")
        return _variable(frame, node)
    return named_value(frame, qualified, node)


def named_value(frame: Frame, qualified: str, node: ast.expr) -> Any:
    """What a qualified name stands for."""
    program = frame.session.program
    cls = program.find(qualified)
    if cls is not None:
        return ClassRef(cls) if cls.override is None else DerivedLayer(cls.override.layer, cls)
    if qualified.startswith(f"{_FLAGS}.") and not frame.is_elsewhere:
        return Expr(ast.unparse(node))
    linen = linen_name(qualified)
    if linen is not None and ("." not in linen or linen == REMAT):
        return Layer(linen)
    if linen is not None:
        return Global(qualified)
    definition = program.project.definition(qualified)
    if definition is None:
        return Global(qualified)
    if isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef):
        from nnx_migrate.linen.interpreter.functions import decorated

        around = Frame(frame.session, definition.module, {}, foreign=True)
        return decorated(around, Closure(definition.node, definition.module))
    if definition.binding.value is not None:
        return _global_variable(frame, definition.module, definition.binding.value, node, qualified)
    return Global(qualified)


def _variable(frame: Frame, node: ast.Name) -> Any:
    bindings = frame.module.scopes.module.lookup(node.id)
    if len(bindings) == 1 and bindings[0].value is not None:
        return _global_variable(frame, frame.module, bindings[0].value, node, node.id)
    return Expr(node.id) if bindings and not frame.is_elsewhere else Unknown(f"`{node.id}` isn't known")


def _global_variable(frame: Frame, module: Any, value: ast.expr, node: ast.expr, qualified: str) -> Any:
    """A module-level `NAME = value`: constants and aliases by value, everything else by name."""
    session = frame.session
    if session.depth > 20:
        return Unknown("definitions nested too deeply")
    session.depth += 1
    try:
        found = evaluate(Frame(session, module, {}, foreign=True), value)
    finally:
        session.depth -= 1
    is_registry = isinstance(found, dict | list) and is_filled(module, qualified.rpartition(".")[2])
    if is_registry or isinstance(found, Unknown | Expr | Array | Instance) or _contains_unknown(found):
        return Unknown(f"`{qualified}` isn't known") if frame.is_elsewhere else Expr(ast.unparse(node))
    return found


def _contains_unknown(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_contains_unknown(item) for item in value)
    if isinstance(value, dict):
        return any(_contains_unknown(item) for item in value.values())
    return isinstance(value, Unknown | Expr | Array | Instance)


# ---- attributes --------------------------------------------------------------------------------------------


def get(frame: Frame, value: Any, name: str, node: ast.expr) -> Any:
    """`value.name`."""
    if isinstance(value, SelfValue):
        return self_attribute(at_home(frame, value.home), name, node)
    if isinstance(value, Maybe):
        value = value.value
    if isinstance(value, SuperValue):
        return Bound(value, name)
    if isinstance(value, Input):
        return _input_attribute(frame, value, name)
    if isinstance(value, Record):
        return Bound(value, name) if name in REPLACING else part(frame, value, name)
    value = present(value)
    if isinstance(value, TupleChoice):
        return part_of_choice(value, name)
    if isinstance(value, VariableValue):
        if name == "value":
            return value.value
        return get(frame, value.value, name, node)
    if isinstance(value, Array):
        return array_attribute(frame, value, name)
    if (array := table(frame, value, name, node)) is not None:
        return array
    if isinstance(value, Instance):
        return _instance_attribute(frame, value, name, node)
    if isinstance(value, Expr):
        return Expr(f"{atomic(value.text)}.{name}")
    if isinstance(value, Global) and value.name == _FLAGS and not frame.is_elsewhere:
        return Expr(ast.unparse(node))
    if isinstance(value, Global):
        return Global(f"{value.name}.{name}")
    if isinstance(value, Bound) and value.name == "at[]":
        return Bound(value.value, name)
    if isinstance(
        value, tuple | list | dict | str | ModuleList | MixedList | Layer | ClassRef | ClassChoice | Shape
    ):
        return Bound(value, name)
    if isinstance(value, Bound | Unknown) and (owner := owner_of_variables(frame, node, name)) is not None:
        return _variables(frame, OwnVariables(module=owner), node)
    if isinstance(value, FieldModule) or (isinstance(value, Either) and _have_method(value, name)):
        return Bound(value, name)
    if isinstance(value, Unknown):
        return Bound(value, name) if name == "reshape" else value
    return Unknown(f"attribute `{name}` can't be followed")


def _have_method(either: Either, name: str) -> bool:
    """Whether modules are all that it may be, with a method (no field) of that name."""
    for one in either.values:
        if isinstance(one, Instance) and isinstance(one.site.target, ClassRef):
            if one.site.target.cls.method(name) is None:
                return False
        elif isinstance(one, Instance):
            if name not in _LAYER_METHODS:
                return False
        elif not isinstance(one, FieldModule):
            return False
    return True


def atomic(text: str) -> str:
    """An expression as an operand: in parentheses unless it is a name, an attribute or an item."""
    plain = re.sub(r"[§.\[\]'\"]", "_", text)
    return text if plain.isidentifier() or plain.isdigit() else f"({text})"


def self_attribute(frame: Frame, name: str, node: ast.expr | None = None) -> Any:
    """`self.name`: what setup gave it, else a field, a class attribute, a property or a method."""
    session = frame.session
    slot = session.attributes.get(name)
    if slot is not None:
        if isinstance(node, ast.Attribute) and not frame.foreign:
            session.facts.static_names[frame.context, node] = slot.static
        return slot.value
    if name in session.fields:
        return session.fields[name]
    method = session.cls.method(name)
    if method is not None:
        if method.kind == "property":
            from nnx_migrate.linen.interpreter.functions import call_method

            return call_method(frame, method, (), {}, node)
        return Bound(session.self_value, name)
    attribute = session.cls.class_attribute(name)
    if attribute is not None:
        value, owner = attribute
        found = _global_variable(frame, owner.module, value, value, name)
        return Expr(f"self.{name}") if isinstance(found, Expr | Unknown) else found
    if name in _MODULE_METHODS:
        return Bound(session.self_value, name)
    if name == "variables":
        return _variables(frame, OwnVariables(), node)
    if name in ("scope", "path", "parent", "name"):
        if not frame.foreign:
            raise Refuse("unsupported-api", f"`self.{name}`", node)
        return Unknown(f"`self.{name}`")
    return Unknown(f"`self.{name}` isn't defined in the class")


def _input_attribute(frame: Frame, value: Input, name: str) -> Any:
    if name in ("shape", "ndim", "T", "mT", "dtype", "size", "at") or registry.method(name) is not None:
        if registry.method(name) is not None and name not in (
            "shape",
            "ndim",
            "T",
            "mT",
            "dtype",
            "size",
            "at",
        ):
            return Bound(value, name)
        return array_attribute(frame, input_array(frame.session, value), name, value)
    return Bound(value, name) if name in REPLACING else part(frame, value, name)


def seen(frame: Frame, value: Input) -> Input:
    """Remember that a part of an argument occurs."""
    frame.session.inputs_seen.setdefault(value.path)
    return value


def array_attribute(frame: Frame, array: Array, name: str, of: Any = None) -> Any:
    """An attribute or method of an array."""
    if name == "shape":
        return array.shape.of_array()
    if name == "ndim":
        rank = array.shape.rank
        return Dim.of(rank) if rank is not None else Dim.unknown("the rank of the array is not known")
    if name == "at":
        return Bound(array, "at")
    if name == "dtype" and array.dtype is not None and array.dtype.startswith("="):
        return InitialDtype("the dtype of the array is not known", array.dtype[1:])
    transfer = registry.attribute(name)
    if transfer is not None:
        return transfer(array)
    return Bound(of if of is not None else array, name)


def _instance_attribute(frame: Frame, value: Instance, name: str, node: ast.expr) -> Any:
    """A field, method or submodule of a submodule."""
    target = value.site.target
    kept = kept_number(frame, value, name)
    if kept is not None:
        return kept
    if isinstance(target, ClassRef):
        if target.cls.method(name) is not None:
            return Bound(value, name)
        if target.cls.field(name) is not None:
            from nnx_migrate.linen.interpreter.submodules.modules import field_value

            return field_value(frame, value.site, name)
    if name == "variables":
        return _variables(frame, OwnVariables(module=value), node)
    return Bound(value, name)


def _variables(frame: Frame, value: OwnVariables, node: ast.expr | None) -> Any:
    """`module.variables`, of which code reads an item."""
    parent = frame.module.parents.get(node) if node is not None else None
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return value
    if frame.foreign:
        return Unknown("the variables of a module")
    raise Refuse("unsupported-api", "`variables` of a module", node)


def field_reference(cls: LinenClass, name: str, annotation: str) -> Any:
    """The value of a field of the class under analysis, by its annotation."""
    return Expr(f"self.{name}", annotation)
