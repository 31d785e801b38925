"""What the values of a training program are, as far as the idiomatic form treats them in a way of its own."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import Enum, auto

from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Scope

FunctionNode = ast.FunctionDef | ast.Lambda
#: Where a value sits in nested tuples: () is the value itself, (1, 0) the first item of the second item.
Within = tuple[int, ...]


class Kind(Enum):
    """A value of the old program that has no equal in the new one, where the model holds its variables."""

    MODULE = auto()  # CNN(...), which holds no variables
    APPLY = auto()  # model.apply, state.apply_fn
    VARIABLES = auto()  # what init returns, {"params": params, "batch_stats": stats}
    PARAMS = auto()
    STATS = auto()  # the batch statistics
    UPDATES = auto()  # the collections that `apply(..., mutable=[...])` returns
    NEW_STATS = auto()  # the batch statistics among them
    GRADS = auto()
    STATE = auto()  # a TrainState
    OPT_STATE = auto()  # of optax
    STEPS = auto()  # what optax adds to the parameters


#: Kinds that the model stands for.
OF_MODEL = frozenset({Kind.MODULE, Kind.VARIABLES, Kind.PARAMS, Kind.STATE})


class NotIdiomatic(Exception):
    """The program isn't of the recognised shape: `why`, and where."""

    def __init__(self, why: str, module: Module, node: ast.AST) -> None:
        super().__init__(why)
        self.why, self.module, self.node = why, module, node

    def __str__(self) -> str:
        return f"{self.why} ({self.module.path.name}:{getattr(self.node, 'lineno', 0)})"


@dataclass(frozen=True)
class Grad:
    """A call of `jax.grad` or `jax.value_and_grad`."""

    module: Module
    call: ast.Call
    with_value: bool
    argnums: int
    has_aux: bool


@dataclass(frozen=True, eq=False)
class Called:
    """A call of a tracked function, perhaps through `jax.grad`."""

    module: Module
    call: ast.Call
    grad: Grad | None


@dataclass(eq=False)
class Function:
    """A function that tracked values go through. `jits` are decorators and calls of `jax.jit`."""

    module: Module
    node: FunctionNode
    scope: Scope
    params: dict[str, Kind] = field(default_factory=dict)
    results: set[tuple[Within, Kind]] = field(default_factory=set)
    calls: list[Called] = field(default_factory=list)
    jits: list[tuple[Module, ast.expr]] = field(default_factory=list)
    grads: list[Grad] = field(default_factory=list)

    @property
    def name(self) -> str:
        """How it is called."""
        return self.node.name if isinstance(self.node, ast.FunctionDef) else "<lambda>"

    @property
    def positional(self) -> list[str]:
        """Its parameters that may be given by position."""
        return [a.arg for a in [*self.node.args.posonlyargs, *self.node.args.args]]

    @property
    def has_model(self) -> bool:
        """Whether a parameter holds parameters, so that a module beside it has nothing to add."""
        return bool({Kind.PARAMS, Kind.VARIABLES, Kind.STATE} & set(self.params.values()))

    @property
    def carries(self) -> dict[str, Kind]:
        """Its parameters that hold what training changes, with their kinds."""
        states = (Kind.STATE, Kind.OPT_STATE)
        found: dict[str, Kind] = {name: kind for name, kind in self.params.items() if kind in states}
        if Kind.OPT_STATE in found.values():
            trees = (Kind.PARAMS, Kind.VARIABLES)
            found |= {name: kind for name, kind in self.params.items() if kind in trees}
        return found

    @property
    def gets_module(self) -> bool:
        """Whether it gets a module that it initialises itself."""
        return Kind.MODULE in self.params.values() and not self.has_model

    def parameter(self, kind: Kind) -> str | None:
        """Its parameter of a kind."""
        return next((name for name, found in self.params.items() if found is kind), None)

    def argument(self, call: ast.Call, name: str) -> ast.expr | None:
        """What a call passes for a parameter."""
        for keyword in call.keywords:
            if keyword.arg == name:
                return keyword.value
        index = self.positional.index(name) if name in self.positional else len(call.args)
        return call.args[index] if index < len(call.args) else None

    def parameter_of(self, call: ast.Call, passed: ast.expr) -> str | None:
        """The parameter that gets an argument; None where unpacking hides it."""
        if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
            return None
        for keyword in call.keywords:
            if keyword.value is passed:
                return keyword.arg
        index = call.args.index(passed)
        return self.positional[index] if index < len(self.positional) else None


@dataclass(frozen=True, eq=False)
class Apply:
    """A call of `apply`: `keys` is what the dropout gets, `mutable` whether it returns updates."""

    module: Module
    call: ast.Call
    method: str
    mutable: bool
    keys: ast.expr | None
    kept: tuple[ast.expr | ast.keyword, ...]  # the arguments that the model's own call gets


@dataclass(frozen=True, eq=False)
class Creation:
    """A call of `TrainState.create`; `stats` is the field for the batch statistics."""

    module: Module
    call: ast.Call
    params: ast.expr
    tx: ast.expr
    state_class: ast.ClassDef | None


@dataclass(frozen=True, eq=False)
class Update:
    """`state.apply_gradients(grads=...)`, or `state.replace(...)` of the batch statistics (`grads` is None)."""

    module: Module
    call: ast.Call
    state: ast.expr
    grads: ast.expr | None
    stats: ast.expr | None


@dataclass(frozen=True, eq=False)
class OptaxStep:
    """`updates, opt_state = tx.update(grads, opt_state, params)` (`call`)."""

    module: Module
    call: ast.Call
    grads: ast.expr
    opt_state: ast.expr


@dataclass
class Facts:
    """All that is known of the values of a program."""

    kinds: dict[ast.expr, dict[Within, Kind]] = field(default_factory=dict)
    places: dict[ast.expr, Module] = field(default_factory=dict)
    names: dict[tuple[Scope, str], dict[Within, Kind]] = field(default_factory=dict)
    modules: dict[Scope, Module] = field(default_factory=dict)
    bound: set[ast.AST] = field(default_factory=set)  # targets and parameters that get such values
    functions: dict[FunctionNode, Function] = field(default_factory=dict)
    applies: list[Apply] = field(default_factory=list)
    creations: list[Creation] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    optimizers: list[tuple[Module, ast.Call]] = field(default_factory=list)  # tx.init(params)
    optax_steps: list[OptaxStep] = field(default_factory=list)
    additions: list[tuple[Module, ast.Call]] = field(default_factory=list)  # optax.apply_updates
    leaves: set[ast.expr] = field(default_factory=set)  # trees of which only the leaves are asked for
    inits: list[tuple[Module, ast.Call]] = field(default_factory=list)
    steps: list[tuple[Module, ast.Attribute]] = field(default_factory=list)  # state.step
    applied: list[tuple[Module, ast.Call]] = field(default_factory=list)  # calls that get VARIABLES first

    def kind(self, node: ast.AST | None) -> Kind | None:
        """What an expression is."""
        return self.kinds.get(node, {}).get(()) if isinstance(node, ast.expr) else None

    def function_of(self, node: ast.AST | None) -> Function | None:
        """The tracked function that a node defines."""
        return self.functions.get(node) if isinstance(node, FunctionNode) else None

    def function_called(self, node: ast.AST) -> Function | None:
        """The tracked function that a call calls."""
        return next((f for f in self.functions.values() for c in f.calls if c.call is node), None)

    def function_at(self, module: Module, node: ast.AST) -> Function | None:
        """The tracked function in whose body a node stands, the innermost one of all functions."""
        inner = module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        return self.function_of(inner)
