"""Rule `nnx-containers-v012`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.rules._nnx_types import (
    Attributes,
    is_module_class,
    is_self_attribute,
    is_variable_class,
    nnx_classes,
)

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.modules import Module

# What one can do with nnx.List as with a list. Concatenation, comparison, sorting and isinstance differ.
_LIST_METHODS = {"append", "extend", "insert", "pop"}
_READERS = {"len", "enumerate", "zip", "reversed", "iter", "list", "tuple", "map", "range"}
_ARRAYS = ("jax.numpy.", "jax.random.")


class NnxContainersV012(Rule):
    """Plain lists, dicts and tuples of modules as attributes of an NNX module.

    What it finds
    -------------
    `self.layers = [nnx.Linear(...), ...]`, list comprehensions, dicts and tuples of modules, Variables or
    arrays, a list that starts empty and gets modules by `append`, and `self.x = None` where the class later
    assigns a module or Variable to the same attribute.

    Why
    ---
    Since NNX 0.12 such an attribute raises ValueError: containers of data have to say so.

    Example
    -------
        self.layers = [nnx.Linear(d, d, rngs=rngs) for _ in range(n)]
        self.heads = {"policy": nnx.Linear(d, a, rngs=rngs)}
        self.cache = None  # a Variable later

    becomes

        self.layers = nnx.List([nnx.Linear(d, d, rngs=rngs) for _ in range(n)])
        self.heads = nnx.Dict({"policy": nnx.Linear(d, a, rngs=rngs)})
        self.cache = nnx.data(None)  # a Variable later

    Fix safety
    ----------
    Safe. `nnx.List` and `nnx.Dict` are written where every use in the class is one that they share with the
    built-in; tuples, nested containers, other keys and other uses get `nnx.data(...)`, which keeps the very
    container. Paths in the module's state stay the same. Lists of numbers, strings and functions are left alone:
    they have to stay static. What an element is must be known: it is a constructor call, directly or through a
    variable; else the attribute is left alone.

    Since
    -----
    Flax 0.12.0 (`nnx.data`: 0.11).

    References
    ----------
    flax/nnx/pytreelib.py (data, static), flax/nnx/helpers.py (List, Dict); Flax changelog 0.12.0.
    """

    id = "nnx-containers-v012"
    group = "nnx"
    triggers = frozenset({"flax.nnx.*"})
    since = "flax>=0.12"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per attribute."""
        attributes = Attributes(file.module, file.project)
        for owner in nnx_classes(file.module, file.project):
            for statement in ast.walk(owner):
                if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                    target = statement.targets[0]
                elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                    target = statement.target
                else:
                    continue
                if (
                    isinstance(target, ast.Attribute)
                    and is_self_attribute(target, None, file.module)
                    and file.module.enclosing(statement, ast.ClassDef) is owner
                ):
                    assert statement.value is not None
                    wrapper = _wrapper(target, statement.value, owner, attributes)
                    if wrapper:
                        yield self._finding(file, target, statement.value, wrapper)

    def _finding(self, file: FileContext, target: ast.Attribute, value: ast.expr, wrapper: str) -> Finding:
        none = isinstance(value, ast.Constant)
        what = "static `None` that becomes data" if none else "a plain container of data"
        message = f"`{file.segment(target)}` is {what}"
        fix = file.fix()
        try:
            name = fix.name(f"flax.nnx.{wrapper}", at=value)
        except CannotName as error:
            return self.finding(file, target, message, reason="name-taken", help=str(error))
        start, end = file.source.span(value)
        fix.insert(start, f"{name}(")
        fix.insert(end, ")")
        return self.finding(file, target, message, fix.build(f"wrap it in nnx.{wrapper}"))


def _wrapper(
    target: ast.Attribute, value: ast.expr, owner: ast.ClassDef, attributes: Attributes
) -> str | None:
    """List, Dict or data; None where the attribute is fine, or unclear."""
    if isinstance(value, ast.Constant) and value.value is None:
        return "data" if _becomes_data(target.attr, owner, attributes) else None
    if isinstance(value, ast.Dict):
        keys = all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in value.keys)
        if not any(_is_data(v, attributes) for v in value.values):
            return None
        return "Dict" if keys and _used_as_dict(target.attr, owner, attributes.module) else "data"
    if isinstance(value, ast.DictComp):
        return "data" if _is_data(value.value, attributes) else None
    if isinstance(value, ast.Tuple):
        return "data" if any(_is_data(v, attributes) for v in value.elts) else None
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return "data" if _is_list_of_data(value, attributes) else None
    if isinstance(value, ast.List | ast.ListComp):
        elements = value.elts if isinstance(value, ast.List) else [value.elt]
        appended = list(_appended(target.attr, owner, attributes.module))
        if not any(_is_data(v, attributes) for v in [*elements, *appended]):
            return None
        nested = any(
            isinstance(v, ast.List | ast.ListComp | ast.Dict | ast.Tuple) for v in [*elements, *appended]
        )
        plain = _used_as_list(target.attr, owner, attributes.module) and not _compared_elsewhere(
            target.attr, attributes
        )
        return "List" if plain and not nested else "data"
    return None


