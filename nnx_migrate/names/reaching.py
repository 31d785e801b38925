"""Which of a name's bindings a read of it may see: `model = A(); model = B(); model(x)` calls the second.

Structured code alone is judged: reads in the scope that binds the name, in the order of its blocks. A function that
reads the name runs after its definition, so that it sees what the name has there or gets later. Wherever a function
binds the name (`global`, `nonlocal`), every binding counts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import COMPREHENSIONS, Binding, Scope

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def reaches(module: Module, scope: Scope, name: str, bound: ast.AST, read: ast.AST) -> bool:
    """Whether what `bound` (a target, parameter or statement) binds in `scope` may be what `read` sees."""
    if scope.is_class or not _binds_in(module, scope, bound):
        return True
    runs_later = not _runs_in(module, scope, read)
    if runs_later:
        function = _function_around(module, scope, read)
        if function is None or _comes_later(module, bound, function):
            return True
        read = function
    above = list(_chain(module, scope, read))
    loops = [node for node, *_ in above if isinstance(node, _LOOPS)]
    if not runs_later and not any(_contains(module, loop, bound) for loop in loops):
        if _comes_later(module, bound, read) or _is_in_another_branch(module, above, bound):
            return False
    for _, block, index in above:
        for before in range(index - 1, -1, -1):
            if _surely_binds(block[before], name):
                between = (
                    block[before:index]
                    if _is_target_beside(block[index], bound)
                    else block[before : index + 1]
                )
                if not any(_contains(module, statement, bound) for statement in between):
                    return False
                break
    return True


def reaching(
    module: Module, scope: Scope, name: str, bindings: Iterable[Binding], read: ast.AST
) -> list[Binding]:
    """The bindings that a read may see; all of them where that leaves none."""
    known = list(bindings)
    return [b for b in known if reaches(module, scope, name, b.node, read)] or known


def _runs_in(module: Module, scope: Scope, read: ast.AST) -> bool:
    """Whether a read runs with the statements of the scope, and not whenever a function is called."""
    own = module.scope_at(read)
    while own is not scope:
        if (
            not isinstance(own.node, COMPREHENSIONS)
            or isinstance(own.node, ast.GeneratorExp)
            or own.parent is None
        ):
            return False
        own = own.parent
    return True


def _function_around(module: Module, scope: Scope, read: ast.AST) -> ast.AST | None:
    """The outermost function, generator or class within the scope that a read stands in."""
    own = module.scope_at(read)
    while own.parent is not None and own.parent is not scope:
        own = own.parent
    return own.node if own.parent is scope else None


def _binds_in(module: Module, scope: Scope, bound: ast.AST) -> bool:
    if isinstance(bound, ast.arg):
        return module.scopes.of_node.get(module.enclosing(bound, *_FUNCTIONS) or bound) is scope
    return module.scope_at(bound) is scope


def _chain(module: Module, scope: Scope, node: ast.AST) -> Iterator[tuple[ast.AST, list[ast.stmt], int]]:
    """The statements around a node with the blocks that they stand in, innermost first, as far as the scope goes."""
    while node is not scope.node:
        parent = module.parents[node]
        if isinstance(node, ast.stmt):
            for _, value in ast.iter_fields(parent):
                if isinstance(value, list) and any(item is node for item in value):
                    yield node, value, next(i for i, item in enumerate(value) if item is node)
        node = parent


def _is_in_another_branch(
    module: Module, above: Iterable[tuple[ast.AST, list[ast.stmt], int]], bound: ast.AST
) -> bool:
    """Whether a condition runs either the binding or what is `above` the read."""
    for node, block, _ in above:
        parent = module.parents[node]
        others: list[ast.stmt] = []
        if isinstance(parent, ast.If):
            others = parent.orelse if block is parent.body else parent.body
        elif isinstance(parent, ast.match_case):
            match = module.parents[parent]
            cases = match.cases if isinstance(match, ast.Match) else []
            others = [statement for case in cases if case is not parent for statement in case.body]
        if any(_contains(module, statement, bound) for statement in others):
            return True
    return False


def _surely_binds(statement: ast.stmt, name: str) -> bool:
    """Whether the name has a new value once a statement has run."""
    if isinstance(statement, ast.If):
        return all(
            any(_surely_binds(inner, name) or isinstance(inner, ast.Return | ast.Raise) for inner in block)
            for block in (statement.body, statement.orelse)
        )
    if isinstance(statement, ast.Assign):
        return any(_is_bound(target, name) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None and _is_bound(statement.target, name)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name == name
    if isinstance(statement, ast.ImportFrom | ast.Import):
        return any((alias.asname or alias.name) == name for alias in statement.names)
    return False


def _is_bound(target: ast.expr, name: str) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return any(_is_bound(part, name) for part in target.elts)
    return isinstance(target, ast.Name) and target.id == name


def _is_target_beside(statement: ast.stmt, bound: ast.AST) -> bool:
    """Whether `bound` is a target of an assignment, which its own value doesn't see."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return statement is bound or any(part is bound for target in targets for part in ast.walk(target))


def _comes_later(module: Module, bound: ast.AST, read: ast.AST) -> bool:
    """Whether a binding runs after a read that no loop repeats."""
    if isinstance(bound, ast.arg):
        return False
    first, second = module.statement_of(read), module.statement_of(bound)
    if first is second:
        return _is_target_beside(second, bound)
    if _contains(module, second, read):
        return False  # `with open() as name:` around the read
    return (second.lineno, second.col_offset) > (first.lineno, first.col_offset) and not _contains(
        module, first, bound
    )


def _contains(module: Module, outer: ast.AST, node: ast.AST) -> bool:
    current: ast.AST | None = node
    while current is not None and current is not outer:
        current = module.parents.get(current)
    return current is outer
