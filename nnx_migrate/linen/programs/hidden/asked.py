"""What programs ask of a module's class: `isinstance(model, nn.Module)`, `type(model).__name__`.

`Functional` has the class of the module that it stands for as its `__class__`, which `isinstance` goes by, too. What
names Linen's base class has to name that of NNX as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.names.project import Project

_NNX_MODULE = "flax.nnx.Module"
#: What a class only has to tell people.
_TOLD = frozenset({"__name__", "__qualname__", "__module__", "__doc__"})


def is_only_told(module: Module, of_class: ast.expr) -> bool:
    """Whether nothing but the name (or the like) of the class that an expression gives is read."""
    parent = module.parents[of_class]
    return isinstance(parent, ast.Attribute) and parent.attr in _TOLD


def linen_kinds(project: Project, module: Module, call: ast.Call) -> list[ast.expr] | None:
    """The expressions among the classes of `isinstance` that name `nn.Module` where none is `nnx.Module`.

    None where a module may get another answer once it is converted.
    """
    if len(call.args) != 2 or call.keywords:
        return None
    found: list[ast.expr] = []
    has_nnx = False
    for kind in _alternatives(call.args[1]):
        if isinstance(kind, ast.Name) and module.scope_at(kind).binder(kind.id) is None:
            continue  # a builtin
        name = project.resolve(kind, module.scope_at(kind), module) or ""
        definition = project.definition(name) if name else None
        if linen_name(name) == "Module":
            found.append(kind)
        elif name == _NNX_MODULE:
            has_nnx = True
        elif definition is not None and isinstance(definition.node, ast.ClassDef):
            continue
        elif definition is not None or not name or name.startswith(("flax.linen", "flax.nnx")):
            return None
    if has_nnx:
        return [] if found else None
    return found


def is_compared(module: Module, node: ast.expr) -> bool:
    """Whether an expression is one of the classes of `isinstance(value, classes)`."""
    child, parent = node, module.parents[node]
    while isinstance(parent, ast.Tuple | ast.BinOp):
        child, parent = parent, module.parents[parent]
    if not (isinstance(parent, ast.Call) and len(parent.args) == 2 and parent.args[1] is child):
        return False
    name = parent.func
    is_builtin = isinstance(name, ast.Name) and module.scope_at(name).binder(name.id) is None
    return (is_builtin and ast.unparse(name) == "isinstance") or asserts_class(parent)


def asserts_class(call: ast.Call) -> bool:
    """Whether a call of a test is `self.assertIsInstance(value, classes)`, or says that it isn't."""
    function = call.func
    return is_of_self(function) and function.attr in ("assertIsInstance", "assertNotIsInstance")


def _alternatives(kinds: ast.expr) -> Iterator[ast.expr]:
    """`(A, B)` and `A | B`."""
    if isinstance(kinds, ast.Tuple):
        for kind in kinds.elts:
            yield from _alternatives(kind)
    elif isinstance(kinds, ast.BinOp) and isinstance(kinds.op, ast.BitOr):
        yield from _alternatives(kinds.left)
        yield from _alternatives(kinds.right)
    else:
        yield kinds
