"""Fields that hold a dictionary of modules: `modules: Dict[str, nn.Module]`.

Linen calls the modules `modules_actor`, `modules_critic`, ... after their keys. Only the plain case: methods ask for
the keys, take modules out by them, run over the dictionary, and call what they got.
"""

from __future__ import annotations

import ast

from nnx_migrate.linen.classes.model import Field, LinenClass
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self

_DICTS = frozenset({"Dict", "dict", "Mapping"})
_READERS = frozenset({"len", "list", "tuple", "sorted", "set", "enumerate", "print"})
#: Methods that a module has in Linen only, or that mean something else in NNX.
_ONLY_LINEN = frozenset(
    {
        "apply", "bind", "clone", "copy", "init", "init_with_output", "lazy_init", "name", "parent", "path",
        "scope", "tabulate", "unbind", "variables", "get_variable", "has_variable", "put_variable", "sow", "perturb",
        "param", "variable", "make_rng", "is_initializing", "is_mutable_collection", "module_paths",
    }
)  # fmt: skip


def holds_module_dict(cls: LinenClass, item: Field) -> bool:
    """Whether a field is declared to hold a dictionary of modules, always gets one, and is used as one."""
    node = item.annotation
    if item.default is not None or not isinstance(node, ast.Subscript):
        return False
    kind, types = ast.unparse(node.value).rpartition(".")[2], node.slice
    if kind not in _DICTS or not isinstance(types, ast.Tuple) or len(types.elts) != 2:
        return False
    key, value = types.elts
    if not (isinstance(key, ast.Name) and key.id == "str" and isinstance(value, ast.Name | ast.Attribute)):
        return False
    name = item.owner.resolve_in_class(value)
    if linen_name(name) != "Module" and (name is None or name not in cls.known_classes):
        return False
    return all(
        _is_read_plainly(owner, node)
        for owner in cls.mro
        for node in ast.walk(owner.node)
        if is_of_self(node, item.name)
    )


def dict_fields(cls: LinenClass) -> list[Field]:
    """The fields of a class that hold dictionaries of modules."""
    return [item for item in cls.fields if holds_module_dict(cls, item)]


def _is_read_plainly(owner: LinenClass, node: ast.AST) -> bool:
    parents = owner.module.parents
    parent = parents[node]
    if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)):
        return False
    if isinstance(parent, ast.Subscript):
        return isinstance(parent.ctx, ast.Load) and parent.value is node and is_called(owner.module, parent)
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is node
    if isinstance(parent, ast.Compare):
        return all(isinstance(op, ast.In | ast.NotIn) for op in parent.ops)
    if isinstance(parent, ast.Call):
        return node in parent.args and isinstance(parent.func, ast.Name) and parent.func.id in _READERS
    call = parents.get(parent)
    if not (isinstance(parent, ast.Attribute) and isinstance(call, ast.Call) and call.func is parent):
        return False
    return parent.attr == "keys" or (parent.attr in ("items", "values") and _runs_over(owner, parent, call))


def is_called(module: Module, node: ast.expr) -> bool:
    """`self.modules[key](x)`, `self.modules[key].encode(x)`."""
    parents = module.parents
    parent = parents[node]
    if isinstance(parent, ast.Attribute) and parent.attr not in _ONLY_LINEN:
        node, parent = parent, parents[parent]
    return isinstance(parent, ast.Call) and parent.func is node


def _runs_over(owner: LinenClass, listing: ast.Attribute, call: ast.Call) -> bool:
    """`for key, module in self.modules.items():`, where the round only calls the module."""
    loop = owner.module.parents[call]
    if not isinstance(loop, ast.For | ast.comprehension) or loop.iter is not call:
        return False
    target = loop.target
    if listing.attr == "items":
        if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
            return False
        target = target.elts[1]
    if not isinstance(target, ast.Name):
        return False
    scope = owner.module.scope_at(target).binder(target.id)
    return all(
        is_called(owner.module, node)
        for node in ast.walk(owner.node)
        if isinstance(node, ast.Name)
        and node.id == target.id
        and node is not target
        and owner.module.scope_at(node).binder(node.id) is scope
    )
