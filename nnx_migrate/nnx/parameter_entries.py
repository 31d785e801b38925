"""The parameter map of a converted class: Linen's names for submodules and variables, and the NNX attributes.

Linen names what setup assigns after the attribute (`layers_0` for the elements of a list), and what a compact
method creates without a name after its class, counted per class in the order of construction.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.alternatives import is_always_made
from nnx_migrate.linen.analysis import ClassAnalysis, field_symbol
from nnx_migrate.linen.counting import certain_numbers
from nnx_migrate.linen.fields.module_dicts import dict_fields
from nnx_migrate.linen.fields.module_lists import holds_module_list
from nnx_migrate.linen.interpreter.transforms.recurrent import PARTS
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Control, Site, VariableSite
from nnx_migrate.linen.values import (
    BuiltList,
    ClassChoice,
    ClassRef,
    Either,
    FieldModule,
    Instance,
    Layer,
    Maybe,
    ModuleList,
)
from nnx_migrate.nnx.entry_names import (
    INDICES,
    ModuleName,
    module_names,
    tell_modules_apart,
    tell_variables_apart,
    variable_name,
)
from nnx_migrate.numerics.map_patterns import PathPattern
from nnx_migrate.numerics.map_sequences import Created, Repeated, SequenceEntry, Step
from nnx_migrate.numerics.parameter_map import DYNAMIC, ClassMap, Entry, ModuleEntry, leaf, module


def class_key(cls: Any) -> str:
    """How parameter maps name a class: `module:qualified.name`."""
    return f"{cls.module.name}:{cls.qualified.removeprefix(cls.module.name + '.')}"


def class_map(analysis: ClassAnalysis) -> ClassMap:
    """The entries of one class. Raises Refuse where Linen's names can't be told."""
    entries: list[Entry] = []
    for variable in analysis.variables:
        indices = variable.place or ["{" + index + "}" for index in INDICES[: len(variable.loops)]]
        for name in (variable_name(variable), *variable.other_names):
            entry = leaf([variable.collection, name], [variable.attribute, *indices])
            entries += [entry] if entry not in entries else []  # that each branch of a condition makes
    tell_variables_apart(analysis.variables)
    for name, value in analysis.session.fields.items():
        if isinstance(value, FieldModule):  # adopted under the field's name if nothing else has named it
            entries.append(module([name], [name], DYNAMIC))
    for item in analysis.cls.fields:
        if holds_module_list(analysis.cls, item):
            entries.append(module([f"{item.name}_{{i}}"], [item.name, "{i}"], DYNAMIC))
    for item in dict_fields(analysis.cls):  # whose modules NNX has under Linen's names
        entries.append(module([f"{item.name}_{{*key}}"], [f"{item.name}_{{*key}}"], DYNAMIC))
    stored = _setup_names(analysis)
    compact = [s for s in analysis.named_sites if s not in stored]
    held: list[ModuleEntry] = []
    for site, (linen, nnx) in stored.items():
        if "/" in linen and _is_named_by_field(site):
            continue
        held += _site_entries(site, linen, nnx)
    entries += _one_each(held)
    named = {
        s: module_names(analysis, s) for s in compact if s.kwargs.get("name") is not None and not s.is_orphan
    }
    tell_modules_apart(named, [linen for linen, _ in stored.values()])
    entries += _compact_entries(compact, named)
    return ClassMap(tuple(entries))


def module_name(site: Site) -> str | None:
    """The class whose entries hold below a site, None where NNX has the paths that Linen has."""
    if site.bridged is not None:
        return None
    if isinstance(site.target, ClassRef):
        return class_key(site.target.cls)
    if isinstance(site.target, ClassChoice):
        return DYNAMIC
    if site.target_name == "GRUCell":  # the helper class, with Linen's parameters
        return None
    return f"flax.linen:{site.layer_name}"


def _one_each(entries: Sequence[ModuleEntry]) -> Iterable[ModuleEntry]:
    """One entry for modules of which only one is ever there: an attribute that each branch of a condition sets."""
    found: dict[tuple[Any, Any], ModuleEntry] = {}
    for entry in entries:
        known = found.setdefault((entry.linen, entry.nnx), entry)
        if known.module != entry.module:
            found[entry.linen, entry.nnx] = replace(known, module=DYNAMIC)
    return found.values()


def _site_entries(site: Site, linen: str, nnx: Sequence[str]) -> list[ModuleEntry]:
    # a Sequential has nothing of its own, and its layers have entries
    if site.target_name in ("Dropout", "Sequential") or site.carry_only:
        return []
    return [module(linen.split("/"), list(nnx), module_name(site))]


# ---- setup -------------------------------------------------------------------------------------------------


def _setup_names(analysis: ClassAnalysis) -> dict[Site, tuple[str, list[str]]]:
    """Linen name and NNX path of each module that an attribute holds.

    A module that several hold has the path that NNX finds first: attributes are visited in alphabetical order.
    """
    found: dict[Site, tuple[str, list[str]]] = {}
    for name, slot in analysis.session.attributes.items():
        if isinstance(slot.value, Instance) and slot.value.site in analysis.uncalled:
            continue
        for linen, path, site in _held(slot.value, name, [name]):
            explicit = _explicit(analysis, site)
            linen, path = _with_one_index(explicit if explicit is not None else linen, path)
            first, shortest = found.get(site, (linen, path))
            if _indices(path) != _indices(shortest):
                detail = "a module of a list that loops fill is held elsewhere, too"
                raise Refuse("shared-module", detail, site.call)
            found[site] = (first, min(path, shortest))
    for site, (linen, path) in found.items():
        others = [[*_path(o), *place] for o, place in site.lent.items() if o.method != "setup"]
        found[site] = (linen, min([path, *others]))
    return found


def _places(modules: MixedList) -> Iterable[str | None]:
    """The places in a list at which its parts begin, as far as they are known."""
    for number in range(len(modules.items)):
        known = not any(isinstance(earlier, ModuleList) for earlier in modules.items[:number])
        yield "{i + " + str(number) + "}" if known else None


def _with_one_index(linen: str, path: Sequence[str]) -> tuple[str, list[str]]:
    """The name of a module in a list that is built in parts, and its path: maps find places by bare indices.

    `{i + 1}` in both is any place; `stem` for the first module has that place alone.
    """
    place = next((part for part in path if part.startswith("{i + ")), None)
    if place is None:
        return linen, list(path)
    number = place[len("{i + ") : -1]
    if place in linen or (number == "0" and "{i}" in linen):
        linen, own = linen.replace(place, "{i}"), "{i}"
    elif "{" in linen:
        own = place
    elif re.search(rf"(?<!\d){number}$", linen):
        linen, own = linen.removesuffix(number) + "{i}", "{i}"
    else:
        own = number
    return linen, [own if part == place else part for part in path]


def _indices(path: Sequence[str]) -> int:
    """How many placeholders a path has."""
    return sum("{" in part for part in path)


def _held(value: Any, linen: str, path: list[str], depth: int = 0) -> Iterable[tuple[str, list[str], Site]]:
    if isinstance(value, Maybe):
        value = value.value
    if isinstance(value, Either):
        for one in value.values:
            yield from _held(one, linen, path, depth)
    elif isinstance(value, Instance):
        if value.site.method == "setup":
            if depth < sum(
                isinstance(control.node, ast.ListComp | ast.GeneratorExp) for control in value.site.loops
            ):
                detail = "modules that a comprehension makes are unpacked in `setup`"
                raise Refuse("unsupported-syntax", detail, value.site.call)
            yield linen, path, value.site
            yield from _handed_on(value.site, linen, path, depth)
    elif isinstance(value, ModuleList):
        index = "{" + ("*" if value.keyed else "") + INDICES[depth] + "}"
        yield from _held(value.element, f"{linen}_{index}", [*path, index], depth + 1)
    elif isinstance(value, MixedList):
        index = "{" + INDICES[depth] + "}"
        for item, place in zip(value.items, _places(value), strict=True):
            element = item.element if isinstance(item, ModuleList) else item
            named = isinstance(element, Instance) and element.site.kwargs.get("name") is not None
            if named and (place is None or depth):
                raise Refuse(
                    "unsupported-syntax", "a name in a list behind what a loop makes", element.site.call
                )
            own = place if named and place is not None else index
            yield from _held(element, f"{linen}_{index}", [*path, own], depth + 1)
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from _held(item, f"{linen}_{number}", [*path, str(number)], depth)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _held(item, f"{linen}_{key}", [*path, str(key)], depth)


def _handed_on(site: Site, linen: str, path: list[str], depth: int) -> Iterable[tuple[str, list[str], Site]]:
    """The modules that a module of setup gets as arguments: Linen keeps them below it, by its fields.

    It does so for those that setup has not assigned to an attribute before.
    """
    given = {**site.kwargs, **dict(zip(_fields(site), site.args, strict=False))}
    if isinstance(given.get("layers"), BuiltList | MixedList):
        index = "{" + INDICES[depth] + "}"
        for element in site.elements:
            yield f"{linen}/layers_{index}", [*path, "layers", index], element
        return
    for name, value in given.items():
        yield from _held(value, f"{linen}/{name}", [*path, name], depth)


def _is_named_by_field(site: Site) -> bool:
    """Whether the class, or layer, that got the module as a field has an entry for it."""
    holders = dict(site.lent) if site.parent_site is None else {site.parent_site: site.place}
    for target, place in ((holder.target, place) for holder, place in holders.items()):
        if isinstance(target, Layer) and target.name in PARTS:
            return True
        item = target.cls.field(place[0]) if isinstance(target, ClassRef) else None
        if item is not None and isinstance(target, ClassRef):
            is_module = isinstance(field_symbol(target.cls, item), FieldModule)
            return is_module or holds_module_list(target.cls, item)
    return False


def _fields(site: Site) -> list[str]:
    if isinstance(site.target, ClassRef):
        return [item.name for item in site.target.cls.fields]
    return ["layers"] if site.target_name == "Sequential" else list(PARTS.get(site.target_name, ()))


def _explicit(analysis: ClassAnalysis, site: Site) -> str | None:
    if site.kwargs.get("name") is None:
        return None
    names = module_names(analysis, site)
    if len(names) > 1:
        raise Refuse("unsupported-syntax", "a module name that isn't a literal", site.call)
    return names[0].text


# ---- compact -----------------------------------------------------------------------------------------------


def _compact_entries(sites: Sequence[Site], names: Mapping[Site, Sequence[ModuleName]]) -> list[Entry]:
    """Explicit names as they are; the others by their class's counter, which loops and conditions move."""
    automatic = [s for s in sites if s.kwargs.get("name") is None and not s.is_orphan]
    entries: list[Entry] = []
    explicit = ((site, name) for site, given in names.items() for name in given)
    entries += _one_each(
        [e for site, name in explicit for e in _site_entries(site, name.text, _path_of(site, name))]
    )
    numbers = certain_numbers(automatic)
    own = [(site, f"{site.linen_class}_{number}") for site, number in numbers.items()]
    if len(own) < len(automatic) or any(map(_sequence_of, automatic)) or not _have_one_place_each(own):
        if any(site.carry_only for site in automatic):
            raise Refuse(
                "unsupported-syntax", "a cell for an initial carry among modules in loops", sites[0].call
            )
        return [*entries, SequenceEntry(_steps(automatic, 0, numbers))]
    return [*entries, *_one_each([e for site, name in own for e in _site_entries(site, name, _path(site))])]


