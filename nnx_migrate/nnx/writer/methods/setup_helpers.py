"""Methods to which `setup` leaves a part of its work, and that stay methods: `self._make_layers(width)`.

They set attributes, or return several modules. The constructor calls them where setup did, with what NNX needs beside
their arguments: sizes of inputs, and `rngs`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.classes.post_init import NAME
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.names.nodes import is_self
from nnx_migrate.nnx.writer.methods.reached import inside_maker
from nnx_migrate.nnx.writer.methods.setup_makers import only_makes

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def find_setup_helpers(analysis: ClassAnalysis) -> None:
    """Remember the calls of such methods in `analysis.setup_helpers`. What they make counts as made by setup.

    A method is one where nothing else mentions it but one call in setup, or in another such method.
    """
    analysis.setup_helpers.clear()
    analysis.kept_contexts.clear()
    setup = analysis.cls.method("setup")
    if setup is None:
        return
    found: dict[Context, tuple[ast.Call, Method]] = {}
    for context, call, method in sorted(_called(analysis), key=lambda way: len(way[0])):
        caller = found[context][1] if context in found else setup if not context else None
        if caller is not None and _may_stay(analysis, method, call, caller):
            found[(*context, call)] = call, method
    everything: list[Site | VariableSite] = [*analysis.sites, *analysis.variables]
    made = [one for one in everything if one.entry == "setup"]
    for whole, (call, method) in found.items():
        inside = [one for one in made if one.context[: len(whole)] == whole]
        goes = only_makes(method) and all(isinstance(s, Site) and inside_maker(analysis, s) for s in inside)
        if inside and not goes:
            analysis.setup_helpers[call] = method
            analysis.kept_contexts.add(whole)
    for one in made:
        if _is_kept(analysis, one.context):
            one.method = "setup"


def _is_kept(analysis: ClassAnalysis, context: Context) -> bool:
    """Whether code that setup leads to belongs to one of its helpers, or to a function in one."""
    methods = {owner_method.node for owner_method in analysis.setup_helpers.values()}
    whole = next(
        (context[:n] for n in range(len(context), 0, -1) if context[:n] in analysis.kept_contexts), ()
    )
    rest = (analysis.facts.functions.get((context[:n], context[n])) for n in range(len(whole), len(context)))
    return bool(whole) and all(
        closure is None or closure.env is not None or closure.node in methods for closure in rest
    )


def _called(analysis: ClassAnalysis) -> Iterator[tuple[Context, ast.Call, Method]]:
    """The methods of the class that only one way leads to, with that way."""
    own = {m.node: m for owner in analysis.cls.mro for m in owner.own_methods.values()}
    ways: dict[Method, list[tuple[Context, ast.AST]]] = {}
    for (context, call), closure in analysis.facts.functions.items():
        if closure.node in own and closure.self_value is not None:
            ways.setdefault(own[closure.node], []).append((context, call))
    for method, reached in ways.items():
        (context, call), *others = reached
        if not others and isinstance(call, ast.Call) and method.name not in ("setup", NAME):
            yield context, call, method


def _may_stay(analysis: ClassAnalysis, method: Method, call: ast.Call, caller: Method) -> bool:
    node, module = method.node, method.owner.module
    if method.owner is not caller.owner or method.kind != "method" or method.transforms or method.is_compact:
        return False
    if not isinstance(node, ast.FunctionDef) or node.args.vararg or node.args.kwarg or node.args.posonlyargs:
        return False
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return False
    if any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal) for n in ast.walk(node)):
        return False
    if module.enclosing(call, *_FUNCTIONS) is not caller.node:
        return False
    return list(_mentions(analysis, method)) == [call.func]


def _mentions(analysis: ClassAnalysis, method: Method) -> Iterator[ast.AST]:
    """What may mean the method anywhere in the project, and the methods of that name in the class's family."""
    cls = method.owner
    family = [other for other in analysis.session.program if cls in other.mro]
    own = {node for other in family for node in ast.walk(other.node)}
    for module in cls.program_project.matching(re.compile(rf"\.\s*{method.name}\b"), method.name):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == method.name:
                if node in own or not is_self(node.value):
                    yield node
    for other in {other for one in family for other in one.mro}:
        if method.name in other.own_methods and other is not cls:
            yield other.node
