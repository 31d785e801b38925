"""An NNX construction in the making: what the layers' `adjust` functions work on."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nnx_migrate.nnx.layers.judge import UNKNOWN, DtypeKind, Judge
from nnx_migrate.nnx.layers.model import Argument, BoundArgs, Note, Numerics


@dataclass
class Draft:
    """The state of one construction while it is written.

    `methods` are the methods other than `__call__` that the program uses on this layer (None: not known).
    `helper` gives the text by which a helper of `nnx_migrate.nnx.helpers` is to be called at this site.
    """

    bound: BoundArgs
    sizes: Mapping[str, str]
    nnx: str
    rngs: str
    segment: Callable[[ast.AST], str]
    judge: Judge = field(default_factory=Judge)
    helper_text: Callable[[str], str] = str
    numerics: Numerics = "exact"
    methods: frozenset[str] | None = None
    call: ast.Call | None = None
    callee: str = ""
    arguments: dict[str, Argument] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether Linen's numbers are to be kept where stock NNX has others."""
        return self.numerics == "exact"

    def helper(self, name: str) -> str:
        """The text that refers to a helper; remembers that it is needed."""
        self.helpers.add(name)
        return self.helper_text(name)

    def use_class(self, helper: str) -> None:
        """Construct a helper class instead of the stock layer."""
        self.callee = self.helper(helper)

    def extra(self, parameter: str, text: str) -> None:
        """Add (or replace) an argument that the user did not write."""
        self.arguments[parameter] = Argument(parameter, text, parameter, "extra")

    def wrap(self, linen_field: str, wrapper: str, *more: str) -> None:
        """Wrap the text of a given field: `wrapper(text, *more)`."""
        parameter = self.bound.spec.nnx_parameter(linen_field)
        old = self.arguments[parameter]
        text = f"{wrapper}({', '.join((old.text, *more))})"
        self.arguments[parameter] = Argument(old.name, text, parameter, old.origin, old.field)

    def drop(self, linen_field: str) -> None:
        """Leave a field out of the NNX construction."""
        self.arguments.pop(self.bound.spec.nnx_parameter(linen_field), None)

    def given(self, linen_field: str) -> bool:
        """Whether the user gave the field."""
        return linen_field in self.bound.values

    def value(self, linen_field: str) -> object:
        """The field's value (literal or default), or UNKNOWN."""
        return self.judge.field(self.bound, linen_field)

    def surely(self, linen_field: str, value: object) -> bool:
        """Whether the field certainly has this value."""
        found = self.value(linen_field)
        return found is not UNKNOWN and type(found) is type(value) and found == value

    def dtype(self, linen_field: str) -> DtypeKind:
        """The kind of dtype a dtype field has; the default of `param_dtype` is float32."""
        node = self.bound.values.get(linen_field)
        if node is None and self.bound.unseen:
            return DtypeKind.UNKNOWN
        if node is None and linen_field == "param_dtype":
            return DtypeKind.FLOAT32
        return self.judge.dtype(node)
