"""What the interpreter records of a class: where modules and variables are created, and how they are used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.values import (
    ClassChoice,
    ClassRef,
    DerivedLayer,
    FieldFactory,
    FieldModule,
    Layer,
    Partial,
)

if TYPE_CHECKING:
    from nnx_migrate.linen.bridged import Bridged
    from nnx_migrate.linen.chosen.functions import ChosenFunction
    from nnx_migrate.linen.classes.lifts import Lift, ScanOfFunction
    from nnx_migrate.linen.values import Instance, ModuleList

Context = tuple[ast.AST, ...]
"""The calls through which the interpreter came to a node (helpers and closures are followed at each call)."""


@dataclass(eq=False)
class Control:
    """A statement or comprehension around a construction: an `if` branch, a loop, a comprehension."""

    node: ast.AST
    branch: Literal["body", "orelse", "loop", "after"]  # after: behind an `if` that may leave the body

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Control) and self.node is other.node and self.branch == other.branch

    def __hash__(self) -> int:
        return hash((id(self.node), self.branch))

    @property
    def is_loop(self) -> bool:
        """Whether what stands below may be created several times."""
        return self.branch == "loop"


@dataclass(eq=False)
class LayerCall:
    """A call of a submodule: the call's node (None where it is implicit, as inside Sequential) and
    arguments.
    """

    node: ast.Call | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    method: str = "__call__"
    within: str = ""  # the method of the class under analysis that makes the call
    context: Context = ()
    entry: str = ""  # the method by which the interpreter came here
    controls: tuple[Control, ...] = ()


@dataclass(eq=False)
class Site:
    """A place that creates a submodule. `number` counts sites in construction order."""

    number: int
    call: ast.Call
    target: Layer | ClassRef | ClassChoice | FieldFactory | FieldModule
    owner: LinenClass
    method: str
    context: Context
    controls: tuple[Control, ...]
    partials: tuple[Partial, ...] = ()
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    name: ast.expr | None = None
    calls: list[LayerCall] = field(default_factory=list)
    entry: str = ""  # the method by which the interpreter came here
    stored: str = ""  # the local variable or attribute that the code gives it
    attribute: str = ""  # the attribute that holds it in the NNX class
    parent_site: Site | None = None  # the module of which it is an argument, constructed in place
    lent: dict[Site, tuple[str, ...]] = field(default_factory=dict)  # other modules that get it, and where
    container: ast.AST | None = None  # the local list of modules to which it belongs
    place: tuple[str, ...] = ()  # where `parent_site`, or an element of `container`, holds it
    called_by_others: bool = False  # by the module that it was handed to
    foreign: bool = False  # constructed by code outside of the class
    elements: dict[Site, None] = field(default_factory=dict)  # of a sequence whose list loops fill
    lifts: tuple[Lift, ...] = ()  # lifted transforms around its class, outermost first
    bridged: Bridged | None = None  # how it stays Linen, if it does

    def __repr__(self) -> str:
        return f"Site({self.number}, {self.target_name}, {self.attribute or self.stored})"

    @property
    def own_kwargs(self) -> dict[str, Any]:
        """The keywords for fields of the class, without Linen's `name` and `parent` and the mark for `**`."""
        return {name: v for name, v in self.kwargs.items() if name not in ("name", "parent", "**")}

    @property
    def label(self) -> str:
        """How a message names the submodule."""
        return self.attribute or self.stored or self.target_name

    @property
    def target_name(self) -> str:
        """The class name, from which Linen makes auto-names."""
        if isinstance(self.target, DerivedLayer):
            return self.target.cls.scope_name
        if isinstance(self.target, Layer):
            return self.target.name
        if isinstance(self.target, ClassChoice):
            return re.sub(r"_(?:cls|class|type|fn|factory|def)$", "", self.target.field)
        return self.target.cls.scope_name if isinstance(self.target, ClassRef) else self.target.name

    @property
    def layer_name(self) -> str:
        """The name of the built-in layer that it is, or else of its class."""
        return self.target.name if isinstance(self.target, Layer) else self.target_name

    @property
    def classes(self) -> tuple[LinenClass, ...]:
        """The classes of the project of which it may be."""
        if isinstance(self.target, ClassChoice):
            return self.target.classes
        if isinstance(self.target, DerivedLayer):
            return (self.target.cls,)
        return (self.target.cls,) if isinstance(self.target, ClassRef) else ()

    @property
    def linen_class(self) -> str:
        """The class name that Linen's automatic names start with."""
        return "".join(lift.prefix for lift in self.lifts if not lift.condition) + self.target_name

    @property
    def lifted_class(self) -> str:
        """What they start with where conditions put transforms around the class; empty where none does."""
        lifted = "".join(lift.prefix for lift in self.lifts) + self.target_name
        return lifted if lifted != self.linen_class else ""

    @property
    def carry_only(self) -> bool:
        """Whether it is made for nothing but a recurrent cell's initial carry: it has no parameters then."""
        return bool(self.calls) and all(call.method == "initialize_carry" for call in self.calls)

    @property
    def is_orphan(self) -> bool:
        """Whether Linen doesn't count it among the module's own (`parent=None`)."""
        return self.carry_only and "parent" in self.kwargs and self.kwargs["parent"] is None

    @property
    def deciding_calls(self) -> list[LayerCall]:
        """The calls that decide sizes: those that `__call__` leads to, if any (their inputs are better
        known). Those for a recurrent cell's initial carry tell nothing.
        """
        calls = self.calls
        if isinstance(self.target, Layer):
            calls = [call for call in calls if call.method != "initialize_carry"]
        main = [call for call in calls if call.entry == "__call__"]
        return main or calls

    @property
    def outermost(self) -> Site:
        """The module of which it is an argument, constructed in place, or an argument of an argument; else itself."""
        return self if self.parent_site is None else self.parent_site.outermost

    @property
    def is_held(self) -> bool:
        """Whether another module or a list holds it, so that it needs no attribute of its own."""
        return self.parent_site is not None or self.container is not None

    @property
    def loops(self) -> tuple[Control, ...]:
        """The loops around it, outermost first."""
        return tuple(control for control in self.controls if control.is_loop)


