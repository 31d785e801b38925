from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.instances import Instances
from nnx_migrate.names.scopes import BindingKind

_SINCE = "flax>=0.7.1"
_METHODS = re.compile(r"\b(?:pop|unfreeze|copy)\s*\(")
_FROZEN = {
    "flax.core.FrozenDict",
    "flax.core.freeze",
    "flax.core.frozen_dict.FrozenDict",
    "flax.core.frozen_dict.freeze",
}


class FlaxFrozenDict(Rule):
    """Methods of FrozenDict on variables, which are plain dicts now.

    What it finds
    -------------
    `state, params = variables.pop("params")`, and `.unfreeze()` and `.copy({...})` of what `Module.init`
    returned. `flax.core.freeze`, `FrozenDict` and `dict.pop` with one target are current and not reported.

    Why
    ---
    `init` and `apply` return dicts. `dict.pop` returns the value alone: unpacking it into two names raises,
    or, when there happen to be two entries, silently yields two key strings. A dict has no `unfreeze`, and
    its `copy` takes no arguments.

    Example
    -------
    ::

        state, params = variables.pop("params")
        # becomes
        state, params = flax.core.pop(variables, "params")

    Fix safety
    ----------
    Safe: the functions of `flax.core` do for dicts what the methods did for FrozenDicts, and still take both.
    Unsafe where nothing shows that a popped dict holds Linen variables.

    Since
    -----
    Flax 0.7.1.

    References
    ----------
    https://flax.readthedocs.io/en/latest/guides/converting_and_upgrading/regular_dict_upgrade_guide.html
    """

    id = "flax-frozen-dict"
    group = "linen"
    since = _SINCE
    triggers = frozenset({"flax.*"})

    def check(self, file: FileContext) -> Iterable[Finding]:
        """Findings for the three methods."""
        if not _METHODS.search(file.source.text):
            return
        instances = Instances(file.module, file.project)
        for node in file.module.nodes(ast.Call):
            if not isinstance(node.func, ast.Attribute):
                continue
            receiver, method = node.func.value, node.func.attr
            safety = Safety.SAFE
            if method == "pop" and self._unpacks_pop(node, receiver, file):
                if not self._is_rebound(node, receiver, file) and not _comes_from_init(receiver, file):
                    safety = Safety.UNSAFE  # a dict of the user's own, with a pair in it?
                message = "`dict.pop` returns the value alone: Linen variables are dicts since flax 0.7.1"
            elif (
                method == "unfreeze"
                and not (node.args or node.keywords)
                and _is_variables(receiver, file, instances)
            ):
                message = "Linen variables are dicts since flax 0.7.1 and have no `unfreeze`"
            elif method == "copy" and self._adds(node) and _is_variables(receiver, file, instances):
                message = "Linen variables are dicts since flax 0.7.1, whose `copy` takes no arguments"
            else:
                continue
            yield self._finding(file, node, method, message, safety)

    def _finding(
        self, file: FileContext, call: ast.Call, method: str, message: str, safety: Safety
    ) -> Finding:
        fix = file.fix()
        start, end = file.source.span(call.func)
        try:
            name = fix.name(f"flax.core.{method}", at=call)
        except CannotName as error:
            return self.finding(file, call, message, reason="name-taken", help=str(error))
        fix.insert(start, f"{name}(")
        dot = file.source.text.rindex(".", start, end)
        opened = file.source.text.index("(", end) + 1
        fix.replace((dot, opened), ", " if call.args or call.keywords else "")
        return self.finding(file, call, message, fix.build(f"use `flax.core.{method}`", safety))

    @staticmethod
    def _adds(call: ast.Call) -> bool:
        """`.copy({...})` or `.copy(add_or_replace={...})`."""
        names = [keyword.arg for keyword in call.keywords]
        return (len(call.args) == 1 and not names) or (not call.args and names == ["add_or_replace"])

    @staticmethod
    def _unpacks_pop(call: ast.Call, receiver: ast.expr, file: FileContext) -> bool:
        """`a, b = variables.pop("params")`, where `variables` isn't a FrozenDict for certain."""
        assign = file.parent(call)
        if not (isinstance(assign, ast.Assign) and len(assign.targets) == 1 and assign.value is call):
            return False
        target = assign.targets[0]
        if not (isinstance(target, ast.Tuple) and len(target.elts) == 2 and not _has_star(target)):
            return False
        if len(call.args) != 1 or call.keywords or not isinstance(call.args[0], ast.Constant):
            return False
        key = call.args[0].value
        if not isinstance(key, str) or _is_frozen(receiver, file):
            return False
        rebound = file.segment(target.elts[0]) == file.segment(receiver)
        return key == "params" or rebound or _comes_from_init(receiver, file)

    @staticmethod
    def _is_rebound(call: ast.Call, receiver: ast.expr, file: FileContext) -> bool:
        """`variables, params = variables.pop("params")`: what is left takes the old name."""
        assign = file.parent(call)
        assert isinstance(assign, ast.Assign) and isinstance(assign.targets[0], ast.Tuple)
        return file.segment(assign.targets[0].elts[0]) == file.segment(receiver)


