"""Whether complex numbers stay where they are made: `spectrum = jnp.fft.rfft(x)`, then `spectrum = jnp.abs(spectrum)`.

They are followed through expressions, local variables and the results of functions, to what makes real numbers of
them. Whatever isn't understood lets them out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_ARRAY_MODULES = ("jnp", "numpy", "lax")
_REAL_RESULTS = ("real", "imag", "abs", "absolute", "angle", "irfft", "irfft2", "irfftn", "fftfreq")
_REAL_ATTRIBUTES = ("real", "imag", "shape", "ndim", "size")
_TESTS = ("isinstance", "print", "len", "abs")
_LIBRARIES = ("jax", "numpy", "builtins")
_CALLING = (
    *("vmap", "pmap", "jit", "grad", "remat", "checkpoint", "custom_vjp", "custom_jvp", "vectorize", "map"),
    *("scan", "associative_scan", "cond", "switch", "fori_loop", "while_loop", "reduce", "tree_map"),
    *("apply_along_axis", "apply_over_axes", "piecewise", "pure_callback"),
)
_ARRAY_METHODS = ("astype", "reshape", "transpose", "swapaxes", "sum", "mean", "conj", "conjugate", "squeeze")
_TRANSPARENT = (
    *(ast.Attribute, ast.BinOp, ast.UnaryOp, ast.Subscript, ast.Slice, ast.IfExp, ast.BoolOp),
    *(ast.Tuple, ast.List, ast.keyword, ast.Starred),
)
_BODIES = ("body", "orelse", "finalbody")


class ComplexNumbers:
    """Follows complex numbers of a project from where they are made."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._seen: set[ast.AST] = set()

    def get_out(self, module: Module, node: ast.AST) -> bool:
        """Whether the value of an expression may get to code that doesn't make real numbers of it."""
        if node in self._seen:
            return False  # found out elsewhere
        self._seen.add(node)
        child, parent = node, module.parents[node]
        while isinstance(parent, ast.expr | ast.keyword | ast.Slice):
            if _makes_real(parent, child):
                return False
            if isinstance(parent, ast.Call):
                if child is not parent.func and not self._is_understood(module, parent):
                    return True
            elif isinstance(parent, ast.Compare):
                return False
            elif not isinstance(parent, _TRANSPARENT):
                return True
            child, parent = parent, module.parents[parent]
        return self._from_statement(module, parent, child)

    def _from_statement(self, module: Module, statement: ast.AST, value: ast.AST) -> bool:
        if isinstance(statement, ast.Expr | ast.Assert | ast.If | ast.While):
            return False
        function = module.enclosing(statement, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        if not isinstance(function, ast.FunctionDef):
            return True
        if isinstance(statement, ast.Return):
            calls = self._calls(module, function)
            return not calls or any(self.get_out(place, call) for place, call in calls)
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
            targets = [statement.target]
        else:
            return True
        names = [name for target in targets for name in _names(target)]
        if None in names or value not in (getattr(statement, "value", None),):
            return True
        return any(
            self.get_out(module, load)
            for name in names
            if name is not None
            for load in self._loads(module, function, statement, name)
        )

    def _loads(
        self, module: Module, function: ast.FunctionDef, statement: ast.stmt, name: str
    ) -> Iterator[ast.AST]:
        """Where a variable of a function is read that gets its value in a statement: behind it, up to the next value.

        A variable of another scope is read anywhere: the function itself stands for that.
        """
        scope = module.scope_at(statement.targets[0] if isinstance(statement, ast.Assign) else statement)
        binder = scope.binder(name)
        if binder is None or binder.node is not function:
            yield function.args  # no expression: it gets out
            return
        end = None if _in_loop(module, statement, function) else _next_value(module, statement, name)
        for node in (n for inner in function.body for n in ast.walk(inner)):
            if not (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)):
                continue
            if module.scope_at(node).binder(name) is not binder:
                continue
            is_own = module.enclosing(node, ast.FunctionDef, ast.Lambda) is function
            if is_own and not _in_loop(module, statement, function):
                place = (node.lineno, node.col_offset)
                if place < (statement.lineno, statement.col_offset):
                    continue
                if end is not None and place > (end.end_lineno or 0, end.end_col_offset or 0):
                    continue
            yield node

    def _calls(self, module: Module, function: ast.FunctionDef) -> list[tuple[Module, ast.AST]]:
        """The calls of a function of a file; where others may call it, an argument list stands for these."""
        unknown: list[tuple[Module, ast.AST]] = [(module, function.args)]
        if function.decorator_list or not isinstance(module.parents[function], ast.Module):
            return unknown
        qualified = f"{module.name}.{function.name}"
        word = re.compile(rf"\b{function.name}\b")
        found: list[tuple[Module, ast.AST]] = []
        for other in self.project.matching(word, function.name):
            for node in ast.walk(other.tree):
                if isinstance(node, ast.Constant) and node.value == function.name:
                    return unknown
                if isinstance(node, ast.alias) and node.name == function.name and node.asname:
                    return unknown
                if not _is_called(node, function.name):
                    continue
                assert isinstance(node, ast.Name | ast.Attribute)
                if self.project.resolve(node, other.scope_at(node), other) != qualified:
                    if isinstance(node, ast.Attribute):
                        return unknown
                    continue
                user = other.parents[node]
                if not isinstance(user, ast.Call) or user.func is not node:
                    return unknown
                found.append((other, user))
        return found

    def _is_understood(self, module: Module, call: ast.Call) -> bool:
        """Whether a call is one of JAX's functions, or of what one returned, and calls nothing else."""
        return self.is_of_library(module, call) or (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in _ARRAY_METHODS
            and self.project.resolve(call.func, module.scope_at(call.func), module) is None
        )

    def is_of_library(self, module: Module, call: ast.Call) -> bool:
        """The same for functions only."""
        if isinstance(call.func, ast.Call):  # jax.vmap(jnp.fft.fft)(x)
            return self.is_of_library(module, call.func)
        functions = [call.func]
        if ast.unparse(call.func).rpartition(".")[2] in _CALLING:
            functions += [*call.args, *(k.value for k in call.keywords)]
        names = [self.project.resolve(f, module.scope_at(f), module) for f in functions]
        return all(name is not None and name.partition(".")[0] in _LIBRARIES for name in names)


