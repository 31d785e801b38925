"""Statements that call layers on arrays."""

from __future__ import annotations

from benchmarks.linen_fuzz.grammar.scope import Scope
from benchmarks.linen_fuzz.grammar.widths import width

ACTIVATIONS = ("nn.relu", "nn.tanh", "nn.gelu", "jnp.tanh", "jax.nn.silu", "nn.sigmoid")


def options(scope: Scope, *, dense: bool = True) -> str:
    """Keyword arguments of a layer, starting with a comma."""
    found = []
    if dense and scope.chance(0.2):
        found.append(
            scope.pick(
                "use_bias=False",
                f"use_bias={scope.field('use_bias')}" if scope.uses_self else "use_bias=True",
            )
        )
    if dense and scope.chance(0.1):
        init = scope.field("kernel_init") if scope.uses_self else "nn.initializers.ones"
        found.append(
            f"kernel_init={scope.pick('nn.initializers.xavier_uniform()', 'nn.initializers.normal(0.02)', init)}"
        )
    if scope.uses_self and scope.chance(0.08):
        found.append(f"dtype={scope.field('dtype')}")
    if scope.chance(0.12):
        found.append(f"name={scope.label()}")
    return "".join(f", {item}" for item in found)


def dense(scope: Scope) -> str:
    """A dense layer."""
    callee = scope.field("dense") if scope.uses_self and scope.chance(0.08) else "nn.Dense"
    return f"{callee}({_first('features', width(scope), scope)}{options(scope)})"


def conv(scope: Scope, rank: int) -> str:
    """A convolution for inputs of a rank."""
    spatial = rank - 2
    size = scope.choice.choice([1, 2, 3])
    more = ""
    if scope.chance(0.3):
        strides = scope.pick("2", f"({', '.join(['2'] * spatial)},)")
        more += f", strides={strides}"
    if scope.chance(0.25):
        more += f", padding={scope.pick(repr('SAME'), repr('VALID'), '1')}"
    kernel = f"({', '.join([str(size)] * spatial)},)"
    layer = (
        "nn.ConvTranspose"
        if scope.chance(0.15) and "padding=1" not in more and "strides=2" not in more
        else "nn.Conv"
    )
    if layer == "nn.Conv" and scope.chance(0.1):
        more += ", feature_group_count=2"
    return f"{layer}({width(scope)}, {scope.pick('kernel_size=', '')}{kernel}{more}{options(scope)})"


def norm(scope: Scope) -> str:
    """A normalisation."""
    kinds = [
        "nn.LayerNorm(",
        "nn.LayerNorm(",
        "nn.RMSNorm(",
        "nn.GroupNorm(num_groups=None, group_size=1",
        "nn.GroupNorm(num_groups=2",
    ]
    if scope.uses_self:
        kinds.append(f"{scope.field('norm_cls')}(")
    if scope.flag:
        kinds += [
            f"nn.BatchNorm(use_running_average=not {scope.flag}",
            f"nn.BatchNorm(not {scope.flag}, momentum=0.9",
        ]
    start = scope.choice.choice(kinds)
    more = options(scope, dense=False)
    return f"{start}{more[2:] if start.endswith('(') else more})"


def layer(scope: Scope, rank: int) -> str:
    """Some layer for an input of a rank."""
    if rank in (3, 4) and scope.chance(0.55):
        return conv(scope, rank)
    if scope.chance(0.2):
        return norm(scope)
    return dense(scope)


def activated(scope: Scope, text: str) -> str:
    """A value, perhaps with a function around it."""
    if scope.chance(0.5):
        return text
    function = (
        scope.field("act", "activation")
        if scope.uses_self and scope.chance(0.3)
        else scope.pick(*ACTIVATIONS)
    )
    return f"{function}({text})"


def call_layer(scope: Scope) -> None:
    """A layer on an array."""
    source = scope.array()
    rank = scope.arrays[source]
    text = activated(scope, f"{layer(scope, rank)}({source})")
    _assign(scope, scope.target(source), rank, text)


def call_block(scope: Scope) -> None:
    """A module of another class of the file."""
    source = scope.array()
    rank = scope.arrays[source]
    fitting = [name for name, (wanted, _) in scope.blocks.items() if wanted == rank]
    if not fitting:
        return call_layer(scope)
    name = scope.choice.choice(fitting)
    arguments = [width(scope)] if scope.chance(0.7) else []
    if scope.chance(0.15):
        arguments.append(f"name={scope.label()}")
    flag = ""
    if scope.blocks[name][1]:
        flag = f", {scope.pick('', 'train=')}{scope.flag or 'False'}"
    _assign(scope, scope.target(source), rank, f"{name}({', '.join(arguments)})({source}{flag})")
    return None


def dropout(scope: Scope) -> None:
    """Dropout under the method's flag."""
    if not scope.flag:
        return call_layer(scope)
    source = scope.array()
    rate = scope.field("rate") if scope.uses_self and scope.chance(0.5) else "0.5"
    text = scope.pick(
        f"nn.Dropout({rate})({source}, deterministic=not {scope.flag})",
        f"nn.Dropout(rate={rate}, deterministic=not {scope.flag})({source})",
    )
    return _assign(scope, source, scope.arrays[source], text)


