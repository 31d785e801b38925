"""Abstract values of array programs: shapes whose rank may be partly unknown, arrays, and "unknown".

A value of the interpreter is one of: `Array`, `Shape` (a tuple of sizes, such as `x.shape`), `Dim` or int,
float, bool, str, None, tuple, list, dict, slice, Ellipsis, `Global` (a function, dtype or module known by its
qualified name), or `Unknown`. Python values stand for themselves.

Assumption, stated once: symbolic axes of arrays are at least 1 long. Constant sizes may be 0 and are exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nnx_migrate.linen.arrays.leads import as_many_as_both, axis_size, cut_lead, flat_size, split_lead
from nnx_migrate.linen.dims import Dim, fitting, product, same

Value = object
NO_RANK = "the rank of the array is not known"
NUMBERED = "of an array of unknown rank"  # behind "axis 1"
_FLEETING = re.compile(r"§[lps]")  # in names of what loops and assignments change
BEYOND = "is out of bounds for rank"  # the same: code that fails for arrays of this rank


@dataclass(frozen=True)
class Unknown:
    """A value about which nothing is known; `reason` is shown to the user."""

    reason: str


@dataclass(frozen=True)
class PerAxis(Unknown):
    """A number for each axis of a convolution, given as a whole by the expression `text` (`self.patch_size`).

    `listed` says that it is a sequence; else it may be one number for all axes, too.
    """

    text: str
    listed: bool

    def items(self, count: int) -> tuple[Dim, ...]:
        """The numbers for `count` axes."""
        return tuple(Dim.size(f"{self.text}[{index}]") for index in range(count))


@dataclass(frozen=True)
class Global:
    """A module-level object of a library, by canonical qualified name (`jax.numpy.float32`)."""

    name: str


class Unmodelled(Exception):
    """Raised inside a transfer function for anything that it does not model; becomes `Unknown(reason)`."""


@dataclass(frozen=True)
class Shape:
    """Sizes of axes; with `lead`, there may be further axes, of unknown number, in front of `dims`.

    `lead` names these axes: two shapes with the same non-empty lead have equal leading axes, an empty lead is
    never the same as another one, and None means that `dims` are all. A lead of the form `x[:-1]` stands for
    the axes of an array named `x` but the last; sizes taken from it become symbols such as `x§a-2`.
    """

    dims: tuple[Dim, ...] = ()
    lead: str | None = None

    @staticmethod
    def of(*dims: int | Dim, lead: str | None = None) -> Shape:
        """`Shape.of(2, Dim.size("n"))`."""
        return Shape(tuple(map(Dim.of, dims)), lead)

    @property
    def exact(self) -> bool:
        """Whether the rank is known."""
        return self.lead is None

    @property
    def rank(self) -> int | None:
        """The number of axes, if known."""
        return len(self.dims) if self.lead is None else None

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return self.elements(0)

    def elements(self, start: int) -> Dim:
        """The product of the sizes from the axis `start` (counted from the front) on."""
        if self.exact:
            return product(self.dims[start:])
        behind = re.fullmatch(r"(.+)\[(\d+):\]", self.lead or "")
        if behind and not self.dims:  # `x.shape[1:]`
            return flat_size(behind[1], int(behind[2]) + start)
        return flat_size(self.whole, start) if self.whole else Dim.unknown(NO_RANK)

    @property
    def whole(self) -> str:
        """The named array whose shape this is, where the rank isn't known; "" for any other shape."""
        base, cut = split_lead(self.lead or "")
        own = tuple(axis_size(base, axis) for axis in range(-cut, 0))
        return base if base and self.dims == own else ""

    def axis(self, axis: int) -> int:
        """A Python axis as a negative index (-1 is the last). Raises Unmodelled where it can't be placed."""
        if self.lead is not None:
            if axis >= 0:
                raise Unmodelled(f"axis {axis} {NUMBERED}")
            return axis
        if not -len(self.dims) <= axis < len(self.dims):
            raise Unmodelled(f"axis {axis} {BEYOND} {len(self.dims)}")
        return axis if axis < 0 else axis - len(self.dims)

    def dim(self, axis: int) -> Dim:
        """The size of an axis, an unknown dim where it isn't known."""
        if axis >= 0 and self.whole:
            return axis_size(self.whole, axis)
        try:
            index = self.axis(axis)
        except Unmodelled as unmodelled:
            return Dim.unknown(str(unmodelled))
        return self.with_last(-index).dims[index]

    def last(self, count: int) -> tuple[Dim, ...]:
        """The last `count` dims. Raises Unmodelled if there are fewer."""
        return self.with_last(count).dims[-count:] if count else ()

    def with_last(self, count: int) -> Shape:
        """The same shape with at least `count` dims spelled out, assuming that the array has so many.

        Sizes taken from the lead of a named array become symbols, others are unknown.
        """
        missing = count - len(self.dims)
        if missing <= 0:
            return self
        if self.lead is None:
            raise Unmodelled(f"an array of rank {len(self.dims)} where {count} axes are needed")
        hidden = tuple(lead_dim(self.lead, place) for place in range(missing, 0, -1))
        return Shape((*hidden, *self.dims), cut_lead(self.lead, missing))

    def before(self, count: int) -> Shape:
        """All but the last `count` axes."""
        full = self.with_last(count)
        return replace(full, dims=full.dims[: len(full.dims) - count])

    def then(self, *dims: int | Dim) -> Shape:
        """With further dims behind."""
        return replace(self, dims=(*self.dims, *map(Dim.of, dims)))

    def replaced(self, axis: int, *dims: int | Dim) -> Shape:
        """With one axis replaced by any number of dims."""
        index = self.axis(axis)
        full = self.with_last(-index)
        at = len(full.dims) + index
        return replace(full, dims=(*full.dims[:at], *map(Dim.of, dims), *full.dims[at + 1 :]))

    def without(self, axes: Iterable[int]) -> Shape:
        """With axes (negative indices, as `axis` returns them) removed."""
        dropped = set(axes)
        full = self.with_last(max((-axis for axis in dropped), default=0))
        rank = len(full.dims)
        return replace(full, dims=tuple(d for i, d in enumerate(full.dims) if i - rank not in dropped))

    # ---- as the tuple that `x.shape` is -------------------------------------------------------------------

    def of_array(self) -> Shape:
        """With sizes that are known not to be negative, as those of an array that exists."""
        return replace(self, dims=tuple(dim.as_size() for dim in self.dims))

    def concat(self, other: Shape) -> Shape:
        """`self + other`, as tuples."""
        if other.lead is None:
            return Shape((*self.dims, *other.dims), self.lead)
        if self == Shape():
            return other
        return Shape(other.dims, "")

    def sliced(self, start: int | None, stop: int | None) -> Shape:
        """`self[start:stop]`, as a tuple. Raises Unmodelled where the bounds can't be placed."""
        if self.lead is None:
            return Shape(self.dims[start:stop])
        if start is not None and start > 0 and stop is None and self.whole:
            return Shape((), f"{self.whole}[{start}:]")
        if start is not None and start >= 0 and start != 0:
            raise Unmodelled("a slice from the front of a shape of unknown rank")
        if stop is not None and stop >= 0:
            return Shape((), "")  # the first axes, by no name
        if start is None or start == 0:
            return self if stop is None else self.before(-stop)
        return Shape(self.last(-start)[: len(self.last(-start)) + (stop or 0)])

    def items(self) -> tuple[Dim, ...]:
        """The dims as a tuple. Raises Unmodelled if their number is unknown."""
        if self.lead is not None:
            raise Unmodelled(NO_RANK)
        return self.dims

    def join(self, other: Shape) -> Shape:
        """What is known of a value that has either the one shape or the other."""
        if self.exact and other.exact and len(self.dims) == len(other.dims):
            dims = tuple(
                a if same(a, b) else either(a, b) for a, b in zip(self.dims, other.dims, strict=True)
            )
            return Shape(dims)
        dims_behind: list[Dim] = []
        for a, b in zip(reversed(self.dims), reversed(other.dims), strict=False):
            dims_behind.insert(0, a if same(a, b) else either(a, b))
        keeps_lead = self.lead == other.lead and len(self.dims) == len(other.dims)
        return Shape(tuple(dims_behind), self.lead if keeps_lead else "")

    def __str__(self) -> str:
        parts = [] if self.lead is None else [f"*{self.lead}"]
        parts += [dim.text() if dim.known else "?" for dim in self.dims]
        return f"({', '.join(parts)})"