def _have_one_place_each(named: Sequence[tuple[Site, str]]) -> bool:
    """Whether names and places stand for each other: branches of a condition may put modules at one place."""
    pairs = {(name, tuple(_path(site))) for site, name in named}
    return len({name for name, _ in pairs}) == len({path for _, path in pairs}) == len(pairs)


def _path(site: Site) -> list[str]:
    if site.parent_site is not None:
        return [*_path(site.parent_site), *site.place]
    indices = ["{" + INDICES[level] + "}" for level in range(len(site.loops))]
    own = [site.attribute, *indices, *site.place]
    return min([own, *([*_path(other), *place] for other, place in site.lent.items())])


def _path_of(site: Site, name: ModuleName) -> list[str]:
    """Where a module of this name is: that of a loop's only round is the first of its list."""
    path = _path(site)
    counters = {"{" + index + "}" for index in INDICES[: len(site.loops)]} if name.once else set()
    return ["0" if part in counters else part for part in path]


def _sequence_of(site: Site) -> Site | None:
    """The sequence whose list a loop fills with the module, among others."""
    sequence = site.parent_site
    return sequence if sequence is not None and site in sequence.elements else None


def _loop_of(site: Site, depth: int) -> Control | None:
    return site.loops[depth] if len(site.loops) > depth else None


