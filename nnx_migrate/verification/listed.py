"""`[[tool.nnx-migrate.verify]]`: models that the configuration lists, with what they are built and called with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnx_migrate.array_notation import NotationError, array_or_expression
from nnx_migrate.linen.programs.constructions.models import EVAL_FLAGS
from nnx_migrate.numerics.compare import EXACT, Tolerance


class ListedError(Exception):
    """A table that can't be used; the message names the model and the key."""


@dataclass(frozen=True)
class ListedModel:
    """One table. All texts are Python expressions in terms of jax, jnp, np and the names of `setup`.

    `args` are those of the constructor; `nnx_args`, if given, those of the converted one. `flags` are keyword
    arguments of the call that switch training, with their value in training. `skip` says why the class is not
    to be compared.
    """

    model: str
    args: str = ""
    nnx_args: str | None = None
    setup: str = ""
    inputs: tuple[str, ...] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    method: str | None = None
    streams: tuple[str, ...] = ()
    tolerance: Tolerance = EXACT
    skip: str = ""

    @property
    def module(self) -> str:
        """The module that defines the class."""
        return self.model.partition(":")[0]

    @property
    def name(self) -> str:
        """The class in it."""
        return self.model.partition(":")[2]


def read_listed(table: Mapping[str, Any]) -> ListedModel:
    """A table of the configuration.

    Raises:
        ListedError: keys that are unknown, missing, or of the wrong type.
    """
    reader = _Reader(dict(table))
    model = reader.text("model") or ""
    if not re.fullmatch(r"[\w.]+:[\w.]+", model):
        raise ListedError(f'model must read like "pkg.models:CNN", not {model!r}')
    flag, inputs = reader.text("train_flag"), reader.texts("inputs")
    listed = ListedModel(
        model,
        reader.text("args") or "",
        reader.text("nnx_args"),
        reader.text("setup") or "",
        tuple(_input("inputs", text, place) for place, text in enumerate(inputs)),
        {
            name: _input(f"kwargs {name}", text, place)
            for place, (name, text) in enumerate(reader.table("kwargs").items(), len(inputs))
        },
        {} if flag is None else {flag.removeprefix("not "): _in_training(flag)},
        reader.text("method"),
        tuple(reader.texts("rngs")),
        reader.tolerance("tolerance"),
        reader.text("skip") or "",
    )
    reader.finish()
    return listed


def _input(key: str, text: str, place: int) -> str:
    """An input as an expression; no two get the same numbers, so that none can stand in for another."""
    try:
        return array_or_expression(text, place)
    except NotationError as error:
        raise ListedError(f"{key}: {error}") from None


def _in_training(flag: str) -> bool:
    """Whether the argument is true in training: not for `deterministic`, nor where the table says `not`."""
    return not flag.startswith("not ") and flag not in EVAL_FLAGS


class _Reader:
    """Takes the keys of one table, and knows which are left."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table_left = table
        self.known: list[str] = []

    def text(self, key: str) -> str | None:
        value = self._take(key)
        if value is not None and not isinstance(value, str):
            raise ListedError(f"{key} must be a string, not {value!r}")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._take(key)
        if value is not None and (not isinstance(value, list) or not all(isinstance(v, str) for v in value)):
            raise ListedError(f"{key} must be a list of strings, not {value!r}")
        return value or []

    def table(self, key: str) -> dict[str, str]:
        value = self._take(key)
        if value is not None and (
            not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values())
        ):
            raise ListedError(f"{key} must be a table of strings, not {value!r}")
        return value or {}

    def tolerance(self, key: str) -> Tolerance:
        value = self._take(key)
        if value is None:
            return EXACT
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Tolerance(rtol=float(value), reason="as the configuration allows")
        known = {"max_ulp": int, "atol": float, "rtol": float, "reason": str}
        if not isinstance(value, dict) or set(value) - set(known):
            raise ListedError(f"{key} must be a number or a table of {', '.join(known)}, not {value!r}")
        if not value.get("reason"):
            raise ListedError(f"{key} needs a reason: it is shown with the result")
        return Tolerance(**{name: kind(value[name]) for name, kind in known.items() if name in value})

    def finish(self) -> None:
        if self.table_left:
            unknown = ", ".join(self.table_left)
            raise ListedError(f"unknown: {unknown}; known are {', '.join(self.known)}")

    def _take(self, key: str) -> Any:
        self.known.append(key)
        return self.table_left.pop(key, None)
