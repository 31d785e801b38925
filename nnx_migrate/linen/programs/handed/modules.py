"""Modules that programs hand to other modules: `VAE(encoder=Encoder(20), decoder=Decoder())`.

Such a module is made together with the one that gets it. That needs certainty: every value of the argument is a
construction that is known, the class calls what it gets wherever it is initialised itself, and nothing gets the same
module twice (Linen would share its parameters).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from nnx_migrate.linen.classes.model import LinenClass, LinenProgram
from nnx_migrate.linen.factories.candidates import candidates
from nnx_migrate.linen.factories.uses import given_arguments
from nnx_migrate.linen.fields.module_dicts import dict_fields, holds_module_dict
from nnx_migrate.linen.fields.module_lists import holds_module_list
from nnx_migrate.linen.programs.constructions.class_values import ClassValue
from nnx_migrate.linen.programs.constructions.made_anew import is_made_anew, maker
from nnx_migrate.linen.programs.dataflow.contents import Contents, Element
from nnx_migrate.linen.programs.dataflow.dict_contents import DictContents, Entry
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.handed.uses import HandedUses, Handing, hands_on_by_key
from nnx_migrate.linen.programs.handed.values import HandedValues
from nnx_migrate.linen.programs.inputs.entry_calls import method_of
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.linen.programs.reached import methods_from
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import all_below, is_none, is_self
from nnx_migrate.nnx.layers import LAYERS

_REASON = "shared-module"


def judge_handed_modules(
    constructed: Sequence[Instance],
    program: LinenProgram,
    finder: FlowFinder,
    made: Mapping[ClassValue, Sequence[Instance]],
) -> None:
    """Record which instances get which others, with an obstacle wherever that isn't certain.

    `made` are those that calls of class values make: `ResNet18 = partial(ResNet, ...)`, `Classifier(ResNet18())`.
    """
    by_call = {i.reference.call: i for i in constructed}
    instances = [*constructed, *(i for each in made.values() for i in each)]
    judge = _Judge(program, finder, by_call, made)
    for holder in by_call.values():
        judge.arguments(holder)
    uses = HandedUses(judge.handings, judge.dicts)
    for handing in judge.handings:
        if not uses.are_sure(handing):
            problem = f"its field `{handing.name}` gets a module that a call of it may not use"
            handing.holder.add_obstacle(_REASON, problem, handing.module, handing.node)
    for instance, element, copied in judge.handed:
        instance.makers.append(maker(element, instance, by_call.values(), finder))
        instance.copies.append(copied)
    for handing in judge.handings:
        holder = handing.holder
        is_once = len(holder.inits) == 1 and not holder.passes_init_on
        by_key = is_once and bool(handing.keys) and hands_on_by_key(holder.cls, handing.name)
        for instance in handing.modules:
            alone = set(instance.holders) == {holder} and instance.copies.count(False) <= 1
            instance.is_called_once = by_key and alone
    for instance in instances:
        _judge_holders(instance, by_call)
    for instance, element, _ in judge.handed:
        if element.loop is not None and not is_made_anew(element, instance, by_call.values(), finder):
            where = element.module, element.node
            instance.add_obstacle(_REASON, "a module gets it more than once", *where)


class _Judge:
    """Finds the modules that constructions get: `handed`, each with the expression that gives it."""

    def __init__(
        self,
        program: LinenProgram,
        finder: FlowFinder,
        by_call: Mapping[ast.Call, Instance],
        made: Mapping[ClassValue, Sequence[Instance]],
    ) -> None:
        self.program, self.finder, self.by_call = program, finder, by_call
        self.made: dict[ast.Call, dict[ast.expr, Instance]] = {}  # by call, then by what makes it
        for value, instances in made.items():
            for instance in instances:
                self.made.setdefault(instance.call, {})[value.node] = instance
        self.origins = Origins(finder, attributes=True)
        self.contents = Contents(finder, by_call)
        self.dicts = DictContents(finder, by_call)
        self.values = HandedValues(finder, self.dicts)
        self.handed: list[tuple[Instance, Element, bool]] = []  # and whether it is a copy that is given
        self.handings: list[Handing] = []
        self._makers: dict[LinenClass, list[str]] = {}

    def arguments(self, holder: Instance) -> None:
        """Judge the arguments of one construction."""
        module, call = holder.reference.module, holder.reference.call
        for clone in holder.clones:
            for keyword in clone.keywords:
                if keyword.arg is not None and self._holds_module(holder.cls, keyword.arg):
                    problem = f"a clone gets another module as its field `{keyword.arg}`"
                    holder.add_obstacle(_REASON, problem, module, clone)
        given = given_arguments(holder.cls, call) or {
            k.arg: k.value for k in call.keywords if k.arg is not None
        }
        for name, node in given.items():
            item = holder.cls.field(name)
            is_list = item is not None and holds_module_list(holder.cls, item)
            is_dict = item is not None and holds_module_dict(holder.cls, item)
            entries = self.dicts.of(module, node) if is_dict else None
            if is_dict:
                elements = [entry.element for entry in entries] if entries is not None else None
            else:
                elements = self.contents.of(module, node) if is_list else [Element(module, node)]
            found = [(element, self._modules(element)) for element in elements or ()]
            known = [i for _, modules in found for i, _ in modules if i is not None]
            is_empty = elements is not None and not any(modules for _, modules in found)
            has_layer = self._gives_layer(module, node)
            if not has_layer and (is_empty or not (known or self._holds_module(holder.cls, name))):
                continue
            problem = ""
            if has_layer or elements is None or any(i is None for _, modules in found for i, _ in modules):
                problem = f"its field `{name}` gets a module that isn't known"
            elif not (is_list or is_dict) and not _is_module_field(holder.cls, name):
                problem = f"its field `{name}` gets a module, and isn't declared to hold one"
            elif any(map(_is_named, known)):
                problem = f"its field `{name}` gets a module that has a name of its own"
            if problem:
                holder.add_obstacle(_REASON, problem, module, node)
            else:
                keys = _keys(entries, [modules for _, modules in found]) if entries is not None else ()
                self.handings.append(Handing(holder, name, is_list, tuple(known), module, node, keys))
                if not (is_list or is_dict):
                    holder.parts[name] = known
            for element, modules in found:
                for i, copied in modules:
                    if i is not None:
                        i.holders.append(holder)
                        self.handed.append((i, element, copied))

    def _holds_module(self, cls: LinenClass, name: str) -> bool:
        """Whether a field is declared to hold a module, and not only read to make some: `net_cls: nn.Module`."""
        if not _declares_module(cls, name, self.program):
            return False
        if cls not in self._makers:
            self._makers[cls] = candidates(self.program, cls)
        return name not in self._makers[cls]

    def _gives_layer(self, module: Module, node: ast.expr) -> bool:
        """Whether a layer of Linen's own is among what an expression may give, whatever the field is declared to hold.

        `MLP(act=nn.PReLU())`: an NNX module can't call it.
        """
        items = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
        origins = [o for item in items for o in self.origins.of(module, item) if o is not None]
        return any(
            isinstance(part, ast.Call) and self._is_layer(where, part.func)
            for where, given in [(module, node), *origins]
            if not isinstance(given, ast.Lambda)
            for part in all_below(given)
        )

    def _is_layer(self, module: Module, node: ast.expr) -> bool:
        layer = linen_name(self.program.project.resolve(node, module.scope_at(node), module))
        return layer is not None and layer[:1].isupper() and f"flax.linen.{layer}" in LAYERS

    def _modules(self, element: Element) -> list[tuple[Instance | None, bool]]:
        """What an expression may give: modules that programs make, or (None) something else than nothing; and whether
        it gives a copy.
        """
        found: list[tuple[Instance | None, bool]] = []
        for value in self.values.of(element.module, element.node):
            origin = value.origin
            if origin is None or not is_none(origin[1]):
                made = origin[1] if origin is not None else None
                if origin is not None and isinstance(made, ast.Call) and made in self.made:
                    found += [(i, value.copied) for i in self._made_by_values(origin[0], made)]
                else:
                    one = self.by_call.get(made) if isinstance(made, ast.Call) else None
                    found.append((one, value.copied))
        return found

    def _made_by_values(self, module: Module, call: ast.Call) -> list[Instance | None]:
        """The modules that a call makes of the classes that it may reach as values."""
        known = self.made[call]
        origins = Origins(self.finder, known.keys(), attributes=True).of(module, call.func)
        return [known.get(origin[1]) if origin is not None else None for origin in origins]


def _keys(
    entries: Sequence[Entry], modules: Sequence[Sequence[tuple[Instance | None, bool]]]
) -> tuple[tuple[str | None, Instance], ...]:
    """Each module of a dictionary with its key, as far as that is known."""
    return tuple(
        (entry.key, instance)
        for entry, found in zip(entries, modules, strict=True)
        for instance, _ in found
        if instance is not None
    )


def _is_named(instance: Instance) -> bool:
    """Whether a construction, or a partial of the class, gives the module a name."""
    around = instance.reference.module.parents[instance.reference.node]
    calls = [instance.call, *([around] if isinstance(around, ast.Call) else [])]
    return any(keyword.arg == "name" for call in calls for keyword in call.keywords)


def _initialised_by(holder: Instance) -> set[str]:
    """The methods that programs initialise a module by."""
    return {method_of(call) for _, call in holder.inits} or {"__call__"}


def _judge_holders(instance: Instance, by_call: dict[ast.Call, Instance]) -> None:
    for module, call in instance.flow.held:
        if by_call.get(call) not in instance.holders:
            instance.add_obstacle(_REASON, "it is an argument of another module", module, call)
    before: list[tuple[set[Instance], ast.Call | None]] = []
    for holder, made, copied in zip(instance.holders, instance.makers, instance.copies, strict=True):
        reached = {holder, *above(holder)}
        for others, other in before:
            common = reached & others
            are_two = made is not None and other is not None and made is not other
            if copied or not common or are_two:
                continue
            if all(map(_keeps_sharing, common)):
                for one in common:
                    one.shares = True
                continue
            where = holder.reference
            instance.add_obstacle(_REASON, "a module gets it more than once", where.module, where.node)
            break
        if not copied:
            before.append((reached, made))


def _keeps_sharing(holder: Instance) -> bool:
    """Whether a module's parts may hold the same module: those of a dictionary, if nothing else gets that."""
    return bool(dict_fields(holder.cls)) and len(holder.cls.fields) == 1 and not holder.holders


def above(instance: Instance) -> list[Instance]:
    """The modules that get a module, and those that get these, each once."""
    found: dict[Instance, None] = {}
    pending = list(instance.holders)
    while pending:
        holder = pending.pop()
        if holder not in found:
            found[holder] = None
            pending += holder.holders
    return list(found)


def method_is_called(holder: Instance, instance: Instance) -> bool:
    """Whether a module may call methods of one that it gets by their names where it is initialised."""
    has_list = any(holds_module_list(holder.cls, item) for item in holder.cls.fields)
    for name in methods_from(holder.cls, *_initialised_by(holder), "setup"):
        method = holder.cls.method(name)
        for node in ast.walk(method.node) if method is not None else ():
            if isinstance(node, ast.Attribute) and instance.cls.method(node.attr) is not None:
                owner = node.value
                if isinstance(owner, ast.Attribute) and holder.cls.field(owner.attr) is not None:
                    return True
                if has_list and not is_self(owner):
                    return True  # an item of the list
    return False


def _declares_module(cls: LinenClass, name: str, program: LinenProgram) -> bool:
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
