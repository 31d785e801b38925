"""The state of an interpretation: variables of one function body, and what all bodies share."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Array
from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.configured import Terms
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.given.arguments import NoneTest
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Control, Facts
from nnx_migrate.linen.values import Expr, Rounds, SelfValue, SizeTest
from nnx_migrate.names.modules import Module

if TYPE_CHECKING:
    from nnx_migrate.linen.given.modules import GivenModule
    from nnx_migrate.linen.interpreter.calls.recursion import Call
    from nnx_migrate.linen.interpreter.lists.sequences import Thread

BUDGET = 120_000  # steps that one class may take: counted, so that a busy machine changes nothing
MAX_DEPTH = 24
MAX_RECURSION = 3  # how often a call may be met below itself
_NUMBERS_PER_CLASS = 1_000_000


@dataclass(frozen=True)
class Slot:
    """A variable's value, and whether the constructor can compute it by the same statements (`static`).

    `origins` are the statements one of which gave it its value, where the constructor may repeat them (see
    `movable`).
    """

    value: Any
    static: bool = False
    maybe_unbound: bool = False
    origins: tuple[ast.stmt, ...] = ()


Env = dict[str, Slot]
Choice = tuple[Dim, Dim, Dim]


class NeedRank(Exception):
    """The code only works for inputs of a certain rank: start again with that knowledge."""

    def __init__(self, path: tuple[str | int, ...], rank: int, usual: bool = False) -> None:
        self.path, self.rank, self.usual = path, rank, usual


class NeedKinds(Exception):
    """It matters whether an input holds integers or booleans: start again with what callers say about that."""


class NeedTuple(Exception):
    """An input is a tuple, of which code took an item before that showed: start again with that knowledge."""

    def __init__(self, path: tuple[str | int, ...]) -> None:
        self.path = path


class NeedArguments(Exception):
    """`*args` go wholly to a submodule that needs some of them: start again with the names that they have there."""

    def __init__(self, parameter: str, names: tuple[str, ...]) -> None:
        self.parameter, self.names = parameter, names


@dataclass
class DefaultRank:
    """The rank that inputs are taken to have whose rank the code doesn't show (None: no rank)."""

    rank: int | None = None
    asked: bool = False  # whether that made any difference
    written: bool = False  # whether the constructor has the shape of a vector as a whole

    def ask(self) -> int | None:
        """The rank, for something that depends on it."""
        self.asked = True
        return self.rank


@dataclass
class Meter:
    """How many expressions and statements have been interpreted."""

    steps: int = 0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """For work in the middle of other work, which its steps don't count for."""
        before = self.steps
        try:
            yield
        finally:
            self.steps = before


