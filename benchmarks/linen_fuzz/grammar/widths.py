"""Widths: the integer expressions that people hand to layers, and what they do to local integers."""

from __future__ import annotations

from benchmarks.linen_fuzz.grammar.scope import BOOLEANS, INTEGERS, OPTIONALS, SEQUENCES, WIDTHS, Scope


def width(scope: Scope, *, simple: bool = False) -> str:
    """An expression for a number of features."""
    options = ["literal", "literal", "local", "local", "local", "shape"]
    if scope.uses_self:
        options += ["field"] * 4
        if not simple:
            options += ["product", "element", "or", "ternary", "walrus", "builtin", "power", "len"]
    kind = scope.choice.choice(options)
    if kind == "local" and scope.widths:
        return scope.choice.choice(scope.widths)
    if kind == "shape":
        return f"{scope.array()}.shape[-1]"
    if kind in ("literal", "local") or not scope.uses_self:
        return scope.pick("2", "4", "6", "8")
    return _of_fields(scope, kind)


def _of_fields(scope: Scope, kind: str) -> str:
    if kind == "product":
        inner = width(scope, simple=True)
        return scope.pick(
            f"{inner} * 2",
            f"2 * {inner}",
            f"{inner} // 2",
            f"{inner} + 2",
            f"{inner} * {scope.field('multiplier')}",
        )
    if kind == "element":
        return f"{scope.field(*SEQUENCES)}[{scope.pick('0', '-1')}]"
    if kind == "or":
        return f"{scope.field(*OPTIONALS)} or {width(scope, simple=True)}"
    if kind == "ternary":
        first, second = width(scope, simple=True), width(scope, simple=True)
        optional = scope.field(*OPTIONALS)
        return scope.pick(
            f"{first} if {scope.field(*BOOLEANS)} else {second}",
            f"{first} if {optional} is None else {optional}",
            f"{optional} if {optional} is not None else {first}",
        )
    if kind == "walrus" and not scope.counters:
        name = scope.pick(*WIDTHS)
        if name in scope.arrays:
            return scope.field(*INTEGERS)
        text = f"({name} := {width(scope, simple=True)} * 2)"
        scope.widths.append(name)
        return text
    if kind == "builtin":
        return f"{scope.pick('max', 'min')}({width(scope, simple=True)}, {width(scope, simple=True)})"
    if kind == "power" and scope.counters:
        return f"{scope.field(*INTEGERS)} * 2 ** {scope.counters[-1]}"
    if kind == "len":
        return f"len({scope.field(*SEQUENCES)}) * 2"
    return scope.field(*INTEGERS)


def change_width(scope: Scope) -> None:
    """A statement about a local integer: a new one, or another value for one that there is."""
    free = [name for name in WIDTHS if name not in scope.arrays]
    if scope.widths and scope.chance(0.6):
        name = scope.choice.choice(scope.widths)
        options = [
            f"{name} *= 2",
            f"{name} = {name} * 2",
            f"{name} //= 2",
            f"{name} += 2",
            f"{name} = {width(scope)}",
            f"{name} = max({name} // 2, 2)",
            f"{name} = min({name}, 8)",
        ]
        if len(set(scope.widths)) > 1:
            first, second = scope.choice.sample(sorted(set(scope.widths)), 2)
            options += [
                f"{first}, {second} = {second}, {first}",
                f"{first}, {second} = {first} * 2, {first}",
                f"{first} = {second}",
            ]
        if scope.uses_self:
            flag = scope.field(*BOOLEANS)
            options += [
                f"{name} = {name} * 2 if {flag} else {name}",
                f"{name} = {name} + (2 if {flag} else 0)",
            ]
        scope.emit(scope.choice.choice(options))
        return
    name = scope.choice.choice(free)
    if scope.uses_self and scope.chance(0.15):
        sequence = scope.field(*SEQUENCES)
        other = scope.choice.choice([n for n in free if n != name])
        scope.emit(
            scope.pick(
                f"{name}, *_ = {sequence}",
                f"*_, {name} = {sequence}",
                f"{name}, {other} = {sequence}[0], {sequence}[-1]",
            )
        )
        scope.widths.append(name)
        if f"{name}, {other}" in scope.lines[-1]:
            scope.widths.append(other)
        return
    scope.emit(f"{name} = {width(scope)}")
    scope.widths.append(name)
