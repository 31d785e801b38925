"""Mistakes that a migration by hand makes, put into correct NNX code one at a time.

Each operator is a function from a syntax node to the replacements of it that change what the code computes. They
know nothing of any particular model.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from nnx_migrate.sources.text import Edit, SourceText

#: What an operator proposes: the kind of mistake, the node that changes, its new text.
Proposal = tuple[str, ast.AST, str]
Operator = Callable[[ast.AST, SourceText], Iterator[Proposal]]

ACTIVATIONS = {
    "relu": "gelu",
    "gelu": "silu",
    "silu": "relu",
    "swish": "relu",
    "tanh": "sigmoid",
    "sigmoid": "tanh",
}
ACTIVATIONS |= {
    "elu": "relu",
    "leaky_relu": "relu",
    "softplus": "relu",
    "log_softmax": "softmax",
    "softmax": "log_softmax",
}
POOLS = {"avg_pool": "max_pool", "max_pool": "avg_pool"}
REDUCTIONS = {"mean": "sum", "sum": "mean", "max": "min"}
DEFAULTS = {
    "BatchNorm": ("momentum=0.9", "momentum=0.99", "epsilon=1e-3"),
    "LayerNorm": ("epsilon=1e-3", "use_bias=False", "use_scale=False"),
    "GroupNorm": ("epsilon=1e-3",),
    "RMSNorm": ("epsilon=1e-3",),
    "Linear": ("use_bias=False",),
    "Conv": ("use_bias=False", 'padding="VALID"', "strides=2", 'padding="CIRCULAR"'),
    "ConvTranspose": ("use_bias=False", 'padding="VALID"'),
    "Embed": ("dtype=jnp.bfloat16",),
}


@dataclass(frozen=True)
class Mutant:
    """Source text with one mistake in it."""

    kind: str
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.before} -> {self.after}"


def mutants(text: str) -> list[Mutant]:
    """Every operator at every place where it applies, each once."""
    source = SourceText.decode(text.encode())
    found: dict[str, Mutant] = {}
    for node in ast.walk(ast.parse(text)):
        for operator in OPERATORS:
            for kind, target, new in operator(node, source):
                changed = source.with_edits([Edit(*source.span(target), new)]).text
                line = getattr(target, "lineno", 0)
                mutant = Mutant(kind, line, " ".join(source.segment(target).split()), new, changed)
                if changed != text:
                    found.setdefault(changed, mutant)
    return sorted(found.values(), key=lambda m: (m.line, m.kind, m.after))


def other_function(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """Another activation, pooling or reduction."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        base = source.segment(node.func.value)
        for kind, table in (("activation", ACTIVATIONS), ("pooling", POOLS), ("reduction", REDUCTIONS)):
            if (new := table.get(node.func.attr)) and base in ("nnx", "jnp", "jax.nn", "nn"):
                yield kind, node.func, f"{base}.{new}"