def _steps(sites: Sequence[Site], depth: int, numbers: Mapping[Site, int]) -> tuple[Step, ...]:
    """The constructions in order, with the loops around them from loop level `depth` on."""
    steps: list[Step] = []
    for loop, group in itertools.groupby(sites, lambda s: _sequence_of(s) or _loop_of(s, depth)):
        members = list(group)
        if isinstance(loop, Site):  # its list has them in order, with functions between them
            path = PathPattern.of([*_path(loop), "layers", "{" + INDICES[depth] + "}"])
            steps.append(Repeated(INDICES[depth], (Created(DYNAMIC, path, DYNAMIC, True),)))
        elif loop is None:
            steps += _one_of_several(members, numbers)
        else:
            steps.append(Repeated(INDICES[depth], _steps(members, depth + 1, numbers)))
    return tuple(steps)


def _created(site: Site, number: int | None) -> Created:
    conditional = any(not control.is_loop for control in site.controls)
    prefix = DYNAMIC if isinstance(site.target, ClassChoice) else site.linen_class
    path, lifted = PathPattern.of(_path(site)), site.lifted_class
    return Created(prefix, path, module_name(site), conditional, lifted, number if conditional else None)


def _one_of_several(sites: Sequence[Site], numbers: Mapping[Site, int]) -> list[Created]:
    """Modules that conditions put at one place are one step, whose class shows in the model."""
    found: dict[PathPattern, Created] = {}
    first: dict[PathPattern, Site] = {}
    for site in sites:
        step = _created(site, numbers.get(site))
        known = found.setdefault(step.nnx, step)
        other = first.setdefault(step.nnx, site)
        if (known.prefix, known.module) != (step.prefix, step.module):
            found[step.nnx] = Created(DYNAMIC, step.nnx, DYNAMIC, True)
        elif is_always_made(other, site):
            number = known.number if known.number == step.number else None
            found[step.nnx] = replace(known, conditional=False, number=number)
        elif known.number != step.number:
            found[step.nnx] = replace(known, number=None)
    return list(found.values())


__all__ = ["VariableSite", "class_key", "class_map"]
