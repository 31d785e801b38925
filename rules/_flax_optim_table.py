"""`flax.optim` optimizers as Optax transformations, with equal numbers.

Each entry was compared with Flax 0.5.3 over ten steps (the fixtures of `flax-optim` repeat it). Where the two
libraries have different defaults, the old one is written out.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from nnx_migrate.engine.arguments import CallView, CannotBind, add_arguments, argument_start, drop_argument
from nnx_migrate.sources.text import Edit, SourceText


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    `names` maps its parameters, in order, to those of the Optax function `new`; "" has none. `only` are
    parameters that must have the given literal value if they are passed, because Optax fixes it. `extra` is
    written out. `decay` is how weight decay is expressed: "" (not at all), "before" (added to the gradients),
    "after" (of `scale`, ahead of the learning rate) or the name of another Optax function. `inexact` says in
    which case the numbers may differ.
    """

    new: str
    names: dict[str, str]
    extra: dict[str, str] = field(default_factory=dict)
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    decay: str = ""
    scale: str = ""
    static: tuple[str, ...] = ()
    inexact: str = ""


_ZERO = ("0", "0.0", "0.", "None")

OPTIMIZERS = {
    "GradientDescent": Optimizer("sgd", {"learning_rate": "learning_rate"}),
    "Momentum": Optimizer(
        "sgd",
        {"learning_rate": "learning_rate", "beta": "momentum", "weight_decay": "", "nesterov": "nesterov"},
        extra={"momentum": "0.9"},
        decay="before",
        static=("momentum",),
    ),
    "Adam": Optimizer(
        "adam",
        {"learning_rate": "learning_rate", "beta1": "b1", "beta2": "b2", "eps": "eps", "weight_decay": ""},
        decay="adamw",
        static=("b1", "b2", "eps", "eps_root"),
    ),
    "Adadelta": Optimizer(
        "adadelta",
        {"learning_rate": "learning_rate", "rho": "rho", "eps": "eps", "weight_decay": ""},
        decay="after",
        scale="scale_by_adadelta",
        static=("rho", "eps", "weight_decay"),
    ),
    "AdaBelief": Optimizer(
        "adabelief",
        {"learning_rate": "learning_rate", "beta1": "b1", "beta2": "b2", "eps": "", "weight_decay": ""},
        only={"eps": ("1e-16",)},
        decay="after",
        scale="scale_by_belief",
        static=("b1", "b2", "eps", "eps_root"),
    ),
    "Adagrad": Optimizer(
        "adagrad",
        {"learning_rate": "learning_rate", "eps": ""},
        extra={"initial_accumulator_value": "0.0", "eps": "0.0"},
        only={"eps": ("1e-8", "1e-08")},
        static=("initial_accumulator_value", "eps"),
        inexact="flax.optim.Adagrad added 1e-8 to the denominator: gradients near 1e-8 scale differently",
    ),
    "RMSProp": Optimizer(
        "rmsprop",
        {"learning_rate": "learning_rate", "beta2": "decay", "eps": "eps", "centered": "centered"},
        extra={"eps_in_sqrt": "False"},
        static=("decay", "eps", "initial_scale"),
    ),
    "LARS": Optimizer(
        "lars",
        {
            "learning_rate": "learning_rate",
            "beta": "momentum",
            "weight_decay": "",
            "trust_coefficient": "trust_coefficient",
            "eps": "eps",
            "nesterov": "nesterov",
        },
        only={"weight_decay": _ZERO},
        static=("weight_decay", "trust_coefficient", "eps", "momentum"),
    ),
    "Adafactor": Optimizer(
        "adafactor",
        {
            "learning_rate": "learning_rate",
            "factored": "factored",
            "multiply_by_parameter_scale": "multiply_by_parameter_scale",
            "beta1": "momentum",
            "decay_rate": "decay_rate",
            "step_offset": "decay_offset",
            "clipping_threshold": "clipping_threshold",
            "weight_decay_rate": "weight_decay_rate",
            "min_dim_size_to_factor": "min_dim_size_to_factor",
            "epsilon1": "eps",
            "epsilon2": "",
            "dtype_momentum": "dtype_momentum",
        },
        only={"epsilon2": ("1e-3", "1e-03", "0.001"), "weight_decay_rate": _ZERO},
        static=("min_dim_size_to_factor", "decay_rate", "decay_offset", "clipping_threshold", "eps"),
    ),
}

REFUSED = {
    "LAMB": "optax.lamb trains parameters that are all zero (biases), flax.optim.LAMB never moved them",
    "MultiOptimizer": "use optax.partition with one label per traversal and optax.set_to_zero() for the "
    "parameters that no traversal matched (optax.masked would pass their gradients through)",
    "WeightNorm": "Optax has no such wrapper; nnx.WeightNorm normalises in the layer",
}


