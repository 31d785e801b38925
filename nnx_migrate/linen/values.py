"""What an expression may stand for while a Linen class is interpreted.

Arrays, shapes, sizes, functions and plain Python values are those of `nnx_migrate.linen.arrays.shapes`; here is
everything else that a model's code handles: modules, their classes and factories, arguments, values known by
expression only. Values are immutable (lists and dicts are never changed in place) and compare by content, so that
joins and fixpoints are decided by `==`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Array, InnerAxes, Unknown
from nnx_migrate.linen.dims import Dim

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.lifts import Lift
    from nnx_migrate.linen.classes.model import LinenClass
    from nnx_migrate.linen.interpreter.frame import Session, Slot
    from nnx_migrate.linen.sites import Recipe, Site
    from nnx_migrate.names.modules import Module


# Attributes of configurations that count something: `config.hidden_size`, `cfg.n_embd`, `c.num_heads`. What
# else they could mean (-1 for "all the rest") has no place in the layers that get them, too.
_COUNT = re.compile(
    r"\.(?:(?:n|d|num|dim)_\w+"
    r"|(?:\w+_)?(?:size|dim|features|channels|width|heads|head|units|embd|filters)(?:\[-?\d+\])?)$"
)


@dataclass(frozen=True)
class Expr:
    """A value that the constructor can compute, known by its expression only (`self.act`, `self.config.dim`).

    `kind` is what annotations tell: "int", "float", "bool", "str", "sequence", "mapping" or "" (not known);
    `length` is that of a tuple of ints whose annotation tells it, `element` what all items of a list are; a list
    that is `filled` has some.
    Sizes in `when_true` (`when_false`) are pairwise equal where a condition holds (doesn't hold).
    """

    text: str
    kind: str = ""
    length: int | None = None
    element: Dim | None = None
    filled: bool = False
    when_true: tuple[tuple[Dim, Dim], ...] = field(default=(), compare=False)
    when_false: tuple[tuple[Dim, Dim], ...] = field(default=(), compare=False)

    @property
    def maybe_int(self) -> bool:
        """Whether it may be used as a size."""
        return self.kind in ("", "int")

    @property
    def dim(self) -> Dim:
        """The value as a size."""
        return Dim.symbol(self.text, 0 if _COUNT.search(self.text) else None)


@dataclass(frozen=True)
class SizeTest(Unknown):
    """A comparison of sizes that can't be decided.

    Sizes in `when_true` (`when_false`) are pairwise equal where it holds (doesn't hold).
    """

    when_true: tuple[tuple[Dim, Dim], ...] = field(default=(), compare=False)
    when_false: tuple[tuple[Dim, Dim], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class ArrayOrNumber(Unknown):
    """An array on one path, a number on the other: `mask = 1.0` where nothing is dropped."""

    array: Array = field(default_factory=Array.of)


class Attribute(str):
    """The name of a part of an argument that the code reads as an attribute, not as an item."""

    __slots__ = ()


@dataclass(frozen=True)
class Input:
    """An argument of the method under analysis, or a part of one: `path` is `("batch", "image")` or `("carry", 0)`.

    What it is (array, flag, dict) shows only in its use. `has_default` and `default` are those of the
    argument; `number` is "int" or "float" for one that is declared as such and has a number as default.
    """

    path: tuple[str | int, ...]
    default: Any = field(default=None, compare=False)
    has_default: bool = field(default=False, compare=False)
    number: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """The expression by which the method's code reads it."""
        head, *rest = self.path
        return str(head) + part_text(rest)


def part_text(path: Iterable[str | int], quote: str = "'") -> str:
    """The code that reads a part of something: `.nodes`, `['image']`, `[0]`."""
    texts = [
        f".{p}" if isinstance(p, Attribute) else f"[{quote}{p}{quote}]" if isinstance(p, str) else f"[{p}]"
        for p in path
    ]
    return "".join(texts)


_PART = re.compile(r"\.(?P<name>\w+)|\['(?P<key>[^']*)'\]|\[(?P<index>-?\d+)\]")


def path_of(text: str) -> tuple[str | int, ...]:
    """The path of an argument, or of a part of one, from the expression that reads it."""
    head = re.match(r"\w*", text)
    path: list[str | int] = [head.group() if head is not None else ""]
    for found in _PART.finditer(text):
        if found["name"] is not None:
            path.append(Attribute(found["name"]))
        else:
            path.append(found["key"] if found["key"] is not None else int(found["index"]))
    return tuple(path)


@dataclass(frozen=True)
class Record:
    """An object with named parts: `items` are those that are known; the others are those of the argument `base`.
    The parts in `order` can be read by position, too; `complete`: there are no others."""

    base: Input | None
    items: tuple[tuple[str, Any], ...]
    order: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True)
class GraphFunction:
    """What a function of jraph makes from functions or submodules: its qualified name, and what it is given."""

    name: str
    given: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, eq=False)
class SelfValue:
    """The module whose code `home` follows: each analysis has one."""

    home: Session = field(repr=False)


@dataclass(frozen=True)
class SuperValue:
    """`super()` in a method of `owner`."""

    owner: LinenClass


@dataclass(frozen=True)
class Spread:
    """`*value` among the arguments of a call, where it isn't known how many arguments that gives."""

    value: Any


