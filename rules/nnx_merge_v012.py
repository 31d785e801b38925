"""Rule `nnx-merge-v012`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.engine.arguments import add_arguments
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule, walk_calls

# Under these a Variable from outside can be read, but not written.
_TRANSFORMS = frozenset(
    f"jax.{name}"
    for name in (
        "grad", "value_and_grad", "jit", "vmap", "pmap", "checkpoint", "remat", "vjp", "jvp", "linearize",
        "hessian", "jacfwd", "jacrev", "lax.scan", "lax.map",
    )
)  # fmt: skip
_READ_BACK = frozenset({"flax.nnx.state", "flax.nnx.split", "flax.nnx.pop"})


class NnxMergeV012(Rule):
    """`nnx.merge` of states from outside of a transformed function, whose updates are read back.

    What it finds
    -------------
    In a function that is handed to `jax.grad`, `jax.jit`, `jax.vmap` and the like: `nnx.merge` of a state that the
    function has from around it, where `nnx.state` or `nnx.split` then reads the merged module's state back.

    Why
    ---
    `nnx.merge` used to make new Variables. Now the module gets the Variables of the state itself, and writing to
    those from inside of another trace raises TraceContextError.

    Example
    -------
        def loss_fn(params):
            model = nnx.merge(graphdef, params, counts)
            loss = jnp.mean((model(x) - y) ** 2)
            return loss, nnx.state(model, Count)

    becomes

        def loss_fn(params):
            model = nnx.merge(graphdef, params, counts, copy=True)
            loss = jnp.mean((model(x) - y) ** 2)
            return loss, nnx.state(model, Count)

    Fix safety
    ----------
    Safe. `copy=True` makes new Variables, as `nnx.merge` did; code that runs without it writes to none of them.
    A merge of which nothing is read back is left alone, and so is one outside of transformations.

    Since
    -----
    Flax 0.12.0.

    References
    ----------
    flax/nnx/graphlib.py, merge.
    """

    id = "nnx-merge-v012"
    group = "nnx"
    triggers = frozenset({"flax.nnx.merge"})
    since = "flax>=0.12"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per call."""
        for use in file.uses("flax.nnx.merge"):
            call = file.call_of(use.node)
            function = file.module.enclosing(use.node, ast.FunctionDef, ast.Lambda)
            if call is None or not isinstance(function, ast.FunctionDef):
                continue
            if any(isinstance(a, ast.Starred) for a in call.args) or call.keywords:
                continue
            outer = [name for state in call.args[1:] if (name := _from_outside(state, function, file))]
            if outer and _is_transformed(function, file) and _is_read_back(call, function, file):
                fix = file.fix()
                for edit in add_arguments(call, ["copy=True"], file.source):
                    fix.replace((edit.start, edit.end), edit.new)
                message = (
                    f"`nnx.merge` shares the Variables of `{outer[0]}`, which can't be written to in here"
                )
                yield self.finding(file, call, message, fix.build("copy them"))


def _from_outside(node: ast.expr, function: ast.FunctionDef, file: FileContext) -> str | None:
    """The source of `state` or `state.counts` where the name isn't bound in the function."""
    root = node
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return None
    inside = file.module.scopes.of_node[function]
    binder = file.module.scope_at(root).binder(root.id)
    return file.segment(node) if binder is not None and binder is not inside else None


def _is_transformed(function: ast.FunctionDef, file: FileContext) -> bool:
    """True where the function is decorated with a transformation, or is the first argument of one."""
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(decorator, ast.Call) and decorator.args and file.resolve(target) == "functools.partial":
            target = decorator.args[0]
        if file.resolve(target) in _TRANSFORMS:
            return True
    home = file.module.scope_at(function)
    for reference in file.module.scopes.names.get(function.name, ()):
        parent = file.parent(reference.node)
        if reference.scope.binder(function.name) is home and isinstance(parent, ast.Call):
            if parent.args[:1] == [reference.node] and file.resolve(parent.func) in _TRANSFORMS:
                return True
    return False


def _is_read_back(call: ast.Call, function: ast.FunctionDef, file: FileContext) -> bool:
    """True where the merged module is assigned to a name, whose state the function takes afterwards."""
    statement = file.parent(call)
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return False
    target = statement.targets[0]
    return isinstance(target, ast.Name) and any(
        other.args
        and isinstance(other.args[0], ast.Name)
        and other.args[0].id == target.id
        and file.resolve(other.func) in _READ_BACK
        for other in walk_calls(function)
    )
