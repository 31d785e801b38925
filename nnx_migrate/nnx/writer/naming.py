"""Attribute names for submodules and variables of the NNX class."""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto

from nnx_migrate.linen.alternatives import are_one_each_round, counted_alike
from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.counting import certain_numbers
from nnx_migrate.linen.programs.constructions.field_texts import default_text, pieces_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.linen.values import Instance
from nnx_migrate.nnx.entry_names import is_named_by_fields
from nnx_migrate.nnx.module_names import name_parts
from nnx_migrate.nnx.writer.residual.local_lists import LocalList
from nnx_migrate.nnx.writer.words import plural, snake_case

# What nnx.Module itself defines, and what the constructor's parameters are called.
RESERVED = frozenset(
    {"train", "eval", "sow", "perturb", "iter_modules", "iter_children", "set_attributes", "rngs"}
)


def rng_attribute(stream: str) -> str:
    """The attribute that holds a random stream, or the one that a field (`self.rng_collection`) names."""
    if stream.startswith("self."):
        stream = re.sub(r"_(?:collection|name|stream)$", "", stream.removeprefix("self."))
    return stream if stream == "rng" or stream.endswith("_rng") else f"{stream}_rng"


def stream_of(stream: str) -> str:
    """How the constructor reads a random stream off its `rngs`."""
    return f"rngs[{stream}]" if stream.startswith("self.") else f"rngs.{stream}"


def identifier(text: str) -> str:
    """A valid attribute name close to an explicit Linen name."""
    cleaned = re.sub(r"\W+", "_", text).strip("_") or "module"
    if cleaned[0].isdigit():
        cleaned = "_" + cleaned
    return cleaned + "_" if keyword.iskeyword(cleaned) else cleaned


class Names:
    """Gives out attribute names, each once."""

    def __init__(self, analysis: ClassAnalysis, reserved: frozenset[str] = frozenset()) -> None:
        cls = analysis.cls
        self.taken: set[str] = set(RESERVED) | set(reserved)
        self.taken.update(f.name for f in cls.fields)
        for owner in cls.mro:
            self.taken.update(owner.own_methods)
            self.taken.update(owner.class_attributes)
        self.taken.update(analysis.session.attributes)

    def fresh(self, wanted: str) -> str:
        """`wanted`, with a number behind it if it is taken, or a line if it is one of Python's keywords."""
        if keyword.iskeyword(wanted):
            wanted += "_"
        name, number = wanted, 1
        while name in self.taken:
            name = f"{wanted}_{number}"
            number += 1
        self.taken.add(name)
        return name


class Naming(Enum):
    """What the attributes that hold modules are called.

    FREELY as people would call them, AS_LINEN by the names that Linen makes (`Dense_0`) where these are known, or
    LISTS_AS_LINEN by such names that the elements of lists have Linen's, too, once they are joined to the number:
    `self.Dense[0]` is `Dense_0`.
    """

    FREELY = auto()
    AS_LINEN = auto()
    LISTS_AS_LINEN = auto()


def name_sites(
    analysis: ClassAnalysis, names: Names, lists: Iterable[LocalList] = (), naming: Naming = Naming.FREELY
) -> None:
    """Give every site of the class its attribute (those of setup have one by assignment)."""
    listed = naming is Naming.LISTS_AS_LINEN
    for made in lists:
        stems = {_list_stem(site) for site in made.sites}
        made.attribute = names.fresh(stems.pop() if listed and len(stems) == 1 else made.name)
        for site in made.sites:
            site.attribute = made.attribute
    sites = [s for s in analysis.sites if not s.attribute and not s.is_held]
    alike = counted_alike(sites)
    kinds = Counter(s.target_name for s in sites if not _own_name(s) and s not in alike)
    seen: Counter[str] = Counter()
    kept = automatic_names(analysis) if naming is not Naming.FREELY else {}
    if listed:
        kept |= {site: _list_stem(site) for site in sites if site.loops}
    for site in sites:
        if is_named_by_fields(site) and naming is not Naming.FREELY:
            raise Refuse("parameter-names", "fields give a module its name", site.call)
        own, named = _own_name(site), [s for s in sites if s.attribute and _are_alternatives(s, site)]
        shared = [
            s
            for s in named
            if (
                _have_one_name(s, site)
                or s.attribute == kept.get(site)
                or are_one_each_round(s, site)
                or alike.get(site) is s
            )
            and all(_are_alternatives(t, site) for t in sites if t.attribute == s.attribute)
        ]
        if shared:
            site.attribute = shared[0].attribute
            continue
        if site in kept:
            site.attribute = names.fresh(kept[site])
            continue
        if own:
            site.attribute = names.fresh(plural(own) if site.loops and not own.endswith("s") else own)
            continue
        base = snake_case(site.target_name)
        if site.loops:
            site.attribute = names.fresh(plural(base))
        elif kinds[site.target_name] > 1:
            site.attribute = names.fresh(f"{base}_{seen[site.target_name]}")
        else:
            site.attribute = names.fresh(base)
        seen[site.target_name] += 1
    for variable in analysis.variables:
        if variable.wanted and naming is not Naming.FREELY:
            raise Refuse("parameter-names", "fields give a variable its name", variable.call)
        if not variable.attribute:
            variable.attribute = _variable_name(variable, names, listed)


