"""The parameter map of a converted class: Linen's names for submodules and variables, and the NNX attributes.

Linen names what setup assigns after the attribute (`layers_0` for the elements of a list), and what a compact
method creates without a name after its class, counted per class in the order of construction.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.alternatives import are_one_each_round
from nnx_migrate.linen.analysis import ClassAnalysis, field_symbol
from nnx_migrate.linen.interpreter.recurrent import PARTS
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.module_lists import holds_module_list
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
from nnx_migrate.nnx.module_names import counter, name_parts, padding
from nnx_migrate.numerics.map_patterns import PathPattern
from nnx_migrate.numerics.map_sequences import Created, Repeated, SequenceEntry, Step
from nnx_migrate.numerics.parameter_map import DYNAMIC, ClassMap, Entry, ModuleEntry, leaf, module

_INDICES = "ijklmn"


def class_key(cls: Any) -> str:
    """How parameter maps name a class: `module:qualified.name`."""
    return f"{cls.module.name}:{cls.qualified.removeprefix(cls.module.name + '.')}"


def class_map(analysis: ClassAnalysis) -> ClassMap:
    """The entries of one class. Raises Refuse where Linen's names can't be told."""
    entries: list[Entry] = []
    for variable in analysis.variables:
        indices = ["{" + index + "}" for index in _INDICES[: len(variable.loops)]]
        for name in (_variable_name(variable), *variable.other_names):
            entries.append(leaf([variable.collection, name], [variable.attribute, *indices]))
    _tell_apart(analysis.variables)
    for name, value in analysis.session.fields.items():
        if isinstance(value, FieldModule):  # adopted under the field's name if nothing else has named it
            entries.append(module([name], [name], DYNAMIC))
    for item in analysis.cls.fields:
        if holds_module_list(analysis.cls, item):
            entries.append(module([f"{item.name}_{{i}}"], [item.name, "{i}"], DYNAMIC))
    stored = _setup_names(analysis)
    compact = [s for s in analysis.named_sites if s not in stored]
    held: list[ModuleEntry] = []
    for site, (linen, nnx) in stored.items():
        if "/" in linen and _is_named_by_field(site):
            continue
        held += _site_entries(site, linen, nnx)
    entries += _one_each(held)
    entries += _compact_entries(compact)
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
        for linen, path, site in _held(slot.value, name, [name]):
            explicit = _explicit(site)
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
        index = "{" + ("*" if value.keyed else "") + _INDICES[depth] + "}"
        yield from _held(value.element, f"{linen}_{index}", [*path, index], depth + 1)
    elif isinstance(value, MixedList):
        index = "{" + _INDICES[depth] + "}"
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
        index = "{" + _INDICES[depth] + "}"
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


def _explicit(site: Site) -> str | None:
    return _template(site) if site.kwargs.get("name") is not None else None


# ---- compact -----------------------------------------------------------------------------------------------


def _compact_entries(sites: Sequence[Site]) -> list[Entry]:
    """Explicit names as they are; the others by their class's counter, which loops and conditions move."""
    automatic = [s for s in sites if s.kwargs.get("name") is None and not s.is_orphan]
    entries: list[Entry] = []
    named = (s for s in sites if not s.is_orphan and s not in automatic)
    entries += _one_each([e for site in named for e in _site_entries(site, _template(site), _path(site))])
    chosen = any(isinstance(site.target, ClassChoice) for site in automatic)
    if chosen or any(site.controls or _sequence_of(site) or site.lifted_class for site in automatic):
        if any(site.carry_only for site in automatic):
            raise Refuse(
                "unsupported-syntax", "a cell for an initial carry among modules in loops", sites[0].call
            )
        return [*entries, SequenceEntry(_steps(automatic, 0))]
    counters: Counter[str] = Counter()
    for site in automatic:
        entries += _site_entries(site, f"{site.linen_class}_{counters[site.linen_class]}", _path(site))
        counters[site.linen_class] += 1
    return entries


def _path(site: Site) -> list[str]:
    if site.parent_site is not None:
        return [*_path(site.parent_site), *site.place]
    indices = ["{" + _INDICES[level] + "}" for level in range(len(site.loops))]
    own = [site.attribute, *indices, *site.place]
    return min([own, *([*_path(other), *place] for other, place in site.lent.items())])


def _sequence_of(site: Site) -> Site | None:
    """The sequence whose list a loop fills with the module, among others."""
    sequence = site.parent_site
    return sequence if sequence is not None and site in sequence.elements else None


def _loop_of(site: Site, depth: int) -> Control | None:
    return site.loops[depth] if len(site.loops) > depth else None


