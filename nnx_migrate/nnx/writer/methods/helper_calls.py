"""What is written of helpers that get their modules from their callers: their parameters, and their calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Control, Site, VariableSite
from nnx_migrate.names.nodes import all_below
from nnx_migrate.nnx.writer.methods.access import Listed
from nnx_migrate.nnx.writer.methods.parentheses import parentheses
from nnx_migrate.nnx.writer.methods.shared_helpers import SharedHelper
from nnx_migrate.nnx.writer.text import call_text, one_line, rest_of_line, rewritten
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


class HelperCalls:
    """The helpers that one method calls, or is."""

    def __init__(self, editor: BodyEditor, helpers: Sequence[SharedHelper]) -> None:
        self.editor, self.helpers = editor, helpers
        self.names = {site: h.names[node] for h in helpers for (_, node), site in h.sites.items()}
        self.called: dict[ast.AST, SharedHelper] = {call: h for h in helpers for call in h.calls}
        self.functions: dict[ast.AST, SharedHelper] = {f: h for h in helpers for f in h.functions}
        self.lambdas: dict[ast.AST, SharedHelper] = {
            f.args.args[0]: h for f, h in self.functions.items() if isinstance(f, ast.Lambda)
        }

    def settle(self) -> None:
        """Find the parameters that the helpers in this method no longer need."""
        inside = set(all_below(self.editor.method.node))
        for helper in self.helpers:
            if helper.definition is not None and helper.definition in inside:
                helper.drop_unread(self.editor.unused.remaining_reads(helper.definition.body))

    def name(self, site: Site | VariableSite) -> str | None:
        """The helper's parameter that stands for a module."""
        return self.names.get(site) if isinstance(site, Site) else None

    def replacement(self, node: ast.AST) -> str | None:
        """The call of a helper with its modules, or the first parameter of a lambda with theirs; None for others."""
        if node in self.lambdas:
            return ", ".join([*self.lambdas[node].names.values(), self.editor.source.segment(node)])
        helper = self.called.get(node)
        if helper is None or not isinstance(node, ast.Call):
            return None
        made = [helper.sites.get((node, construction)) for construction in helper.names]
        texts = [self._module(helper, site) if site is not None else "None" for site in made]
        for argument in helper.kept(node):
            value = argument.value if isinstance(argument, ast.keyword) else argument
            prefix = f"{argument.arg}=" if isinstance(argument, ast.keyword) else ""
            texts.append(one_line(f"{prefix}{self.editor.text(value)}"))
        return self.editor.calls.call_text(node, texts)

    def _module(self, helper: SharedHelper, site: Site) -> str:
        """How the caller reads what it hands over: a module, or the list that the helper's loops go through."""
        outer, _ = helper.split_loops(site)
        if self.editor.loops is None or not outer:
            return f"self.{site.attribute}"
        return self.editor.loops.element(Listed(outer, site.attribute, ""))

    def access(self, site: Site | VariableSite) -> str | None:
        """How a helper reads a module that it gets; None for all other modules."""
        name = self.name(site)
        if name is None or not isinstance(site, Site):
            return None
        own = self._own_loops(site)
        return self.editor.loops.element(Listed(own, name, name)) if own and self.editor.loops else name

    def _own_loops(self, site: Site) -> tuple[Control, ...]:
        return next(h.split_loops(site)[1] for h in self.helpers if site in h.sites.values())

    def lists(self) -> Iterator[Listed]:
        """The lists of modules that loops of the method hand over, and those that helpers in it get."""
        inside = set(all_below(self.editor.method.node))
        for helper in self.helpers:
            for (call, _), site in helper.sites.items():
                outer, own = helper.split_loops(site)
                if outer and call in inside:
                    yield Listed(outer, site.attribute, f"self.{site.attribute}")
                if own and not inside.isdisjoint(helper.functions):
                    yield Listed(own, self.names[site], self.names[site])

    def signature(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
        """The edit of a helper's parameters; none for any other function."""
        helper = self.functions.get(function)
        if helper is None or not (helper.names or helper.dropped):
            return []
        source, args = self.editor.source, function.args
        start, last, plain = parentheses(source, function)
        end = last + 1
        if not plain:
            raise Refuse("unsupported-syntax", "comments between the parameters of a helper", function)
        without = [None] * (len(args.args) - len(args.defaults))
        texts = [self._parameter(a, d) for a, d in zip(args.args, [*without, *args.defaults], strict=True)]
        first = texts[:1] if helper.is_method else []
        parameters = [*first, *helper.names.values(), *filter(None, texts[len(first) :])]
        keywords = [self._parameter(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        if any(keywords):
            parameters += ["*", *filter(None, keywords)]
        line = source.text[source.line_start(function.lineno) : start]
        indent = line[: len(line) - len(line.lstrip())]
        rest = rest_of_line(source, end)
        limit = line_limit(source)
        text = call_text(line.strip(), [str(p) for p in parameters], indent, "", limit, rest)
        return [Edit(start, end, text.removeprefix(line.strip()))]

    def _parameter(self, argument: ast.arg, default: ast.expr | None) -> str | None:
        """A parameter as it was, None where it goes."""
        names, source = self.editor.names, self.editor.source
        if any(argument.arg in helper.dropped and self._has(helper, argument) for helper in self.helpers):
            return None
        text = one_line(rewritten(source, argument, names.replacement))
        if default is None:
            return text
        given = one_line(rewritten(source, default, names.replacement))
        return f"{text} = {given}" if argument.annotation is not None else f"{text}={given}"

    def _has(self, helper: SharedHelper, argument: ast.arg) -> bool:
        return any(argument in [*f.args.args, *f.args.kwonlyargs] for f in helper.functions)
