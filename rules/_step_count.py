"""Whether an index that code passes along counts calls: 0, 1, 2, ... without gaps or restarts."""

from __future__ import annotations

import ast

from nnx_migrate.engine.follow import Follower
from nnx_migrate.names.modules import Module

_COUNTS = {"tqdm.tqdm", "tqdm.trange", "tqdm.auto.tqdm", "tqdm.notebook.tqdm", "tqdm.auto.trange"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def counts_from_zero(
    index: ast.expr, call: ast.Call, module: Module, follower: Follower, start: ast.Call
) -> bool:
    """True where `index`, in each run of `call`, is the number of runs since `start` was run.

    Known forms: the variable of a loop that runs `call` once each time round, and `next` of an
    `itertools.count()` that nothing else advances; directly or through parameters of the project's functions.
    """
    for _ in range(4):
        if not isinstance(index, ast.Name):
            break
        bindings = module.scope_at(index).lookup(index.id)
        if len(bindings) != 1 or not isinstance(bindings[0].node, ast.arg):
            break
        found = follower.only_call(module, call)
        if found is None or not _once(call, module, module.enclosing(call, *_FUNCTIONS)):
            return False
        module, outer, callee = found
        argument = callee.argument(outer, bindings[0].node)
        if argument is None:
            return False
        index, call = argument, outer
    if isinstance(index, ast.Call):
        return _advances(index, call, module, start)
    return isinstance(index, ast.Name) and _loop_variable(index, call, module, follower, start)


def _loop_variable(
    index: ast.Name, call: ast.Call, module: Module, follower: Follower, start: ast.Call
) -> bool:
    bindings = module.scope_at(index).lookup(index.id)
    if len(bindings) != 1:
        return False
    loop = module.enclosing(call, ast.For)
    if not isinstance(loop, ast.For) or loop.orelse:
        return False
    target, values = loop.target, loop.iter
    if isinstance(target, ast.Tuple):
        if target.elts[0] is not bindings[0].node or not _is_enumerate(values, module, follower):
            return False
    elif target is not bindings[0].node or not _is_range(values, module, follower):
        return False
    return _once(call, module, loop) and _same_block(start, loop, module)


def _is_enumerate(node: ast.expr, module: Module, follower: Follower) -> bool:
    """`enumerate(values)`, from 0."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "enumerate"):
        return False
    own = follower.callees.name(module, node.func) is not None
    return not own and len(node.args) == 1 and not node.keywords


def _is_range(node: ast.expr, module: Module, follower: Follower) -> bool:
    if not isinstance(node, ast.Call) or not node.args:
        return False
    name = follower.callees.name(module, node.func)
    if name in _COUNTS and not name.endswith("trange"):
        return _is_range(node.args[0], module, follower)
    is_range = isinstance(node.func, ast.Name) and node.func.id == "range" and name is None
    if not is_range and name not in _COUNTS:
        return False
    first = node.args[0]
    return len(node.args) == 1 or (
        len(node.args) == 2 and isinstance(first, ast.Constant) and first.value == 0
    )


def _advances(index: ast.Call, call: ast.Call, module: Module, start: ast.Call) -> bool:
    """`next(counter)` with `counter = itertools.count()`."""
    counter = index.args[0] if len(index.args) == 1 else None
    if not (isinstance(index.func, ast.Name) and index.func.id == "next" and isinstance(counter, ast.Name)):
        return False
    scope = module.scope_at(counter).binder(counter.id)
    if scope is None or len(scope.bindings[counter.id]) != 1:
        return False
    value = scope.bindings[counter.id][0].value
    made = isinstance(value, ast.Call) and not value.args and not value.keywords
    if not made or ast.unparse(value.func).rpartition(".")[2] != "count":  # type: ignore[union-attr]
        return False
    reads = [r for r in module.scopes.names.get(counter.id, ()) if r.scope.binder(counter.id) is scope]
    return len(reads) == 1 and _block(value, module) is _block(start, module)


def _once(call: ast.Call, module: Module, around: ast.AST | None) -> bool:
    """True where each run of `around` (a loop or function) runs `call` exactly once."""
    if around is None:
        return False
    statement: ast.AST = module.statement_of(call)
    body = around.body  # type: ignore[attr-defined]
    if statement not in body:
        return False
    earlier = body[: body.index(statement)]
    jumps = (ast.Continue, ast.Break, ast.Return, ast.Raise)
    skips = any(isinstance(n, jumps) for s in earlier for n in ast.walk(s) if not isinstance(s, _FUNCTIONS))
    inside = [
        n
        for n in ast.walk(statement)
        if isinstance(n, ast.IfExp | ast.Lambda | ast.ListComp | ast.GeneratorExp)
    ]
    hidden = any(n is not statement and call in list(ast.walk(n)) for n in inside)
    return not skips and not hidden


def _block(node: ast.AST | None, module: Module) -> list[ast.stmt] | None:
    """The list of statements that a node's statement stands in."""
    assert node is not None
    statement = module.statement_of(node)
    parent = module.parents[statement]
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and statement in block:
            return block
    return None


def _same_block(start: ast.Call, loop: ast.For, module: Module) -> bool:
    """True where the loop follows `start` in one block of statements, so that both run equally often."""
    block = _block(start, module)
    if block is None or loop not in block:
        return False
    return block.index(module.statement_of(start)) < block.index(loop)
