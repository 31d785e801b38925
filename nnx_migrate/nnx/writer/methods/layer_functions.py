"""Functions that do nothing but create a layer and call it: `def conv3x3(x, n): return nn.Conv(n, (3, 3))(x)`.

The constructor creates the layer for each call of such a function, and the call becomes one of the layer. The
function itself stays as it is, for whoever else calls it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.linen.values import Closure, Instance
from nnx_migrate.names.parameters import defaults
from nnx_migrate.nnx.writer.methods.reached import closures, is_created_in, is_outside
from nnx_migrate.nnx.writer.residual.assigned import assigned_names


@dataclass(frozen=True, eq=False)
class FunctionCall:
    """A call of such a function: `call` calls the layer in it, `arguments` are what its parameters stand for."""

    site: Site
    call: ast.Call
    arguments: Mapping[str, ast.expr]
    own_names: frozenset[str]  # variables of the function, which mean nothing outside of it

    def read(self, nodes: Iterable[ast.AST]) -> dict[str, int]:
        """The parameters that expressions of the function read, and how often."""
        names = [n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)]
        return {name: names.count(name) for name in self.arguments if name in names}


def function_calls(analysis: ClassAnalysis) -> dict[ast.AST, FunctionCall]:
    """The calls of functions outside of the class that create a layer and call it, by their nodes."""
    found: dict[ast.AST, FunctionCall] = {}
    for (context, call), passed in layer_calls(analysis).items():
        if any(map(is_outside, closures(analysis, context))):
            continue
        if call in found and found[call].site is not passed.site:
            detail = "code that is reached in several ways creates or calls modules"
            raise Refuse("unsupported-syntax", detail, call)
        found[call] = passed
    return found


def layer_calls(analysis: ClassAnalysis) -> dict[tuple[Context, ast.AST], FunctionCall]:
    """Such calls wherever they stand, with the calls around them."""
    found: dict[tuple[Context, ast.AST], FunctionCall] = {}
    for (context, call), closure in analysis.facts.functions.items():
        if is_outside(closure) and isinstance(call, ast.Call):
            passed = _layer_call(analysis, (*context, call), closure)
            if passed is not None:
                found[context, call] = passed
    return found


def _layer_call(analysis: ClassAnalysis, context: Context, closure: Closure) -> FunctionCall | None:
    """The only thing that a function does, if that is to call a layer that it creates, and to return the result."""
    facts = analysis.facts
    inner = _returned_call(closure.node)
    made = facts.values.get((context, inner.func)) if inner is not None else None
    if inner is None or not isinstance(made, Instance) or not is_created_in(analysis, made.site, context):
        return None
    length = len(context)
    sites: list[Site | VariableSite] = [*facts.sites.values(), *facts.variables.values()]
    created = [site for site in sites if site.context[:length] == context]
    calls = [key for key, site in facts.calls.items() if key[0][:length] == context]
    if created != [made.site] or calls != [(context, inner)]:
        return None
    if made.site.is_held or made.site.lifts or made.site.carry_only:
        return None
    if made.site.classes:
        return None  # the function could not stay as it is: the class's constructor takes sizes now
    arguments = _arguments(closure.node, context[-1])
    given = [*inner.args, *(k.value for k in inner.keywords)]
    reads = {n.id for argument in given for n in ast.walk(argument) if isinstance(n, ast.Name)}
    own = _own_names(closure.node)
    if arguments is None or own & reads or not _parameters(closure.node) & reads <= arguments.keys():
        return None
    return FunctionCall(made.site, inner, arguments, frozenset(own))


def _returned_call(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> ast.Call | None:
    """The call whose result a function returns, where everything in front of it only binds variables."""
    if isinstance(function, ast.Lambda):
        return function.body if isinstance(function.body, ast.Call) else None
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    before, last = body[:-1], body[-1] if body else None
    if not isinstance(last, ast.Return) or function.decorator_list:
        return None
    value = last.value
    bound = before[-1] if before else None
    if isinstance(value, ast.Name) and isinstance(bound, ast.Assign):
        before.pop()
        value = bound.value if assigned_names(bound) == {value.id} else None
    plain = (ast.Assign, ast.AnnAssign)
    return value if isinstance(value, ast.Call) and all(isinstance(s, plain) for s in before) else None


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    spec = function.args
    return {a.arg for a in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]}


def _own_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Variables of a function; parameters, only if it gives them new values."""
    return {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _arguments(
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, call: ast.AST
) -> dict[str, ast.expr] | None:
    """What a call gives the parameters of a function, defaults included; None where some of it is hidden."""
    spec = function.args
    hidden = not isinstance(call, ast.Call) or any(isinstance(a, ast.Starred) for a in call.args)
    if hidden or not isinstance(call, ast.Call) or any(k.arg is None for k in call.keywords):
        return None
    names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
    found = {arg.arg: default for arg, default in defaults(spec)}
    found |= dict(zip(names, call.args, strict=False))
    return found | {str(k.arg): k.value for k in call.keywords}
