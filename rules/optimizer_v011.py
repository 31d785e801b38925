"""Rule `optimizer-v011`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial

from nnx_migrate.rules._optimizer_flow import Flow, FlowFinder

from nnx_migrate.engine.context import CannotName, FileContext, FixBuilder, ProjectContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import ProjectRule, walk_calls
from nnx_migrate.names.classes import qualified_name
from nnx_migrate.names.instances import Instances
from nnx_migrate.names.modules import Module

OPTIMIZER = "flax.nnx.Optimizer"
_WORD = re.compile(r"\bOptimizer\b")


class OptimizerV011(ProjectRule):
    """`nnx.Optimizer` as NNX 0.10 had it: no `wrt=`, `update(grads)` without the model.

    What it finds
    -------------
    Constructor calls and subclasses of `nnx.Optimizer` that rely on it holding the model: without `wrt=`, or
    with calls `optimizer.update(grads)`.

    Why
    ---
    Since NNX 0.11 an optimizer no longer holds its model: `wrt` is required and `update` takes the model.
    The old calls raise TypeError, `optimizer.model` AttributeError.

    Example
    -------
        optimizer = nnx.Optimizer(model, optax.adam(1e-3))
        ...
        optimizer.update(grads)

    becomes

        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        ...
        optimizer.update(model, grads)

    Fix safety
    ----------
    Safe. The new form is written where the optimizer can be followed from its constructor to every use and
    each `update` can name the very model it was made with. Everywhere else `nnx.Optimizer` becomes
    `nnx.ModelAndOptimizer`, which has the old behaviour exactly: where `optimizer.model` or the optimizer's
    state (which used to contain the model, also in checkpoints) is used, or where the optimizer is handed to
    code that can't be followed. A custom `wrt` filter is kept.

    Since
    -----
    Flax 0.11.0.

    References
    ----------
    flax/nnx/training/optimizer.py, classes Optimizer and ModelAndOptimizer; Flax changelog 0.11.0.
    """

    id = "optimizer-v011"
    group = "nnx"
    since = "flax>=0.11"
    texts = ("nnx", "Optimizer")

    def check_project(self, project: ProjectContext) -> Iterator[Finding]:
        """One finding per outdated constructor call or subclass, with the fix of all its uses."""
        finder = FlowFinder(project.project)
        files = project.project.files_where(lambda text: "nnx" in text and _WORD.search(text) is not None)
        for module, nodes in project.project.having(files, partial(_mentions, project=project)):
            file = project.file(module)
            for node in nodes:
                if isinstance(node, ast.ClassDef):
                    yield from self._subclass(file, node)
                    continue
                finding = self._construction(file, finder.follow(module, node))
                if finding is not None:
                    yield finding

    def _construction(self, file: FileContext, flow: Flow) -> Finding | None:
        call = flow.construction
        has_wrt = len(call.args) > 2 or any(k.arg == "wrt" for k in call.keywords)
        old = flow.old_updates
        if has_wrt and not old:
            return None
        message = (
            "`nnx.Optimizer` without `wrt`"
            if not has_wrt
            else "`nnx.Optimizer` whose updates don't pass the model"
        )
        if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
            return self.finding(
                file,
                call.func,
                message,
                reason="unpacked-arguments",
                help="write the arguments out, or use nnx.ModelAndOptimizer, which behaves as nnx.Optimizer did",
            )
        fix = file.fix()
        try:
            if flow.needs_model:
                if len(old) != len(flow.updates):
                    return self.finding(
                        file,
                        call.func,
                        message,
                        reason="mixed-updates",
                        help="some updates pass the model and some don't: write update(model, grads) everywhere",
                    )
                unclear = _gradients_by_position(file, fix, {u.call for u in flow.updates}, {OPTIMIZER})
                self._hold_model(file, flow, fix)
                if unclear is not None:
                    return self.finding(file, call.func, message, reason="keyword-gradients", help=unclear)
                title = f"use nnx.ModelAndOptimizer: {flow.needs_model[0]}"
            else:
                self._name_model(file, flow, fix, has_wrt)
                title = "pass wrt, and the model to update"
        except CannotName as error:
            return self.finding(file, call.func, message, reason="name-taken", help=str(error))
        return self.finding(file, call.func, message, fix.build(title), help=title)

    @staticmethod
    def _hold_model(file: FileContext, flow: Flow, fix: FixBuilder) -> None:
        function = flow.construction.func
        fix.replace(function, fix.name("flax.nnx.ModelAndOptimizer", at=function))
        if len(flow.construction.args) > 2:  # wrt became keyword-only nowhere, but say what it is
            fix.insert(file.source.span(flow.construction.args[2])[0], "wrt=")

    @staticmethod
    def _name_model(file: FileContext, flow: Flow, fix: FixBuilder, has_wrt: bool) -> None:
        call = flow.construction
        if not has_wrt:
            last = max([*call.args, *(k.value for k in call.keywords)], key=lambda n: file.source.span(n)[1])
            fix.insert(file.source.span(last)[1], f", wrt={fix.name('flax.nnx.Param', at=call)}")
        for update in flow.old_updates:
            other = fix.other_file(update.module)
            assert update.model is not None
            first = min(
                [*update.call.args, *update.call.keywords], key=lambda n: update.module.source.span(n)[0]
            )
            other.insert(
                update.module.source.span(first)[0],
                f"{update.model}, " if update.call.args else f"model={update.model}, ",
            )

    def _subclass(self, file: FileContext, node: ast.ClassDef) -> Iterator[Finding]:
        for base in node.bases:
            if not _is_optimizer(base, file.module, file) or not _initialises_without_wrt(node):
                continue
            message = f"`{node.name}` derives from `nnx.Optimizer` and relies on it holding the model"
            fix = file.fix()
            overrides = any(isinstance(s, ast.FunctionDef) and s.name == "update" for s in node.body)
            own = {
                call
                for call in walk_calls(node)
                if isinstance(call.func, ast.Attribute) and _is_super(call.func.value)
            }
            classes = set() if overrides else {qualified_name(file.module, node)}
            unclear = _gradients_by_position(file, fix, own, classes, strict=not overrides)
            if unclear is not None:
                yield self.finding(file, base, message, reason="keyword-gradients", help=unclear)
                continue
            try:
                fix.replace(base, fix.name("flax.nnx.ModelAndOptimizer", at=node))
            except CannotName as error:
                yield self.finding(file, base, message, reason="name-taken", help=str(error))
            else:
                yield self.finding(file, base, message, fix.build("derive from nnx.ModelAndOptimizer"))


def _mentions(module: Module, project: ProjectContext) -> list[ast.Call | ast.ClassDef]:
    """Constructor calls, and classes that derive from the optimizer."""
    file = project.file(module)
    found: list[ast.Call | ast.ClassDef] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            if _is_optimizer(node.func, module, file):
                found.append(node)
        elif isinstance(node, ast.ClassDef) and any(_is_optimizer(b, module, file) for b in node.bases):
            found.append(node)
    return found


def _is_optimizer(node: ast.expr, module: Module, file: FileContext) -> bool:
    name = node.value if isinstance(node, ast.Subscript) else node
    last = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
    if not last or not isinstance(name, ast.Name | ast.Attribute) or module.is_guarded(name):
        return False
    return file.project.resolve(name, module.scope_at(name), module) in (
        OPTIMIZER,
        "flax.nnx.optimizer.Optimizer",
    )


def _gradients_by_position(
    file: FileContext, fix: FixBuilder, known: set[ast.Call], classes: set[str], strict: bool = True
) -> str | None:
    """Turn `update(grads=g)` into `update(g)`: nnx.ModelAndOptimizer takes gradients by position only.

    Concerns the `known` calls and those on instances of `classes`. Returns what stands in the way: such a call
    on something unknown (if `strict`).
    """
    for module in file.project.mentioning("grads=", ".update("):
        instances = Instances(module, file.project)
        for node in walk_calls(module.tree):
            if not (isinstance(node.func, ast.Attribute) and node.func.attr == "update") or node.args:
                continue
            keyword = next((k for k in node.keywords if k.arg == "grads"), None)
            if keyword is None:
                continue
            if node not in known:
                of_class = instances.class_of(node.func.value)
                if of_class is None and not _is_super(node.func.value) and strict:
                    where = f"{module.path.name}:{node.lineno}"
                    return f"pass the gradients by position at {where}, then nnx.ModelAndOptimizer will do"
                if of_class not in classes:
                    continue
            start = module.source.span(keyword)[0]
            fix.other_file(module).replace((start, module.source.span(keyword.value)[0]), "")
    return None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _initialises_without_wrt(node: ast.ClassDef) -> bool:
    """True where the class, or whoever calls it, can only have the old constructor in mind."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            is_super = _is_super(inner.func.value)
            if inner.func.attr == "__init__" and is_super:
                return len(inner.args) < 3 and not any(k.arg in ("wrt", None) for k in inner.keywords)
            if inner.func.attr == "update" and is_super:
                return len(inner.args) == 1
    return any(isinstance(inner, ast.Attribute) and inner.attr == "model" for inner in ast.walk(node))
