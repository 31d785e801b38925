"""Rule `nnx-value-v012`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.rules._nnx_types import LAYER_VARIABLES, NNX, Attributes, is_variable_class

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

# What makes arrays: with such a call as first argument a Variable holds an array, and `[...]` reads it.
_ARRAY_MAKERS = ("jax.numpy.", "jax.random.", "jax.nn.initializers.", "jax.lax.", "numpy.")
_NOT_ARRAYS = {"jax.random.key", "jax.random.PRNGKey", "jax.random.split"}
_RAW = {"raw_value"}


class NnxValueV012(Rule):
    """`.value` of an NNX Variable, and in-place operators on one.

    What it finds
    -------------
    Reads and writes of `.value` (and `.raw_value`) where the receiver is known to be an `nnx.Variable`: an
    attribute that a class assigns `nnx.Param(...)` and the like, a parameter of NNX's own layers, a variable of
    this file. Other objects have a `.value` too: what isn't known is left alone. And in-place operators on a
    Variable: `self.count += 1`.

    Why
    ---
    `.value` is deprecated since NNX 0.12.1; in-place operators raise NotImplementedError since 0.12.0.

    Example
    -------
        y = x @ self.kernel.value
        self.count.value += 1
        self.mean.value = mean

    becomes

        y = x @ self.kernel[...]
        self.count[...] += 1
        self.mean.set_value(mean)

    Fix safety
    ----------
    Safe. `[...]` is written only for reads of Variables known to hold arrays, and to add a plain number to one;
    it raises for other values, and as an assignment it would keep the old shape and dtype. Everything else
    becomes `get_value()` and `set_value(...)`, which do what `.value` did.

    Since
    -----
    Flax 0.12.1 (in-place operators: 0.12.0).

    References
    ----------
    flax/nnx/variablelib.py, Variable.value, get_value, set_value.
    """

    id = "nnx-value-v012"
    group = "nnx"
    triggers = frozenset({"flax.nnx.*"})
    since = "flax>=0.12.1"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per read or write."""
        attributes = Attributes(file.module, file.project)
        for node in ast.walk(file.tree):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name | ast.Attribute):
                if is_variable_class(attributes.class_of(node.target), file.project):
                    yield self._in_place(file, node, attributes)
            elif isinstance(node, ast.Attribute) and node.attr in ("value", "raw_value"):
                if is_variable_class(attributes.class_of(node.value), file.project):
                    yield self._finding(file, node, attributes)

    def _in_place(self, file: FileContext, node: ast.AugAssign, attributes: Attributes) -> Finding:
        """`variable += x`, which assigned to the value and raises since 0.12.0."""
        target = file.segment(node.target)
        message = f"in-place operation on the nnx.Variable `{target}`"
        if not (_holds_array(node.target, attributes) and _is_number(node.value)):
            help = f"write {target}.set_value(...) with the new value"
            return self.finding(file, node.target, message, reason="may-change-dtype", help=help)
        fix = file.fix()
        fix.insert(file.source.span(node.target)[1], "[...]")
        return self.finding(file, node.target, message, fix.build("write `[...]`"))

    def _finding(self, file: FileContext, node: ast.Attribute, attributes: Attributes) -> Finding:
        message = f"`.{node.attr}` of an nnx.Variable"
        raw = "raw_" if node.attr in _RAW else ""
        statement = file.parent(node)
        start, end = file.source.span(node.value)[1], file.source.span(node)[1]
        fix = file.fix()
        arrays = not raw and _holds_array(node.value, attributes)
        if isinstance(statement, ast.AugAssign) and statement.target is node:
            if not (arrays and _is_number(statement.value)):
                help = f"write {file.segment(node.value)}.set_value(...) with the new value"
                return self.finding(file, node, message, reason="may-change-dtype", help=help)
            fix.replace((start, end), "[...]")
            return self.finding(file, node, message, fix.build("write `[...]`"))
        if isinstance(node.ctx, ast.Load):
            fix.replace((start, end), "[...]" if arrays else f".get_{raw}value()")
            return self.finding(
                file, node, message, fix.build("read `[...]`" if arrays else f"call get_{raw}value")
            )
        if isinstance(statement, ast.Assign) and statement.targets == [node]:
            value_start, value_end = file.source.span(statement.value)
            parenthesis = file.source.text.find("(", end, value_start)
            if parenthesis >= 0:  # around the whole value, outside of its span: they become the call's
                fix.replace((start, parenthesis), f".set_{raw}value")
            else:
                call = ast.parse(f"f({file.segment(statement.value)})", mode="eval").body
                several = isinstance(call, ast.Call) and len(call.args) != 1  # `a, b` is one tuple
                fix.replace((start, value_start), f".set_{raw}value(" + "(" * several)
                fix.insert(value_end, ")" + ")" * several)
            return self.finding(file, node, message, fix.build(f"call set_{raw}value"))
        help = f"assign to the variable itself: {file.segment(node.value)}.set_{raw}value(...)"
        return self.finding(file, node, message, reason="no-single-assignment", help=help)


def _is_number(node: ast.expr) -> bool:
    value = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(value, ast.Constant) and type(value.value) is int


def _holds_array(node: ast.expr, attributes: Attributes) -> bool:
    """True where every way to get at the Variable gives it an array."""
    if isinstance(node, ast.Attribute):
        owner = attributes.owner_of(node)
        if owner and node.attr in LAYER_VARIABLES.get(owner.removeprefix(f"{NNX}."), ()):
            return True
    values = attributes.values_of(node)
    return bool(values) and all(
        isinstance(value, ast.Call)
        and bool(value.args)
        and _makes_array(value.args[0], module, attributes.project)
        for module, value in values
    )


def _makes_array(node: ast.expr, module: Module, project: Project) -> bool:
    if isinstance(node, ast.BinOp):
        return _makes_array(node.left, module, project) or _makes_array(node.right, module, project)
    if isinstance(node, ast.UnaryOp):
        return _makes_array(node.operand, module, project)
    if not isinstance(node, ast.Call):
        return False
    maker = (
        node.func.func if isinstance(node.func, ast.Call) else node.func
    )  # initializers.normal(0.02)(key, shape)
    qualified = project.resolve(maker, module.scope_at(maker), module) or ""
    if isinstance(node.func, ast.Call):
        return ".initializers." in qualified
    return qualified.startswith(_ARRAY_MAKERS) and qualified not in _NOT_ARRAYS