@dataclass
class Session:
    """What all frames of one analysis share: the program, the records, the budget, the module's
    attributes.
    """

    program: LinenProgram
    cls: LinenClass
    facts: Facts = field(default_factory=Facts)
    fields: dict[str, Any] = field(default_factory=dict)
    attributes: Env = field(default_factory=dict)
    meter: Meter = field(default_factory=lambda: Meter())
    limit: int = 0  # what the meter may show
    recording: bool = True
    after_init: bool = False  # the code at hand isn't reached while the model is initialised
    depth: int = 0
    calls: list[Call] = field(default_factory=list)  # of functions, that are being followed
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    entry: str = ""  # the method of the class that is being followed
    round_markers: dict[tuple[ast.AST, int], ast.AST] = field(default_factory=dict)
    instances_of: tuple[LinenClass, ...] = ()
    loop_symbols: dict[int, set[str]] = field(default_factory=dict)  # by loop: what means nothing behind it
    known_phis: dict[Any, Any] = field(default_factory=dict)
    local_contexts: dict[int, Context] = field(default_factory=dict)  # local variable -> calls around it
    known_numbers: dict[Any, int] = field(default_factory=dict)
    input_ranks: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    usual_ranks: set[tuple[str | int, ...]] = field(
        default_factory=set
    )  # those with one batch axis as a rule
    # ranks that the code suggests for inputs, see `ranks.hints`
    hinted_ranks: dict[tuple[str | int, ...], set[int]] = field(default_factory=dict)
    # what inputs hold ("int", "bool" ...), as callers say; None before that is asked
    input_kinds: Mapping[tuple[str | int, ...], str] | None = None
    unbatched: set[tuple[str | int, ...]] = field(default_factory=set)  # those that lack even that
    default_rank: DefaultRank = field(default_factory=DefaultRank)
    input_tuples: set[tuple[str | int, ...]] = field(default_factory=set)
    # inputs that code asked for `x[0]`, as if these were arrays
    items_taken: set[tuple[str | int, ...]] = field(default_factory=set)
    # `*args` of `__call__` that a submodule gets, by name: what that calls the first of them; see `handed_on`
    handed_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)  # the module's own, by name
    inputs_seen: dict[tuple[str | int, ...], None] = field(default_factory=dict)
    results: dict[Any, Any] = field(default_factory=dict)  # what methods of other classes return
    # conditions that the constructor can compute, as text: those of branches, and those of early returns
    conditions: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)
    # those of early returns, one by one
    exits: dict[tuple[Context, ast.AST], Terms] = field(default_factory=dict)
    # the same conditions with the sizes that are equal on either branch
    equalities: dict[tuple[Context, ast.AST], Expr | SizeTest] = field(default_factory=dict)
    # see `repeated`: conditions that don't change, as text; by these the sizes where one holds, those where it
    # doesn't, and the sizes that stand for either
    asked: dict[tuple[Context, ast.AST], str] = field(default_factory=dict)
    choices: dict[str, list[Choice]] = field(default_factory=dict)
    asked_again: dict[tuple[Context, ast.AST], tuple[Choice, ...]] = field(default_factory=dict)
    none_tests: dict[tuple[Context, ast.AST], NoneTest] = field(default_factory=dict)  # see `fallbacks`
    fallbacks: dict[str, Dim] = field(
        default_factory=dict
    )  # size of an argument -> that of what stands in for it
    transforms: int = 0  # JAX's own transforms around the code at hand, within the class
    traced: set[ast.AST] = field(default_factory=set)  # functions that `jax.jit` and `jax.checkpoint` get
    layer: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None = (
        None  # `super().__call__` of a derived layer
    )
    caller: Session | None = None  # the analysis that asks what this module returns
    original: Session | None = None  # see `aside`
    # see `sizes_at_axes`: by expression, its number and what it reads; variables that hold axes, with the token for the
    # sizes at these; comprehensions whose values are asked for
    at_axes: dict[str, list[tuple[int, tuple[Slot | None, ...]]]] = field(default_factory=dict)
    axes_held: list[tuple[Slot, str]] = field(default_factory=list)
    watched: dict[ast.AST, Any] = field(default_factory=dict)
    self_value: SelfValue | None = None
    may_learn: bool = True  # whether the code runs whatever the ranks of the inputs are
    # the modules that the project gives a field of the class, None where that isn't known
    given: Callable[[str], tuple[GivenModule, ...] | None] = lambda name: None

    def __post_init__(self) -> None:
        self.limit = self.limit or self.meter.steps + BUDGET
        self.self_value = self.self_value or SelfValue(self)

    @property
    def root(self) -> Session:
        """The analysis of the class whose code is followed first: its inputs are those that sizes name."""
        return self if self.caller is None else self.caller.root

    @property
    def first_number(self) -> int:
        """Below it are the numbers of the classes around this one: tokens of different sessions differ."""
        return _NUMBERS_PER_CLASS * (len(self.instances_of) - 1)

    def aside(self, learns: bool) -> Session:
        """The same module, to run code of it in the middle of another one's: nothing is recorded of that."""
        return replace(
            self,
            facts=Facts(),
            recording=False,
            may_learn=self.may_learn and learns,
            original=self.original or self,
        )

    def is_of(self, other: Session) -> bool:
        """Whether both are analyses of the same module."""
        return (self.original or self) is (other.original or other)

    def same_sizes(
        self, node: ast.ListComp | ast.GeneratorExp, read: tuple[Slot | None, ...], number: int
    ) -> int:
        """The number of an expression, or of one before that reads the same in the same words."""
        known = self.at_axes.setdefault(ast.dump(node.elt) + ast.dump(node.generators[0]), [])
        for other, slots in known:
            if all(a is b for a, b in zip(slots, read, strict=True)):
                return other
        known.append((number, read))
        return number

    def next_number(self) -> int:
        """A number for a site, loop variable, phi or local."""
        return next(self.numbers)

    def number_of(self, key: Any) -> int:
        """A number that stays the same for the same key, however often the code is interpreted."""
        if key not in self.known_numbers:
            self.known_numbers[key] = self.next_number()
        return self.known_numbers[key]

    def locals_of(self, function: ast.AST) -> list[tuple[str, str]]:
        """The variables of a function that are known by their names, with the tokens that stand for them."""
        found: list[tuple[str, str]] = []
        for number, context in self.local_contexts.items():
            called = self.facts.functions.get((context[:-1], context[-1])) if context else None
            if called is not None and called.node is function:
                name = self.facts.locals[number]
                found.append((name, f"{name}§s{number}"))
        return found

    def tick(self, node: ast.AST | None = None) -> None:
        """Count an expression or statement; stop with a reason when the budget is used up."""
        self.meter.steps += 1
        if self.meter.steps > self.limit:
            raise Refuse("budget", f"`{self.root.cls.name}` takes more than {BUDGET} steps", node)


