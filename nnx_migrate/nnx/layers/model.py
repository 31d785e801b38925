"""What is known of one Linen layer and of the NNX code that stands for it: plain data, no behaviour.

The tables of this package are `LayerSpec` values; `bind` turns a Linen construction into `BoundArgs`,
`write_construction` and `write_call` turn those into a `Construction` and a `CallRewrite`. Everything that
cannot be written with certainty is a `Refusal` instead, never a guess.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nnx_migrate.nnx.layers.draft import Draft
    from nnx_migrate.nnx.layers.judge import Judge


def words(text: str) -> tuple[str, ...]:
    """Names separated by blanks: keeps the tables readable."""
    return tuple(text.split())


Numerics = Literal["exact", "native"]
Path = tuple[str | int, ...]

ReasonCode = Literal[
    "no-counterpart",  # NNX has no such layer or argument, and no helper can stand in: bridge it
    "unknown-arguments",  # *args / **kwargs whose content is not visible
    "bad-arguments",  # the construction or the call would fail in Linen, too
    "unknown-axes",  # an axis argument that is no literal decides about sizes
    "missing-size",  # an input size that the NNX constructor needs was not supplied
    "missing-mode-flag",  # neither constructor nor call says train or eval: Linen raises, NNX would train
    "unknown-wrapped-names",  # a filter over parameter names that the conversion may change
]


@dataclass(frozen=True)
class Refusal:
    """Why a construction or call is left as it was, and what a person should do about it."""

    code: ReasonCode
    reason: str
    advice: str = ""
    node: ast.AST | None = None


@dataclass(frozen=True)
class LastDim:
    """The last dimension of a call argument (`call_arg` counts Linen's `__call__` parameters from 0)."""

    call_arg: int


@dataclass(frozen=True)
class AxisDims:
    """The dimensions of a call argument at the axes that the Linen field `field` names.

    `combine` says what the constructor wants of them: their `product`, a `tuple` of them (an int where the
    field is an int), a `shape` (an int where there is one axis, else a tuple), or a `mapping` axis -> size.
    """

    call_arg: int
    field: str
    combine: Literal["product", "tuple", "shape", "mapping"]


@dataclass(frozen=True)
class SpatialDims:
    """The dimensions between batch and features, as many as the kernel size in `field` has."""

    call_arg: int
    field: str


@dataclass(frozen=True)
class CarryDim:
    """The last dimension of a recurrent cell's carry, the call's first argument (or its second part, for `pairs`).

    For cells that don't give the Linen field `field`: older releases took the size from the carry.
    """

    field: str
    pairs: bool


SizeSource = LastDim | AxisDims | SpatialDims | CarryDim


@dataclass(frozen=True)
class Size:
    """An input size that the NNX constructor needs and Linen inferred at the first call."""

    param: str
    source: SizeSource
    optional: bool = False


@dataclass(frozen=True)
class NeededSize:
    """A `Size` for one concrete construction: which dimensions of which call argument, and how to write them.

    `axes` are as the user wrote them (negative ones count from the end), in the order NNX wants.
    """

    param: str
    call_arg: int
    axes: tuple[int, ...]
    combine: Literal["one", "product", "tuple", "shape", "mapping"]
    optional: bool = False
    part: int | None = None  # of an argument that is a tuple

    def text(self, dims: list[str]) -> str:
        """The constructor argument, given the source text of each dimension in the order of `axes`."""
        if self.combine == "one":
            return dims[0]
        if self.combine == "product":
            return " * ".join(dim if dim.isidentifier() or dim.isdecimal() else f"({dim})" for dim in dims)
        if self.combine == "mapping":
            return "{" + ", ".join(f"{axis}: {dim}" for axis, dim in zip(self.axes, dims, strict=True)) + "}"
        return f"({dims[0]},)" if len(dims) == 1 else f"({', '.join(dims)})"


@dataclass(frozen=True)
class Leaf:
    """How one NNX variable is made from Linen variables of the same layer.

    `linen` holds one path below the layer's own scope, or several that are joined (`concat`: along the last
    axis; `flatten`: reshaped to one dimension). `nnx` is the attribute path of the variable, None where NNX
    has no place for it (`numerics="native"` only). An `optional` leaf may be missing on both sides, because
    an argument that decides about it is not a literal.
    """

    collection: str
    linen: tuple[tuple[str, ...], ...]
    nnx: Path | None
    transform: Literal["same", "flatten", "concat"] = "same"
    optional: bool = False


@dataclass(frozen=True)
class Child:
    """A layer that is an argument of another one (`nn.RNN(cell)`, `nn.Sequential([...])`).

    `field` is the Linen field; `nnx` the attribute path under which NNX keeps it. With `many`, the field is a
    sequence and the child's index is appended to `nnx`. `call_args[i]` says which call argument of the
    wrapper (None: none of them) reaches the child as its i-th; `chained` children get their predecessor's
    output instead.
    """

    field: str
    nnx: Path
    call_args: tuple[int | None, ...] = (0,)
    many: bool = False
    chained: bool = False


@dataclass(frozen=True)
class CallSpec:
    """The rules for calling the layer.

    `params` are the parameters of Linen's `__call__` (without self), the first `positional` of which may be
    given by position; NNX takes the first `nnx_positional` by position. `keywords` are renamed ones.
    `convert` gives the NNX form of an argument's text. `flag` is the mode flag, which may come from the
    constructor or the call. `variadic` layers hand everything on (`*args, **kwargs`).
    """

    params: tuple[str, ...] = ()
    positional: int = 1
    nnx_positional: int = 1
    keywords: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[str, Draft], str]] = field(default_factory=dict)
    flag: str | None = None
    variadic: bool = False

    def names_of(self, index: int) -> list[str]:
        """The keywords that a parameter has, older ones after its own."""
        if index >= len(self.params):
            return [""]
        name = self.params[index]
        return [name, *(old for old, new in self.keywords.items() if new == name)]


