"""The mode that several calls give layers of one choice, only some of which take one.

mode = {"use_running_average": not train} if isinstance(self.norm_0, nnx.BatchNorm) else {}
x = nnx.relu(self.norm_0(x, **mode))
x = self.norm_1(self.dense(x), **mode)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnx_migrate.linen.chosen.classes import alternatives
from nnx_migrate.linen.chosen.layers import LayerChoice, Maker, is_late, spec_of
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Partial
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.construction.derived import nnx_layer
from nnx_migrate.nnx.writer.text import HANGING, folded, indentation
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.module_calls import ModuleCalls

_LOOPS = (ast.For, ast.While, ast.comprehension)


@dataclass(frozen=True, eq=False)
class ChosenMode:
    """A variable for the mode of some calls: it is assigned in front of the first of them."""

    name: str
    site: Site  # the module that tells which layer it is
    layer: str
    argument: ast.keyword
    first: ast.stmt


class ChosenModes:
    """The variables of one method."""

    def __init__(self, calls: ModuleCalls) -> None:
        self.calls = calls
        self.of: dict[ast.Call, ChosenMode] = {}
        self.used: set[ChosenMode] = set()
        groups: dict[tuple[LayerChoice, str], list[tuple[ast.Call, Site]]] = {}
        for call, sites in calls.calls.items() if calls.editor.function is None else ():
            if call in calls.plain:
                continue
            for site in list(sites)[:1]:
                if len(sites) == 1 and isinstance(site.target, LayerChoice) and isinstance(call, ast.Call):
                    key = site.target, ast.unparse(site.call.func)
                    groups.setdefault(key, []).append((call, site))
        for (choice, _), members in groups.items():
            mode = self._mode(choice, members)
            self.of |= dict.fromkeys((call for call, _ in members), mode) if mode is not None else {}

    def text(self, call: ast.Call, texts: Sequence[str | None]) -> str | None:
        """The call with the variable, if what it does for each layer is to give the mode, or not; else None."""
        mode = self.of.get(call)
        if mode is None:
            return None
        argument = f"{mode.argument.arg}={self.calls.text(mode.argument.value)}"
        with_mode = self.calls.plain_call(call, argument)
        if not {text for text in texts if text is not None} <= {with_mode}:
            return None
        self.used.add(mode)
        return self.calls.plain_call(call, f"**{mode.name}")

    def edits(self) -> Iterator[Edit]:
        """The statements that assign the variables."""
        source = self.calls.source
        for mode in sorted(self.used, key=lambda mode: mode.first.lineno):
            line = mode.first.lineno
            while source.line_text(line - 1).lstrip().startswith("#"):
                line -= 1
            indent = indentation(source, mode.first.lineno)
            value = f'{{"{mode.argument.arg}": {self.calls.text(mode.argument.value)}}}'
            test = f"if isinstance({self.calls.editor.access(mode.site)}, {mode.layer})"
            text = f"{mode.name} = {value} {test} else {{}}"
            if len(indent) + len(text) > line_limit(source):
                parts = (value, test, "else {}")
                inner = indent + HANGING
                lines = [inner + folded(part, inner, line_limit(source)) for part in parts]
                text = "\n".join([f"{mode.name} = (", *lines, f"{indent})"])
            start = source.line_start(line)
            yield Edit(start, start, f"{indent}{text}\n")

    def _mode(self, choice: LayerChoice, members: Sequence[tuple[ast.Call, Site]]) -> ChosenMode | None:
        late = [m for m in choice.makers if is_late(m, self.calls.editor.analysis.facts.late_modes)]
        modes = [mode for maker in late if (mode := _mode_of(maker)) is not None]
        if len(members) < 2 or len(late) != 1 or len(modes) != 1 or not self._is_settled(members):
            return None
        body = self.calls.method.node.body
        calls = {call for call, _ in members}
        first = next((s for s in body if calls & set(ast.walk(s))), None)
        site = next((site for _, site in members if not site.controls and not site.is_held), None)
        spec = spec_of(late[0])
        names = {n.id for n in ast.walk(self.calls.method.node) if isinstance(n, ast.Name)}
        names |= {n.arg for n in ast.walk(self.calls.method.node) if isinstance(n, ast.arg)}
        name = next(
            (n for n in ("mode", "norm_mode") if n not in names | {m.name for m in self.of.values()}), ""
        )
        if first is None or site is None or spec is None or not name:
            return None
        read = self.calls.outside.read(modes[0].value)
        if any(getattr(node, "lineno", 0) >= first.lineno for node in read):
            return None  # what it reads may change until then
        layer = f"{self.calls.names.nnx()}.{nnx_layer(spec.name)}"
        return ChosenMode(name, site, layer, modes[0], first)

    def _is_settled(self, members: Sequence[tuple[ast.Call, Site]]) -> bool:
        """Whether all of some constructions take the same of several layers."""
        module = self.calls.names.module
        for _, site in members:
            function = site.call.func
            if is_of_self(function):
                continue
            if site.context or not isinstance(function, ast.Name):
                return False
            if not alternatives(module, site.call, function.id):
                return False
        name = members[0][1].call.func
        method = self.calls.method.node
        bound = [n for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        return not any(
            isinstance(name, ast.Name) and n.id == name.id and module.enclosing(n, *_LOOPS) is not None
            for n in bound
        )


def _mode_of(maker: Maker) -> ast.keyword | None:
    """What a partial, or what stands for the partials that a field gets, binds as the mode of a layer."""
    spec = spec_of(maker)
    if not isinstance(maker, Partial) or spec is None:
        return None
    return next((k for k in maker.call.keywords if k.arg == spec.call.flag), None)
