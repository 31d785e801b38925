"""What a generated method may refer to while it is written: fields, arrays, widths, the train flag."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

ARRAYS = ("y", "h", "z", "out", "residual", "skip", "hidden", "x_in")
WIDTHS = ("features", "dim", "width", "d", "n", "h", "hidden", "f", "out", "size")


@dataclass(frozen=True)
class FieldSpec:
    """A dataclass field: its annotation, default, and other values that programs give it."""

    annotation: str
    default: str
    values: tuple[str, ...]


FIELDS: dict[str, FieldSpec] = {
    "features": FieldSpec("int", "4", ("4", "6", "8")),
    "width": FieldSpec("int", "6", ("2", "6")),
    "hidden_dim": FieldSpec("int", "8", ("4", "8")),
    "depth": FieldSpec("int", "2", ("1", "2", "3")),
    "num_classes": FieldSpec("int", "3", ("3", "5")),
    "multiplier": FieldSpec("int", "2", ("1", "2")),
    "sizes": FieldSpec("Sequence[int]", "(4, 6)", ("(4, 6)", "(6, 6, 4)", "(8,)")),
    "widths": FieldSpec("tuple[int, ...]", "(4, 4)", ("(4, 4)", "(2, 8)", "(6, 4, 2)")),
    "stages": FieldSpec("Sequence[int]", "(1, 2)", ("(1, 2)", "(2, 1)", "(1,)")),
    "out_dim": FieldSpec("Optional[int]", "None", ("None", "4", "6")),
    "bottleneck": FieldSpec("int | None", "None", ("None", "4")),
    "wide": FieldSpec("bool", "False", ("False", "True")),
    "use_norm": FieldSpec("bool", "True", ("False", "True")),
    "use_bias": FieldSpec("bool", "True", ("False", "True")),
    "residual": FieldSpec("bool", "False", ("False", "True")),
    "rate": FieldSpec("float", "0.1", ("0.0", "0.5")),
    "act": FieldSpec("Callable", "nn.relu", ("nn.tanh", "nn.gelu")),
    "activation": FieldSpec("Callable[[jax.Array], jax.Array]", "nn.gelu", ("nn.relu",)),
    "norm": FieldSpec("str", '"layer"', ('"layer"', '"batch"', '"none"')),
    "mode": FieldSpec("str", '"wide"', ('"wide"', '"deep"')),
    "dtype": FieldSpec("Any", "jnp.float32", ("jnp.float32", "None")),
    "kernel_init": FieldSpec("Callable", "nn.initializers.lecun_normal()", ("nn.initializers.ones",)),
    "dense": FieldSpec("Any", "nn.Dense", ("partial(nn.Dense, use_bias=False)",)),
    "norm_cls": FieldSpec("ModuleDef", "nn.LayerNorm", ("partial(nn.LayerNorm, epsilon=1e-3)", "nn.RMSNorm")),
}
INTEGERS = ("features", "width", "hidden_dim", "num_classes")
BOOLEANS = ("wide", "use_norm", "residual")
SEQUENCES = ("sizes", "widths")
OPTIONALS = ("out_dim", "bottleneck")


@dataclass
class Scope:
    """One method being written. `arrays` are names of arrays with their ranks; `widths` local integers."""

    choice: random.Random
    fields: dict[str, FieldSpec]
    blocks: dict[str, tuple[int, bool]]
    arrays: dict[str, int]
    flag: str = ""  # an expression that is true while training
    uses_self: bool = True
    has_optional: bool = False  # whether the method has an input that callers may leave out
    widths: list[str] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    indent: int = 2
    depth: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.choice.random() < probability

    def pick(self, *options: str) -> str:
        """One of some texts."""
        return self.choice.choice(options)

    def field(self, *names: str) -> str:
        """A reference to one of these fields; the class declares it from now on."""
        name = self.choice.choice(names)
        self.fields.setdefault(name, FIELDS[name])
        return f"self.{name}"

    def emit(self, line: str) -> None:
        """A line at the current indentation."""
        self.lines.append("    " * self.indent + line)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """What is written meanwhile is the body of `header`; names made there are forgotten afterwards."""
        self.emit(header)
        arrays, widths, counters = dict(self.arrays), list(self.widths), list(self.counters)
        self.indent += 1
        self.depth += 1
        yield
        self.indent -= 1
        self.depth -= 1
        ranks = {name: rank for name, rank in self.arrays.items() if arrays.get(name) == rank}
        self.arrays, self.widths, self.counters = ranks, widths, counters

    def of_rank(self, ranks: Sequence[int]) -> list[str]:
        """Names of arrays of these ranks."""
        return [name for name, rank in self.arrays.items() if rank in ranks]

    def array(self) -> str:
        """An array's name: mostly `x`."""
        if "x" in self.arrays and self.chance(0.75):
            return "x"
        return self.choice.choice(list(self.arrays))

    def target(self, source: str) -> str:
        """Where a result goes: mostly back to where it came from."""
        return source if self.chance(0.7) else self.pick(*ARRAYS)

    def label(self) -> str:
        """An explicit module name that nothing else has; an f-string in loops."""
        number = next(self.numbers)
        if self.counters:
            return f'f"layer{number}_' + "_".join(f"{{{c}}}" for c in self.counters) + '"'
        return f'"layer{number}"'