def _have_one_name(one: Site, other: Site) -> bool:
    """Whether two modules have the same explicit name."""
    name = one.kwargs.get("name")
    return isinstance(name, str) and other.kwargs.get("name") == name and not (one.loops or other.loops)


def _are_alternatives(one: Site, other: Site) -> bool:
    """Whether a condition decides which of two modules there is."""
    pairs = zip(one.controls, other.controls, strict=False)
    first, second = next(((a, b) for a, b in pairs if a != b), (None, None))
    if first is None or second is None or first.node is not second.node:
        return False
    if one.loops and not isinstance(first.node, ast.If):
        return False  # an expression becomes two statements, each of which would fill the list
    return {first.branch, second.branch} == {"body", "orelse"}


def automatic_names(analysis: ClassAnalysis) -> dict[Site, str]:
    """The names that Linen makes for the modules of a compact method (`Dense_0`), as far as they are certain.

    Modules that hold no variables themselves have none here.
    """
    unnamed = [
        site
        for site in analysis.named_sites
        if site.method != "setup" and site.name is None and site.kwargs.get("name") is None
    ]
    return {
        site: f"{site.linen_class}_{number}"
        for site, number in certain_numbers(unnamed).items()
        if not (site.is_held or site.carry_only) and site.target_name not in ("Dropout", "Sequential")
    }


def _own_name(site: Site) -> str:
    """The name that the code gives the module: `name=`, else the variable that holds it."""
    if isinstance(site.kwargs.get("name"), str):
        return identifier(site.kwargs["name"])
    named = site.name
    if isinstance(named, ast.IfExp):  # "wi" if len(self.activations) == 1 else f"wi_{i}"
        named = named.body
    pieces = pieces_of(named) if named is not None else []
    texts = [piece if isinstance(piece, str) else default_text(piece, site.owner) for piece in pieces]
    literal = "".join(text for text in texts if text is not None)
    if None in texts[-1:] or (None in texts and site.loops):
        literal = literal.rstrip("_0123456789")
    if pieces:
        return identifier(literal) if literal.strip("_") else ""
    return site.stored


def _list_stem(site: Site) -> str:
    """What Linen's names for the modules that a loop makes begin with: `encoderblock` for `encoderblock_0`."""
    if (
        isinstance(site.kwargs.get("name"), str)
        or name_parts(site.name) is not None
        or isinstance(site.name, ast.IfExp)
    ):
        return _own_name(site) or snake_case(site.target_name)
    return site.linen_class


def _variable_name(variable: VariableSite, names: Names, listed: bool) -> str:
    pieces = name_parts(variable.name_node)
    if pieces is not None and variable.loops:
        literal = "".join(piece for piece in pieces if isinstance(piece, str)).rstrip("_0123456789")
        if listed and literal.strip("_"):
            return names.fresh(identifier(literal))
        return names.fresh(plural(identifier(literal)) if literal.strip("_") else "params")
    if variable.loops:
        raise Refuse("unsupported-syntax", "a variable created in a loop", variable.call)
    return names.fresh(identifier(variable.wanted or variable.name))


def holds_modules(value: object) -> bool:
    """Whether a value is or contains a submodule."""
    from nnx_migrate.linen.mixed_lists import MixedList
    from nnx_migrate.linen.values import BuiltList, Maybe, ModuleList

    if isinstance(value, Maybe):
        return isinstance(value.value, ModuleList)
    if isinstance(value, tuple | list):
        return any(holds_modules(item) for item in value)
    if isinstance(value, dict):
        return any(holds_modules(item) for item in value.values())
    return isinstance(value, Instance | ModuleList | MixedList | BuiltList)