@dataclass(frozen=True)
class InnerAxes(Unknown):
    """`range(front, x.ndim - back)` for an array of unknown rank with the shape `of`."""

    of: Shape = field(default_factory=Shape)
    front: int = 0
    back: int = 0

    def reduced(self, shape: Shape, keepdims: bool) -> Shape:
        """The shape without these axes, or with 1 in their places."""
        if shape != self.of:
            raise Unmodelled(self.reason)
        kept = shape.with_last(self.back).dims[-self.back :] if self.back else ()
        if keepdims:
            return Shape(kept, lead="")
        return Shape((*(Dim.unknown(NO_RANK) for _ in range(self.front)), *kept))


@dataclass(frozen=True)
class InitialDtype(Unknown):
    """The dtype that an array has while the model is initialised, as an expression of the constructor: `text`."""

    text: str = ""


@dataclass(frozen=True)
class Array:
    """An array. `dtype` is an exact name (`"float32"`), a kind (bool, int, float, complex), what the module
    `effects.initial_dtypes` knows, or None.

    `weak` marks Python scalars, whose dtype gives way to that of the other operand.
    """

    shape: Shape
    dtype: str | None = None
    weak: bool = False

    @staticmethod
    def of(*dims: int | Dim, dtype: str | None = None, lead: str | None = None) -> Array:
        """`Array.of(2, Dim.size("n"))`; `lead=""` for an array with further, unknown leading axes."""
        return Array(Shape.of(*dims, lead=lead), dtype)

    def with_shape(self, shape: Shape) -> Array:
        """The same dtype, another shape."""
        return Array(shape, self.dtype)

    def or_else(self, other: Array, size: Callable[[Dim, Dim], Dim]) -> Array | None:
        """This array or another one: `size` tells what sizes that differ are then; None for another rank."""
        if len(self.shape.dims) != len(other.shape.dims) or self.shape.lead != other.shape.lead:
            return None
        pairs = zip(self.shape.dims, other.shape.dims, strict=True)
        dims = tuple(a if same(a, b) else size(a, b) for a, b in pairs)
        return Array(Shape(dims, self.shape.lead), self.dtype if self.dtype == other.dtype else None)


