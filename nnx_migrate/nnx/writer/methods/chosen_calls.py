"""One call of several modules that NNX calls differently: the module's type tells which way it is.

x = self.norm(x, use_running_average=not train) if isinstance(self.norm, nnx.BatchNorm) else self.norm(x)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, DerivedLayer, Layer
from nnx_migrate.nnx.writer.construction.derived import nnx_layer
from nnx_migrate.nnx.writer.text import folded, indentation, one_line, rest_of_line
from nnx_migrate.sources.lines import line_limit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.module_calls import ModuleCalls

_PLACE = re.compile(r"[\w.]+(\[\w+\])?")
_WHOLE = (ast.Assign, ast.AnnAssign, ast.Return, ast.keyword)


def chosen_call(
    calls: ModuleCalls,
    call: ast.Call,
    texts: Mapping[Site, str | None],
    may_be_function: bool,
    short: str | None = None,
) -> str:
    """The call of one of several modules, or of a function instead of them; `short` if given. Raises Refuse."""
    refusal = Refuse("unsupported-syntax", "one call of several submodules that NNX calls differently", call)
    place = calls.text(call.func)
    if not _PLACE.fullmatch(place) or "#" in calls.source.segment(call):
        raise refusal
    groups: dict[str, list[Site]] = {}
    for site, text in texts.items():
        groups.setdefault(one_line(text if text is not None else calls.plain_call(call)), []).append(site)
    plain = one_line(calls.plain_call(call))
    rest = plain if may_be_function or plain in groups else list(groups)[-1]
    names = {text: _classes(calls, sites, refusal) for text, sites in groups.items()}
    found = [name for classes in names.values() for name in classes]
    bases = {base for sites in groups.values() for base in _bases(calls, sites)}
    if len(found) != len(set(found)) or bases & set(found):
        raise refusal
    if short is not None:
        return short
    parts: list[str] = []
    for text in (text for text in groups if text != rest):
        kinds = names[text][0] if len(names[text]) == 1 else f"({', '.join(names[text])})"
        parts += [text, f"if isinstance({place}, {kinds})", "else "]
    parts[-1] += rest
    return _in_place(calls, call, parts)


def _classes(calls: ModuleCalls, sites: Sequence[Site], refusal: Refuse) -> list[str]:
    """The classes of modules, none of which may derive from another one's. Raises Refuse."""
    found: dict[str, None] = {}
    for site in sites:
        if isinstance(site.target, DerivedLayer):
            found[site.target.cls.name] = None
            continue
        stock = isinstance(site.target, Layer) and not site.classes
        own = isinstance(site.target, ClassRef) and not calls.writer.is_bridged(site)
        if site.lifts or not (stock or own) or calls.writer.analysis.cls in site.classes:
            raise refusal
        made = isinstance(site.target, Layer) and any(p.call in calls.writer.factories for p in site.partials)
        callee = _stock(calls, site.layer_name) if made else calls.writer.parts(site)[0]
        if not callee.startswith(f"{calls.names.nnx()}.") if stock else len(site.classes[0].mro) > 1:
            raise refusal
        found[callee] = None
    return list(found)


def _bases(calls: ModuleCalls, sites: Sequence[Site]) -> set[str]:
    """The layers from which classes of the project derive that are among modules."""
    targets = [site.target for site in sites if isinstance(site.target, DerivedLayer)]
    return {_stock(calls, target.name) for target in targets}


def _stock(calls: ModuleCalls, layer: str) -> str:
    return f"{calls.names.nnx()}.{nnx_layer(layer)}"


def _in_place(calls: ModuleCalls, call: ast.Call, parts: Sequence[str]) -> str:
    """The choice where the call stands: in parentheses if it is a part of an expression, or too long for the line."""
    source, choice = calls.source, " ".join(_lines(parts))
    outer = calls.names.module.parents.get(call)
    inside = isinstance(outer, ast.Call) and [*outer.args, *outer.keywords] == [call]
    whole = inside or isinstance(outer, _WHOLE)
    start, end = source.span(call)
    line = source.text[source.line_start(call.lineno) : start]
    rest = rest_of_line(source, end)
    limit = line_limit(source)
    if len(line) + len(choice) + len(rest) + (0 if whole else 2) <= limit:
        return choice if whole else f"({choice})"
    indent = indentation(source, call.lineno)
    inner = indent + "    "
    lines = [inner + folded(part, inner, limit) for part in _lines(parts)]
    return "\n".join(["" if inside else "(", *lines, indent if inside else f"{indent})"])


def _lines(parts: Sequence[str]) -> list[str]:
    """Each part on a line of its own; an `else` with what follows it."""
    found: list[str] = []
    for part in parts:
        if found and found[-1] == "else ":
            found[-1] += part
        else:
            found.append(part)
    return found
