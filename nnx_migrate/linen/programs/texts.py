"""What a computed text may be: `f"get_{name}_config"`, an entry of a table, what callers hand over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nnx_migrate.linen.programs.callees import Callee, FunctionNode, parameter_of
from nnx_migrate.linen.programs.flow import FlowFinder
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Binding, BindingKind, Scope

ANYTHING = ".*"
_MAX_DEPTH = 6
_MAX_RESULTS = 200
_REPLACED = re.compile(r"\{[^{}]*\}|%[-\d.]*[srdif]")


class Texts:
    """Regular expressions that the value of an expression must match; `ANYTHING` where nothing is known."""

    def __init__(self, finder: FlowFinder) -> None:
        self.finder = finder

    def patterns(self, module: Module, node: ast.expr, depth: int = 0) -> set[str]:
        """Every text that the expression may give, as patterns for `re.fullmatch`."""
        found = set(self._patterns(module, node, depth)) if depth <= _MAX_DEPTH else {ANYTHING}
        return {ANYTHING} if ANYTHING in found or len(found) > _MAX_RESULTS else found

    def _patterns(self, module: Module, node: ast.expr, depth: int) -> Iterator[str]:
        if isinstance(node, ast.Constant):
            yield re.escape(str(node.value))
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else ANYTHING
                for part in node.values
            )
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            for left in self.patterns(module, node.left, depth + 1):
                yield from (left + right for right in self.patterns(module, node.right, depth + 1))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield _filled(node.left)
        elif _is_format(node):
            assert isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            yield _filled(node.func.value)
        elif isinstance(node, ast.IfExp):
            yield from self.patterns(module, node.body, depth + 1)
            yield from self.patterns(module, node.orelse, depth + 1)
        elif isinstance(node, ast.Name):
            yield from self._of_name(module, module.scope_at(node), node, depth)
        elif isinstance(node, ast.Subscript):
            yield from self._of_elements(module, node.value, (), depth)
        else:
            yield ANYTHING

    def _of_name(self, module: Module, scope: Scope, node: ast.Name, depth: int) -> Iterator[str]:
        bindings = scope.lookup(node.id)
        if not bindings:
            yield ANYTHING
        for binding in bindings:
            if binding.value is not None and isinstance(
                binding.value, ast.Name | ast.Constant | ast.JoinedStr
            ):
                same = isinstance(binding.value, ast.Name) and binding.value.id == node.id
                yield from [ANYTHING] if same else self.patterns(module, binding.value, depth + 1)
            elif binding.value is not None:
                yield from self.patterns(module, binding.value, depth + 1)
            elif binding.kind is BindingKind.PARAMETER:
                yield from self._of_parameter(module, scope, binding, depth)
            else:
                yield from self._of_target(module, binding, depth)

    def _of_target(self, module: Module, binding: Binding, depth: int) -> Iterator[str]:
        """`place, name = TABLE[key]`, `for name in NAMES`."""
        target = binding.node
        path: tuple[int, ...] = ()
        parent = module.parents.get(target)
        if isinstance(parent, ast.Tuple | ast.List) and isinstance(target, ast.expr):
            path, target = (parent.elts.index(target),), parent
            parent = module.parents.get(parent)
        if isinstance(parent, ast.Assign) and target in parent.targets and path:
            if isinstance(parent.value, ast.Subscript):
                yield from self._of_elements(module, parent.value.value, path, depth)
            else:
                yield from self._of_elements(module, parent.value, (), depth)
        elif isinstance(parent, ast.For | ast.comprehension) and parent.target is target:
            yield from self._of_elements(module, parent.iter, path, depth)
        else:
            yield ANYTHING

    def _of_elements(
        self, module: Module, node: ast.expr, path: tuple[int, ...], depth: int
    ) -> Iterator[str]:
        """The elements of a display that is never changed, or their parts at `path`."""
        if isinstance(node, ast.Name):
            bindings = module.scope_at(node).lookup(node.id)
            value = bindings[0].value if len(bindings) == 1 else None
            if value is None or not self._only_read(module, node):
                yield ANYTHING
                return
            node = value
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            values += node.values if None not in node.keys else [None]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            values += node.elts
        for value in values or [None]:
            inner = value
            for index in path:
                known = isinstance(inner, ast.Tuple | ast.List) and index < len(inner.elts)
                inner = inner.elts[index] if known and isinstance(inner, ast.Tuple | ast.List) else None
            yield from self.patterns(module, inner, depth + 1) if inner is not None else [ANYTHING]

    def _only_read(self, module: Module, name: ast.Name) -> bool:
        """Whether nothing adds to a table: it is only subscripted and looped over, in its own file."""
        scope = module.scope_at(name).binder(name.id)
        if scope is None:
            return False
        reads = list(self.finder.index.all_reads(module, scope, name.id))
        for where, read in reads:
            parent = where.parents[read]
            looked_up = isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load)
            looped = isinstance(parent, ast.For | ast.comprehension) and parent.iter is read
            if not (looked_up or looped or isinstance(parent, ast.Compare)):
                return False
        return bool(reads)

    def _of_parameter(self, module: Module, scope: Scope, binding: Binding, depth: int) -> Iterator[str]:
        """What the calls of a function hand over, if all of them are known."""
        binder = scope.binder(binding.name)
        function = binder.node if binder is not None else None
        if not isinstance(function, FunctionNode) or module.parents.get(function) is not module.tree:
            yield ANYTHING
            return
        flow = self.finder.function(module, function)
        if flow.escapes:
            yield ANYTHING
        for where, call in flow.results:
            passed = isinstance(call, ast.Call) and _argument(where, call, function, binding.name)
            yield from self.patterns(where, passed, depth + 1) if passed else [ANYTHING]


def _argument(module: Module, call: ast.Call, function: FunctionNode, name: str) -> ast.expr | None:
    """The argument of a call for a parameter."""
    if any(isinstance(a, ast.Starred) for a in call.args):
        return None
    callee = Callee(module, function)
    arguments: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    for passed in arguments:
        if parameter_of(callee, call, passed) == name:
            return passed.value if isinstance(passed, ast.keyword) else passed
    return None


def _is_format(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"


def _filled(node: ast.expr) -> str:
    """`"models.{}"` and `"models.%s"` with anything in the gaps."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return ANYTHING
    return ANYTHING.join(re.escape(piece) for piece in _REPLACED.split(node.value))