def _makes_real(parent: ast.AST, child: ast.AST) -> bool:
    """Whether an expression is real, or no number at all, whatever its part is: `jnp.abs(x)`, `x.real`."""
    if isinstance(parent, ast.Attribute):
        return parent.attr in _REAL_ATTRIBUTES and ast.unparse(child) not in _ARRAY_MODULES
    if not isinstance(parent, ast.Call):
        return False
    if isinstance(parent.func, ast.Name):
        return parent.func.id in _TESTS
    module, _, name = ast.unparse(parent.func).rpartition(".")
    return name in _REAL_RESULTS and module.rpartition(".")[2] in (*_ARRAY_MODULES, "fft")


def _names(target: ast.expr) -> Iterator[str | None]:
    """The variables that a target binds; None for attributes and items."""
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _names(item)
    elif isinstance(target, ast.Starred):
        yield from _names(target.value)
    else:
        yield target.id if isinstance(target, ast.Name) else None


def _in_loop(module: Module, statement: ast.AST, function: ast.FunctionDef) -> bool:
    around = module.enclosing(statement, ast.For, ast.While, ast.FunctionDef)
    return around is not function


def _next_value(module: Module, statement: ast.stmt, name: str) -> ast.stmt | None:
    """The next statement of the same block that gives a variable another value."""
    around = module.parents[statement]
    blocks: list[list[ast.stmt]] = [getattr(around, body, []) for body in _BODIES]
    block = next((b for b in blocks if statement in b), [])
    for later in block[block.index(statement) + 1 :] if block else []:
        targets = later.targets if isinstance(later, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return later
    return None


def _is_called(node: ast.AST, name: str) -> bool:
    """Whether a node names something so called."""
    if isinstance(node, ast.Attribute):
        return node.attr == name
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
