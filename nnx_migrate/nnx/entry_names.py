"""The names that entries of parameter maps give modules and variables: texts, counters of loops, values of fields."""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.field_texts import pieces_of, texts_of_field
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.module_names import counter, name_parts, padding

INDICES = "ijklmn"
_UNKNOWN = "{*unknown"
_MAX_NAMES = 16
_AUTOMATIC = re.compile(r"[A-Z]\w*_\d+")


@dataclass(frozen=True)
class ModuleName:
    """A name that Linen may have for a module, where fields hold these texts, or these conditions over them do.

    One that is `once` in a loop is that of the only round.
    """

    text: str
    fields: frozenset[tuple[str, str]] = frozenset()
    once: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether a part of it shows in models only."""
        return _UNKNOWN in self.text

    def holds_with(self, other: ModuleName) -> bool:
        """Whether a module that has the name `other` decides that this is the name of the other one."""
        return self.fields <= other.fields


def module_names(analysis: ClassAnalysis, site: Site) -> tuple[ModuleName, ...]:
    """The explicit names that a module may have in Linen: one, unless fields hold one of several texts.

    Counters of loops become indices, what else fields say becomes a text that only models show: `dense_{*unknown}` for
    `f"dense_{self.num_layers}"` behind a loop that makes the others.
    """
    if isinstance(site.kwargs.get("name"), str):
        return (ModuleName(str(site.kwargs["name"])),)
    if isinstance(site.name, ast.IfExp) and not site.foreign and _asks_fields(site.name.test, analysis.cls):
        return _of_either(analysis, site, site.name)
    return _names_of(analysis, site, site.name)


def _of_either(analysis: ClassAnalysis, site: Site, node: ast.IfExp) -> tuple[ModuleName, ...]:
    """The names on both sides of a condition over fields: `"wi" if len(self.activations) == 1 else f"wi_{i}"`.

    It decides for all rounds of a loop, and two modules never have one name: where that has no counter there is one
    round.
    """
    found: list[ModuleName] = []
    for side, holds in ((node.body, "True"), (node.orelse, "False")):
        for name in _names_of(analysis, site, side):
            several = name.fields | {(ast.unparse(node.test), holds)}
            once = bool(site.loops) and "{" not in name.text
            found.append(ModuleName(name.text, several, once))
    return tuple(found)


def _asks_fields(test: ast.expr, cls: LinenClass) -> bool:
    """Whether a condition compares fields, or how many items they hold, with constants."""
    if not isinstance(test, ast.Compare):
        return isinstance(test, ast.Attribute) and _is_of_fields(test, cls)
    sides = [test.left, *test.comparators]
    return all(isinstance(side, ast.Constant) or _is_of_fields(side, cls) for side in sides)


def _names_of(analysis: ClassAnalysis, site: Site, node: ast.expr | None) -> tuple[ModuleName, ...]:
    pieces = pieces_of(node) if node is not None else []
    if not pieces:
        raise Refuse("unsupported-syntax", "a module name that isn't a literal", site.call)
    chosen: dict[str, tuple[str, ...]] = {}  # the texts that fields may hold
    parts: list[str | ast.Attribute] = []
    for piece in pieces:
        if isinstance(piece, str):
            parts.append(piece)
        elif site.foreign or not _is_of_fields(piece, analysis.cls):
            parts.append(_pattern(piece, site))
        elif is_of_self(piece) and (
            texts := texts_of_field(analysis.cls, piece.attr, analysis.session.program)
        ):
            chosen[piece.attr] = texts
            parts.append(piece)
        else:
            count = sum(isinstance(part, str) and part.startswith(_UNKNOWN) for part in parts)
            parts.append(f"{_UNKNOWN}{count or ''}}}")
    found: list[ModuleName] = []
    for values in itertools.product(*chosen.values()):
        held = dict(zip(chosen, values, strict=True))
        text = "".join(part if isinstance(part, str) else held[part.attr] for part in parts)
        several = {(name, value) for name, value in held.items() if len(chosen[name]) > 1}
        found.append(ModuleName(text, frozenset(several)))
    told = all(name.text.partition("{")[0].strip("_.") for name in found if name.is_unknown)
    if not told or len(found) > _MAX_NAMES or not all(name.text for name in found):
        raise Refuse("unsupported-syntax", "a module name that isn't a literal", site.call)
    return tuple(found)


def _is_of_fields(node: ast.expr, cls: LinenClass) -> bool:
    """Whether nothing but fields decides a value: it is the same in all rounds of loops."""
    if is_of_self(node):
        return cls.field(node.attr) is not None
    if isinstance(node, ast.FormattedValue):
        return False
    if isinstance(node, ast.Call):
        is_length = isinstance(node.func, ast.Name) and node.func.id == "len" and not node.keywords
        return is_length and len(node.args) == 1 and _is_of_fields(node.args[0], cls)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv):
        sides = (node.left, node.right)
        return any(_is_of_fields(side, cls) for side in sides) and all(
            isinstance(side, ast.Constant) or _is_of_fields(side, cls) for side in sides
        )
    return False


def tell_modules_apart(named: Mapping[Site, Sequence[ModuleName]], others: Iterable[str]) -> None:
    """Raise Refuse where one of the names that fields may give a module may be that of another one.

    `others` are names that modules of `setup` have. A name that is unknown in part is the one that other names leave.
    """
    sure = [_fitting(name) for name in others]
    for site, names in named.items():
        for name in names if len(names) > 1 else ():
            if not name.is_unknown and any(pattern.fullmatch(name.text) for pattern in (*sure, _AUTOMATIC)):
                raise _unclear(site)
    for (site, names), (other, more) in itertools.permutations(named.items(), 2):
        for name, possible in itertools.product(names, more):
            if (len(more) > 1 or name.is_unknown or possible.is_unknown or len(names) > 1) and not _is_clear(
                site, name, other, possible
            ):
                raise _unclear(site)


def _is_clear(site: Site, name: ModuleName, other: Site, possible: ModuleName) -> bool:
    """Whether a module is not the `other` one, for which the map has a `possible` name, where it has this one."""
    if site.attribute == other.attribute or not _may_be_one(name.text, possible.text):
        return True
    if possible.is_unknown:
        return not name.is_unknown
    conditions = [control for control in other.controls if not control.is_loop]
    is_there = all(control in site.controls for control in conditions)
    return is_there and possible.holds_with(name)  # two modules never have one name


def _unclear(site: Site) -> Refuse:
    return Refuse("parameter-names", "fields may give two modules one name", site.call)


def is_named_by_fields(site: Site) -> bool:
    """Whether fields say what Linen calls a module."""
    if isinstance(site.kwargs.get("name"), str) or site.name is None:
        return False
    return any(not isinstance(p, str) and _is_of_fields(p, site.owner) for p in pieces_of(site.name))


def _fitting(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\{.*?\}", name)))


def _may_be_one(one: str, other: str) -> bool:
    """Whether two names may be the same text, by what they begin and end with."""
    if "{" not in one and "{" not in other:
        return one == other
    starts = [name.partition("{")[0] for name in (one, other)]
    ends = [name.rpartition("}")[2] for name in (one, other)]
    same_start = starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])
    same_end = ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    return same_start and same_end


def tell_variables_apart(variables: Sequence[VariableSite]) -> None:
    """Raise Refuse where a name that fields give may be that of another variable, too."""
    counts = Counter((v.collection, name) for v in variables for name in (v.name, *v.other_names))
    for variable in variables:
        if variable.other_names and any(
            counts[variable.collection, name] > 1 for name in (variable.name, *variable.other_names)
        ):
            raise Refuse("parameter-names", "fields may give two variables one name", variable.call)


def variable_name(variable: VariableSite) -> str:
    """A variable's name; one that is made in loops has their counters in it."""
    if variable.name_node is None:
        return variable.name
    pieces = name_parts(variable.name_node) or []
    name = "".join(_pattern(piece, variable) for piece in pieces)
    counters = re.findall(r"\b[a-z]\b", " ".join(re.findall(r"\{(.*?)\}", name)))
    if set(counters) != set(INDICES[: len(variable.loops)]):
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
            index = INDICES[level] if step == 1 else f"{step} * {INDICES[level]}"
            mapping[name] = index if first == 0 else f"{index} + {first}"
    if not names or not names <= set(mapping):
        raise Refuse("unsupported-syntax", "a module name that depends on more than loop counters", site.call)

    class Rename(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> ast.AST:
            return ast.parse(mapping[name.id], mode="eval").body

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
