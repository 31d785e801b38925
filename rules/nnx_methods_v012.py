"""Rule `nnx-methods-v012`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.rules._nnx_types import NNX, Attributes, is_module_class, is_variable_class

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.classes import ancestors, bases, qualified_name

# Methods of `nnx.State`, and the functions that do the same.
_OF_STATES = {
    "flat_state": "to_flat_state",
    "to_pure_dict": "to_pure_dict",
    "replace_by_pure_dict": "replace_by_pure_dict",
    "filter": "filter_state",
    "split": "split_state",
}
_OF_MODULES = {"iter_modules": "iter_modules", "iter_children": "iter_children"}
_GONE = {
    "modules": "walk over nnx.iter_modules(module)",
    "extract": "use nnx.state(module, filter)",
    "copy_from": "use nnx.update(module, nnx.state(other))",
}
_MENTION = re.compile(rf"\.\s*(?:{'|'.join([*_OF_STATES, *_OF_MODULES, *_GONE, 'copy_from_state'])})\b")


class NnxMethodsV012(Rule):
    """Methods of NNX modules, states and variables that are functions now.

    What it finds
    -------------
    `module.iter_modules()` and `module.iter_children()`; `flat_state`, `to_pure_dict`, `replace_by_pure_dict`,
    `filter` and `split` of an `nnx.State`; `variable.copy_from_state(...)`; `modules`, `extract` and `copy_from`
    of modules, as NNX 0.8.0 had them.

    Why
    ---
    They warn or are gone: a state becomes a plain dict, and modules keep few names for themselves.

    Example
    -------
    ::

        state = nnx.state(model)
        saved = state.to_pure_dict()
        # becomes
        saved = nnx.to_pure_dict(state)

    Fix safety
    ----------
    Safe: the functions are what the methods call. An object is taken for a module, state or variable only where
    every way to it says so, and a method that the project's own class defines is left alone.

    Since
    -----
    Flax 0.12.1 (modules), 0.10.4 (states), 0.10.0 (`copy_from_state`), 0.8.3 (what is gone).

    References
    ----------
    flax/nnx/module.py, flax/nnx/statelib.py
    """

    id = "nnx-methods-v012"
    group = "nnx"
    triggers = frozenset({f"{NNX}.*"})
    since = "flax>=0.8.3"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per call of such a method."""
        if not _MENTION.search(file.source.text):
            return
        attributes = Attributes(file.module, file.project)
        for call in file.module.nodes(ast.Call):
            method = call.func
            if not isinstance(method, ast.Attribute):
                continue
            name = method.attr
            if name in _OF_STATES and file.targets.concerned("flax>=0.10.4"):
                if _is_state(file, attributes, method.value):
                    yield self._as_function(file, call, method, _OF_STATES[name], "an nnx.State")
            elif name in _OF_MODULES and file.targets.concerned("flax>=0.12.1"):
                if self._is_own_method(file, attributes, method) and not (call.args or call.keywords):
                    yield self._as_function(file, call, method, _OF_MODULES[name], "a module")
            elif name in _GONE and self._is_own_method(file, attributes, method):
                message = f"`{name}` of a module was removed in flax 0.8.3"
                yield self.finding(file, method, message, reason="no-equivalent", help=_GONE[name])
            elif name == "copy_from_state" and is_variable_class(
                attributes.class_of(method.value), file.project
            ):
                yield self._renamed(file, method)

    @staticmethod
    def _is_own_method(file: FileContext, attributes: Attributes, method: ast.Attribute) -> bool:
        """Whether the receiver is a module whose classes leave the method to NNX."""
        owner = attributes.class_of(method.value)
        if owner is None or not is_module_class(owner, file.project):
            return False
        classes = list(ancestors(owner, file.project))
        above = {base for module, node in classes for base in bases(module, node, file.project)}
        known = {qualified_name(module, node) for module, node in classes}
        return all(base in known or (base or "").startswith(f"{NNX}.") for base in above) and not any(
            method.attr == (node.name if isinstance(node, ast.FunctionDef) else node.attr)
            for _, body in classes
            for node in ast.walk(body)
            if isinstance(node, ast.FunctionDef)
            or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
        )

    def _as_function(
        self, file: FileContext, call: ast.Call, method: ast.Attribute, function: str, what: str
    ) -> Finding:
        message = f"`{method.attr}` of {what} is deprecated; use `nnx.{function}`"
        fix = file.fix()
        try:
            name = fix.name(f"{NNX}.{function}", at=call)
        except CannotName as error:
            return self.finding(file, method, message, reason="name-taken", help=str(error))
        end = file.source.span(method.value)[1]
        opened = file.source.text.index("(", file.source.span(method)[1]) + 1
        if "".join(file.source.text[end:opened].split()) != f".{method.attr}(":
            help = f"write `nnx.{function}(...)`: comments or parentheses stand in the way"
            return self.finding(file, method, message, reason="unclear-place", help=help)
        fix.insert(file.source.span(call)[0], f"{name}(")
        breaks = file.source.text[opened : opened + 1].isspace()
        fix.replace((end, opened), ("," if breaks else ", ") if call.args or call.keywords else "")
        return self.finding(file, method, message, fix.build(f"use nnx.{function}"))

    def _renamed(self, file: FileContext, method: ast.Attribute) -> Finding:
        fix = file.fix()
        end = file.source.span(method)[1]
        fix.replace((end - len(method.attr), end), "update_from_state")
        message = "`copy_from_state` was removed in flax 0.10.0; use `update_from_state`"
        return self.finding(file, method, message, fix.build("use update_from_state"))


def _is_state(file: FileContext, attributes: Attributes, node: ast.expr) -> bool:
    """Whether an expression is an `nnx.State`: made here, or by `nnx.state` or `nnx.split` with one result each."""
    if isinstance(node, ast.Call) and file.resolve(node.func) == f"{NNX}.state":
        plain = not node.keywords and not any(isinstance(a, ast.Starred) for a in node.args)
        return plain and len(node.args) <= 2
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        if bindings and all(
            _is_part_of_split(file, b.node)
            or (isinstance(b.value, ast.Call) and _is_state(file, attributes, b.value))
            for b in bindings
        ):
            return True
    return attributes.class_of(node) == f"{NNX}.State"


def _is_part_of_split(file: FileContext, target: ast.AST) -> bool:
    """`state` in `graphdef, state = nnx.split(model)`."""
    names = file.parent(target)
    assign = file.parent(names) if isinstance(names, ast.Tuple) else None
    if not (isinstance(names, ast.Tuple) and isinstance(assign, ast.Assign) and names in assign.targets):
        return False
    call = assign.value
    return (
        isinstance(call, ast.Call)
        and file.resolve(call.func) == f"{NNX}.split"
        and not any(isinstance(a, ast.Starred) for a in (*call.args, *names.elts))
        and len(names.elts) == max(2, len(call.args))
        and target is not names.elts[0]
    )