@dataclass(frozen=True)
class LayerSpec:
    """One Linen layer: its fields, its NNX counterpart and everything in between.

    `required` fields have no default. `nnx` is None where there is no counterpart: then either `helper` names
    a class of `nnx_migrate.nnx.helpers` that stands in, or `refusal` says why the layer stays behind a
    bridge. `positional` are the parameters of the NNX constructor that may be given by position, in order.
    `renames` maps Linen fields to NNX parameters (and attributes); `fixed` are Linen fields that NNX lacks
    and that must therefore have the given value; `own` are fields that `adjust` writes itself. `sequences`
    are fields whose list displays become tuples (NNX keeps them as static attributes, which must be hashable
    for `nnx.split` + `jax.jit`). `adapters` wrap functions whose calling convention differs.
    """

    linen: str
    nnx: str | None
    fields: tuple[str, ...]
    call: CallSpec
    required: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    sequences: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    adapters: Mapping[str, str] = field(default_factory=dict)
    children: tuple[Child, ...] = ()
    needs_rngs: bool = True
    features_arg: str | None = None
    helper: str | None = None
    refusal: Refusal | None = None
    adjust: Callable[[Draft], Refusal | None] | None = None
    leaves: Callable[[BoundArgs, Judge, Numerics], tuple[Leaf, ...]] | None = None

    @property
    def name(self) -> str:
        """The short Linen name (`Dense`), from which Linen makes auto-names such as `Dense_0`."""
        return self.linen.rpartition(".")[2]

    def nnx_parameter(self, linen_field: str) -> str:
        """The NNX constructor parameter (and attribute) for a Linen field."""
        return self.renames.get(linen_field, linen_field)


@dataclass(frozen=True)
class BoundArgs:
    """A Linen construction with every argument bound to its field.

    `name` and `parent` are Linen's own extra arguments; they never reach NNX. `positional` are the
    fields that the user gave by position, `unseen` the `**expressions` of unknown content.
    """

    spec: LayerSpec
    call: ast.Call
    values: Mapping[str, ast.expr]
    positional: frozenset[str] = frozenset()
    name: ast.expr | None = None
    parent: ast.expr | None = None
    unseen: tuple[ast.expr, ...] = ()


ArgumentOrigin = Literal["field", "size", "extra", "rngs"]


@dataclass(frozen=True)
class Argument:
    """One argument of an NNX construction; `name` is None where it stands by position, "**" for `**kwargs`.

    `parameter` is the NNX parameter in either case, `origin` says where the argument comes from (`extra`:
    needed to compute exactly what Linen computed) and `field` from which Linen field.
    """

    name: str | None
    text: str
    parameter: str
    origin: ArgumentOrigin
    field: str | None = None

    def __str__(self) -> str:
        return self.text if self.name is None else f"{self.name}{'' if self.name == '**' else '='}{self.text}"


@dataclass(frozen=True)
class Note:
    """Something the report should say about a construction that was converted."""

    code: Literal["unseen-arguments"]
    text: str


@dataclass(frozen=True)
class Construction:
    """An NNX construction: callee, ordered arguments, and the helpers that it refers to."""

    callee: str
    arguments: tuple[Argument, ...]
    helpers: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()

    @property
    def text(self) -> str:
        """The construction on one line."""
        return f"{self.callee}({', '.join(map(str, self.arguments))})"

    def split(self, partial_fields: frozenset[str]) -> tuple[tuple[Argument, ...], tuple[Argument, ...]]:
        """The arguments of `partial(layer, ...)` and those of the call that completes it.

        `partial_fields` are the Linen fields that the user's partial binds. Exactness extras and `rngs` go to
        the partial, sizes to the call. What can't stand by position any more becomes a keyword.
        """
        early = [a for a in self.arguments if a.field in partial_fields or a.origin in ("extra", "rngs")]
        late = [a for a in self.arguments if a not in early]
        keep_position = [a is b for a, b in zip(late, self.arguments, strict=False)]
        prefix = keep_position.index(False) if False in keep_position else len(late)
        by_keyword = [Argument(a.name or a.parameter, *_rest(a)) for a in late[prefix:]]
        return tuple(Argument(a.parameter, *_rest(a)) for a in early), (*late[:prefix], *by_keyword)


def _rest(argument: Argument) -> tuple[str, str, ArgumentOrigin, str | None]:
    return argument.text, argument.parameter, argument.origin, argument.field


@dataclass(frozen=True)
class ArgumentEdit:
    """A change to a call's arguments: replace a node's text, drop it (`text` None), append (`node` None)."""

    node: ast.expr | ast.keyword | None
    text: str | None


@dataclass(frozen=True)
class CallRewrite:
    """The edits that turn a Linen layer call into the NNX one, and the helpers they refer to."""

    edits: tuple[ArgumentEdit, ...]
    helpers: frozenset[str] = frozenset()
