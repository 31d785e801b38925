"""What a model is called with during a proof, and how the proof is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["eval", "train"]
Mode = Literal["jit", "eager"]


@dataclass(frozen=True)
class Inputs:
    """One way of calling a model.

    Arrays anywhere in `args` and the keyword arguments are traced under jit; everything else (flags, None,
    numbers) is static. `train_kwargs` is None for a model without a train flag: its train phase is then
    called like its eval phase, with collections mutable. `output` picks the part of the result to compare (a
    distribution's logits, say).
    """

    args: tuple[Any, ...] = ()
    eval_kwargs: Mapping[str, Any] = field(default_factory=dict)
    train_kwargs: Mapping[str, Any] | None = None
    method: str | None = None
    output: Callable[[Any], Any] | None = None

    def kwargs(self, phase: Phase) -> Mapping[str, Any]:
        """The keyword arguments of a phase."""
        return self.eval_kwargs if phase == "eval" or self.train_kwargs is None else self.train_kwargs


@dataclass(frozen=True)
class Alignment:
    """How random draws are aligned; see `draws.aligned_draws`."""

    ordered: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How much is run: forward passes and gradients in every mode, then `steps` optimizer steps.

    `steps=0` leaves training out, `gradients=False` leaves gradients and training out; both are listed as
    skipped. A model whose variables need more than `max_bytes` is not built.
    """

    modes: tuple[Mode, ...] = ("jit", "eager")
    gradients: bool = True
    steps: int = 5
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    seed: int = 0
    max_bytes: int | None = None


IN_ORDER = Alignment()
DEFAULT_PROTOCOL = Protocol()
