"""The judge of shape effects: what `jax.eval_shape` says about the same call.

A case is a call with abstract arguments whose sizes are expressions over SYMBOLS. It is judged with numbers
for the symbols, with the symbols themselves (the result evaluated at several assignments), and with the front
axes of some arrays hidden behind a lead. An answer may be unknown, but never differ.
"""

from __future__ import annotations

import functools
import importlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnx_migrate.linen.arrays.leads import counted_lead, split_lead
from nnx_migrate.linen.arrays.shapes import Array, Global, Shape, Unknown
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import effect, method
from nnx_migrate.linen.effects.arguments import kind

SYMBOLS = ("n", "m", "k", "h", "w")
Assignment = dict[str, int]
Call = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
DTYPES = {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_, None: jnp.float32}


def size(name: str) -> Dim:
    """A symbol of the cases."""
    return Dim.size(name)


def assignments(rng: random.Random, count: int) -> list[Assignment]:
    """Values for all symbols."""
    return [{name: rng.randint(2, 9) for name in SYMBOLS} for _ in range(count)]


@dataclass
class Case:
    """A call of a function (`jax.numpy.sum`), a method (`.reshape`, first argument: the array) or `[]`."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        keywords = "".join(f", {k}={v!r}" for k, v in self.kwargs.items())
        return f"{self.name}{self.args!r}{keywords}"


class Mismatch(AssertionError):
    """A certain answer that differs from JAX's."""


# ---- values ------------------------------------------------------------------------------------------------


