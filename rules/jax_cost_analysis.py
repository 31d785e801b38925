from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding
from nnx_migrate.engine.rule import Rule

_STAGES = {"cost_analysis": "compile", "compile": "lower", "lower": ""}


class JaxCostAnalysis(Rule):
    """`cost_analysis()` of a compiled function is a dict, no longer a list of one.

    What it finds
    -------------
    `compiled.cost_analysis()[0]`, where `compiled` is `jax.jit(f).lower(...).compile()`: written out, or through names
    that are bound once.

    Why
    ---
    The list is gone: `[0]` raises `KeyError`.

    Example
    -------
    ::

        flops = compiled.cost_analysis()[0]["flops"]
        # becomes
        flops = compiled.cost_analysis()["flops"]

    Fix safety
    ----------
    Safe: the dict is what the list held. Code that looks at the type first serves both releases and stays.

    Since
    -----
    JAX 0.5.0.

    References
    ----------
    https://docs.jax.dev/en/latest/changelog.html
    """

    id = "jax-cost-analysis"
    group = "jax"
    triggers = frozenset({"jax.jit"})
    since = "jax>=0.5.0"

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per `[0]`."""
        if "cost_analysis" not in file.source.text:
            return
        for node in file.module.nodes(ast.Subscript):
            first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
            if not (first and type(node.slice.value) is int and _is_stage(file, node.value, "cost_analysis")):
                continue
            message = "`cost_analysis()` is a dict since jax 0.5.0, no list of one"
            end = file.source.span(node.value)[1]
            if "#" in file.source.text[end : file.source.span(node)[1]]:
                help = "take `[0]` away: a comment stands in it"
                yield self.finding(file, node, message, reason="unclear-place", help=help)
                continue
            fix = file.fix()
            fix.delete(end, file.source.span(node)[1])
            yield self.finding(file, node, message, fix.build("read the dict"))


def _is_stage(file: FileContext, node: ast.expr, method: str, depth: int = 0) -> bool:
    """Whether `node` is what `method` of the chain `jax.jit(f).lower(...).compile().cost_analysis()` gives."""
    if isinstance(node, ast.Name):
        bindings = file.module.scope_at(node).lookup(node.id)
        value = bindings[0].value if len(bindings) == 1 else None
        if value is None or depth > 8 or _asks_for_type(file, node):
            return False
        return _is_stage(file, value, method, depth + 1)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method):
        return False
    before = _STAGES[method]
    return (
        _is_stage(file, node.func.value, before, depth)
        if before
        else _is_jitted(file, node.func.value, depth)
    )


def _asks_for_type(file: FileContext, name: ast.Name) -> bool:
    """Whether code looks at what a name holds: it serves releases of both kinds."""
    calls = (file.parent(reference.node) for reference in file.module.scopes.names.get(name.id, ()))
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("isinstance", "type")
        for call in calls
    )


def _is_jitted(file: FileContext, node: ast.expr, depth: int) -> bool:
    """`jax.jit(f)`, a name for it, a function decorated with it, or any of these traced."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "trace":
            return _is_jitted(file, node.func.value, depth)
        return file.resolve(node.func) == "jax.jit" and bool(node.args)
    if not isinstance(node, ast.Name) or depth > 8:
        return False
    bindings = file.module.scope_at(node).lookup(node.id)
    if len(bindings) != 1:
        return False
    binding = bindings[0]
    if isinstance(binding.node, ast.FunctionDef):
        return any(
            file.resolve(d.func if isinstance(d, ast.Call) else d) == "jax.jit"
            or (isinstance(d, ast.Call) and any(file.resolve(a) == "jax.jit" for a in d.args[:1]))
            for d in binding.node.decorator_list
            if isinstance(d.func if isinstance(d, ast.Call) else d, ast.Name | ast.Attribute)
        )
    return binding.value is not None and _is_jitted(file, binding.value, depth + 1)
