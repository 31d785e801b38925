"""Functions of the project that decorate methods: they prepare the arguments, or do something with the result.

    def with_many_actions(forward):
        def wrapped(self, observations, actions, **kwargs):
            ...
            return forward(self, observations, actions, **kwargs)
        return wrapped

Such a function knows nothing of Flax: it wraps the method of the NNX class just as well.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.dims import same
from nnx_migrate.linen.interpreter.convert import effect_value, input_array
from nnx_migrate.linen.interpreter.dispatch import execute
from nnx_migrate.linen.interpreter.frame import Frame, Session, Slot
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Input
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project


@dataclass(frozen=True)
class Wrapper:
    """The `inner` function that a decorator returns, and the name under which it calls the method."""

    inner: ast.FunctionDef
    method: str
    module: Module

    @property
    def calls(self) -> list[ast.Call]:
        """The calls of the method."""
        calls = (n for n in ast.walk(self.inner) if isinstance(n, ast.Call))
        return [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == self.method]


def wrapper(decorator: ast.expr, module: Module, project: Project) -> Wrapper | None:
    """What a decorator puts around a method; None where that isn't such a function."""
    if not isinstance(decorator, ast.Name | ast.Attribute):
        return None
    definition = project.definition(project.resolve(decorator, module.scope_at(decorator), module) or "")
    function = definition.node if definition is not None else None
    if definition is None or not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return None
    args = function.args
    if len(args.args) != 1 or args.posonlyargs or args.kwonlyargs or args.vararg or args.kwarg:
        return None
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if len(body) != 2 or not isinstance(body[0], ast.FunctionDef) or not isinstance(body[1], ast.Return):
        return None
    inner, returned = body[0], body[1].value
    if not isinstance(returned, ast.Name) or returned.id != inner.name:
        return None
    found = Wrapper(inner, args.args[0].arg, definition.module)
    return found if _hands_on(found) and not _knows_flax(inner, found.module, project) else None


def _hands_on(found: Wrapper) -> bool:
    """Whether the function does nothing with the module and its method but to call this on that."""
    spec, method = found.inner.args, found.method
    if (
        not spec.args
        or spec.posonlyargs
        or spec.kwonlyargs
        or spec.vararg
        or spec.defaults
        or not found.calls
    ):
        return False
    module = spec.args[0].arg
    kwargs = spec.kwarg.arg if spec.kwarg is not None else None
    for decorator in found.inner.decorator_list:
        text = ast.unparse(decorator)
        if text not in (f"functools.wraps({method})", f"wraps({method})"):
            return False
    names = [n for s in found.inner.body for n in ast.walk(s) if isinstance(n, ast.Name)]
    for name, uses in ((module, 1), (method, 1), (kwargs, 1)):
        if name is not None and sum(n.id == name for n in names) != uses * len(found.calls):
            return False
    for call in found.calls:
        first = call.args[0] if call.args else None
        hidden = [k.value for k in call.keywords if k.arg is None]
        if not (isinstance(first, ast.Name) and first.id == module):
            return False
        if any(isinstance(a, ast.Starred) for a in call.args):
            return False
        if [n.id if isinstance(n, ast.Name) else "" for n in hidden] != ([kwargs] if kwargs else []):
            return False
    return True


def _knows_flax(node: ast.AST, module: Module, project: Project) -> bool:
    for name in (n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute)):
        qualified = project.resolve(name, module.scope_at(name), module) or ""
        if qualified.partition(".")[0] == "flax":
            return True
    return False


def changed_arguments(found: Wrapper, method: Method, session: Session) -> set[str]:
    """The arguments that the method gets in another form than the callers give them, with features as they were.

    `session` is a new one for the class. Raises Refuse where it may get other features, or other arguments.
    """
    parameters = method.parameters
    own = [a.arg for a in found.inner.args.args[1:]]
    if own != parameters[: len(own)]:
        raise _refused(found, "takes other arguments")
    frame = Frame(session, found.module, {}, self_value=session.self_value)
    frame.env[found.inner.args.args[0].arg] = Slot(Unknown("the module"))
    frame.env[found.method] = Slot(Unknown("the method"))
    for name in own:
        session.inputs_seen.setdefault((name,))
        frame.env[name] = Slot(Input((name,)))
    if found.inner.args.kwarg is not None:
        frame.env[found.inner.args.kwarg.arg] = Slot(Unknown("further arguments"))
    execute(frame, found.inner.body)
    changed: set[str] = set()
    for call in found.calls:
        if len(call.args) - 1 > len(parameters):
            raise _refused(found, "gives other arguments")
        given = dict(zip(parameters, call.args[1:], strict=False))
        given.update({k.arg: k.value for k in call.keywords if k.arg is not None})
        for name, node in given.items():
            value = session.facts.values.get(((), node))
            if value == Input((name,)):
                continue
            array = effect_value(session, value)
            features = input_array(session, Input((name,))).shape.dim(-1)
            if not isinstance(array, Array) or same(array.shape.dim(-1), features) is not True:
                raise _refused(found, f"may give `{name}` other features")
            changed.add(name)
    return changed


def _refused(found: Wrapper, detail: str) -> Refuse:
    return Refuse("unsupported-layer", f"the decorator around `{found.method}` {detail}", found.inner)
