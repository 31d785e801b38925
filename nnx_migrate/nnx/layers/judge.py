"""What can be said of an argument's value from its source: literals, dtypes, references to known functions.

The answers decide whether a stock NNX layer computes what the Linen one did, so "unknown" is a proper answer
and always leads to the form that is right for every value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from nnx_migrate.nnx.layers.aliases import canonical

if TYPE_CHECKING:
    from nnx_migrate.nnx.layers.model import BoundArgs


class _Unknown(Enum):
    UNKNOWN = auto()


UNKNOWN: Final = _Unknown.UNKNOWN
"""The value of an expression that only a run can tell."""


class DtypeKind(Enum):
    """The dtypes that make a difference: NONE (inferred), FLOAT32, HALF (16 bit), OTHER (known), UNKNOWN."""

    NONE = auto()
    FLOAT32 = auto()
    HALF = auto()
    OTHER = auto()
    UNKNOWN = auto()


_NAMESPACES = ("jax.numpy.", "numpy.", "jax.dtypes.", "ml_dtypes.")
_KINDS = {"float32": DtypeKind.FLOAT32, "bfloat16": DtypeKind.HALF, "float16": DtypeKind.HALF}
_OTHER = {"float64", "double", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}


def _no_name(_: ast.expr) -> str | None:
    return None


def _no_value(_: ast.expr) -> ast.expr | None:
    return None


@dataclass(frozen=True)
class Judge:
    """Answers questions about expressions.

    `qualname` resolves a reference to its absolute dotted name (`jnp.float32` -> "jax.numpy.float32");
    `resolve` may return the expression that a name or attribute is known to stand for (a field that is never
    given another value, a local constant). Both return None where they don't know.
    """

    qualname: Callable[[ast.expr], str | None] = _no_name
    resolve: Callable[[ast.expr], ast.expr | None] = _no_value

    def seen(self, node: ast.expr) -> ast.expr:
        """The expression behind names, as far as `resolve` knows."""
        for _ in range(8):  # a bound, should the caller's knowledge ever be circular
            simpler = self.resolve(node)
            if simpler is None:
                break
            node = simpler
        return node

    def constant(self, node: ast.expr) -> object:
        """The value of a literal (also nested in tuples, lists and dicts), else UNKNOWN."""
        node = self.seen(node)
        if isinstance(node, ast.Tuple | ast.List):
            items = [self.constant(item) for item in node.elts]
            if any(item is UNKNOWN for item in items):
                return UNKNOWN
            return tuple(items) if isinstance(node, ast.Tuple) else items
        try:
            value: object = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN
        return value

    def name(self, node: ast.expr) -> str | None:
        """The canonical dotted name that the expression refers to, if it is a plain reference."""
        found = self.qualname(self.seen(node))
        return None if found is None else canonical(found)

    def dtype(self, node: ast.expr | None) -> DtypeKind:
        """What kind of dtype an expression is; a missing argument counts as NONE."""
        if node is None:
            return DtypeKind.NONE
        value = self.constant(node)
        if value is None:
            return DtypeKind.NONE
        short = value if isinstance(value, str) else self._dtype_name(node)
        if short is None:
            return DtypeKind.UNKNOWN
        return _KINDS.get(short, DtypeKind.OTHER if short in _OTHER else DtypeKind.UNKNOWN)

    def _dtype_name(self, node: ast.expr) -> str | None:
        name = self.name(node)
        if name is not None:
            return next((name[len(space) :] for space in _NAMESPACES if name.startswith(space)), None)
        node = self.seen(node)
        if isinstance(node, ast.Call) and len(node.args) == 1 and self.name(node.func) in _DTYPE_CALLS:
            inner = self.constant(node.args[0])
            return inner if isinstance(inner, str) else self._dtype_name(node.args[0])
        return None

    def field(self, bound: BoundArgs, name: str) -> object:
        """The value of a field: the literal given, the default where nothing is given, else UNKNOWN."""
        node = bound.values.get(name)
        if node is None:
            return UNKNOWN if bound.unseen else bound.spec.defaults.get(name, UNKNOWN)
        return self.constant(node)


_DTYPE_CALLS = {"jax.numpy.dtype", "numpy.dtype"}