@dataclass(frozen=True)
class Layer:
    """A Linen layer class or another callable of `flax.linen`, by its short name."""

    name: str

    @property
    def is_class(self) -> bool:
        """Layers are classes; the rest of `flax.linen` (activations, transforms) are functions."""
        return self.name[:1].isupper()


@dataclass(frozen=True)
class DerivedLayer(Layer):
    """A class of the project that is a built-in layer but for its parameters; `name` is that of the layer."""

    cls: LinenClass


@dataclass(frozen=True)
class ClassRef:
    """A Linen class of the project."""

    cls: LinenClass


@dataclass(frozen=True)
class ClassChoice:
    """One of several Linen classes: what the variable, or factory field, `field` holds; `text`, in the constructor."""

    field: str
    classes: tuple[LinenClass, ...]
    text: str = ""


@dataclass(frozen=True, eq=False)
class Closure:
    """A function, lambda or method of the project with the variables around it.

    `home` is the analysis of the class whose code made it: `self` in it is that class's.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: Module
    env: MutableMapping[str, Slot] | None = None
    self_value: Any = None
    owner: LinenClass | None = None
    home: Session | None = None


@dataclass(frozen=True)
class Partial:
    """`functools.partial(func, ...)`; `call` is the call that made it, `args`/`kwargs` what it binds.

    `module` is where the call stands; a call that stands for several has no place.
    """

    func: Any
    call: ast.Call
    args: tuple[Any, ...] = field(compare=False)
    kwargs: tuple[tuple[str, Any], ...] = field(compare=False)
    module: Module | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Mapped:
    """`jax.vmap(func, in_axes, out_axes)`."""

    func: Any
    in_axes: Any = 0
    out_axes: Any = 0


@dataclass(frozen=True)
class Lifted:
    """A module class with a lifted transform around it: `nn.remat(Block)`; `target` is the class, or lifted, too."""

    lift: Lift
    target: Any


@dataclass(frozen=True)
class Instance:
    """A submodule, by the site that constructs it."""

    site: Site


@dataclass(frozen=True)
class FunctionChoice:
    """One of several functions without modules, such as the activation that a dict holds under a name.

    `named` is the lookup that gives them (`getattr(nn, name)`) where it may give a layer, which gets no array.
    """

    functions: tuple[Any, ...]
    named: str = field(default="", compare=False)


@dataclass(frozen=True)
class Maybe:
    """A submodule, or a function, that an attribute or variable holds only in some configurations, else None.

    `branch` is the condition that decides, and where it was met; `holds` says whether there is something where it
    holds.
    """

    value: Any
    branch: tuple[tuple[ast.AST, ...], ast.AST] | None = field(default=None, compare=False)
    holds: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Either:
    """A submodule on one path, another submodule or a function on another: one of them is called.

    `branch` is the condition that decides between the two (None for more of them), and where it was met.
    """

    values: tuple[Any, ...]
    branch: tuple[tuple[ast.AST, ...], ast.AST] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LostModule(Unknown):
    """Something that is a submodule on one path and something else on another: its calls can't be rewritten."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of a loop or comprehension that makes one thing in each, and the frame's context there."""

    loop: ast.AST
    target: ast.expr
    iterable: Any
    context: tuple[ast.AST, ...]


@dataclass(frozen=True)
class ModuleList:
    """A list of submodules that a loop or comprehension creates: `element` stands for each of them.

    `rounds` are those in which each of its elements was made; `others` are those of another branch that makes them.
    """

    element: Any
    rounds: Rounds | None = field(default=None, compare=False)
    keyed: bool = False  # it is a dict
    others: tuple[Rounds, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class BuiltList:
    """A list of layers that loops and conditions fill for `nn.Sequential`; `start` is the frame in which it began."""

    recipe: Recipe
    start: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Bound:
    """A method of some value: `x.reshape`, `self.encoder.decode`, `self.sizes.index`."""

    value: Any
    name: str


@dataclass(frozen=True)
class FieldFactory:
    """A field that is called to make a module (`norm: ModuleDef`), where its value isn't known."""

    name: str


#: How the reason begins why the result of a `FieldModule` isn't known.
MADE_BY_MODULE = "the result of the module"


@dataclass(frozen=True)
class FieldModule:
    """A module that is handed to the constructor as a field; `optional` if that may be None instead."""

    name: str
    optional: bool = False


@dataclass(frozen=True)
class Iterated:
    """`range`, `enumerate`, `zip`, `reversed`, `items` ... of values (`kind` says which).

    `axes` are those of an array of unknown rank that a `range` counts.
    """

    kind: str
    args: tuple[Any, ...]
    axes: InnerAxes | None = field(default=None, compare=False)


@dataclass(frozen=True)
class VariableValue:
    """What `self.variable` returns: a reference whose `.value` is an array."""

    site: Any
    value: Any


@dataclass(frozen=True)
class OwnVariables:
    """`self.variables`, or of a submodule `module`, or what `path` names in it."""

    path: tuple[str, ...] = ()
    module: Instance | None = None


@dataclass(frozen=True)
class InitFlag:
    """A condition that tells a model's initialisation from later calls: what it is in each (None: can't be told)."""

    initially: bool | None
    later: bool | None
