"""Optimizers and schedules of `jax.experimental.optimizers` in Optax, with equal numbers."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from nnx_migrate.engine.arguments import CallView, CannotBind
from nnx_migrate.engine.templates import argument_text, bind, expand
from nnx_migrate.sources.text import SourceText

MODULES = ("jax.experimental.optimizers", "jax.example_libraries.optimizers")


@dataclass(frozen=True)
class Row:
    """`signature` of the old function, `template` of the new expression (see engine/templates.py).

    `counts`: the numbers depend on the step index even with a constant step size (bias correction).
    """

    signature: tuple[str, ...]
    template: str
    counts: bool = False


OPTIMIZERS = {
    "sgd": Row(("step_size",), "<optax.sgd>({step_size})"),
    "momentum": Row(("step_size", "mass"), "<optax.sgd>({step_size}, momentum={mass})"),
    "nesterov": Row(("step_size", "mass"), "<optax.sgd>({step_size}, momentum={mass}, nesterov=True)"),
    "adagrad": Row(
        ("step_size", "momentum"),
        "<optax.chain>(<optax.scale_by_rss>(initial_accumulator_value=0.0, eps=0.0), "
        "<optax.ema>({momentum|0.9}, debias=False), <optax.scale_by_learning_rate>({step_size}))",
    ),
    "rmsprop": Row(
        ("step_size", "gamma", "eps"),
        "<optax.rmsprop>({step_size}{?gamma:, decay={gamma}}{?eps:, eps={eps}})",
    ),
    "rmsprop_momentum": Row(
        ("step_size", "gamma", "eps", "momentum"),
        "<optax.rmsprop>({step_size}{?gamma:, decay={gamma}}{?eps:, eps={eps}}, momentum={momentum|0.9})",
    ),
    "adam": Row(
        ("step_size", "b1", "b2", "eps"),
        "<optax.adam>({step_size}{?b1:, b1={b1}}{?b2:, b2={b2}}{?eps:, eps={eps}})",
        counts=True,
    ),
    "adamax": Row(
        ("step_size", "b1", "b2", "eps"),
        "<optax.adamax>({step_size}{?b1:, b1={b1}}{?b2:, b2={b2}}{?eps:, eps={eps}})",
        counts=True,
    ),
    "sm3": Row(
        ("step_size", "momentum"),
        "<optax.chain>(<optax.scale_by_sm3>({momentum|0.9}, eps=0.0), "
        "<optax.scale_by_learning_rate>({step_size}))",
    ),
}

SCHEDULES = {
    "constant": Row(("step_size",), "<optax.constant_schedule>({step_size})"),
    "exponential_decay": Row(
        ("step_size", "decay_steps", "decay_rate"),
        "<optax.exponential_decay>({step_size}, {decay_steps}, {decay_rate})",
    ),
    "polynomial_decay": Row(
        ("step_size", "decay_steps", "final_step_size", "power"),
        "<optax.polynomial_schedule>(init_value={step_size}, end_value={final_step_size}, power={power|1.0}, "
        "transition_steps={decay_steps})",
    ),
    "piecewise_constant": Row(
        ("boundaries", "values"),
        "<optax.join_schedules>([<optax.constant_schedule>(value) for value in {values}], "
        "[boundary + 1 for boundary in {boundaries}])",
    ),
}

FUNCTIONS = {
    "l2_norm": Row(("tree",), "<optax.tree.norm>({tree})"),
    "clip_grads": Row(
        ("grad_tree", "max_norm"),
        "<optax.clip_by_global_norm>({max_norm}).update({grad_tree}, <optax.EmptyState>())[0]",
    ),
}


def rewritten(
    row: Row,
    call: ast.Call,
    source: SourceText,
    spell: Callable[[str], str],
    texts: dict[str, str] | None = None,
) -> str:
    """Source of the new expression; `texts` replaces the source of some arguments. Raises CannotBind."""
    view = CallView(call, call.func, tuple(call.args), tuple(call.keywords))
    arguments = {name: argument_text(node, source) for name, node in bind(view, row.signature).items()}
    arguments.update(texts or {})
    template = row.template
    for name in row.signature:
        start = template.find(f"{{{name}|")
        if start >= 0:
            end = template.index("}", start)
            default = template[start + len(name) + 2 : end]
            template = (
                template[:start] + (f"{{{name}}}" if name in arguments else default) + template[end + 1 :]
            )
    if row.signature[0] not in arguments:
        raise CannotBind(f"`{row.signature[0]}` is not given")
    return expand(template, arguments, spell)