def other_default(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """An option of a layer that has another value, or is forgotten."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    if source.segment(node.func.value) != "nnx":
        return
    given = {k.arg: k for k in node.keywords if k.arg}
    for option in DEFAULTS.get(node.func.attr, ()):
        name, _, value = option.partition("=")
        if name == "strides" and any(k == "strides" for k in given):
            continue
        if name in given:
            if source.segment(given[name].value).strip("'\"") != value.strip("'\""):
                yield f"{node.func.attr}: wrong {name}", given[name].value, value
        elif node.keywords:
            last = node.keywords[-1]
            yield f"{node.func.attr}: wrong {name}", last, f"{source.segment(last)}, {option}"


def other_rate(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """Another dropout rate."""
    if isinstance(node, ast.Call) and source.segment(node.func) == "nnx.Dropout":
        rate = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "rate"), None)
        if rate is not None:
            yield "dropout rate", rate, f"0.5 * ({source.segment(rate)}) + 0.17"


def other_mode(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """A mode that is turned round, or fixed."""
    if isinstance(node, ast.keyword) and node.arg in ("deterministic", "use_running_average"):
        text = source.segment(node.value)
        yield "mode turned round", node.value, f"(not {text})"
        if text not in ("True", "False"):
            yield "always evaluating", node.value, "True"
            yield "always training", node.value, "False"


def skipped_layer(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """A layer or an activation whose result is not used."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
        call, target = node.value, node.targets[0]
        first = call.args[0]
        if isinstance(target, ast.Name) and isinstance(first, ast.Name) and target.id == first.id:
            yield "step left out", call, first.id


def changed_sum(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """A residual or a bias that is dropped or subtracted, a factor that is off."""
    if not isinstance(node, ast.BinOp) or not _is_array_math(node):
        return
    left, right = source.segment(node.left), source.segment(node.right)
    if isinstance(node.op, ast.Add):
        yield "term dropped", node, f"({left})"
        yield "term dropped", node, f"({right})"
        yield "sign", node, f"({left} - {right})"
    elif isinstance(node.op, ast.Mult):
        yield "factor", node, f"(1.01 * {left} * {right})"


def flattened_otherwise(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """A flatten over axes in another order, as channels-first code does it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
        receiver = source.segment(node.func.value)
        if receiver not in ("jnp", "np") and "-1" in source.segment(node):
            yield "transposed flatten", node.func.value, f"{receiver}.swapaxes(1, -1)"


def swapped_modules(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """Of two modules that are made by equal calls, one made or used in place of the other."""
    if not isinstance(node, ast.ClassDef):
        return
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    made: dict[str, list[tuple[str, ast.expr]]] = {}
    for statement in (s for m in methods if m.name == "__init__" for s in m.body):
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            target, text = statement.targets[0], source.segment(statement.value)
            if isinstance(target, ast.Attribute) and "rngs" in text:
                made.setdefault(text, []).append((target.attr, statement.value))
    pairs = [pair for places in made.values() for pair in pairwise(places)]
    for (name, _), (other, construction) in pairs:
        yield "one module used twice", construction, f"self.{name}"
        for use in (part for m in methods if m.name != "__init__" for part in ast.walk(m)):
            if isinstance(use, ast.Attribute) and source.segment(use) == f"self.{other}":
                yield "another module", use, f"self.{name}"


def other_order(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """Layers in reverse; results that are unpacked the wrong way round."""
    if isinstance(node, ast.For) and "self." in source.segment(node.iter):
        yield "layers in reverse", node.iter, f"reversed(list({source.segment(node.iter)}))"
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Call)
    ):
        names = [source.segment(item) for item in node.targets[0].elts]
        if len(names) == 2:
            yield "results swapped", node.targets[0], f"{names[1]}, {names[0]}"


def other_axis(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """Another axis."""
    if isinstance(node, ast.keyword) and node.arg == "axis":
        text = source.segment(node.value)
        if text in ("-1", "1", "0", "-2"):
            yield "axis", node.value, {"-1": "-2", "1": "0", "0": "1", "-2": "-1"}[text]


def lost_precision(node: ast.AST, source: SourceText) -> Iterator[Proposal]:
    """A value that goes through bfloat16, a gradient that is stopped."""
    if (
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Name | ast.Call)
        and _in_call(node, source)
    ):
        text = source.segment(node.value)
        yield "gradient stopped", node.value, f"__import__('jax').lax.stop_gradient({text})"


OPERATORS: tuple[Operator, ...] = (
    other_function,
    other_default,
    other_rate,
    other_mode,
    skipped_layer,
    changed_sum,
    flattened_otherwise,
    swapped_modules,
    other_order,
    other_axis,
    lost_precision,
)


def _is_array_math(node: ast.BinOp) -> bool:
    """Not the arithmetic of sizes: something is called, indexed, or neither a number nor an attribute."""
    operands = [part for part in ast.walk(node) if isinstance(part, ast.expr) and part is not node]
    if any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in operands):
        return False
    return any(isinstance(part, ast.Call | ast.Subscript) for part in operands) or all(
        isinstance(part, ast.Name | ast.BinOp) for part in operands
    )


def _in_call(node: ast.Return, source: SourceText) -> bool:
    return "self." in source.segment(node) or isinstance(node.value, ast.Name)