def walk(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every leaf replaced."""
    if isinstance(value, tuple | list):
        return type(value)(walk(item, change) for item in value)
    if isinstance(value, dict):
        return {key: walk(item, change) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(walk(part, change) for part in (value.start, value.stop, value.step)))
    return change(value)


def evaluate(dim: Dim, values: Assignment, names: dict[str, tuple[int, ...]] | None = None) -> int | None:
    """The number that a dim stands for; `names` are the shapes of named arrays, for symbols like `x§a-2`."""

    def value(text: str) -> int | None:
        name, _, axis = text.partition("§a")
        return (names or {})[name][int(axis)] if axis else values[text]

    return dim.substitute(value).const


def concrete_shape(shape: Shape, values: Assignment) -> tuple[int, ...]:
    """The shape as numbers."""
    sizes = [evaluate(dim, values) for dim in shape.dims]
    assert shape.exact
    assert None not in sizes
    return tuple(sizes)  # type: ignore[arg-type]


def with_numbers(value: Any, values: Assignment) -> Any:
    """Abstract arguments with numbers for all symbols."""

    def change(leaf: Any) -> Any:
        if isinstance(leaf, Array):
            return Array(Shape.of(*concrete_shape(leaf.shape, values)), leaf.dtype)
        if isinstance(leaf, Shape):
            return concrete_shape(leaf, values)
        return evaluate(leaf, values) if isinstance(leaf, Dim) else leaf

    return walk(value, change)


@functools.cache
def real_object(name: str) -> Any:
    """The object of a qualified name."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError):
        return getattr(real_object(module), attribute)


def real_result(case: Case, values: Assignment, call: Call) -> Any:
    """What JAX returns: ShapeDtypeStructs for arrays. Raises what JAX raises."""
    arrays: list[jax.ShapeDtypeStruct] = []

    def collect(leaf: Any) -> Any:
        if isinstance(leaf, Array):
            arrays.append(
                jax.ShapeDtypeStruct(concrete_shape(leaf.shape, values), DTYPES.get(leaf.dtype, leaf.dtype))
            )
            return _Slot(len(arrays) - 1)
        if isinstance(leaf, Shape):
            return concrete_shape(leaf, values)
        if isinstance(leaf, Dim):
            return evaluate(leaf, values)
        return real_object(leaf.name) if isinstance(leaf, Global) else leaf

    args, kwargs = walk(case.args, collect), walk(case.kwargs, collect)
    static: list[Any] = []

    def run(given: list[Any]) -> Any:
        fill = functools.partial(
            walk, change=lambda leaf: given[leaf.index] if isinstance(leaf, _Slot) else leaf
        )
        result = call(case.name, fill(args), fill(kwargs))
        static.append(
            jax.tree.map(lambda leaf: leaf if isinstance(leaf, int | float | str) else None, result)
        )
        return jax.tree.map(lambda leaf: leaf if hasattr(leaf, "dtype") else np.asarray(leaf), result)

    shapes = jax.eval_shape(run, arrays)
    return jax.tree.map(
        lambda shape, number: shape if number is None else number,
        shapes,
        static[0],
        is_leaf=lambda x: x is None,
    )


def call_function(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function, method or subscript of a case, applied."""
    if name == "[]":
        return args[0][args[1]]
    if name.startswith(".at[]"):
        return getattr(args[0].at[args[1]], name[6:])(*args[2:], **kwargs)
    if name.startswith("."):
        return getattr(args[0], name[1:])(*args[1:], **kwargs)
    return real_object(name)(*args, **kwargs)


@dataclass(frozen=True)
class _Slot:
    index: int


class Dice:
    """Random arguments."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.random, self.choice, self.sample, self.randint = rng.random, rng.choice, rng.sample, rng.randint

    def dim(self) -> Dim:
        """A size: mostly a symbol, sometimes an expression or a number."""
        name = size(self.choice(SYMBOLS))
        roll = self.random()
        if roll < 0.6:
            return name
        if roll < 0.75:
            return Dim.of(self.randint(1, 6))
        if roll < 0.85:
            return name * self.randint(2, 4)
        if roll < 0.95:
            return name + self.randint(1, 3)
        return name * size(self.choice(SYMBOLS))

    def dims(self, low: int = 0, high: int = 4) -> list[Dim]:
        """Some sizes."""
        return [self.dim() for _ in range(self.randint(low, high))]

    def array(self, low: int = 0, high: int = 4, dtype: str | None = "float") -> Array:
        """An array of random rank."""
        return Array.of(*self.dims(low, high), dtype=dtype)

    def axis(self, rank: int) -> int:
        """A valid axis."""
        return self.randint(-rank, rank - 1)

    def axes(self, rank: int) -> Any:
        """None, an axis or some axes."""
        if rank == 0 or self.random() < 0.2:
            return None
        if self.random() < 0.5:
            return self.axis(rank)
        chosen = self.sample(range(rank), self.randint(1, rank))
        return tuple(axis - rank if self.random() < 0.5 else axis for axis in chosen)

    def broadcastable(self, dims: list[Dim]) -> list[Dim]:
        """Sizes that go with `dims`: some replaced by 1, some left out in front."""
        kept = [Dim.of(1) if self.random() < 0.3 else dim for dim in dims]
        return kept[self.randint(0, len(kept)) :] if self.random() < 0.4 else kept


# ---- judging -----------------------------------------------------------------------------------------------


def abstract_result(case: Case) -> Any:
    """What the effect says."""
    if case.name == "[]":
        transfer = method("__getitem__")
    else:
        transfer = method(case.name[1:]) if case.name.startswith(".") else effect(case.name)
    assert transfer is not None, f"{case.name} is not modelled"
    return transfer(*case.args, **case.kwargs)


def compare(
    answer: Any, real: Any, values: Assignment, names: dict[str, tuple[int, ...]] | None = None
) -> list[str]:
    """What remains unknown in an answer; raises Mismatch where it is wrong."""
    if isinstance(answer, Unknown):
        return [answer.reason]
    if isinstance(answer, Array):
        if not hasattr(real, "shape"):
            raise Mismatch(f"{answer} instead of {real!r}")
        return _compare_dtype(answer, real) + _compare_shape(answer.shape, tuple(real.shape), values, names)
    if isinstance(answer, Shape):
        return _compare_shape(answer, tuple(real), values, names)
    if isinstance(answer, Dim):
        if not answer.known:
            return [answer.reason or ""]
        if evaluate(answer, values, names) != real:
            raise Mismatch(f"{answer} instead of {real!r}")
        return []
    if isinstance(answer, tuple | list):
        if not isinstance(real, tuple | list) or len(answer) != len(real):
            raise Mismatch(f"{answer!r} instead of {real!r}")
        return [text for a, r in zip(answer, real, strict=True) for text in compare(a, r, values, names)]
    if isinstance(answer, dict):
        if set(answer) != set(real):
            raise Mismatch(f"{answer!r} instead of {real!r}")
        return [text for key in answer for text in compare(answer[key], real[key], values, names)]
    if answer != real:
        raise Mismatch(f"{answer!r} instead of {real!r}")
    return []


def _compare_dtype(answer: Array, real: Any) -> list[str]:
    if answer.dtype is None:
        return []
    names = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex", "V": "float"}
    exact = answer.dtype not in names.values()
    actual = real.dtype.name if exact else names[real.dtype.kind]
    if actual != answer.dtype and not (exact and kind(answer.dtype) is None):
        raise Mismatch(f"dtype {answer.dtype} instead of {real.dtype}")
    return []


def _compare_shape(
    shape: Shape, real: tuple[int, ...], values: Assignment, names: dict[str, tuple[int, ...]] | None
) -> list[str]:
    unknown = []
    if len(real) < len(shape.dims) or (shape.exact and len(real) != len(shape.dims)):
        raise Mismatch(f"{shape} instead of {real}")
    behind = real[len(real) - len(shape.dims) :]
    for dim, actual in zip(shape.dims, behind, strict=True):
        if not dim.known:
            unknown.append(dim.reason or "")
        elif evaluate(dim, values, names) != actual:
            raise Mismatch(f"{shape} instead of {real} for {values}")
    if shape.lead:
        counted = counted_lead(shape.lead)
        base, cut = split_lead(counted)
        lead, front = (names or {})[base], real[: len(real) - len(shape.dims)]
        if len(front) != max(len(lead) - cut, 0) or (counted == shape.lead and lead[: len(front)] != front):
            raise Mismatch(f"{shape} instead of {real} for {values}")
        if counted != shape.lead:
            unknown.append("the sizes of the leading axes")
    elif shape.lead == "":
        unknown.append("rank")
    return unknown


def hidden(value: Any, rng: random.Random, values: Assignment, names: dict[str, tuple[int, ...]]) -> Any:
    """Arguments with the front axes of some arrays hidden; fills in the shapes of the arrays by name."""

    def change(leaf: Any) -> Any:
        if not isinstance(leaf, Array) or not leaf.shape.dims or rng.random() < 0.3:
            return leaf
        keep = rng.randint(0, len(leaf.shape.dims))
        name = f"x{len(names)}"
        names[name] = concrete_shape(leaf.shape, values)
        lead = f"{name}[:-{keep}]" if keep and rng.random() < 0.7 else ""
        dims = leaf.shape.dims[len(leaf.shape.dims) - keep :]
        return replace(leaf, shape=Shape(dims, lead))

    return walk(value, change)


@dataclass
class Tally:
    """How many answers were complete, by function."""

    known: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judge:
    """How a case is answered by our effects (`answer`) and by JAX (`call`)."""

    answer: Callable[[Case], Any] = abstract_result
    call: Call = call_function


def judge(cases: Iterator[Case] | list[Case], rng: random.Random, how: Judge | None = None) -> Tally:
    """Judge all cases in all three ways. Returns what concrete answers were known; raises Mismatch."""
    tally = Tally()
    for case in cases:
        try:
            judge_one(case, rng, tally, how or Judge())
        except Mismatch as mismatch:
            raise Mismatch(f"{case}: {mismatch}") from None
    return tally


def judge_one(case: Case, rng: random.Random, tally: Tally, how: Judge) -> None:
    """Judge one case, adding to the tally."""
    symbolic = how.answer(case)
    for index, values in enumerate(assignments(rng, 2)):
        try:
            real = real_result(case, values, how.call)
        except Exception:  # JAX refuses the call: then nothing can be wrong
            tally.failed[case.name] += 1
            continue
        numbers = Case(case.name, with_numbers(case.args, values), with_numbers(case.kwargs, values))
        missing = compare(how.answer(numbers), real, values)
        (tally.unknown if missing else tally.known)[case.name] += 1
        if missing:
            tally.reasons[f"{numbers}"] = missing[0]
        if any(0 in getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(real)):
            continue  # symbolic sizes stand for non-empty axes
        compare(symbolic, real, values)
        if index == 0:
            names: dict[str, tuple[int, ...]] = {}
            args, kwargs = (hidden(part, rng, values, names) for part in (case.args, case.kwargs))
            compare(how.answer(Case(case.name, args, kwargs)), real, values, names)