@dataclass(frozen=True, eq=False)
class Recipe:
    """A local list of layers: the statement that begins it, the `body` up to the `call` of `nn.Sequential` that
    gets it, and the statements (`fills`) in that body which extend it. The call may add elements (`tail`).
    """

    name: str
    definition: ast.Assign
    body: tuple[ast.stmt, ...]
    fills: tuple[ast.AST, ...]
    call: ast.Call
    tail: tuple[ast.expr, ...] = ()


@dataclass(eq=False)
class VariableSite:
    """A `self.param(...)` or `self.variable(...)`."""

    number: int
    call: ast.Call
    collection: str  # "params" or the name of a collection
    name: str
    owner: LinenClass
    method: str
    context: Context
    controls: tuple[Control, ...]
    entry: str = ""
    stored: str = ""
    attribute: str = ""
    place: tuple[str, ...] = ()  # where a list or dict that is the attribute holds it
    value: Any = None
    is_reference: bool = False  # made by `self.variable`: the code reads and writes its `.value`
    by_calls: bool = False  # a cache: not the constructor makes it, but the first call that comes to it
    name_node: ast.expr | None = (
        None  # a name that counts the rounds of the loops around it; then `name` is empty
    )

    other_names: tuple[str, ...] = ()  # Linen's, where fields say what it is called
    wanted: str = ""  # what to call it in that case
    is_number: bool = False  # its first value may be a number of Python
    axes: ast.expr | None = None  # `param_with_axes` names them

    @property
    def read(self) -> str:
        """How its value is read: numbers have no `[...]`, even of a variable."""
        return ".get_value()" if self.is_number else "[...]"

    @property
    def has_axes(self) -> bool:
        """Whether its axes may have names."""
        return self.axes is not None and not (isinstance(self.axes, ast.Constant) and self.axes.value is None)

    @property
    def is_param(self) -> bool:
        """Whether it is a trainable parameter."""
        return self.collection == "params"

    @property
    def loops(self) -> tuple[Control, ...]:
        """The loops around it, outermost first."""
        return tuple(control for control in self.controls if control.is_loop)

    @property
    def is_held(self) -> bool:
        """Whether something else than an attribute of the module holds it: never."""
        return False


@dataclass(frozen=True)
class ParameterRead:
    """A parameter that is read by Linen's names, in the module itself or in a submodule `module`."""

    names: tuple[str, ...]
    module: Instance | None


@dataclass(eq=False)
class Phi:
    """A size that control flow decides.

    For an `if`, `sources` holds the dims at the end of body and else; for a loop, the dim before the first
    round and the one at the end of a round. `result` is what a loop leaves behind, where an expression says it.
    """

    number: int
    name: str
    node: ast.AST
    sources: tuple[Dim, Dim]
    is_loop: bool
    result: Dim | None = None
    context: Context = ()  # the calls, and rounds of loops, through which the interpreter came there

    @property
    def token(self) -> str:
        """The symbol's text."""
        return f"{self.name}§p{self.number}"


@dataclass(eq=False)
class LoopVariable:
    """A name that a loop or comprehension binds."""

    number: int
    name: str
    node: ast.AST


@dataclass(frozen=True)
class Write:
    """`variable.value = ...`; `after_init` if the code around it isn't reached while the model is initialised."""

    variable: VariableSite
    target: ast.AST
    context: Context
    controls: tuple[Control, ...]
    after_init: bool


