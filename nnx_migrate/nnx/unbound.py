"""Local variables that a constructor reads where they hold nothing yet, or what the last round of a loop has left.

The writer takes texts from loops and methods to where modules are made. A variable of a loop means nothing there: it is
unbound, or, worse, that of another round.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.nodes import position

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def moved_out_of_loops(old: ast.AST, new: ast.AST) -> set[str]:
    """The names of such variables in the constructor of a class; `old` is what the class was.

    A compact method may go on with what the last round of its own loop has left, and the constructor with it. What the
    loops of setup call their elements means nothing in other methods.
    """
    setups = _methods(old, "setup")
    of_setup = {name for setup in setups for name in _loop_targets(setup)}
    own = {name for setup in setups for names in _out_of_place(setup) for name in names}
    found: set[str] = set()
    for constructor in _methods(new, "__init__"):
        unbound, left_over = _out_of_place(constructor)
        found |= (unbound | (left_over & of_setup)) - own
    return found


def _methods(tree: ast.AST, name: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]


def _loop_targets(function: ast.FunctionDef) -> set[str]:
    targets = [n.target for n in ast.walk(function) if isinstance(n, ast.For | ast.comprehension)]
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


def binds_streams(tree: ast.AST) -> bool:
    """Whether a constructor that gets random streams as `rngs` calls something else that, too."""
    return any(
        isinstance(node, ast.Name) and node.id == "rngs" and not isinstance(node.ctx, ast.Load)
        for function in _methods(tree, "__init__")
        if any(argument.arg == "rngs" for argument in function.args.kwonlyargs)
        for statement in function.body
        for node in _own_nodes(statement, frozenset())
    )


def _out_of_place(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """Variables that are read in front of all that binds them, and those of loops that are read elsewhere."""
    parameters = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    bound: dict[str, list[ast.AST]] = {}
    loops: dict[str, list[ast.For]] = {}
    reads: list[ast.Name] = []
    others: set[str] = set()
    for statement in function.body:
        for node in _own_nodes(statement, frozenset()):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                reads.append(node)
            elif isinstance(node, ast.Name):
                bound.setdefault(node.id, []).append(node)
            elif isinstance(node, ast.For):
                for target in (n for n in ast.walk(node.target) if isinstance(n, ast.Name)):
                    loops.setdefault(target.id, []).append(node)
            else:
                others.update(_bound_otherwise(node))
    unbound: set[str] = set()
    left_over: set[str] = set()
    for name in reads:
        places = bound.get(name.id, [])
        if not places or name.id in parameters or name.id in others:
            continue
        around = loops.get(name.id, [])
        if position(name) < min(map(position, places)):
            unbound.add(name.id)
        elif len(around) == len(places) and not any(_is_in(name, loop) for loop in around):
            left_over.add(name.id)
    return unbound, left_over


def _own_nodes(node: ast.AST, hidden: frozenset[str]) -> Iterator[ast.AST]:
    """Everything below that stands in the function's own scope, without the variables of comprehensions (`hidden`)."""
    if isinstance(node, ast.Name) and node.id in hidden:
        return
    yield node
    if isinstance(node, _SCOPES):
        return
    if isinstance(node, _COMPREHENSIONS):
        names = (n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name))
        hidden |= frozenset(names)
    for child in ast.iter_child_nodes(node):
        yield from _own_nodes(child, hidden)


def _bound_otherwise(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
        yield node.name
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names


def _is_in(node: ast.Name, loop: ast.For) -> bool:
    first, last = loop.body[0], loop.body[-1]
    return position(first) <= position(node) <= (last.end_lineno or 0, last.end_col_offset or 0)
