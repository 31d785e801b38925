"""Whole programs: a few classes in the styles that people write, and models of them."""

from __future__ import annotations

import random

from benchmarks.linen_fuzz.grammar import forms, layers, setups
from benchmarks.linen_fuzz.grammar.scope import FIELDS, FieldSpec, Scope
from benchmarks.linen_fuzz.grammar.statements import body, early_return
from benchmarks.linen_fuzz.grammar.widths import change_width, width
from benchmarks.linen_fuzz.program import Model, Program

HEADER = """\
from functools import partial
from typing import Any, Callable, Optional, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

ModuleDef = Any
"""
INPUTS = {2: ("(2, 5)", "(3, 4)"), 3: ("(2, 3, 4)", "(2, 4, 6)"), 4: ("(1, 6, 6, 2)", "(2, 5, 5, 3)")}
#: How a method is told that it trains: its parameter, and the expression for "it trains".
FLAGS = (
    ("train: bool = False", "train"),
    ("training=False", "training"),
    ("*, train: bool = False", "train"),
    ("is_training: bool = False", "is_training"),
    ("deterministic: bool = True", "(not deterministic)"),
)


def program(choice: random.Random) -> Program:
    """A random program; most, not all, of them run."""
    blocks: dict[str, tuple[int, bool]] = {}
    texts = [HEADER, forms.FUNCTIONS]
    for name in ("Block", "MLP", "Head")[: choice.choice((0, 0, 1, 1, 2))]:
        rank = choice.choice((2, 3, 4))
        with_flag = choice.random() < 0.3
        texts.append(_block(choice, name, rank, with_flag))
        blocks[name] = (rank, with_flag)
    rank = choice.choice((2, 2, 3, 3, 4))
    flag = choice.choice(FLAGS) if choice.random() < 0.6 else ("", "")
    fields: dict[str, FieldSpec] = {}
    make = setups.methods if choice.random() < 0.3 else _compact
    optional = make is _compact and choice.random() < 0.2
    if optional:
        text = _compact(choice, fields, blocks, rank, flag, optional=True)
    else:
        text = make(choice, fields, blocks, rank, flag)
    texts.append(_class("Net", "nn.Module", fields, text))
    if choice.random() < 0.12 and make is _compact:
        texts.append(_subclass(choice, fields))
        name = "Sub"
    else:
        name = "Net"
    models = tuple(_model(choice, name, fields, rank, flag[0], optional) for _ in range(2))
    return Program("\n\n".join(texts), models)


def _block(choice: random.Random, name: str, rank: int, with_flag: bool) -> str:
    fields: dict[str, FieldSpec] = {"features": FIELDS["features"]}
    flag = ("train: bool = False", "train") if with_flag else ("", "")
    return _class(name, "nn.Module", fields, _compact(choice, fields, {}, rank, flag, 3))


def _compact(
    choice: random.Random,
    fields: dict[str, FieldSpec],
    blocks: dict[str, tuple[int, bool]],
    rank: int,
    flag: tuple[str, str],
    length: int = 7,
    optional: bool = False,
) -> str:
    scope = Scope(choice, fields, blocks, {"x": rank}, flag[1], has_optional=optional)
    helper = ""
    if choice.random() < 0.2:
        helper = _helper_method(choice, fields, rank)
    count = choice.randint(2, length)
    exit_at = choice.randrange(count) if choice.random() < 0.12 else -1
    for number in range(count):
        if number == exit_at:
            early_return(scope)
        elif helper and choice.random() < 0.3 and scope.of_rank([rank]):
            source = choice.choice(scope.of_rank([rank]))
            scope.emit(f"{source} = self._branch({source}, {width(scope, simple=True)})")
        else:
            body(scope, 1)
    if "x" not in scope.arrays:
        scope.emit(f"x = {scope.choice.choice(list(scope.arrays))}")
    scope.emit(
        scope.pick(
            "return x",
            f"return nn.Dense({width(scope)})(x)",
            f"return nn.Dense({scope.field('num_classes')})(x)",
        )
    )
    more = f", {forms.OPTIONAL_INPUT}=None" if optional else ""
    signature = f"self, x{more}{', ' + flag[0] if flag[0] else ''}"
    head = ["    @nn.compact", f"    def __call__({signature}):"]
    return "\n".join([*([helper] if helper else []), *head, *scope.lines])


def _helper_method(choice: random.Random, fields: dict[str, FieldSpec], rank: int) -> str:
    scope = Scope(choice, fields, {}, {"x": rank}, widths=["features"])
    for _ in range(choice.randint(1, 3)):
        choice.choice([layers.call_layer, change_width, layers.residual])(scope)
    if "x" not in scope.arrays or scope.arrays["x"] != rank:
        scope.emit("x = x")
    return "\n".join(["    def _branch(self, x, features):", *scope.lines, "        return x", ""])


def _subclass(choice: random.Random, fields: dict[str, FieldSpec]) -> str:
    lines = ["class Sub(Net):"]
    changed = [name for name in fields if choice.random() < 0.3]
    for name in changed:
        value = choice.choice(fields[name].values)
        lines.append(f"    {name}: {fields[name].annotation} = {value}")
    if choice.random() < 0.5 or not changed:
        lines.append("    extra: int = 2")
    return "\n".join([*lines, ""])


def _class(name: str, base: str, fields: dict[str, FieldSpec], methods: str) -> str:
    declared = [f"    {field}: {spec.annotation} = {spec.default}" for field, spec in fields.items()]
    return "\n".join([f"class {name}({base}):", *declared, *([""] if declared else []), methods, ""])


def _model(
    choice: random.Random, name: str, fields: dict[str, FieldSpec], rank: int, flag: str, optional: bool
) -> Model:
    given = [
        f"{field}={choice.choice(spec.values)}" for field, spec in fields.items() if choice.random() < 0.35
    ]
    shape = choice.choice(INPUTS[rank])
    keywords: dict[str, str] = {}
    train = None
    if flag:
        parameter = flag.removeprefix("*, ").split(":")[0].split("=")[0].strip()
        on = parameter != "deterministic"
        keywords, train = {parameter: str(not on)}, {parameter: str(on)}
    if optional and choice.random() < 0.5:
        given_input = {forms.OPTIONAL_INPUT: f"jnp.ones({shape[: shape.rindex(',')]}, 7))"}
        keywords, train = {**given_input, **keywords}, train if train is None else {**given_input, **train}
    return Model(f"{name}({', '.join(given)})", (f"jnp.ones({shape})",), keywords, train)