def _steps(sites: Sequence[Site], depth: int) -> tuple[Step, ...]:
    """The constructions in order, with the loops around them from loop level `depth` on."""
    steps: list[Step] = []
    for loop, group in itertools.groupby(sites, lambda s: _sequence_of(s) or _loop_of(s, depth)):
        members = list(group)
        if isinstance(loop, Site):  # its list has them in order, with functions between them
            path = PathPattern.of([*_path(loop), "layers", "{" + _INDICES[depth] + "}"])
            steps.append(Repeated(_INDICES[depth], (Created(DYNAMIC, path, DYNAMIC, True),)))
        elif loop is None:
            steps += _one_of_several(members)
        else:
            steps.append(Repeated(_INDICES[depth], _steps(members, depth + 1)))
    return tuple(steps)


def _created(site: Site) -> Created:
    conditional = any(not control.is_loop for control in site.controls)
    prefix = DYNAMIC if isinstance(site.target, ClassChoice) else site.linen_class
    return Created(prefix, PathPattern.of(_path(site)), module_name(site), conditional, site.lifted_class)


def _one_of_several(sites: Sequence[Site]) -> list[Created]:
    """Modules that conditions put at one place are one step, whose class shows in the model."""
    found: dict[PathPattern, Created] = {}
    first: dict[PathPattern, Site] = {}
    for site in sites:
        step = _created(site)
        known = found.setdefault(step.nnx, step)
        other = first.setdefault(step.nnx, site)
        if (known.prefix, known.module) != (step.prefix, step.module):
            found[step.nnx] = Created(DYNAMIC, step.nnx, DYNAMIC, True)
        elif are_one_each_round(other, site):
            found[step.nnx] = replace(known, conditional=False)
    return list(found.values())


def _template(site: Site) -> str:
    """An explicit name; f-strings over the loop's counters become patterns."""
    node = site.name
    if isinstance(site.kwargs.get("name"), str):
        return str(site.kwargs["name"])
    pieces = name_parts(node)
    if pieces is not None:
        return "".join(_pattern(piece, site) for piece in pieces)
    raise Refuse("unsupported-syntax", "a module name that isn't a literal", site.call)


def _tell_apart(variables: Sequence[VariableSite]) -> None:
    """Raise Refuse where a name that fields give may be that of another variable, too."""
    counts = Counter((v.collection, name) for v in variables for name in (v.name, *v.other_names))
    for variable in variables:
        if variable.other_names and any(
            counts[variable.collection, name] > 1 for name in (variable.name, *variable.other_names)
        ):
            raise Refuse("parameter-names", "fields may give two variables one name", variable.call)


def _variable_name(variable: VariableSite) -> str:
    """A variable's name; one that is made in loops has their counters in it."""
    if variable.name_node is None:
        return variable.name
    pieces = name_parts(variable.name_node) or []
    name = "".join(_pattern(piece, variable) for piece in pieces)
    counters = re.findall(r"\b[a-z]\b", " ".join(re.findall(r"\{(.*?)\}", name)))
    if set(counters) != set(_INDICES[: len(variable.loops)]):
        raise Refuse(
            "unsupported-syntax", "a name that doesn't tell the rounds of a loop apart", variable.call
        )
    return name


def _pattern(piece: str | ast.expr, site: Site | VariableSite) -> str:
    """A piece of a name in the map's language."""
    if isinstance(piece, str):
        return piece
    number, width = padding(piece)
    return "{" + _index_of(number, site) + (f":0{width}" if width else "") + "}"


def _index_of(node: ast.expr, site: Site | VariableSite) -> str:
    """The index expression for a counter in an f-string name."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    mapping: dict[str, str] = {}
    for level, control in enumerate(site.loops):
        counted = _counted(control.node)
        if counted is not None:
            name, first, step = counted
            index = _INDICES[level] if step == 1 else f"{step} * {_INDICES[level]}"
            mapping[name] = index if first == 0 else f"{index} + {first}"
    if not names or not names <= set(mapping):
        raise Refuse("unsupported-syntax", "a module name that depends on more than loop counters", site.call)

    class Rename(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            return ast.parse(mapping[name.id], mode="eval").body

    import copy

    return ast.unparse(Rename().visit(copy.deepcopy(node)))


def _counted(loop: ast.AST) -> tuple[str, int, int] | None:
    """The counter of a loop, unless its body gives it another value."""
    if isinstance(loop, ast.For):
        found = counter(loop.target, loop.iter)
        stored = (n for s in loop.body for n in ast.walk(s) if isinstance(n, ast.Name))
        changed = {n.id for n in stored if not isinstance(n.ctx, ast.Load)}
        return found if found is not None and found[0] not in changed else None
    if isinstance(loop, ast.ListComp | ast.GeneratorExp):
        return counter(loop.generators[0].target, loop.generators[0].iter)
    return None


__all__ = ["VariableSite", "class_key", "class_map"]
