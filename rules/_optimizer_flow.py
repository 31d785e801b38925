"""Where an `nnx.Optimizer` goes after it is made, and which name holds its model there.

Used by `optimizer-v011`. The flow is followed from the constructor call through names, attributes of `self`,
closures and calls of the project's own functions (seen through jit and differentiation wrappers). Whatever is
not understood is an *escape*: the optimizer may then be used in ways that nobody sees here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from nnx_migrate.names.instances import self_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind, Scope

# Attributes of an optimizer that the new class has as well.
_HARMLESS = {"opt_state", "step", "tx", "wrt"}
# Wrappers that pass their arguments through to the wrapped function, position by position.
_TRANSPARENT = {
    "flax.nnx.jit", "flax.nnx.grad", "flax.nnx.value_and_grad", "flax.nnx.remat", "flax.nnx.checkpoint",
    "flax.nnx.custom_vjp", "jax.named_call", "jax.profiler.annotate_function", "functools.wraps",
}  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Update:
    """A call `optimizer.update(...)`. `model` is what the model is called there, None where nothing names it."""

    module: Module
    call: ast.Call
    model: str | None


@dataclass
class Flow:
    """All that is known of one optimizer."""

    module: Module
    construction: ast.Call
    updates: list[Update] = field(default_factory=list)
    needs_model: list[str] = field(default_factory=list)  # why the optimizer has to keep holding its model

    @property
    def old_updates(self) -> list[Update]:
        """Calls that pass gradients alone, as NNX 0.10 had it."""
        return [u for u in self.updates if _gradients_only(u.call)]


def _gradients_only(call: ast.Call) -> bool:
    names = {k.arg for k in call.keywords}
    return len(call.args) + ("grads" in names) == 1 and "model" not in names and None not in names


class FlowFinder:
    """Follows optimizers through a project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def follow(self, module: Module, construction: ast.Call) -> Flow:
        """The flow of the optimizer that a constructor call makes."""
        flow = Flow(module, construction)
        tracker = _Tracker(self.project, flow)
        arguments = {k.arg: k.value for k in construction.keywords}
        model = construction.args[0] if construction.args else arguments.get("model")
        tracker.value(module, construction, _stable_name(model, module))
        return flow


def _stable_name(node: ast.expr | None, module: Module) -> str | None:
    """`model` or `self.model`, if nothing else is ever assigned to it."""
    if isinstance(node, ast.Name):
        return node.id if len(module.scope_at(node).lookup(node.id)) == 1 else None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id != self_name(node, module):
            return None
        owner = module.enclosing(node, ast.ClassDef)
        assert owner is not None
        stores = [n for n in _self_attributes(owner, node.attr, module) if isinstance(n.ctx, ast.Store)]
        return f"{node.value.id}.{node.attr}" if len(stores) == 1 else None
    return None


def _self_attributes(owner: ast.AST, attr: str, module: Module) -> Iterator[ast.Attribute]:
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and node.attr == attr and isinstance(node.value, ast.Name):
            if node.value.id == self_name(node, module):
                yield node


