"""Statements in which modules come from elsewhere: functions of the file, optional inputs, lists for `Sequential`,
transforms that a configuration chooses."""

from __future__ import annotations

from benchmarks.linen_fuzz.grammar import layers
from benchmarks.linen_fuzz.grammar.scope import BOOLEANS, SEQUENCES, Scope
from benchmarks.linen_fuzz.grammar.widths import width

#: Functions of the file that make layers.
FUNCTIONS = """\
def dense_block(v, features, act=nn.relu, use_norm=False):
    v = nn.Dense(features)(v)
    if use_norm:
        v = nn.LayerNorm()(v)
    return act(v)


def make_norm(kind):
    if kind == "layer":
        return nn.LayerNorm()
    if kind == "batch":
        return nn.RMSNorm()
    return lambda v: v


def make_mlp(sizes):
    parts = []
    for size in sizes[:-1]:
        parts += [nn.Dense(size), nn.relu]
    return nn.Sequential([*parts, nn.Dense(sizes[-1])])
"""
#: The parameter of an optional input.
OPTIONAL_INPUT = "context"


def layer_function(scope: Scope) -> None:
    """A function of the file that makes layers and calls them, or returns them."""
    source = scope.array()
    if not scope.uses_self:
        return layers.call_layer(scope)
    norm = f", use_norm={scope.pick('True', scope.field(*BOOLEANS))}" if scope.chance(0.4) else ""
    text = scope.pick(
        f"dense_block({source}, {width(scope)}{norm})",
        f"dense_block({source}, {width(scope)}, nn.tanh{norm})",
        f"dense_block(dense_block({source}, {width(scope)}), {width(scope, simple=True)}{norm})",
        f"make_norm({scope.field('norm')})({source})",
        f"make_mlp({scope.field(*SEQUENCES)})({source})",
    )
    scope.emit(f"{source} = {text}")
    return None


def optional_input(scope: Scope) -> None:
    """What is done with an input that callers may leave out."""
    source = scope.array()
    if not scope.has_optional or "x" not in scope.arrays or scope.counters:
        return layers.call_layer(scope)
    form = scope.choice.randrange(4)
    if form == 0:
        with scope.block(f"if {OPTIONAL_INPUT} is not None:"):
            scope.emit(f"{source} = {source} + nn.Dense(1)({OPTIONAL_INPUT}).mean()")
    elif form == 1:
        scope.emit(f"source = {source} if {OPTIONAL_INPUT} is None else {OPTIONAL_INPUT}")
        scope.emit(f"{source} = {source} * nn.Dense({width(scope)})(source).mean()")
    elif form == 2:
        with scope.block(f"if {OPTIONAL_INPUT} is None:"):
            scope.emit(f"{OPTIONAL_INPUT} = {source}")
        scope.emit(f"{source} = {source} + nn.Dense({width(scope)})({OPTIONAL_INPUT}).sum()")
    else:
        size = width(scope, simple=True)
        scope.emit(f"keys = nn.Dense({size})({source})")
        with scope.block(f"if {OPTIONAL_INPUT} is not None:"):
            scope.emit(f"keys = keys + nn.Dense({size})({OPTIONAL_INPUT}).mean()")
        scope.emit(f"{source} = keys")
    return None


def filled_sequential(scope: Scope) -> None:
    """`nn.Sequential` of a list that loops and conditions fill."""
    source = scope.array()
    if not scope.uses_self:
        return layers.call_layer(scope)
    scope.emit("parts = []")
    with scope.block(f"for s in {scope.field(*SEQUENCES)}:"):
        scope.emit("parts.append(nn.Dense(s))")
        if scope.chance(0.4):
            with scope.block(f"if {scope.field(*BOOLEANS)}:"):
                scope.emit("parts.append(nn.LayerNorm())")
        if scope.chance(0.5):
            scope.emit(f"parts.append({scope.pick(*layers.ACTIVATIONS)})")
    if scope.chance(0.4):
        with scope.block(f"if {scope.field(*BOOLEANS)}:"):
            scope.emit(f"parts.append(nn.Dense({width(scope, simple=True)}))")
    elif scope.chance(0.3):
        scope.emit(f"parts += [nn.Dense({width(scope, simple=True)}), nn.tanh]")
    scope.emit(f"{source} = nn.Sequential(parts)({source})")
    return None


def chosen_transform(scope: Scope) -> None:
    """A block that a configuration rematerialises."""
    source = scope.array()
    fitting = [n for n, (rank, flag) in scope.blocks.items() if rank == scope.arrays[source] and not flag]
    if not fitting or not scope.uses_self:
        return layers.call_layer(scope)
    block = scope.choice.choice(fitting)
    scope.emit(f"block_cls = nn.remat({block}) if {scope.field(*BOOLEANS)} else {block}")
    for _ in range(scope.choice.randint(1, 2)):
        name = f", name={scope.label()}" if scope.chance(0.2) else ""
        scope.emit(f"{source} = block_cls({width(scope)}{name})({source})")
    return None


def own_dtype(scope: Scope) -> None:
    """Layers and parameters in the dtype of an array."""
    source = scope.array()
    if not scope.uses_self:
        return layers.call_layer(scope)
    number = next(scope.numbers)
    scope.emit(
        scope.pick(
            f"{source} = nn.Dense({width(scope)}, dtype={source}.dtype)({source})",
            f"{source} = nn.LayerNorm(dtype={source}.dtype, param_dtype={scope.field('dtype')})({source})",
            f"{source} *= self.param('gain{number}', nn.initializers.ones, ({source}.shape[-1],), {source}.dtype)",
            f"{source} = jnp.asarray({source}, {scope.field('dtype')})",
        )
    )
    return None