def _is_data(node: ast.expr, attributes: Attributes) -> bool:
    """True for what NNX takes for data: modules, Variables, arrays, and containers of them."""
    if isinstance(node, ast.Starred):
        return _is_data(node.value, attributes)
    if isinstance(node, ast.List | ast.Tuple):
        return any(_is_data(element, attributes) for element in node.elts)
    if isinstance(node, ast.ListComp):
        return _is_data(node.elt, attributes)
    if isinstance(node, ast.IfExp):
        return _is_data(node.body, attributes) or _is_data(node.orelse, attributes)
    if isinstance(node, ast.Call):
        project, module = attributes.project, attributes.module
        qualified = project.resolve(node.func, module.scope_at(node), module)
        if qualified and qualified.startswith(_ARRAYS):
            return True
    found = attributes.class_of(node)
    return is_module_class(found, attributes.project) or is_variable_class(found, attributes.project)


def _is_list_of_data(node: ast.expr, attributes: Attributes) -> bool:
    """True for list displays with data in them, attributes that hold such lists, and sums of these."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_list_of_data(node.left, attributes) or _is_list_of_data(node.right, attributes)
    if isinstance(node, ast.List | ast.ListComp):
        return _is_data(node, attributes)
    if not isinstance(node, ast.Attribute):
        return False
    values = [value for _, value in attributes.values_of(node)]
    return any(isinstance(v, ast.List | ast.ListComp) and _is_data(v, attributes) for v in values)


def _compared_elsewhere(attr: str, attributes: Attributes) -> bool:
    """True where other code adds to, compares or type-checks an attribute of that name."""
    for module in attributes.project.mentioning(f".{attr}"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == attr and isinstance(node.ctx, ast.Load):
                parent = module.parents[node]
                if isinstance(parent, ast.BinOp | ast.Compare | ast.AugAssign):
                    return True
                function = parent.func if isinstance(parent, ast.Call) and parent.func is not node else None
                if isinstance(function, ast.Name) and function.id in ("isinstance", "sorted", "sum"):
                    return True
    return False


def _uses(attr: str, owner: ast.ClassDef, module: Module) -> Iterator[ast.Attribute]:
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and is_self_attribute(node, attr, module):
            yield node


def _appended(attr: str, owner: ast.ClassDef, module: Module) -> Iterator[ast.expr]:
    """What `self.<attr>.append(...)` adds."""
    for use in _uses(attr, owner, module):
        method = module.parents[use]
        call = module.parents.get(method)
        if isinstance(method, ast.Attribute) and isinstance(call, ast.Call) and call.func is method:
            if method.attr in ("append", "insert") and call.args:
                yield call.args[-1]
            elif method.attr == "extend" and call.args and isinstance(call.args[0], ast.List | ast.ListComp):
                yield call.args[0]


def _becomes_data(attr: str, owner: ast.ClassDef, attributes: Attributes) -> bool:
    """True where another statement assigns data to an attribute that starts as None."""
    for use in _uses(attr, owner, attributes.module):
        statement = attributes.module.parents[use]
        if isinstance(statement, ast.Assign) and isinstance(use.ctx, ast.Store):
            if not isinstance(statement.value, ast.Constant) and _is_data(statement.value, attributes):
                return _one_after_the_other(attr, owner, attributes.module)
    return False


def _one_after_the_other(attr: str, owner: ast.ClassDef, module: Module) -> bool:
    """False where `None` and the data are the branches of one `if`: then each object has one of them only."""
    stores = [
        module.statement_of(use) for use in _uses(attr, owner, module) if isinstance(use.ctx, ast.Store)
    ]
    branches = [
        (parent, statement in parent.body)
        for statement in stores
        if isinstance(parent := module.parents[statement], ast.If)
    ]
    return not (len(branches) == len(stores) == 2 and branches[0][0] is branches[1][0])


def _used_as_list(attr: str, owner: ast.ClassDef, module: Module) -> bool:
    """True where every use in the class is one that `nnx.List` shares with `list`."""
    for use in _uses(attr, owner, module):
        parent = module.parents[use]
        if isinstance(use.ctx, ast.Store):
            continue
        if isinstance(parent, ast.Attribute) and parent.attr in _LIST_METHODS:
            continue
        if isinstance(parent, ast.For | ast.comprehension) and parent.iter is use:
            continue
        if isinstance(parent, ast.Subscript) and parent.value is use:
            continue
        if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in _READERS:
            continue
        if isinstance(parent, ast.Starred):
            continue
        return False
    return True


def _used_as_dict(attr: str, owner: ast.ClassDef, module: Module) -> bool:
    """True where every use in the class is one that `nnx.Dict` shares with `dict`."""
    for use in _uses(attr, owner, module):
        parent = module.parents[use]
        if isinstance(use.ctx, ast.Store) or (isinstance(parent, ast.Subscript) and parent.value is use):
            continue
        if isinstance(parent, ast.Attribute) and parent.attr in ("items", "keys", "values"):
            continue
        if isinstance(parent, ast.Compare) and all(isinstance(op, ast.In | ast.NotIn) for op in parent.ops):
            continue
        return False
    return True