@dataclass
class _Tracker:
    project: Project
    flow: Flow
    seen: set[tuple[int, str, str | None]] = field(default_factory=set)

    def escape(self, why: str) -> None:
        if why not in self.flow.needs_model:
            self.flow.needs_model.append(why)

    def value(self, module: Module, node: ast.expr, model: str | None) -> None:
        """The optimizer is the value of `node`: see what becomes of it."""
        parent = module.parents[node]
        if isinstance(parent, ast.Assign | ast.AnnAssign) and parent.value is node:
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            for target in targets:
                self.target(module, target, model)
        elif isinstance(parent, ast.NamedExpr):
            self.target(module, parent.target, model)
        elif isinstance(parent, ast.Attribute):
            self.attribute(module, parent, model)
        elif isinstance(parent, ast.Call) and parent.func is not node:
            self.argument(module, parent, node, model)
        elif isinstance(parent, ast.keyword):
            call = module.parents[parent]
            assert isinstance(call, ast.Call)
            self.argument(module, call, parent, model)
        elif isinstance(parent, ast.Expr):
            pass
        elif isinstance(parent, ast.Tuple) and isinstance(module.parents[parent], ast.Call):
            together = any(ast.unparse(element) == model for element in parent.elts)
            if not (together and self._callee(module, module.parents[parent]) in _STATE_FUNCTIONS):  # type: ignore[arg-type]
                self.escape("it is passed on inside a tuple")
        else:
            self.escape("it is stored or passed on in a way that can't be followed")

    def target(self, module: Module, target: ast.expr, model: str | None) -> None:
        if isinstance(target, ast.Name):
            scope = module.scope_at(target).binder(target.id) or module.scope_at(target)
            if len(scope.bindings.get(target.id, ())) != 1:
                self.escape(f"`{target.id}` is assigned more than once")
            self.name(module, scope, target.id, model)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            owner = module.enclosing(target, ast.ClassDef)
            if owner is None or target.value.id != self_name(target, module):
                self.escape("it is stored in an attribute of another object")
                return
            held = self._held_model(module, owner, model, target)
            key = (id(owner), target.attr, held)
            if key in self.seen:
                return
            self.seen.add(key)
            if sum(isinstance(n.ctx, ast.Store) for n in _self_attributes(owner, target.attr, module)) != 1:
                self.escape(f"`{ast.unparse(target)}` is assigned more than once")
            for use in _self_attributes(owner, target.attr, module):
                if isinstance(use.ctx, ast.Load):
                    self.value(module, use, held)
            self._outside_uses(target.attr, owner)
        else:
            self.escape("it is stored in a container")

    def _outside_uses(self, attr: str, owner: ast.AST) -> None:
        """`agent.optimizer` elsewhere in the project: another way to it."""
        for module in self.project.mentioning(f".{attr}"):
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Attribute) and node.attr == attr and isinstance(node.ctx, ast.Load):
                    inside = module.enclosing(node, ast.ClassDef) is owner
                    own = isinstance(node.value, ast.Name) and node.value.id == self_name(node, module)
                    further = module.parents[node]
                    harmless = isinstance(further, ast.Attribute) and further.attr in _HARMLESS
                    if not (inside and own) and not (own and not inside) and not harmless:
                        self.escape(f"`.{attr}` is also used from outside of its class")
                        return

    def _held_model(
        self, module: Module, owner: ast.AST, model: str | None, target: ast.Attribute
    ) -> str | None:
        """The attribute that holds the model beside the optimizer: `self.model = model` in the same method."""
        if model is None or "." in model:
            return model
        function = module.enclosing(target, *_FUNCTIONS)
        self_ = self_name(target, module)
        for statement in ast.walk(function) if function else ():
            if (
                isinstance(statement, ast.Assign)
                and isinstance(statement.value, ast.Name)
                and statement.value.id == model
            ):
                for place in statement.targets:
                    if (
                        isinstance(place, ast.Attribute)
                        and isinstance(place.value, ast.Name)
                        and place.value.id == self_
                    ):
                        return _stable_name(place, module)
        return None

    def name(self, module: Module, scope: Scope, name: str, model: str | None) -> None:
        """The optimizer is bound to a name in a scope: follow all reads."""
        key = (id(scope), name, model)
        if key in self.seen:
            return
        self.seen.add(key)
        for reference in module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is scope and isinstance(reference.node, ast.Name):
                visible = model if self._visible(reference.scope, scope, model) else None
                self.value(module, reference.node, visible)
        if scope.is_module and self._imported_elsewhere(module, name):
            self.escape(f"`{name}` is imported by another file")

    @staticmethod
    def _visible(inner: Scope, outer: Scope, model: str | None) -> bool:
        """True where `model` means the same in both scopes."""
        root = (model or "").partition(".")[0]
        return bool(root) and inner.binder(root) is outer.binder(root)

    def _imported_elsewhere(self, module: Module, name: str) -> bool:
        stem = module.name.rpartition(".")[2]
        for other in self.project.mentioning(stem, name):
            if other is not module:
                for bindings in other.scopes.module.bindings.values():
                    for binding in bindings:
                        if binding.kind is BindingKind.IMPORT and binding.target.endswith(f"{stem}.{name}"):
                            return True
        return False

    def attribute(self, module: Module, node: ast.Attribute, model: str | None) -> None:
        """`optimizer.<attr>`."""
        call = module.parents[node]
        if node.attr == "update" and isinstance(call, ast.Call) and call.func is node:
            self.flow.updates.append(Update(module, call, model))
            if _gradients_only(call) and model is None:
                self.escape("nothing names the model where gradients are applied")
        elif node.attr not in _HARMLESS:
            self.escape(f"`.{node.attr}` of the optimizer is used")

    def argument(
        self, module: Module, call: ast.Call, passed: ast.expr | ast.keyword, model: str | None
    ) -> None:
        """The optimizer is an argument of a call."""
        callee = self._callee(module, call)
        if callee in _STATE_FUNCTIONS:
            self.escape("its state is taken, and a checkpoint made of it would lack the model")
            return
        found = self._function(module, call.func)
        if found is None:
            self.escape(f"it is passed to `{ast.unparse(call.func)}`, which can't be looked into")
            return
        other, function, bound = found
        parameter = _parameter_for(function, call, passed, bound)
        if parameter is None:
            self.escape(f"it is passed to `{function.name}` in a way that can't be matched to a parameter")
            return
        names = [
            name
            for argument in [*call.args, *call.keywords]
            if model is not None
            and ast.unparse(argument.value if isinstance(argument, ast.keyword) else argument) == model
            and (name := _parameter_for(function, call, argument, bound))
        ]
        scope = other.scopes.of_node[function]
        if len(scope.bindings.get(parameter, ())) != 1:
            self.escape(f"parameter `{parameter}` of `{function.name}` is reassigned")
        inner = names[0] if len(names) == 1 and len(scope.bindings.get(names[0], ())) == 1 else None
        if (
            inner is None
            and model is not None
            and self._visible(scope, module.scope_at(call), model)
            and other is module
        ):
            inner = model if "." not in model else None
        self.name(other, scope, parameter, inner)
        self._agree(function, parameter, inner)

    def _agree(self, function: ast.AST, parameter: str, model: str | None) -> None:
        """Two calls of one function must name the model by the same parameter."""
        models = {m for f, p, m in self._parameters if f is function and p == parameter} | {model}
        self._parameters.append((function, parameter, model))
        if len(models) > 1:
            self.escape("calls of one function disagree on which argument is the model")

    _parameters: list[tuple[ast.AST, str, str | None]] = field(default_factory=list)

    def _callee(self, module: Module, call: ast.Call) -> str | None:
        return self.project.resolve(call.func, module.scope_at(call), module)

    def _function(
        self, module: Module, node: ast.expr, depth: int = 0
    ) -> tuple[Module, ast.FunctionDef | ast.AsyncFunctionDef, bool] | None:
        """The project function that a callee means; `bound` where it is a method called on self."""
        if depth > 5:
            return None
        scope = module.scope_at(node)
        if isinstance(node, ast.Call):  # nnx.jit(step)(...), nnx.value_and_grad(loss_fn)(...)
            if self._callee(module, node) in _TRANSPARENT and node.args:
                return self._function(module, node.args[0], depth + 1)
            return None
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = module.enclosing(node, ast.ClassDef)
            if owner is not None and node.value.id == self_name(node, module):
                assert isinstance(owner, ast.ClassDef)
                methods = [s for s in owner.body if isinstance(s, _FUNCTIONS) and s.name == node.attr]
                return (
                    (module, methods[0], True)
                    if len(methods) == 1 and self._plain(module, methods[0])
                    else None
                )
        if isinstance(node, ast.Name):
            bindings = scope.lookup(node.id)
            if len(bindings) == 1 and isinstance(bindings[0].node, _FUNCTIONS):
                function = bindings[0].node
                return (module, function, False) if self._plain(module, function) else None
            if len(bindings) == 1 and bindings[0].value is not None:
                return self._function(module, bindings[0].value, depth + 1)
        qualified = self.project.resolve(node, scope, module)
        definition = self.project.definition(qualified) if qualified else None
        if definition is not None and isinstance(definition.node, _FUNCTIONS):
            if self._plain(definition.module, definition.node):
                return definition.module, definition.node, False
        return None

    def _plain(self, module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """True where no decorator changes which argument is which."""
        for decorator in function.decorator_list:
            target = decorator
            if isinstance(decorator, ast.Call):
                target = decorator.func
                name = self.project.resolve(target, module.scope_at(decorator), module)
                if name == "functools.partial" and decorator.args:
                    target = decorator.args[0]
            if self.project.resolve(target, module.scope_at(decorator), module) not in _TRANSPARENT:
                return False
        return not (function.args.vararg or function.args.kwarg)


_STATE_FUNCTIONS = {
    f"flax.nnx.{name}" for name in ("state", "split", "update", "graphdef", "clone", "pop", "eval_shape")
}


def _parameter_for(
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    call: ast.Call,
    passed: ast.expr | ast.keyword,
    bound: bool,
) -> str | None:
    """The parameter that receives an argument."""
    parameters = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
    if isinstance(passed, ast.keyword):
        known = {*parameters, *(a.arg for a in function.args.kwonlyargs)}
        return passed.arg if passed.arg in known else None
    if passed not in call.args or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    index = call.args.index(passed) + bound
    return parameters[index] if index < len(parameters) else None
