"""Fields that hold layer factories: `conv: ModuleDef`, called as `self.conv(features, (3, 3))(x)`.

Such a field can be converted where every construction of its class in the project gives it a local
`functools.partial` of the same Linen layer, with the same arguments bound: then the class's own code is
analysed as if it named that layer, with placeholders for what the partial binds.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnx_migrate.linen.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.references import ClassReference, References, Role
from nnx_migrate.linen.shapes import Unknown
from nnx_migrate.linen.symbols import canonical, linen_name
from nnx_migrate.linen.values import Layer, Partial
from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.layers import LAYERS

_METHOD = "__call__"


@dataclass(frozen=True, eq=False)
class Factory:
    """What a field is given: a partial of `layer` that binds the fields `bound`; `flag` is its mode flag.

    `value` stands for it in the class's own code. Nodes without a position are placeholders: what they are
    is only known where the class is constructed.
    """

    field: str
    layer: str
    bound: frozenset[str]
    flag: str
    value: Partial


def placeholder(node: ast.AST) -> str | None:
    """The name of a placeholder, None for code that stands in a file."""
    return node.id if isinstance(node, ast.Name) and not hasattr(node, "lineno") else None


def find_factories(
    program: LinenProgram, references: Callable[[], References], cls: LinenClass
) -> dict[str, Factory]:
    """The factory fields of a class that can be converted, by name. `references` is only called where needed."""
    called = _called_fields(cls)
    if not called:
        return {}
    known = references()
    uses = [r for r in [*known.inside, *known.outside] if r.cls is cls]
    uses = [r for r in uses if r.role is not Role.ANNOTATION]
    inside = set(known.inside)
    if not uses or any(
        r.role is not Role.CONSTRUCTION or r not in inside or r.module is not cls.module for r in uses
    ):
        return {}
    found = {name: _factory(program, cls, name, uses) for name in called}
    return {name: factory for name, factory in found.items() if factory is not None}


def _called_fields(cls: LinenClass) -> list[str]:
    """Required fields that a class with nothing but `__call__` reads to construct modules, and only so."""
    if cls.bases or cls.problem or cls.layer_base or set(cls.own_methods) != {_METHOD}:
        return []
    method = cls.own_methods[_METHOD].node
    names = {f.name for f in cls.fields if f.default is None}
    parents = {child: node for node in ast.walk(method) for child in ast.iter_child_nodes(node)}
    reads: dict[str, bool] = {}
    for node in ast.walk(cls.node):
        if isinstance(node, ast.Attribute) and node.attr in names and _is_self(node.value):
            outer = parents.get(node)
            made = isinstance(outer, ast.Call) and outer.func is node
            reads[node.attr] = reads.get(node.attr, True) and made
    return [name for name, only_called in reads.items() if only_called]


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _factory(program: LinenProgram, cls: LinenClass, name: str, uses: list[ClassReference]) -> Factory | None:
    partials = [partial_given(program, cls, name, use.module, use.call) for use in uses]
    known = [p for p in partials if p is not None]
    if len(known) < len(partials):
        return None
    layers = {linen_name(_qualified(program, cls.module, p.args[0])) for p in known}
    bound = {frozenset(k.arg or "" for k in p.keywords) for p in known}
    if len(layers) != 1 or len(bound) != 1:
        return None
    (layer,), (names,) = layers, bound
    spec = LAYERS.get(f"flax.linen.{layer}")
    if spec is None or layer is None or spec.nnx is None or spec.helper or spec.children or spec.refusal:
        return None
    if not names <= set(spec.fields):
        return None
    flag = spec.call.flag if spec.call.flag in names else None
    keywords = [_keyword(argument, flag, known) for argument in sorted(names)]
    call = ast.Call(func=ast.Name("partial"), args=[ast.Name(layer)], keywords=keywords)
    values = tuple((str(k.arg), _value(k.value)) for k in keywords)
    return Factory(name, layer, names, flag or "", Partial(Layer(layer), call, (), values))


def _keyword(name: str, flag: str | None, partials: list[ast.Call]) -> ast.keyword:
    """An argument that the partials bind: a literal that is the same in all, else a placeholder."""
    nodes = [k.value for p in partials for k in p.keywords if k.arg == name]
    same = len({ast.dump(node) for node in nodes}) == 1
    if name != flag and same and not isinstance(_value(nodes[0]), Unknown):
        return ast.keyword(name, nodes[0])
    return ast.keyword(name, ast.Name(name))


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return Unknown("what a factory binds")


def partial_given(
    program: LinenProgram, cls: LinenClass, field: str, module: Module, call: ast.Call
) -> ast.Call | None:
    """The `partial(nn.Layer, ...)` that a construction gives a field by way of a local variable.

    The variable is assigned once, in the body of the method, before the construction.
    """
    names = [f.name for f in cls.fields]
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return None
    given = dict(zip(names, call.args, strict=False)) | {str(k.arg): k.value for k in call.keywords}
    variable = given.get(field)
    function = module.enclosing(call, ast.FunctionDef, ast.Lambda)
    if not isinstance(variable, ast.Name) or not isinstance(function, ast.FunctionDef):
        return None
    bound = [n for n in ast.walk(function) if isinstance(n, ast.Name | ast.arg) and _binds(n, variable.id)]
    for statement in function.body:
        if (
            isinstance(statement, ast.Assign)
            and bound == statement.targets
            and statement.lineno < call.lineno
            and isinstance(statement.value, ast.Call)
            and _is_partial(program, module, statement.value)
        ):
            return statement.value
    return None


def _binds(node: ast.Name | ast.arg, name: str) -> bool:
    if isinstance(node, ast.arg):
        return node.arg == name
    return node.id == name and not isinstance(node.ctx, ast.Load)


def _is_partial(program: LinenProgram, module: Module, call: ast.Call) -> bool:
    """Whether a call is `functools.partial(layer, name=value, ...)`."""
    names = [k.arg for k in call.keywords]
    plain = len(call.args) == 1 and None not in names and not {"name", "parent"} & set(names)
    return plain and _qualified(program, module, call.func) == "functools.partial"


def _qualified(program: LinenProgram, module: Module, node: ast.expr) -> str | None:
    if not isinstance(node, ast.Name | ast.Attribute):
        return None
    return canonical(program.project.resolve(node, module.scope_at(node), module))