@dataclass(frozen=True)
class NumberArray(Array):
    """A NumPy array of known integers, with one axis. What is computed from it is an array like any other."""

    numbers: tuple[int, ...] = ()

    @staticmethod
    def holding(numbers: Sequence[int]) -> NumberArray:
        """The array of these numbers."""
        return NumberArray(Shape.of(len(numbers)), "int", numbers=tuple(numbers))


def either(a: Dim, b: Dim) -> Dim:
    """One of two sizes."""
    for one, other in ((a, b), (b, a)):
        others = other.options or (other,)
        if one.options and all(any(same(option, o) for option in one.options) for o in others):
            return one
    for dim in (a, b):
        if dim.reason is not None:
            return Dim.unknown(dim.reason)
    found = Dim.unknown(f"either {a.text()} or {b.text()}")
    if not any(_FLEETING.search(symbol) for dim in (a, b) for symbol in dim.symbols()):
        found.options = (a, b)
    return found


def lead_dim(lead: str, place: int) -> Dim:
    """The size of the axis at `-place` in a lead."""
    base, cut = split_lead(lead)
    return axis_size(base, -cut - place) if base else Dim.unknown(NO_RANK)


def aligned(a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Both shapes with equal leads, if one is the other's lead cut (`x.shape[:-2]`, `x.shape[:-1]`)."""
    if not a.lead or not b.lead or a.lead == b.lead:
        return a, b
    (base_a, cut_a), (base_b, cut_b) = split_lead(a.lead), split_lead(b.lead)
    if base_a != base_b:
        return a, b
    return (
        a.with_last(len(a.dims) + max(cut_b - cut_a, 0)),
        b.with_last(len(b.dims) + max(cut_a - cut_b, 0)),
    )


# ---- broadcasting ------------------------------------------------------------------------------------------


def broadcast_dims(a: Dim, b: Dim) -> Dim:
    """The size of an axis when axes of sizes `a` and `b` meet. Raises Unmodelled if they never fit."""
    if a == 1 or same(a, b):
        return b
    if b == 1:
        return a
    for one, other in ((a, b), (b, a)):
        if same(one, 1) is False:
            # Nothing but 1 (or the same size) goes with a size other than 1.
            if same(one, other) is False and same(other, 1) is False:
                raise Unmodelled(f"sizes {a.text()} and {b.text()} do not broadcast")
            return one
    if a.options or b.options:
        return _one_size(a, b)
    for dim in (a, b):
        if dim.reason is not None:
            return Dim.unknown(dim.reason)
    # Symbolic axes are at least 1 long, and fit only if they are equal or one of them is 1.
    return fitting(a, b)


def _one_size(a: Dim, b: Dim) -> Dim:
    """The size of an axis where one of the two is one of several sizes: what it is in any case, if that is one."""
    found: list[Dim] = []
    for one, other in ((x, y) for x in a.options or (a,) for y in b.options or (b,)):
        with suppress(Unmodelled):  # sizes that never meet
            found.append(broadcast_dims(one, other))
    if found and all(dim.known and same(dim, found[0]) for dim in found):
        return found[0]
    return Dim.unknown(a.reason or b.reason or "")


def broadcast(*shapes: Shape) -> Shape:
    """The NumPy broadcast of all shapes. Raises Unmodelled if they don't fit."""
    result = Shape()
    for shape in shapes:
        result = _broadcast_two(result, shape)
    return result


def _broadcast_two(a: Shape, b: Shape) -> Shape:
    a, b = aligned(a, b)
    count = max(len(a.dims), len(b.dims))
    dims: list[Dim] = []
    for index in range(-count, 0):
        pair = [_or_lead(shape, index) for shape in (a, b)]
        dims.append(broadcast_dims(pair[0], pair[1]))
    return Shape(tuple(dims), _broadcast_leads(a, b, count))


def _or_lead(shape: Shape, index: int) -> Dim:
    """The dim at a negative index; 1 in front of an exact shape."""
    if -index <= len(shape.dims):
        return shape.dims[index]
    if shape.lead is None:
        return Dim.of(1)
    # Whether the array has this axis is not known, so its size can't be named here.
    return Dim.unknown(NO_RANK)


def _broadcast_leads(a: Shape, b: Shape, count: int) -> str | None:
    leads = [None if s.lead is None else cut_lead(s.lead, count - len(s.dims)) for s in (a, b)]
    known = [lead for lead in leads if lead is not None]
    if len(known) < 2:
        return known[0] if known else None
    return known[0] if known[0] == known[1] else as_many_as_both(*known)