def transformation(
    call: ast.Call, name: str, source: SourceText, spell: Callable[[str], str], *, injected: bool
) -> str:
    """Source of the Optax transformation for a constructor call `flax.optim.<name>(...)`.

    `spell` gives the spelling of an Optax name. With `injected` the learning rate is state, so that each step
    can set its own. Raises CannotBind where there is no exact equivalent.
    """
    optimizer = OPTIMIZERS[name]
    view = CallView(call, call.func, tuple(call.args), tuple(call.keywords))
    if view.has_star:
        raise CannotBind("`*args` or `**kwargs` hide which arguments are passed")
    parameters = list(optimizer.names)
    given = dict(zip(parameters, call.args, strict=False))
    given.update({str(k.arg): k.value for k in call.keywords})
    if len(call.args) > len(parameters) or not given.keys() <= set(parameters):
        raise CannotBind(f"flax.optim.{name} had no such argument")
    for parameter, literals in optimizer.only.items():
        if parameter in given and source.segment(given[parameter]) not in literals:
            raise CannotBind(f"Optax has no equivalent of `{parameter}={source.segment(given[parameter])}`")
    decay = source.segment(given["weight_decay"]) if "weight_decay" in given else "0"
    decays = decay not in _ZERO and optimizer.decay != ""
    new = optimizer.decay if decays and optimizer.decay not in ("before", "after") else optimizer.new
    if decays and optimizer.decay == "after":
        return _scaled(optimizer, given, decay, source, spell, injected=injected)
    edits: list[Edit] = []
    for index, node in enumerate(call.args):
        target = optimizer.names[parameters[index]]
        if not target and new == "adamw" and parameters[index] == "weight_decay":
            target = "weight_decay"
        if not target:
            edits.append(drop_argument(call, node, source))
        elif index > 0:
            start = argument_start(view, index, source)
            edits.append(Edit(start, start, f"{target}="))
    for keyword in call.keywords:
        target = optimizer.names[str(keyword.arg)]
        if not target and new == "adamw" and keyword.arg == "weight_decay":
            target = "weight_decay"
        start = source.span(keyword)[0]
        if not target:
            edits.append(drop_argument(call, keyword, source))
        else:
            edits.append(Edit(start, start + len(str(keyword.arg)), target))
    taken = {optimizer.names[p] for p in given}
    extra = [f"{k}={v}" for k, v in optimizer.extra.items() if k not in taken]
    if "learning_rate" not in given:
        if not injected:
            raise CannotBind("no learning rate is given, neither here nor with each step")
        extra.insert(0, "learning_rate=0.0")
    kept = [p for p in given if optimizer.names[p] or (new == "adamw" and p == "weight_decay")]
    if extra:
        if kept:
            edits += add_arguments(call, extra, source)
        else:
            start, end = source.span(call.func)[1] + 1, source.span(call)[1] - 1
            edits = [Edit(start, end, ", ".join(extra))]
    function = spell(f"optax.{new}")
    if injected:
        static = optimizer.static + (("weight_decay",) if new == "adamw" else ())
        names = ", ".join(f'"{s}"' for s in static) + ("," if len(static) == 1 else "")
        arguments = f", static_args=({names})" if static else ""
        function = f"{spell('optax.inject_hyperparams')}({function}{arguments})"
    edits.append(Edit(*source.span(call.func), function))
    start, end = source.span(call)
    inside = [Edit(e.start - start, e.end - start, e.new) for e in edits]
    text = SourceText(source.text[start:end]).with_edits(inside).text
    if decays and optimizer.decay == "before":
        return f"{spell('optax.chain')}({spell('optax.add_decayed_weights')}({decay}), {text})"
    return text


def _scaled(
    optimizer: Optimizer,
    given: dict[str, ast.expr],
    decay: str,
    source: SourceText,
    spell: Callable[[str], str],
    *,
    injected: bool,
) -> str:
    """Weight decay between the scaling and the learning rate."""
    arguments = [
        f"{optimizer.names[p]}={source.segment(v)}"
        for p, v in given.items()
        if optimizer.names[p] and p not in ("learning_rate", "weight_decay")
    ]
    rate = source.segment(given["learning_rate"]) if "learning_rate" in given else ""
    if not rate and not injected:
        raise CannotBind("no learning rate is given, neither here nor with each step")
    scale_by_rate = f"{spell('optax.scale_by_learning_rate')}({rate})"
    if injected:
        injected_rate = f"{spell('optax.inject_hyperparams')}({spell('optax.scale_by_learning_rate')})"
        scale_by_rate = f"{injected_rate}(learning_rate={rate or '0.0'})"
    return (
        f"{spell('optax.chain')}({spell(f'optax.{optimizer.scale}')}({', '.join(arguments)}), "
        f"{spell('optax.add_decayed_weights')}({decay}), {scale_by_rate})"
    )
