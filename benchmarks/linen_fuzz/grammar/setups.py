"""Classes in the style of `setup`: layers as attributes, called by one method or several."""

from __future__ import annotations

import random

from benchmarks.linen_fuzz.grammar import layers
from benchmarks.linen_fuzz.grammar.scope import BOOLEANS, SEQUENCES, FieldSpec, Scope
from benchmarks.linen_fuzz.grammar.widths import change_width, width


def methods(
    choice: random.Random,
    fields: dict[str, FieldSpec],
    blocks: dict[str, tuple[int, bool]],
    rank: int,
    flag: tuple[str, str],
) -> str:
    """`setup` and the methods that call what it makes."""
    setup = Scope(choice, fields, blocks, {})
    call = Scope(choice, fields, {}, {"x": rank}, flag[1])
    for made in range(1, choice.randint(2, 5) + 1):
        _part(setup, call, f"{setup.pick('dense', 'proj', 'layer', 'fc')}{made}", rank)
    parameters = f"self, x{', ' + flag[0] if flag[0] else ''}"
    if choice.random() < 0.3 and len(call.lines) > 2:
        return _two_methods(setup, call, parameters, flag[1])
    return "\n".join(
        [
            "    def setup(self):",
            *setup.lines,
            "",
            f"    def __call__({parameters}):",
            *call.lines,
            "        return x",
        ]
    )


def _two_methods(setup: Scope, call: Scope, parameters: str, flag: str) -> str:
    """Encoder and decoder; cut between statements of the method itself."""
    starts = [n for n, line in enumerate(call.lines) if not line.startswith(" " * 9) and "else" not in line]
    cut = starts[len(starts) // 2]
    passed = flag.strip("()").removeprefix("not ")
    keyword = f", {passed}={passed}" if passed else ""
    return "\n".join(
        [
            "    def setup(self):",
            *setup.lines,
            "",
            f"    def encode({parameters}):",
            *call.lines[:cut],
            "        return x",
            "",
            f"    def decode({parameters}):",
            *call.lines[cut:],
            "        return x",
            "",
            f"    def __call__({parameters}):",
            f"        return self.decode(self.encode(x{keyword}){keyword})",
        ]
    )


def _width(setup: Scope) -> str:
    text = width(setup, simple=True) if not setup.chance(0.3) else width(setup)
    return text if ".shape" not in text else setup.field("features")


def _part(setup: Scope, call: Scope, name: str, rank: int) -> None:
    """Something that `setup` makes and the call uses."""
    setup.arrays = {"unused": rank}
    if setup.chance(0.35):
        change_width(setup)
        if ".shape" in setup.lines[-1]:
            setup.lines.pop()
            setup.widths.clear()
    kind = setup.choice.randrange(8)
    wrap = layers.activated
    if kind <= 1:
        setup.emit(f"self.{name} = {_layer(setup, rank)}")
        call.emit(f"x = {wrap(call, f'self.{name}(x)')}")
    elif kind == 2:
        sequence = setup.field(*SEQUENCES)
        setup.emit(f"self.{name} = [nn.Dense(s) for s in {sequence}]")
        with call.block(f"for layer in self.{name}:"):
            call.emit(f"x = {wrap(call, 'layer(x)')}")
    elif kind == 3:
        setup.emit("parts = []")
        with setup.block(f"for i in range({setup.field('depth')}):"):
            setup.emit(f"parts.append(nn.Dense({_width(setup)}))")
        setup.emit(f"self.{name} = parts")
        with call.block(f"for i, part in enumerate(self.{name}):"):
            call.emit("x = part(x)")
            with call.block(f"if i < len(self.{name}) - 1:"):
                call.emit("x = nn.relu(x)")
    elif kind == 4:
        test = setup.field(*BOOLEANS)
        with setup.block(f"if {test}:"):
            setup.emit(f"self.{name} = {_layer(setup, rank)}")
        with call.block(f"if {test}:"):
            call.emit(f"x = self.{name}(x)")
    elif kind == 5:
        test = setup.field(*BOOLEANS)
        setup.emit(
            f"self.{name} = nn.Dense({_width(setup)}) if {test} else {setup.pick('None', 'nn.LayerNorm()')}"
        )
        if "None" in setup.lines[-1].rpartition("else")[2]:
            with call.block(setup.pick(f"if self.{name} is not None:", f"if {test}:")):
                call.emit(f"x = self.{name}(x)")
        else:
            call.emit(f"x = self.{name}(x)")
    elif kind == 6:
        setup.emit(
            f"self.{name} = nn.Sequential([nn.Dense({_width(setup)}), nn.relu, nn.Dense({_width(setup)})])"
        )
        call.emit(f"x = self.{name}(x)")
    else:
        setup.emit(f"self.{name}_a, self.{name}_b = nn.Dense({_width(setup)}), nn.Dense({_width(setup)})")
        call.emit(f"x = jnp.concatenate([self.{name}_a(x), self.{name}_b(x)], axis=-1)")
    if call.flag and call.chance(0.25):
        setup.emit(f"self.{name}_drop = nn.Dropout(0.5)")
        call.emit(f"x = self.{name}_drop(x, deterministic=not {call.flag})")


def _layer(setup: Scope, rank: int) -> str:
    fitting = [name for name, (wanted, flag) in setup.blocks.items() if wanted == rank and not flag]
    if fitting and setup.chance(0.4):
        return f"{setup.choice.choice(fitting)}({_width(setup)})"
    if setup.chance(0.2):
        return "nn.LayerNorm()"
    return f"nn.Dense({_width(setup)}{layers.options(setup).partition(', name')[0]})"
