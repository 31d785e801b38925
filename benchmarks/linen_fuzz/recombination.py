"""Programs made of the class fixtures: what somebody wrote, with a few small changes."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable
from functools import cache

from benchmarks.linen_fuzz.program import Model, Program
from tests.linen_module.fixture import cases, folders

_INPUTS = """
import jax
import jax.numpy as jnp
import numpy as np


def normal(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def integers(high, *shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, high, size=shape), jnp.int32)
"""


@cache
def originals() -> tuple[Program, ...]:
    """The fixtures whose models are called in the usual way."""
    found = []
    for folder in folders():
        own = [case for case in cases() if case.folder == folder and not case.method and not case.tolerance]
        if own:
            models = tuple(Model(case.model, case.args, case.eval, case.train) for case in own)
            found.append(Program((folder / "before.py").read_text(encoding="utf-8") + _INPUTS, models))
    return tuple(found)


def recombined(choice: random.Random) -> Program:
    """A fixture with one to three changes, as one model of it."""
    program = choice.choice(originals())
    tree = ast.parse(program.classes)
    functions = [
        f
        for cls in tree.body
        if isinstance(cls, ast.ClassDef)
        for f in cls.body
        if isinstance(f, ast.FunctionDef)
    ]
    for _ in range(choice.randint(1, 3)):
        if functions:
            choice.choice(CHANGES)(choice.choice(functions), choice)
    text = ast.unparse(ast.fix_missing_locations(tree))
    return Program(text, (choice.choice(program.models),))


def _blocks(function: ast.FunctionDef) -> list[list[ast.stmt]]:
    """The blocks of statements of a function, its own and those below."""
    found: list[list[ast.stmt]] = []
    for node in ast.walk(function):
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                found.append(block)
    return found


def _place(function: ast.FunctionDef, choice: random.Random) -> tuple[list[ast.stmt], int]:
    block = choice.choice(_blocks(function))
    return block, choice.randrange(len(block))


def _locals(function: ast.FunctionDef) -> list[str]:
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return sorted(stored)


def _statements(text: str) -> list[ast.stmt]:
    return ast.parse(text).body


def constant(function: ast.FunctionDef, choice: random.Random) -> None:
    """Another number."""
    numbers = [n for n in ast.walk(function) if isinstance(n, ast.Constant) and type(n.value) is int]
    if numbers:
        number = choice.choice(numbers)
        assert isinstance(number.value, int)
        number.value = choice.choice([number.value + 1, number.value * 2, 2, 1])


def exchanged(function: ast.FunctionDef, choice: random.Random) -> None:
    """Two statements in the other order."""
    block, index = _place(function, choice)
    if index + 1 < len(block):
        block[index], block[index + 1] = block[index + 1], block[index]


def repeated(function: ast.FunctionDef, choice: random.Random) -> None:
    """A statement twice."""
    block, index = _place(function, choice)
    block.insert(index, copy.deepcopy(block[index]))


def looped(function: ast.FunctionDef, choice: random.Random) -> None:
    """A statement in a loop."""
    block, index = _place(function, choice)
    if not isinstance(block[index], ast.Return):
        header = choice.choice(["for _ in range(2):", "for i in range(2):", "for size in (2, 4):"])
        (loop,) = _statements(f"{header}\n    pass")
        assert isinstance(loop, ast.For)
        loop.body = [block[index]]
        block[index] = loop


def conditional(function: ast.FunctionDef, choice: random.Random) -> None:
    """A statement under a condition."""
    block, index = _place(function, choice)
    names = [n.arg for n in function.args.args[1:]] or ["self"]
    test = choice.choice(
        [f"{names[0]}.shape[-1] > 3", "True", f"{names[-1]} is not None", f"len({names[0]}.shape) == 2"]
    )
    (found,) = _statements(f"if {test}:\n    pass")
    assert isinstance(found, ast.If)
    found.body = [block[index]]
    block[index] = found


def renamed(function: ast.FunctionDef, choice: random.Random) -> None:
    """A local variable under the name of another, or of an argument."""
    names = _locals(function)
    others = [*names, *(a.arg for a in function.args.args[1:]), "features", "i"]
    if names:
        old, new = choice.choice(names), choice.choice(others)
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == old:
                node.id = new


def removed(function: ast.FunctionDef, choice: random.Random) -> None:
    """A statement less."""
    block, index = _place(function, choice)
    if len(block) > 1:
        del block[index]


def renewed(function: ast.FunctionDef, choice: random.Random) -> None:
    """Another value for a local variable, if it is a number."""
    block, index = _place(function, choice)
    names = _locals(function)
    if names:
        name = choice.choice(names)
        line = choice.choice([f"{name} = {name} * 2", f"{name} += 1", f"{name} = {choice.choice(names)}"])
        block[index:index] = _statements(line)


def bound(function: ast.FunctionDef, choice: random.Random) -> None:
    """A layer under a name of its own before it is called."""
    block, index = _place(function, choice)
    statement = block[index]
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Call):
        assignment = ast.Assign([ast.Name("layer", ast.Store())], value.func)
        value.func = ast.Name("layer", ast.Load())
        block.insert(index, assignment)


Change = Callable[[ast.FunctionDef, random.Random], None]
CHANGES: tuple[Change, ...] = (
    constant, exchanged, repeated, looped, conditional, renamed, removed, renewed, bound,
)  # fmt: skip