def residual(scope: Scope) -> None:
    """A branch that is added to what it started from."""
    source = scope.array()
    rank = scope.arrays[source]
    branch = scope.pick("y", "h", "residual")
    if branch == source:
        branch = "out"
    _assign(scope, branch, rank, activated(scope, f"{dense(scope)}({source})"))
    _assign(scope, branch, rank, f"nn.Dense({source}.shape[-1])({branch})")
    text = f"{source} + {branch}"
    if scope.uses_self and scope.chance(0.3):
        text += f" if {scope.field('residual')} else {branch}"
    _assign(scope, source, rank, text)


def project(scope: Scope) -> None:
    """The ResNet idiom: a projection where the shapes differ."""
    source = scope.array()
    rank = scope.arrays[source]
    _assign(scope, "y", rank, f"{dense(scope)}({source})")
    shortcut = "residual" if source != "residual" else "skip"
    _assign(scope, shortcut, rank, source)
    test = scope.pick(f"{shortcut}.shape != y.shape", f"{shortcut}.shape[-1] != y.shape[-1]")
    with scope.block(f"if {test}:"):
        _assign(scope, shortcut, rank, f"nn.Dense(y.shape[-1]{options(scope)})({shortcut})")
    _assign(scope, source, rank, f"{shortcut} + y")


def join(scope: Scope) -> None:
    """Two arrays concatenated."""
    source = scope.array()
    rank = scope.arrays[source]
    others = [name for name in scope.of_rank([rank]) if name != source]
    if not others or scope.chance(0.4):
        _assign(scope, "y", rank, f"{dense(scope)}({source})")
        others = ["y"]
    other = scope.choice.choice(others)
    text = scope.pick(
        f"jnp.concatenate([{source}, {other}], axis=-1)",
        f"jnp.concatenate(({other}, {source}), -1)",
        f"jnp.stack([{source}, {source}], axis=-1).reshape(*{source}.shape[:-1], -1)",
    )
    _assign(scope, scope.target(source), rank, text)


def reshape(scope: Scope) -> None:
    """Pooling, flattening, swapping axes."""
    source = scope.array()
    rank = scope.arrays[source]
    if rank == 4:
        text, after = scope.choice.choice(
            [
                (f"nn.{scope.pick('max', 'avg')}_pool({source}, (2, 2), strides=(2, 2))", 4),
                (f"{source}.reshape(({source}.shape[0], -1))", 2),
                (f"jnp.mean({source}, axis=(1, 2))", 2),
                (f"{source}.reshape({source}.shape[0], -1, {source}.shape[-1])", 3),
            ]
        )
    elif rank == 3:
        text, after = scope.choice.choice(
            [
                (f"{source}.mean(axis=1)", 2),
                (f"{source}[:, 0]", 2),
                (f"jnp.swapaxes({source}, 1, 2)", 3),
                (f"{source}.reshape({source}.shape[0], -1)", 2),
                (f"jnp.einsum('bnd,bmd->bnm', {source}, {source})", 3),
            ]
        )
    else:
        text, after = scope.choice.choice(
            [
                (f"{source}[:, None, :]", 3),
                (f"jnp.tile({source}, (1, 2))", 2),
                (f"{source}[..., 1:]", 2),
                (f"jnp.concatenate([{source}, jnp.ones(({source}.shape[0], 1))], axis=-1)", 2),
            ]
        )
    target = source if after == rank or scope.depth == 0 else "pooled"
    _assign(scope, target, after, text)


def attend(scope: Scope) -> None:
    """Attention, recurrence and embeddings over sequences."""
    sequences = scope.of_rank([3])
    if not sequences:
        return call_layer(scope)
    source = scope.choice.choice(sequences)
    even = f"nn.Dense({scope.pick('4', '8')})({source})"
    _assign(scope, source, 3, even)
    flag = f"deterministic=not {scope.flag}" if scope.flag else "deterministic=True"
    text = scope.pick(
        f"nn.MultiHeadDotProductAttention(num_heads=2)({source}, {source})",
        f"nn.SelfAttention(num_heads=2, dropout_rate=0.1)({source}, {flag})",
        f"nn.RNN(nn.GRUCell({width(scope, simple=True)}))({source})",
        f"nn.RNN(nn.LSTMCell(features={width(scope, simple=True)}), reverse=True)({source})",
        f"nn.DenseGeneral((2, {width(scope, simple=True)}))({source}).reshape(*{source}.shape[:-1], -1)",
    )
    return _assign(scope, source, 3, text)


def parameter(scope: Scope) -> None:
    """A parameter of the module's own."""
    if not scope.uses_self:
        return call_layer(scope)
    source = scope.array()
    label = scope.label()
    init = scope.pick("nn.initializers.ones", "nn.initializers.normal()", "nn.initializers.zeros_init()")
    name = scope.pick("scale", "gamma", "weight")
    scope.emit(f"{name} = self.param({label}, {init}, ({source}.shape[-1],))")
    return _assign(scope, source, scope.arrays[source], f"{source} * {name}")


def _assign(scope: Scope, target: str, rank: int, text: str) -> None:
    scope.emit(f"{target} = {text}")
    scope.arrays[target] = rank
    while target in scope.widths:
        scope.widths.remove(target)


def _first(name: str, text: str, scope: Scope) -> str:
    return f"{name}={text}" if scope.chance(0.15) and not text.startswith("(") else text
