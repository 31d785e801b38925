"""Functions outside of classes that choose a layer for them: they return NNX's layers, and partials of these.

    def norm_layer(kind, dtype):
        if kind == "layer":
            return partial(nnx.LayerNorm, dtype=dtype)
        return nnx.GroupNorm

The constructor calls such a function as the method did: what it gets has to be known there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from nnx_migrate.engine.arguments import drop_argument
from nnx_migrate.linen.chosen.classes import Table, named_table
from nnx_migrate.linen.chosen.layers import LayerChoice, Maker, alternatives, is_late, mode_of
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import Closure, Layer, Partial
from nnx_migrate.names.modules import Module
from nnx_migrate.names.parameters import defaults
from nnx_migrate.nnx.writer.construction.chosen_layers import construction
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.text import indentation
from nnx_migrate.nnx.writer.written import Outside, WrittenFunction, name_of
from nnx_migrate.sources.text import Edit, SourceText

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter


def choosing_functions(writer: ConstructionWriter) -> dict[Outside, WrittenFunction]:
    """Those that a class calls, as they are with NNX's layers, and such tables. Raises Refuse."""
    made: dict[Maker, Site] = {}
    for site in (s for s in writer.analysis.sites if isinstance(s.target, LayerChoice)):
        for maker, one in alternatives(site).items():
            made.setdefault(maker, one)
    found = _tables(writer, made)
    calls: dict[ast.FunctionDef, set[ast.AST]] = {}
    facts = writer.analysis.facts
    for (context, call), closure in facts.functions.items():
        choice, node = facts.values.get((context, call)), closure.node
        outside = isinstance(closure, Closure) and closure.env is None and closure.self_value is None
        if not (made and outside and isinstance(choice, LayerChoice) and isinstance(node, ast.FunctionDef)):
            continue
        calls.setdefault(node, set()).add(call)
        late = {facts.late_calls.get(one, frozenset()) for one in calls[node]}
        if len(late) > 1:
            detail = (
                f"`{node.name}` gets the mode of a layer from calls in some places, and from fields in others"
            )
            raise Refuse("mode-flag", detail, call)
        names = writer.names.of(closure.module)
        edits = (*_edits(writer, names, node, made), *_without(names.module.source, node, late.pop()))
        found[node] = _written(writer, names, edits, calls[node])
    return found


def _tables(writer: ConstructionWriter, made: Mapping[Maker, Site]) -> dict[Outside, WrittenFunction]:
    """The tables that stand outside of functions, and in which the class looks for a layer: `NORMS[self.norm]`."""
    reads: dict[Table, set[ast.AST]] = {}
    homes: dict[Table, Module] = {}
    for (_, node), value in writer.analysis.facts.values.items():
        if isinstance(node, ast.Subscript) and isinstance(value, LayerChoice):
            where = writer.names.home_of(node)
            home, display = named_table(writer.names.project, where, node.value)
            if display is not None and where.parents.get(node) is not None:  # else another file reads it
                reads.setdefault(display, set()).add(node)
                homes[display] = home
    found: dict[Outside, WrittenFunction] = {}
    for display, nodes in reads.items():
        statement, names = homes[display].parents[display], writer.names.of(homes[display])
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        found[statement] = _written(writer, names, tuple(_edits(writer, names, statement, made)), nodes)
    return found


def _written(
    writer: ConstructionWriter, names: FileNames, edits: tuple[Edit, ...], uses: Collection[ast.AST]
) -> WrittenFunction:
    own = names is writer.names
    requests, helpers = (frozenset(), frozenset()) if own else (names.requests, names.helpers)
    return WrittenFunction(names.module, edits, frozenset(uses), frozenset(requests), frozenset(helpers))


