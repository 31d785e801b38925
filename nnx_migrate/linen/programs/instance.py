"""A module that a program makes, and what stands in the way of its conversion."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.references import ClassReference
from nnx_migrate.linen.programs.inputs.entry_calls import method_of
from nnx_migrate.linen.programs.uses import Flow
from nnx_migrate.names.modules import Module


@dataclass(frozen=True)
class Obstacle:
    """Why a use can't be converted: `reason` is an id of the documented list."""

    reason: str
    detail: str
    module: Module
    node: ast.AST


@dataclass(eq=False)
class Instance:
    """A module that a program makes, with the calls of `init` and `apply` that are known."""

    reference: ClassReference
    flow: Flow
    inits: list[tuple[Module, ast.Call]] = field(default_factory=list)
    applies: list[tuple[Module, ast.Call]] = field(default_factory=list)
    applied: list[tuple[Module, ast.Call]] = field(default_factory=list)  # nn.apply(function, model)(...)
    tabulated: list[tuple[Module, ast.Call]] = field(default_factory=list)  # nn.tabulate(model, key)
    called: list[tuple[Module, ast.Call]] = field(default_factory=list)  # model(x), without variables
    asked: list[tuple[Module, ast.Call]] = field(default_factory=list)  # isinstance(model, nn.Module)
    clones: list[ast.Call] = field(default_factory=list)
    indirect: bool = False  # init or apply are passed on as functions
    # calls of `apply` where it is passed on, and whether these are all
    passed_on: list[tuple[Module, ast.Call]] = field(default_factory=list)
    is_seen: bool = True
    obstacles: list[Obstacle] = field(default_factory=list)
    #: The call that makes it, where the class is used as a value, and where that stands.
    made_by: ast.Call | None = None
    made_in: Module | None = None
    parts: dict[str, list[Instance]] = field(
        default_factory=dict
    )  # by field, where all that it gets is known
    holders: list[Instance] = field(default_factory=list)  # the modules that get it as an argument
    makers: list[ast.Call | None] = field(
        default_factory=list
    )  # for each, the call that made it anew for that
    copies: list[bool] = field(default_factory=list)  # for each, whether that gets a copy
    #: Whether an initialisation of what gets it calls it once.
    is_called_once: bool = False
    shares: bool = False  # several of the modules that it gets may hold the same one

    @property
    def is_used(self) -> bool:
        """Whether the project itself initialises or applies it."""
        return bool(self.inits or self.applies or self.indirect or self.holders)

    @property
    def is_only_called(self) -> bool:
        """Whether it is an ordinary callable object to the program."""
        others = (self.applied, self.tabulated, self.clones, self.made_by, self.flow.attributes("bind"))
        return bool(self.called) and not self.is_used and not any(others)

    @property
    def cls(self) -> LinenClass:
        """The class."""
        return self.reference.cls

    @property
    def call(self) -> ast.Call:
        """The call that makes it."""
        return self.made_by if self.made_by is not None else self.reference.call

    @property
    def home(self) -> Module:
        """The file of that call."""
        return self.made_in if self.made_in is not None else self.reference.module

    def add_obstacle(self, reason: str, detail: str, module: Module, node: ast.AST) -> None:
        """Something stands in the way of its conversion."""
        self.obstacles.append(Obstacle(reason, detail, module, node))

    @property
    def calls_a_method(self) -> bool:
        """Whether a method other than `__call__` is applied."""
        return bool(self.applied) or any(
            method_of(call) != "__call__" for _, call in [*self.inits, *self.applies]
        )

    @property
    def passes_init_on(self) -> bool:
        """Whether the program initialises it through something else: `jax.jit(model.init)`."""
        return any(
            not isinstance(call := module.parents[node], ast.Call) or call.func is not node
            for module, node in self.flow.attributes("init", "lazy_init", "init_with_output")
        )

    @property
    def is_initialised(self) -> bool:
        """Whether the program initialises it by `__call__`, be it through `jax.jit(model.init)`."""
        return self.passes_init_on or any(method_of(call) == "__call__" for _, call in self.inits)
