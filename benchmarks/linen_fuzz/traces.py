"""Digests of jaxprs: two computations with the same digest compute the same numbers, whatever the inputs.

Every value is named by how it was computed: the primitive, its parameters and the names of its operands. Nothing is
compiled or run (but for random keys), so a model takes milliseconds. Names that differ prove nothing: the computation
may be written in another way, and has to be run to be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.extend import core

Digest = str

_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call"})
_ALIASES = frozenset({"copy", "copy_p", "name", "sharding_constraint"})
_IGNORED = frozenset({"debug_info", "sharding", "out_sharding", "name", "mesh", "layout", "accuracy"})
_RESHAPES = frozenset({"reshape", "broadcast_in_dim", "squeeze", "expand_dims", "convert_element_type"})
_COMMUTATIVE = frozenset({"add", "mul", "max", "min"})


@dataclass(frozen=True)
class Value:
    """What is known of a value: its digest; what it is a reshaped form of; the value itself, if constant."""

    digest: Digest
    base: Value | None = None
    shape: tuple[int, ...] = ()
    constant: Any = field(default=None, compare=False)


def follow(closed: Any, inputs: Sequence[Value], *, one_key: bool = False) -> list[Value]:
    """What is known of a jaxpr's outputs, given what is known of its inputs.

    With `one_key`, all random keys are taken for the same: what is drawn matters, not from which key.
    """
    return _Digester(one_key).closed(closed, inputs)


def combined(*parts: str | bytes) -> Digest:
    """One digest for several texts."""
    found = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def constant(value: Any) -> Value:
    """A value that is known."""
    data = jax.random.key_data(value) if _is_key(value) else value
    array = np.asarray(data)
    digest = combined("constant", str(array.dtype), str(array.shape), array.tobytes())
    return Value(digest, shape=np.shape(value), constant=value)


class _Digester:
    def __init__(self, one_key: bool) -> None:
        self.one_key = one_key

    def closed(self, closed: Any, inputs: Sequence[Value]) -> list[Value]:
        return self.run(closed.jaxpr, [constant(c) for c in closed.consts], inputs)

    def run(self, jaxpr: Any, consts: Sequence[Value], inputs: Sequence[Value]) -> list[Value]:
        known: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Value:
            return constant(np.asarray(atom.val, atom.aval.dtype)) if hasattr(atom, "val") else known[atom]

        for equation in jaxpr.eqns:
            results = self.equation(equation, [read(a) for a in equation.invars])
            for variable, result in zip(equation.outvars, results, strict=True):
                known[variable] = self.key_or(variable.aval, result)
        return [read(a) for a in jaxpr.outvars]

    def key_or(self, aval: Any, value: Value) -> Value:
        if not (self.one_key and _is_key(aval)):
            return value
        return Value(combined("key", str(aval.shape)), shape=aval.shape)

    def equation(self, equation: Any, operands: list[Value]) -> list[Value]:
        name, params = equation.primitive.name, equation.params
        if name in _INLINED:
            return self.inner(params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"], operands)
        if name in _ALIASES:
            return operands
        if self.foldable(equation, operands):
            found = equation.primitive.bind(*(v.constant for v in operands), **params)
            return [constant(v) for v in (found if equation.primitive.multiple_results else [found])]
        if name in _RESHAPES and _only_reshapes(equation):
            return [reshaped(operands[0], _shape(equation.outvars[0]))]
        names = [value.digest for value in operands]
        if name in _COMMUTATIVE:
            names.sort()
        own = combined(name, *(f"{k}={self.parameter(v)}" for k, v in _relevant(params)), *names)
        return [Value(combined(own, str(i)), shape=_shape(v)) for i, v in enumerate(equation.outvars)]

    def foldable(self, equation: Any, operands: list[Value]) -> bool:
        """Whether it computes keys, or what keys are made of, from constants."""
        if self.one_key or any(value.constant is None for value in operands):
            return False
        return all(_is_key(v.aval) or _dtype(v.aval) == np.uint32 for v in equation.outvars) and all(
            np.prod(_shape(v)) < 100 for v in equation.outvars
        )

    def inner(self, jaxpr: Any, operands: Sequence[Value]) -> list[Value]:
        if isinstance(jaxpr, core.ClosedJaxpr):
            return self.closed(jaxpr, operands)
        return self.run(jaxpr, (), operands)

    def parameter(self, value: Any) -> str:
        """A parameter as text: jaxprs by what they compute, functions by name."""
        if isinstance(value, core.ClosedJaxpr | core.Jaxpr):
            variables = (value.jaxpr if isinstance(value, core.ClosedJaxpr) else value).invars
            arguments = [Value(f"argument {i}", shape=_shape(v)) for i, v in enumerate(variables)]
            return ",".join(result.digest for result in self.inner(value, arguments))
        if isinstance(value, tuple | list):
            return "(" + ",".join(self.parameter(item) for item in value) + ")"
        if isinstance(value, Mapping):
            return str({k: self.parameter(v) for k, v in value.items()})
        if isinstance(value, np.ndarray | jax.Array):
            return constant(value).digest
        if callable(value) and not isinstance(value, type):
            return str(getattr(value, "__name__", type(value).__name__))
        return str(value)


def reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    """A value in another shape, whatever shapes it has had in between."""
    base = value.base or value
    if base.shape == shape:
        return base
    return Value(combined("reshape", str(shape), base.digest), base, shape)


def _only_reshapes(equation: Any) -> bool:
    before, after = equation.invars[0].aval, equation.outvars[0].aval
    same = before.dtype == after.dtype and before.weak_type == after.weak_type
    return same and np.prod(before.shape) == np.prod(after.shape) and len(equation.invars) == 1


def _relevant(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted((k, v) for k, v in params.items() if k not in _IGNORED)


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _dtype(aval: Any) -> Any:
    return getattr(aval, "dtype", None)


def _is_key(value: Any) -> bool:
    dtype = _dtype(value)
    return dtype is not None and bool(jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key))