def _edits(
    writer: ConstructionWriter, names: FileNames, function: Outside, made: Mapping[Maker, Site]
) -> Iterator[Edit]:
    """The layers that a function, or a table, names, and what NNX's need besides."""
    source, parents = names.module.source, names.module.parents
    partials = {maker.call: maker for maker in made if isinstance(maker, Partial)}
    for node in _layers(names, function):
        outer = parents.get(node)
        maker = partials.get(outer) if isinstance(outer, ast.Call) else None
        if maker is not None and maker.call.args[0] is node:
            yield Edit(*source.span(node), f"{names.nnx()}.{_stock(writer, maker, made[maker])}")
            yield from _extras(writer, names, maker, made[maker])
            continue
        layer = Layer(linen_name(names.qualified(node)) or "")
        if layer not in made or (isinstance(outer, ast.Call) and outer.func is node):
            detail = f"`{name_of(function)}` names a layer otherwise than to give it, or a partial of it"
            raise Refuse("unsupported-layer", detail, node)
        yield Edit(*source.span(node), f"{names.nnx()}.{_stock(writer, layer, made[layer])}")


def _without(source: SourceText, function: ast.FunctionDef, gone: Collection[str]) -> Iterator[Edit]:
    """A function's head without parameters that nothing reads any more. Raises Refuse."""
    spec = function.args
    own = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    values = dict(defaults(spec))
    if not gone:
        return
    if spec.posonlyargs or spec.kwonlyargs:
        raise Refuse("mode-flag", f"`{function.name}` would lose one of its special parameters", function)
    ends = {a: source.span(values.get(a, a))[1] for a in own}
    for index, argument in enumerate(own):
        if argument.arg not in gone:
            continue
        start, end = source.span(argument)[0], ends[argument]
        if index > 0 and any(a.arg not in gone for a in own[:index]):
            start = ends[own[index - 1]]
        elif index + 1 < len(own):
            end = source.span(own[index + 1])[0]
        if "#" in source.text[start:end]:
            raise Refuse(
                "unsupported-syntax", f"a comment tells about a parameter of `{function.name}`", function
            )
        yield Edit(start, end, "")
        yield from _told(source, function, argument.arg)


def _told(source: SourceText, function: ast.FunctionDef, name: str) -> Iterator[Edit]:
    """What the docstring tells about a parameter, in lines of its own."""
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return
    numbers = range(first.lineno + 1, first.end_lineno)
    lines = {number: source.line_text(number).rstrip() for number in numbers}
    about = [n for n, line in lines.items() if re.match(rf"\s+{name}( ?\([^()]*\))?:", line)]
    if len(about) != 1:
        return
    indent, end = indentation(source, about[0]), about[0] + 1
    while end in lines and lines[end].startswith(indent + " "):
        end += 1
    yield Edit(source.line_start(about[0]), source.line_start(end), "")


def _stock(writer: ConstructionWriter, maker: Maker, site: Site) -> str:
    prefix, _, name = construction(writer, maker, site).callee.rpartition(".")
    if prefix != writer.names.nnx():
        raise Refuse("unsupported-layer", f"a function that returns `{name}`, a helper", site.call)
    return name


def _extras(writer: ConstructionWriter, names: FileNames, maker: Partial, site: Site) -> Iterator[Edit]:
    """Arguments that keep what Linen computes; the others have to stay as they are. Raises Refuse."""
    call, source = maker.call, names.module.source
    late = is_late(maker, writer.analysis.facts.late_modes)
    mode = mode_of(maker) if late else None
    if mode is not None:
        yield drop_argument(call, mode, source)
    written = {str(k.arg): source.segment(k.value) for k in call.keywords if k is not mode}
    early, _ = construction(writer, maker, site).split(frozenset(written))
    more = [argument for argument in early if argument.origin == "extra"]
    same = {a.name: a.text for a in early if a.origin == "field"}
    if same != written or any(not argument.text.isidentifier() for argument in more):
        raise Refuse("unsupported-layer", "a function binds what NNX takes in another way", call)
    text = "".join(f", {argument.name}={names.helper(argument.text)}" for argument in more)
    if text:
        kept = [*call.args, *(k for k in call.keywords if k is not mode)]
        _, end = source.span(kept[-1])
        yield Edit(end, end, text)


def _layers(names: FileNames, function: Outside) -> Iterator[ast.Name | ast.Attribute]:
    """The dotted names of Linen's classes in a function, or in a table."""
    for node in ast.walk(function if isinstance(function, ast.FunctionDef) else function.value or function):
        if isinstance(node, ast.Name | ast.Attribute):
            short = linen_name(names.qualified(node))
            if short is not None and short[:1].isupper() and "." not in short:
                yield node