@dataclass(frozen=True)
class Forwarded:
    """An argument that functions hand on by `*` or `**` (`name` is empty where it stands by position).

    The expression stands in a call that the interpreter met in `context`.
    """

    name: str
    node: ast.expr
    context: Context


@dataclass(frozen=True)
class ListStep:
    """What a statement does to a list of arrays: `set` (bind the name), `append`, `pop` or read an `item`.

    `items` are the arrays that come in (None: they aren't known one by one), `reads` the numbers of the symbols
    for an element's sizes by axis, `label` what they are called.
    """

    kind: Literal["set", "append", "pop", "item"]
    name: str
    items: tuple[Any, ...] | None = None
    index: str = ""
    label: str = ""
    reads: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Lookup:
    """`self.has_variable(collection, name)`, or the value of a cache read by its name (`is_read`).

    `by_calls` says that calls make the variable, so that the answer differs from call to call.
    """

    collection: str
    name: str
    node: ast.AST
    context: Context
    controls: tuple[Control, ...]
    by_calls: bool = False
    is_read: bool = False


@dataclass
class Facts:
    """Everything recorded while a class was interpreted."""

    values: dict[tuple[Context, ast.AST], Any] = field(default_factory=dict)
    static_names: dict[tuple[Context, ast.AST], bool] = field(default_factory=dict)
    # variable that isn't static -> the statements that the constructor can repeat to have it, if any
    origins: dict[tuple[Context, ast.AST], tuple[ast.stmt, ...]] = field(default_factory=dict)
    sites: dict[tuple[Context, ast.AST], Site] = field(default_factory=dict)
    variables: dict[tuple[Context, ast.AST], VariableSite] = field(default_factory=dict)
    calls: dict[tuple[Context, ast.AST], Site] = field(default_factory=dict)
    given_kernels: dict[ast.AST, Site] = field(default_factory=dict)  # calls of layers with others' kernels
    plain_calls: set[ast.AST] = field(default_factory=set)  # calls that may reach a function, no submodule
    phis: dict[int, Phi] = field(default_factory=dict)
    loop_variables: dict[int, LoopVariable] = field(default_factory=dict)
    locals: dict[int, str] = field(default_factory=dict)
    decided: dict[tuple[Context, ast.AST], bool] = field(default_factory=dict)
    exits: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)  # branch by which an `if` leaves
    static_statements: set[tuple[Context, ast.AST]] = field(default_factory=set)
    # call -> the Closure it reaches
    functions: dict[tuple[Context, ast.AST], Any] = field(default_factory=dict)
    # call -> the local functions one of which it reaches
    chosen: dict[tuple[Context, ast.AST], ChosenFunction] = field(default_factory=dict)
    arguments: dict[tuple[Context, str], tuple[Context, ast.expr]] = field(default_factory=dict)
    # what calls of a function give to its `*args` or `**kwargs`, where it does no more than hand these on
    forwarded: dict[tuple[Context, str], tuple[Forwarded, ...]] = field(default_factory=dict)
    methods_reached: set[str] = field(default_factory=set)
    # make_rng call -> stream, or `self.field`
    rng_calls: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)
    # those in variables' initializers
    init_rngs: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    lookups: list[Lookup] = field(default_factory=list)
    list_steps: dict[tuple[Context, ast.AST], ListStep] = field(default_factory=dict)
    # loop over a list of arrays -> its variables, with the numbers of the symbols for their sizes by axis
    list_items: dict[tuple[Context, ast.AST], dict[str, Mapping[int, int]]] = field(default_factory=dict)
    # stand-in for the rounds over a part of a list of modules -> that part, which a loop has made
    parts: dict[ast.AST, ModuleList] = field(default_factory=dict)
    # loop that counts -> the lists of modules of which it takes one item in each round, the last made first
    counted: dict[tuple[Context, ast.AST], tuple[ModuleList, ...]] = field(default_factory=dict)
    # changed in a loop that was followed round by round
    unrolled_lists: set[str] = field(default_factory=set)
    scans: dict[ast.AST, ScanOfFunction] = field(default_factory=dict)  # `nn.scan(function, ...)`
    sown: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)  # sow call -> pattern of its names
    parameter_reads: dict[tuple[Context, ast.AST], ParameterRead] = field(default_factory=dict)
    late_modes: set[ast.AST] = field(default_factory=set)  # partials of layers whose mode only a call knows
    # call of a function that chooses a layer -> the parameters that are only its mode: see `late_calls`
    late_calls: dict[ast.AST, frozenset[str]] = field(default_factory=dict)
    only_initial: list[ast.AST] = field(default_factory=list)  # code that only an initialisation reaches

    def ordered_sites(self) -> Iterator[Site]:
        """Sites in construction order."""
        yield from sorted(self.sites.values(), key=lambda site: site.number)
