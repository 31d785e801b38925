"""`static_argnums` and `static_argnames` of `jax.jit`: which parameters they name, how to take one out."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nnx_migrate.engine.callees import PARTIAL, Callees, FunctionNode
from nnx_migrate.names.modules import Module

JIT = {"jax.jit", "jax.api.jit", "flax.nnx.jit"}
# Options that mean the same whichever arguments are static (in_shardings counts only the others).
_OPTIONS = {"static_argnums", "static_argnames", "donate_argnums", "donate_argnames", "inline", "keep_unused",
            "backend", "device"}  # fmt: skip


@dataclass(frozen=True)
class Jitting:
    """One application of jit to a function: `@jax.jit`, `@partial(jax.jit, ...)` or `jax.jit(f, ...)`.

    `call` is where its options stand (None for a bare decorator); `readable` is False where these aren't
    literal, or where others depend on them.
    """

    module: Module
    node: ast.expr
    call: ast.Call | None
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    readable: bool = True

    def is_static(self, function: FunctionNode, parameter: ast.arg) -> bool:
        """True where a parameter is static."""
        positional = [*function.args.posonlyargs, *function.args.args]
        index = positional.index(parameter) if parameter in positional else None
        wrapped = {n + len(positional) if n < 0 else n for n in self.numbers}
        return parameter.arg in self.names or (index is not None and index in wrapped)


def jitting(module: Module, node: ast.expr, call: ast.Call | None, callees: Callees) -> Jitting:
    """Read the options of a jit."""
    if call is None:
        return Jitting(module, node, None)
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    readable = all(k.arg in _OPTIONS for k in call.keywords) and len(call.args) <= 1
    for keyword in call.keywords:
        if keyword.arg in ("static_argnums", "static_argnames"):
            try:
                value = ast.literal_eval(keyword.value)
            except ValueError:
                readable = False
                continue
            items = (value,) if isinstance(value, int | str) else tuple(value)
            if keyword.arg == "static_argnums":
                numbers = tuple(i for i in items if isinstance(i, int))
            else:
                names = tuple(i for i in items if isinstance(i, str))
    return Jitting(module, node, call, numbers, names, readable)


def decorator_jitting(module: Module, decorator: ast.expr, callees: Callees) -> Jitting | None:
    """The jit that a decorator applies."""
    if isinstance(decorator, ast.Call):
        name = callees.name(module, decorator.func)
        if name == PARTIAL and decorator.args and callees.name(module, decorator.args[0]) in JIT:
            return jitting(module, decorator, decorator, callees)
        return jitting(module, decorator, decorator, callees) if name in JIT else None
    return jitting(module, decorator, None, callees) if callees.name(module, decorator) in JIT else None


def edits_without(
    jit: Jitting, function: FunctionNode, parameter: ast.arg
) -> list[tuple[tuple[int, int], str]]:
    """(span, text) edits that take a parameter out of the static ones."""
    assert jit.call is not None
    source = jit.module.source
    positional = [*function.args.posonlyargs, *function.args.args]
    gone: list[ast.keyword] = []
    edits: list[tuple[tuple[int, int], str]] = []
    for keyword in jit.call.keywords:
        if keyword.arg not in ("static_argnums", "static_argnames"):
            continue
        elements = keyword.value.elts if isinstance(keyword.value, ast.Tuple | ast.List) else [keyword.value]
        kept = []
        for element in elements:
            value = ast.literal_eval(element)
            number = value + len(positional) if isinstance(value, int) and value < 0 else value
            hit = number == parameter.arg or (
                isinstance(number, int) and parameter in positional and positional.index(parameter) == number
            )
            if not hit:
                kept.append(source.segment(element))
        if len(kept) == len(elements):
            continue
        if not kept:
            gone.append(keyword)
        else:
            opening, closing = ("[", "]") if isinstance(keyword.value, ast.List) else ("(", ")")
            comma = "," if len(kept) == 1 and opening == "(" else ""
            edits.append((source.span(keyword.value), f"{opening}{', '.join(kept)}{comma}{closing}"))
    return edits + _removal(jit, gone)


def _removal(jit: Jitting, gone: list[ast.keyword]) -> list[tuple[tuple[int, int], str]]:
    call = jit.call
    assert call is not None
    if not gone:
        return []
    source = jit.module.source
    is_decorator_factory = call is jit.node and call.args and len(call.args) == 1
    if len(gone) == len(call.keywords) and is_decorator_factory and _is_partial(call):
        return [(source.span(call), source.segment(call.args[0]))]
    if len(gone) == len(call.keywords) and not call.args:
        return [(source.span(call), source.segment(call.func))]
    everything = sorted([*call.args, *call.keywords], key=lambda n: source.span(n)[0])
    edits = []
    for keyword in gone:
        index = everything.index(keyword)
        start, end = source.span(keyword)
        if index > 0:
            edits.append(((source.span(everything[index - 1])[1], end), ""))
        else:
            edits.append(((start, source.span(everything[1])[0]), ""))
    return edits


def _is_partial(call: ast.Call) -> bool:
    return ast.unparse(call.func).rpartition(".")[2] == "partial"
