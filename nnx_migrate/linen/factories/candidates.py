"""Which fields of a class may hold factories of modules: those that it only reads to make modules, or to hand on.

`__call__` and `setup` do that; other methods don't come near such fields:

    def __call__(self, x):
        return x + self.norm()(self.pad(x))

    def pad(self, x):
        return jnp.pad(x, ((0, 0), (0, self.features)))
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nnx_migrate.linen.classes.lifts import LIFTS
from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.factories.compared import asks_for_none, compares_classes
from nnx_migrate.linen.factories.named_partials import class_named
from nnx_migrate.linen.fields.declared import declares_data
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.displays import display_behind
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_none, is_of_self, is_self
from nnx_migrate.nnx.layers import LAYERS

_CALL, _SETUP = "__call__", "setup"


def candidates(program: LinenProgram, cls: LinenClass) -> list[str]:
    """The names of a class's fields that may hold factories."""
    if any(c.problem or c.layer_base for c in cls.mro):
        return []
    optional = {f.name for f in cls.fields if is_optional(f) and not declares_data(f.annotation)}
    names = {
        f.name for f in cls.fields if f.default is None or _makes(program, f.owner, f.default)
    } | optional
    names -= _near_others(cls, names)
    reads: dict[str, bool] = {}
    for owner, node in ((c, n) for c in cls.mro for n in all_below(c.node)):
        if is_of_self(node) and node.attr in names:
            outer = owner.module.parents.get(node)
            made = isinstance(outer, ast.Call) and outer.func is node
            handed = not made and (
                _is_handed(program, owner, outer)
                or is_lifted(program, owner.module, node)
                or compares_classes(program, owner.module, outer)
                or (node.attr in optional and asks_for_none(outer))
            )
            reads[node.attr] = reads.get(node.attr, True) and (made or handed)
    return [name for name, understood in reads.items() if understood]


def is_optional(field: Field) -> bool:
    """Whether a field holds nothing where a construction leaves it out: `norm: ModuleDef | None = None`."""
    return field.default is not None and is_none(field.default)


def qualified_name(program: LinenProgram, module: Module, node: ast.expr) -> str | None:
    """What a name or dotted name of a module means, None for other expressions."""
    if not isinstance(node, ast.Name | ast.Attribute):
        return None
    return program.meaning(node, module)


def _near_others(cls: LinenClass, names: Iterable[str]) -> set[str]:
    """Fields that methods besides `__call__` may read, themselves or by way of what they call.

    Such methods would need the mode flags that factories bind, which the calls of `__call__` get.
    """
    methods = [(name, method.node) for c in cls.mro for name, method in c.own_methods.items()]
    static = {m.node for c in cls.mro for m in c.own_methods.values() if m.kind == "static"}
    others = [node for name, node in methods if name not in (_CALL, _SETUP) and node not in static]
    if not others:
        return set()
    found: set[str] = set()
    for method in others:
        held = {n.value for n in all_below(method) if is_of_self(n)}
        if any((is_self(n) and n not in held) or is_of_self(n, _CALL) for n in all_below(method)):
            return set(names)
        found |= {n.attr for n in all_below(method) if is_of_self(n)}
    setups = [node for name, node in methods if name == _SETUP]
    return found | {n.attr for node in setups for n in all_below(node) if is_of_self(n)}


def _is_handed(program: LinenProgram, cls: LinenClass, outer: ast.AST | None) -> bool:
    """Whether something is an argument of a partial, or of what constructs a module."""
    call = cls.module.parents.get(outer) if isinstance(outer, ast.keyword) else outer
    if isinstance(call, ast.Dict) or (isinstance(call, ast.Call) and ast.unparse(call.func) == "dict"):
        return _is_spread(program, cls, call)
    if not isinstance(call, ast.Call):
        return False
    if is_of_self(call.func) or qualified_name(program, cls.module, call.func) == "functools.partial":
        return True
    return program.find(class_named(program.project, cls.module, call.func)) is not None


def _is_spread(program: LinenProgram, cls: LinenClass, display: ast.expr) -> bool:
    """Whether a dict is there for calls alone that construct modules: `Block(8, **options)`."""
    module = cls.module
    statement, function = module.parents.get(display), module.enclosing(display, ast.FunctionDef)
    if not isinstance(statement, ast.Assign) or function is None or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    if not isinstance(target, ast.Name):
        return False
    uses = [
        n for n in all_below(function) if isinstance(n, ast.Name) and n.id == target.id and n is not target
    ]
    around = [module.parents.get(use) for use in uses]
    return bool(uses) and all(
        isinstance(outer, ast.keyword)
        and outer.arg is None
        and display_behind(module, outer.value) is not None
        and _constructs(program, cls, outer)
        for outer in around
    )


def _constructs(program: LinenProgram, cls: LinenClass, argument: ast.keyword) -> bool:
    """Whether an argument is one of what constructs a module of a class that the code names."""
    call = cls.module.parents.get(argument)
    return (
        isinstance(call, ast.Call)
        and program.find(qualified_name(program, cls.module, call.func)) is not None
    )


def is_lifted(program: LinenProgram, module: Module, node: ast.expr) -> bool:
    """Whether an expression is the class that a lifted transform stands around: `nn.vmap(self.net_cls, ...)`."""
    outer = module.parents.get(node)
    call = module.parents.get(outer) if isinstance(outer, ast.keyword) and outer.arg == "target" else outer
    if not isinstance(call, ast.Call) or (call is outer and call.args[:1] != [node]):
        return False
    return linen_name(qualified_name(program, module, call.func)) in LIFTS


def _makes(program: LinenProgram, cls: LinenClass, node: ast.expr) -> bool:
    """Whether a default is a layer, a class of the project or a partial of one."""
    layer = node.args[0] if isinstance(node, ast.Call) and node.args else node
    name = qualified_name(program, cls.module, layer)
    short = linen_name(name)
    return (short is not None and f"flax.linen.{short}" in LAYERS) or program.find(name) is not None
