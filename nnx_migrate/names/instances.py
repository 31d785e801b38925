"""What class an expression is an instance of, as far as constructors, annotations and call sites tell.

Not a type checker: an answer is given only where every way to get at the value says the same. No answer means
that a rule has to leave the code alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_none
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Binding, BindingKind, Scope, dotted

_DEPTH = 12
_FunctionNode = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Instances:
    """Answers for one module. `constructor_of` gives the qualified name of the class."""

    def __init__(self, module: Module, project: Project) -> None:
        self.module, self.project = module, project
        self._running: set[tuple[int, str]] = set()

    def class_of(self, node: ast.expr, depth: int = 0) -> str | None:
        """Qualified name of the class that `node` is an instance of, None where that isn't certain."""
        if depth > _DEPTH:
            return None
        if isinstance(node, ast.Call):
            return self._of_call(node, depth)
        if isinstance(node, ast.Name):
            return self._of_name(node.id, self.module.scope_at(node), depth)
        if isinstance(node, ast.Attribute):
            return self._of_attribute(node, depth)
        if isinstance(node, ast.NamedExpr):
            return self.class_of(node.value, depth + 1)
        if isinstance(node, ast.IfExp):
            return _same([self.class_of(node.body, depth + 1), self.class_of(node.orelse, depth + 1)])
        return None

    def constructions(self, node: ast.expr, depth: int = 0) -> list[ast.Call]:
        """The constructor calls that `node` may come from; empty where a way to it is unknown."""
        if depth > _DEPTH:
            return []
        if isinstance(node, ast.Call):
            return [node] if self._class_named(node.func) else []
        if isinstance(node, ast.Name):
            found: list[ast.Call] = []
            for binding in self.module.scope_at(node).lookup(node.id):
                value = self._value_of(binding)
                calls = self.constructions(value, depth + 1) if value is not None else []
                if not calls:
                    return []
                found += calls
            return found
        if isinstance(node, ast.Attribute):
            found = []
            for value in self._attribute_values(node):
                calls = self.constructions(value, depth + 1)
                if not calls:
                    return []
                found += calls
            return found
        return []

    # -- parts --------------------------------------------------------------------------------------------

    def _class_named(self, node: ast.expr) -> str | None:
        """A dotted name that is a class (of the project, or from outside by its capital letter)."""
        qualified = self.project.resolve(node, self.module.scope_at(node), self.module)
        if qualified is None:
            return None
        definition = self.project.definition(qualified)
        if definition is not None:
            return qualified if isinstance(definition.node, ast.ClassDef) else None
        return qualified if qualified.rpartition(".")[2][:1].isupper() else None

    def _of_call(self, node: ast.Call, depth: int) -> str | None:
        named = self._class_named(node.func)
        if named is not None:
            return named
        return self._of_annotation(self._returns(node.func))

    def _returns(self, function: ast.expr) -> tuple[ast.expr | None, Module]:
        qualified = self.project.resolve(function, self.module.scope_at(function), self.module)
        definition = self.project.definition(qualified) if qualified else None
        if definition is not None and isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return definition.node.returns, definition.module
        return None, self.module

    def _of_annotation(self, annotated: tuple[ast.expr | None, Module]) -> str | None:
        annotation, module = annotated
        if annotation is None:
            return None
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                parsed = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return None
            path = dotted(parsed)
            return self.project.resolve_name(path, module.scopes.module, module) if path else None
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):  # X | None
            sides = [s for s in (annotation.left, annotation.right) if not is_none(s)]
            return self._of_annotation((sides[0], module)) if len(sides) == 1 else None
        if isinstance(annotation, ast.Subscript):
            outer = self.project.resolve(annotation.value, module.scope_at(annotation), module)
            if outer == "typing.Optional":
                return self._of_annotation((annotation.slice, module))
            return outer
        return self.project.resolve(annotation, module.scope_at(annotation), module)

    def _of_name(self, name: str, scope: Scope, depth: int) -> str | None:
        binder = scope.binder(name)
        if binder is None:
            return None
        key = (id(binder), name)
        if key in self._running:
            return None
        self._running.add(key)
        try:
            return _same([self._of_binding(b, binder, depth) for b in binder.bindings[name]])
        finally:
            self._running.discard(key)

    def _of_binding(self, binding: Binding, scope: Scope, depth: int) -> str | None:
        if binding.kind is BindingKind.PARAMETER and isinstance(binding.node, ast.arg):
            return self._of_parameter(binding.node, scope, depth)
        if isinstance(binding.node, ast.AnnAssign):
            annotated = self._of_annotation((binding.node.annotation, self.module))
            if annotated is not None:
                return annotated
        value = self._value_of(binding)
        return self.class_of(value, depth + 1) if value is not None else None

    def _value_of(self, binding: Binding) -> ast.expr | None:
        """The expression that a binding takes its value from; elements of tuple assignments included."""
        if binding.value is not None:
            return binding.value
        if binding.kind is not BindingKind.ASSIGNMENT or not isinstance(binding.node, ast.Name):
            return None
        parent = self.module.parents.get(binding.node)
        if isinstance(parent, ast.Tuple | ast.List):
            assign = self.module.parents.get(parent)
            if (
                isinstance(assign, ast.Assign)
                and isinstance(assign.value, ast.Tuple | ast.List)
                and len(assign.value.elts) == len(parent.elts)
            ):
                return assign.value.elts[parent.elts.index(binding.node)]
        if isinstance(parent, ast.withitem) and parent.optional_vars is binding.node:
            return parent.context_expr
        return None

    def _of_parameter(self, arg: ast.arg, scope: Scope, depth: int) -> str | None:
        if arg.annotation is not None:
            annotated = self._of_annotation((arg.annotation, self.module))
            if annotated is not None:
                return annotated
        function = scope.node
        if not isinstance(function, _FunctionNode):
            return None
        passed = list(self._arguments(function, arg.arg))
        return _same([self.class_of(value, depth + 1) for value in passed])

    def _arguments(self, function: ast.AST, parameter: str) -> Iterator[ast.expr]:
        """What the module's calls of a function pass for one parameter, seen through jit and its like.

        A decorated or wrapped function keeps its arguments' order: nnx.jit, jax.jit, value_and_grad, scan...
        """
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
        scope = self.module.scope_at(function)
        callees = {function.name, *self._wrapped_names(function.name)}
        for callee in callees:
            for reference in self.module.scopes.names.get(callee, ()):
                call = self.module.parents.get(reference.node)
                if not isinstance(call, ast.Call) or reference.scope.binder(callee) is not scope.binder(
                    callee
                ):
                    continue
                if call.func is not reference.node:
                    # nnx.value_and_grad(loss_fn)(model, ...)
                    outer = self.module.parents.get(call)
                    if not (
                        isinstance(outer, ast.Call)
                        and outer.func is call
                        and call.args[:1] == [reference.node]
                    ):
                        continue
                    call = outer
                if parameter in names and names.index(parameter) < len(call.args):
                    value = call.args[names.index(parameter)]
                    if not any(isinstance(a, ast.Starred) for a in call.args):
                        yield value
                for keyword in call.keywords:
                    if keyword.arg == parameter:
                        yield keyword.value

    def _wrapped_names(self, name: str) -> Iterator[str]:
        """Names assigned from `wrapper(name, ...)`."""
        for reference in self.module.scopes.names.get(name, ()):
            call = self.module.parents.get(reference.node)
            if isinstance(call, ast.Call) and call.args[:1] == [reference.node]:
                assign = self.module.parents.get(call)
                if isinstance(assign, ast.Assign) and isinstance(assign.targets[0], ast.Name):
                    yield assign.targets[0].id

    # -- attributes ---------------------------------------------------------------------------------------

    def _of_attribute(self, node: ast.Attribute, depth: int) -> str | None:
        annotations, values = self._attribute_sources(node)
        known = [self._of_annotation((a, self.module)) for a in annotations]
        if known and _same(known):
            return _same(known)
        return _same([self.class_of(value, depth + 1) for value in values if not is_none(value)])

    def _attribute_values(self, node: ast.Attribute) -> list[ast.expr]:
        return [value for value in self._attribute_sources(node)[1] if not is_none(value)]

    def _attribute_sources(self, node: ast.Attribute) -> tuple[list[ast.expr], list[ast.expr]]:
        """Annotations and values that the enclosing class gives to `self.x`."""
        if not (isinstance(node.value, ast.Name) and node.value.id == self_name(node, self.module)):
            return [], []
        owner = self.module.enclosing(node, ast.ClassDef)
        if not isinstance(owner, ast.ClassDef):
            return [], []
        annotations: list[ast.expr] = []
        values: list[ast.expr] = []
        for inner in ast.walk(owner):
            if isinstance(inner, ast.AnnAssign) and _names_attribute(
                inner.target, node.attr, owner, self.module
            ):
                annotations.append(inner.annotation)
            elif isinstance(inner, ast.Assign):
                values += [
                    inner.value
                    for target in inner.targets
                    if _names_attribute(target, node.attr, owner, self.module)
                ]
        return annotations, values


def self_name(node: ast.AST, module: Module) -> str | None:
    """The name of the first parameter of the method around a node (functions inside it included)."""
    function = module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef)
    while function is not None and not isinstance(module.parents.get(function), ast.ClassDef):
        function = module.enclosing(function, ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    args = [*function.args.posonlyargs, *function.args.args]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
    return args[0].arg if args and not static else None


def _names_attribute(target: ast.expr, name: str, owner: ast.ClassDef, module: Module) -> bool:
    if isinstance(target, ast.Name):
        return target.id == name and module.parents.get(module.parents[target]) is owner
    return (
        isinstance(target, ast.Attribute)
        and target.attr == name
        and isinstance(target.value, ast.Name)
        and target.value.id == self_name(target, module)
    )


def _same(answers: list[str | None]) -> str | None:
    return answers[0] if answers and len(set(answers)) == 1 else None
