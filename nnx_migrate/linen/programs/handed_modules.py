"""Modules that programs hand to other modules: `VAE(encoder=Encoder(20), decoder=Decoder())`.

Such a module is made together with the one that gets it. That needs certainty: every value of the argument is a
construction that is known, the class calls what it gets wherever it is called itself, and nothing gets the same
module twice (Linen would share its parameters).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from nnx_migrate.linen.factory_uses import given_arguments
from nnx_migrate.linen.model import LinenClass, LinenProgram
from nnx_migrate.linen.programs.entry_calls import method_of
from nnx_migrate.linen.programs.flow import FlowFinder
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.origins import Origins
from nnx_migrate.linen.programs.reached import methods_from, reached
from nnx_migrate.linen.symbols import linen_name

_REASON = "shared-module"


def judge_handed_modules(instances: Sequence[Instance], program: LinenProgram, finder: FlowFinder) -> None:
    """Record which instances get which others, with an obstacle wherever that isn't certain."""
    origins = Origins(finder)
    by_call = {i.reference.call: i for i in instances if i.made_by is None}
    for holder in instances:
        if holder.made_by is None:
            _judge_arguments(holder, by_call, program, origins)
    for instance in instances:
        _judge_holders(instance, by_call)


def _judge_arguments(
    holder: Instance, by_call: dict[ast.Call, Instance], program: LinenProgram, origins: Origins
) -> None:
    module, call = holder.reference.module, holder.reference.call
    given = given_arguments(holder.cls, call) or {k.arg: k.value for k in call.keywords if k.arg is not None}
    for name, node in given.items():
        found = origins.of(module, node)
        inner = [by_call.get(o[1]) if o and isinstance(o[1], ast.Call) else None for o in found]
        nothing = [o is not None and isinstance(o[1], ast.Constant) and o[1].value is None for o in found]
        known = [i for i in inner if i is not None]
        if all(nothing) or not (known or _holds_module(holder.cls, name, program)):
            continue
        problem = ""
        if not all(i is not None or empty for i, empty in zip(inner, nothing, strict=True)):
            problem = f"its field `{name}` gets a module that isn't known"
        elif not _is_module_field(holder.cls, name):
            problem = f"its field `{name}` gets a module, and isn't declared to hold one"
        elif any(name not in reached(holder.cls, start, "setup") for start in _initialised_by(holder)):
            problem = f"its field `{name}` gets a module that a call of it may not use"
        elif any(k.arg == "name" for i in known for k in i.reference.call.keywords):
            problem = f"its field `{name}` gets a module that has a name of its own"
        if problem:
            holder.add_obstacle(_REASON, problem, module, node)
        for i in known:
            i.holders.append(holder)


def _initialised_by(holder: Instance) -> set[str]:
    """The methods that programs initialise a module by."""
    return {method_of(call) for _, call in holder.inits} or {"__call__"}


def _judge_holders(instance: Instance, by_call: dict[ast.Call, Instance]) -> None:
    for module, call in instance.flow.held:
        if by_call.get(call) not in instance.holders:
            instance.add_obstacle(_REASON, "it is an argument of another module", module, call)
    outermost: set[Instance] = set()
    for holder in instance.holders:
        reached = {holder, *above(holder)}
        if reached & outermost:
            where = holder.reference
            instance.add_obstacle(_REASON, "a module gets it more than once", where.module, where.node)
        outermost |= reached


def above(instance: Instance, depth: int = 0) -> Iterator[Instance]:
    """The modules that get a module, and those that get these."""
    for holder in instance.holders if depth < 20 else ():
        yield holder
        yield from above(holder, depth + 1)


def method_is_called(holder: Instance, instance: Instance) -> bool:
    """Whether a module may call methods of one that it gets by their names where it is initialised."""
    for name in methods_from(holder.cls, *_initialised_by(holder), "setup"):
        method = holder.cls.method(name)
        for node in ast.walk(method.node) if method is not None else ():
            if (
                isinstance(node, ast.Attribute)
                and instance.cls.method(node.attr) is not None
                and isinstance(node.value, ast.Attribute)
                and holder.cls.field(node.value.attr) is not None
            ):
                return True
    return False


def _holds_module(cls: LinenClass, name: str, program: LinenProgram) -> bool:
    """Whether a field is declared to hold a module."""
    item = cls.field(name)
    if item is None:
        return False
    owner = item.owner.module
    for node in _types_of_values(item.annotation):
        qualified = program.project.resolve(node, owner.scope_at(item.node), owner)
        if linen_name(qualified) == "Module" or program.find(qualified) is not None:
            return True
    return False


def _types_of_values(annotation: ast.expr) -> Iterator[ast.expr]:
    """The names in an annotation; not those of `Callable[..., Module]` and `type[Module]`, which make values."""
    if isinstance(annotation, ast.Name | ast.Attribute):
        yield annotation
    elif isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        yield from _types_of_values(annotation.slice) if name not in ("Callable", "Type", "type") else ()
    else:
        for child in ast.iter_child_nodes(annotation):
            yield from _types_of_values(child) if isinstance(child, ast.expr) else ()


def _is_module_field(cls: LinenClass, name: str) -> bool:
    """Whether the class's conversion treats a field as a module."""
    from nnx_migrate.linen.analysis import field_symbol
    from nnx_migrate.linen.values import FieldModule

    item = cls.field(name)
    return item is not None and isinstance(field_symbol(cls, item), FieldModule)