@dataclass(frozen=True)
class LongAxis:
    """A size that has to be a multiple of `groups`, because `call` makes groups of it. See `long_axes`."""

    size: Dim
    groups: int
    call: ast.expr
    controls: tuple[Control, ...]

    def holds_at(self, node: ast.expr | ast.stmt, controls: tuple[Control, ...]) -> bool:
        """Whether the call has surely been made where `node` stands, below these controls."""
        before = (self.call.lineno, self.call.col_offset) < (node.lineno, node.col_offset)
        return before and controls[: len(self.controls)] == self.controls


@dataclass
class Frame:
    """One function body (or class body expression) under interpretation."""

    session: Session
    module: Module
    env: Env
    owner: LinenClass | None = None
    self_value: Any = None
    method: str = ""
    context: Context = ()
    controls: tuple[Control, ...] = ()
    returns: list[Any] = field(default_factory=list)
    outer: MutableMapping[str, Slot] | None = None
    foreign: bool = False  # code of another class: its names mean nothing in the class under analysis
    outside: bool = False  # a function that isn't of the class
    ended: bool = False
    rounds: tuple[Rounds, ...] = ()  # the loops around the statement at hand
    jumps: list[tuple[ast.stmt, Env]] = field(default_factory=list)
    left: dict[tuple[int, str], Array] = field(default_factory=dict)  # what the last rounds of loops leave
    long_axes: list[LongAxis] = field(default_factory=list)
    thread: Thread | None = None  # the list of layers whose elements are called as they are added
    # what the arguments of calls were when these were last evaluated
    arguments: dict[ast.expr, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outer_controls = len(self.controls)  # those around the call of the function

    @property
    def is_elsewhere(self) -> bool:
        """Whether the code stands in another file, so that the class's own doesn't know its global names."""
        return self.foreign or (self.outside and self.module is not self.session.cls.module)

    def lookup(self, name: str) -> Slot | None:
        """A local or enclosing variable."""
        slot = self.env.get(name)
        if slot is None and self.outer is not None:
            slot = self.outer.get(name)
        return slot

    def bind(self, name: str, value: Any, static: bool = False) -> None:
        """Give a local variable a value."""
        self.env[name] = Slot(value, static)

    def record(self, node: ast.AST, value: Any) -> Any:
        """Remember what a node evaluates to."""
        if not self.foreign:
            self.session.facts.values[self.context, node] = value
        return value

    @contextmanager
    def under(self, control: Control) -> Iterator[None]:
        """Interpret what stands below a control statement."""
        saved = self.controls
        self.controls = (*saved, control)
        try:
            yield
        finally:
            self.controls = saved

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Interpret without recording (rounds of a loop before its sizes are stable)."""
        saved = self.session.recording
        self.session.recording = False
        try:
            yield
        finally:
            self.session.recording = saved

    def child(self, **changes: Any) -> Frame:
        """A frame for code below this one."""
        return replace(self, **{"returns": [], "ended": False, "jumps": [], **changes})


def mixes(frame: Frame) -> bool:
    """Whether lists of which loops make some layers can be followed: those of setup, and of other modules."""
    return frame.foreign or frame.session.entry == "setup"