def _comes_from_init(node: ast.expr, file: FileContext, depth: int = 0) -> bool:
    """True for the result of something called `init` (perhaps jitted), and names bound to one only."""
    if depth > 8:
        return False
    if isinstance(node, ast.Call):
        function: ast.expr = node.func
        if isinstance(function, ast.Call) and file.resolve(function.func) == "jax.jit" and function.args:
            function = function.args[0]
        if isinstance(function, ast.Name) and function.id != "init":
            values = [b.value for b in file.module.scope_at(function).lookup(function.id)]
            jitted = [
                v for v in values if isinstance(v, ast.Call) and file.resolve(v.func) == "jax.jit" and v.args
            ]
            if values and len(jitted) == len(values):
                function = jitted[0].args[0]
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name == "init"
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        values = [b.value for b in bindings if b.kind is BindingKind.ASSIGNMENT]
        return len(values) == len(bindings) > 0 and all(
            value is not None and _comes_from_init(value, file, depth + 1) for value in values
        )
    if isinstance(node, ast.Attribute):
        text = file.segment(node)
        assigned = [
            statement.value
            for statement in ast.walk(file.tree)
            if isinstance(statement, ast.Assign)
            and any(isinstance(t, ast.Attribute) and file.segment(t) == text for t in statement.targets)
        ]
        return bool(assigned) and all(_comes_from_init(value, file, depth + 1) for value in assigned)
    return False


def _has_star(node: ast.Tuple) -> bool:
    return any(isinstance(element, ast.Starred) for element in node.elts)


def _is_frozen(node: ast.expr, file: FileContext) -> bool:
    """`freeze(...)`, `FrozenDict(...)`, or a name bound to one."""
    if isinstance(node, ast.Call):
        return file.resolve(node.func) in _FROZEN
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        return any(
            b.value is not None and _is_frozen(b.value, file)
            for b in bindings
            if not isinstance(b.value, ast.Name)
        )
    return False


def _is_variables(node: ast.expr, file: FileContext, instances: Instances, depth: int = 0) -> bool:
    """True for what `init` of a Linen module returned, and parts of it."""
    if depth > 8:
        return False
    if isinstance(node, ast.Subscript):
        return _is_variables(node.value, file, instances, depth + 1)
    if isinstance(node, ast.Call):
        method: ast.expr = node.func
        if isinstance(method, ast.Call) and file.resolve(method.func) == "jax.jit" and method.args:
            method = method.args[0]
        if not (isinstance(method, ast.Attribute) and method.attr == "init"):
            return False
        return _is_linen(instances.class_of(method.value), file)
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        return bool(bindings) and all(
            binding.kind is BindingKind.ASSIGNMENT
            and binding.value is not None
            and _is_variables(binding.value, file, instances, depth + 1)
            for binding in bindings
        )
    return False


def _is_linen(qualified: str | None, file: FileContext, depth: int = 0) -> bool:
    """True for Linen's layers and the project's subclasses of `nn.Module`."""
    if qualified is None or depth > 8:
        return False
    if qualified.startswith("flax.linen."):
        return True
    definition = file.project.definition(qualified)
    if definition is None or not isinstance(definition.node, ast.ClassDef):
        return False
    module = definition.module
    bases = [file.project.resolve(base, module.scope_at(base), module) for base in definition.node.bases]
    return any(_is_linen(base, file, depth + 1) for base in bases)
