"""Bodies of methods: layers, widths, loops, conditions, helpers, in any order and nesting."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.linen_fuzz.grammar import forms, layers
from benchmarks.linen_fuzz.grammar.scope import BOOLEANS, OPTIONALS, SEQUENCES, Scope
from benchmarks.linen_fuzz.grammar.widths import change_width, width

_MAX_DEPTH = 3
_MAX_LINES = 28


def body(scope: Scope, count: int) -> None:
    """Some statements."""
    for _ in range(count):
        if len(scope.lines) < _MAX_LINES:
            _statement(scope)(scope)


def _statement(scope: Scope) -> Callable[[Scope], None]:
    table: list[tuple[float, Callable[[Scope], None]]] = [
        (6, layers.call_layer),
        (5, change_width),
        (2, layers.call_block),
        (1.5, layers.residual),
        (1, layers.project),
        (1.2, layers.join),
        (1, layers.reshape),
        (0.7, layers.attend),
        (0.8, layers.dropout),
        (0.6, layers.parameter),
        (0.8, copy),
        (0.8, bound_layer),
        (0.7, helper_function),
        (0.5, sequential),
        (0.6, chosen_callee),
        (0.8, forms.layer_function),
        (1.5 if scope.has_optional else 0, forms.optional_input),
        (0.5, forms.filled_sequential),
        (0.5, forms.chosen_transform),
        (0.4, forms.own_dtype),
    ]
    if scope.depth < _MAX_DEPTH:
        table += [(2.5, loop), (2.2, condition), (0.7, layer_list)]
    weights, makers = zip(*table, strict=True)
    return scope.choice.choices(makers, weights)[0]


def copy(scope: Scope) -> None:
    """Another name for an array, or an array under a name that was a width."""
    source = scope.array()
    target = scope.pick("y", "h", "skip", "residual", "out", "x")
    scope.emit(f"{target} = {source}")
    scope.arrays[target] = scope.arrays[source]
    while target in scope.widths:
        scope.widths.remove(target)


def loop(scope: Scope) -> None:
    """A loop, its target, and what it does."""
    counter = {0: "i", 1: "j", 2: "k"}[min(scope.depth, 2)]
    size = scope.pick("size", "f", "feat")
    if not scope.uses_self:
        return _loop(scope, f"for {counter} in range(2):", [counter], [])
    sequence, other = scope.field(*SEQUENCES), scope.field(*SEQUENCES)
    depth = scope.field("depth")
    forms: list[tuple[str, list[str], list[str]]] = [
        (f"for {counter} in range({depth}):", [counter], []),
        (f"for {counter} in range(2):", [counter], []),
        ("for _ in range(2):", [], []),
        (f"for {counter} in range(len({sequence})):", [counter], [f"{sequence}[{counter}]"]),
        (f"for {counter}, {size} in enumerate({sequence}):", [counter], [size]),
        (f"for {counter}, {size} in enumerate({sequence}[:-1]):", [counter], [size]),
        (f"for {counter}, ({size}, dim) in enumerate(zip({sequence}, {other})):", [counter], [size, "dim"]),
        (f"for {counter}, {size} in enumerate(reversed({sequence})):", [counter], [size]),
        (f"for {counter} in range(1, {depth} + 1):", [counter], []),
    ]
    if not scope.counters:
        forms += [
            (f"for {size} in {sequence}:", [], [size]),
            (f"for {size} in {sequence}:", [], [size]),
            (f"for {size} in (4, 6):", [], [size]),
            (f"for {size}, dim in zip({sequence}, {other}):", [], [size, "dim"]),
            (f"for {size} in reversed({sequence}):", [], [size]),
            (f"for {size} in [{width(scope, simple=True)}, {width(scope, simple=True)}]:", [], [size]),
        ]
    return _loop(scope, *scope.choice.choice(forms))


def _loop(scope: Scope, header: str, counters: list[str], widths: list[str]) -> None:
    bound = {*counters, *widths}
    scope.widths = [w for w in scope.widths if w not in bound]
    for name in bound & set(scope.arrays):
        del scope.arrays[name]
    with scope.block(header):
        scope.counters += counters
        scope.widths += [*widths, *widths]
        if not counters:  # names made of counters would clash
            scope.counters += ["0"]
        body(scope, scope.choice.randint(1, 4))
        layers.call_layer(scope)


def condition(scope: Scope) -> None:
    """A condition on fields, shapes, counters or the train flag."""
    tests = []
    source = scope.array()
    tests.append(f"{source}.shape[-1] != {width(scope, simple=True)}")
    tests.append(f"{source}.shape[-1] == {width(scope, simple=True)}")
    tests.append(f"{source}.ndim > 2")
    if scope.uses_self:
        optional = scope.field(*OPTIONALS)
        tests += [
            scope.field(*BOOLEANS),
            f"not {scope.field(*BOOLEANS)}",
            f"{scope.field(*BOOLEANS)} and {scope.field(*BOOLEANS)}",
            f"{optional} is not None",
            f"{optional} is None",
            optional,
            f'{scope.field("norm")} == "layer"',
            f'{scope.field("mode")} in ("wide", "broad")',
            f"len({scope.field(*SEQUENCES)}) > 1",
        ]
    if scope.widths:
        tests.append(f"{scope.choice.choice(scope.widths)} > 4")
    counters = [c for c in scope.counters if c.isidentifier()]
    if counters:
        tests += [
            f"{counters[-1]} == 0",
            f"{counters[-1]} > 0",
            f"{counters[-1]} % 2",
            f"{counters[-1]} < 1",
        ] * 2
    if scope.flag.isidentifier():
        tests.append(scope.flag)
    inner = _flag_inner if tests[-1] == scope.flag and scope.flag and scope.chance(0.1) else _branch
    with scope.block(f"if {scope.choice.choice(tests)}:"):
        inner(scope)
    if scope.chance(0.15) and scope.uses_self:
        with scope.block(f"elif {scope.field(*BOOLEANS)}:"):
            _branch(scope)
    if scope.chance(0.45):
        with scope.block("else:"):
            _branch(scope)


def _branch(scope: Scope) -> None:
    kinds = [change_width, layers.call_layer, layers.call_layer, copy, layers.call_block]
    for _ in range(scope.choice.randint(1, 2)):
        scope.choice.choice(kinds)(scope)
    if scope.chance(0.15):
        body(scope, 1)


def _flag_inner(scope: Scope) -> None:
    source = scope.array()
    scope.emit(f"{source} = {source} * 2")


def early_return(scope: Scope) -> None:
    """A way out before the end."""
    with scope.block(f"if {scope.field(*BOOLEANS)}:"):
        scope.emit(f"return {scope.array()}")


def bound_layer(scope: Scope) -> None:
    """A layer under a name of its own, called once or twice."""
    source = scope.array()
    rank = scope.arrays[source]
    name = scope.pick("layer", "proj", "dense", "fc")
    if scope.chance(0.5):
        scope.emit(f"{name} = nn.Dense({source}.shape[-1]{layers.options(scope)})")
        if scope.chance(0.3):
            change_width(scope)
        text = scope.pick(
            f"{name}({name}({source}))",
            f"{source} + {name}({source})",
            f"{name}({source}) + {name}(2 * {source})",
        )
    else:
        scope.emit(f"{name} = {layers.layer(scope, rank)}")
        if scope.chance(0.4):
            change_width(scope)
        text = f"{name}({source})"
    if source not in scope.arrays:
        return
    scope.emit(f"{source} = {text}")


def helper_function(scope: Scope) -> None:
    """A local function or lambda that makes a layer."""
    source = scope.array()
    rank = scope.arrays[source]
    name = scope.pick("block", "apply_layer", "f_in", "make")
    size = width(scope)
    form = scope.choice.randrange(5)
    later: Callable[[Scope], None] | None = change_width if scope.chance(0.4) else None
    if form == 0:
        scope.emit(f"{name} = lambda v: {layers.dense(scope)}(v)")
        call = f"{name}({source})"
    elif form == 1:
        scope.emit(f"{name} = lambda v, features: nn.Dense(features)(v)")
        call = f"{name}({source}, {size})"
    elif form == 2:
        with scope.block(f"def {name}(v, features={size}):"):
            scope.emit(f"v = {layers.activated(scope, 'nn.Dense(features)(v)')}")
            if scope.chance(0.4):
                scope.emit("features = features * 2")
                scope.emit("v = nn.Dense(features)(v)")
            scope.emit("return v")
        call = f"{name}({source})" if scope.chance(0.5) else f"{name}({source}, {width(scope, simple=True)})"
    elif form == 3:
        scope.emit(f"{name} = partial(nn.Dense, {size}{layers.options(scope).partition(', name')[0]})")
        call = f"{name}()({name}()({source}))"
    else:
        scope.emit(f"{name} = partial(nn.Dense, use_bias=False)")
        call = f"{name}({size})({source})"
    if later is not None:
        later(scope)
    if source in scope.arrays:
        scope.emit(f"{source} = {call}")
        scope.arrays[source] = rank


def sequential(scope: Scope) -> None:
    """`nn.Sequential` of some layers."""
    source = scope.array()
    parts = [layers.dense(scope), scope.pick(*layers.ACTIVATIONS), layers.dense(scope)]
    if scope.chance(0.3):
        parts.append("lambda v: v * 2")
    if scope.chance(0.2) and scope.uses_self:
        sequence = scope.field(*SEQUENCES)
        parts = [f"*[nn.Dense(s) for s in {sequence}]", *parts]
    scope.emit(f"{source} = nn.Sequential([{', '.join(parts)}])({source})")


def chosen_callee(scope: Scope) -> None:
    """A layer on one path, something else on the other."""
    source = scope.array()
    if not scope.uses_self:
        return layers.call_layer(scope)
    test = scope.field(*BOOLEANS)
    size = width(scope, simple=True)
    form = scope.choice.randrange(5)
    if form == 0:
        scope.emit(f"op = nn.Dense({size}) if {test} else (lambda v: v)")
        scope.emit(f"{source} = op({source})")
    elif form == 1:
        scope.emit(f"{source} = (nn.Dense({size})({source}) if {test} else {layers.dense(scope)}({source}))")
    elif form == 2:
        scope.emit(f"{source} = nn.Dense({size})({source}) if {test} else {source}")
    elif form == 3:
        scope.emit(f"cls = nn.LayerNorm if {test} else nn.RMSNorm")
        scope.emit(f"{source} = cls()({source})")
    else:
        with scope.block(f"if {test}:"):
            scope.emit(f"op = nn.Dense({size})")
        with scope.block("else:"):
            scope.emit(
                scope.pick("op = lambda v: v", f"op = nn.Dense({width(scope, simple=True)})", "op = nn.tanh")
            )
        scope.emit(f"{source} = op({source})")
    return None


def layer_list(scope: Scope) -> None:
    """A list of layers that a loop calls."""
    source = scope.array()
    if not scope.uses_self:
        return layers.call_layer(scope)
    sequence = scope.field(*SEQUENCES)
    depth = scope.field("depth")
    form = scope.choice.randrange(4)
    if form == 0:
        scope.emit(
            f"blocks = [nn.Dense(s{layers.options(scope).partition(', name')[0]}) for s in {sequence}]"
        )
    elif form == 1:
        scope.emit(f"blocks = [nn.Dense({width(scope, simple=True)}) for _ in range({depth})]")
    elif form == 2:
        scope.emit("blocks = []")
        with scope.block(f"for s in {sequence}:"):
            scope.widths.append("s")
            scope.emit(f"blocks.append(nn.Dense({width(scope, simple=True)}))")
    else:
        scope.emit(f"blocks = [nn.Dense({width(scope, simple=True)}), nn.Dense({width(scope, simple=True)})]")
    if scope.chance(0.3):
        change_width(scope)
    if source not in scope.arrays:
        return None
    header = scope.pick(
        "for block in blocks:",
        "for block in blocks:",
        "for n_block, block in enumerate(blocks):",
        "for block in reversed(blocks):",
    )
    with scope.block(header):
        scope.emit(f"{source} = {layers.activated(scope, f'block({source})')}")
    return None
