"""How functions that created layers are written, and called: with the layers as arguments by keyword."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, Site, VariableSite
from nnx_migrate.names.parameters import defaults
from nnx_migrate.nnx.writer.methods.creating_functions import CreatingFunction
from nnx_migrate.nnx.writer.methods.parentheses import parentheses
from nnx_migrate.nnx.writer.text import call_text, indentation, replacements, rest_of_line
from nnx_migrate.nnx.writer.written import WrittenFunction
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit, SourceText

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor


class FunctionEditor:
    """One such function. `edits` are those of its definition, `kept` the parameters that it still needs, and `reads`
    the names that its code still reads.
    """

    def __init__(self, function: CreatingFunction, around: BodyEditor) -> None:
        """`around` edits the code of the class."""
        self.function, self.around, node = function, around, function.node
        old = around.method
        method = Method(old.name, node, old.owner, False, False, "static")
        self.body = around.within(function, method)
        edits = self.body.edits()
        self.reads = self.body.unused.remaining_reads(node.body)
        every = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
        read = {n.id for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
        unneeded = {name for name in read - self.reads if self._can_go(name)}
        self.kept = [name for name in every if name not in unneeded]
        handed_on = {name for c in function.calls for name, *_ in self._arguments(c[-1]) if name not in every}
        if not all(map(self._can_go, handed_on)):
            detail = f"`{node.name}` hands on what only an evaluation gives"
            raise Refuse("unsupported-syntax", detail, node)
        own = [default for argument, default in defaults(node.args) if argument.arg in self.kept]
        self.reads |= {n.id for d in own for n in ast.walk(d) if isinstance(n, ast.Name)}
        self.edits = [*self._signature(), *edits]

    def written(self) -> WrittenFunction:
        """What becomes of the definition. Raises Refuse where the file would need more than imports of libraries."""
        function, names = self.function, self.body.names
        calls, module = frozenset(context[-1] for context in function.calls), function.module
        if module is self.around.names.module:
            return WrittenFunction(module, tuple(self.edits), calls)
        if names.helpers:
            detail = (
                f"`{function.node.name}`, which stands in another file, would need `{min(names.helpers)}`"
            )
            raise Refuse("unsupported-syntax", detail, function.node)
        return WrittenFunction(module, tuple(self.edits), calls, frozenset(names.requests))

    def call(self, editor: BodyEditor, call: ast.Call, contexts: list[Context]) -> str:
        """A call of the function in code that `editor` edits."""
        arguments = [
            (f"{name}=" if by_name else "") + editor.text(node)
            for name, node, by_name in self._arguments(call)
            if name in self.kept
        ]
        layers: dict[str, Site | VariableSite] = {}
        for context in contexts:
            for way, site in editor.creating.layers(context).items():
                layers.setdefault(self.function.parameters[way], site)
        arguments += [f"{name}={editor.access(layers[name])}" for name in self._names() if name in layers]
        return editor.calls.call_text(call, arguments)

    def needed(self, call: ast.Call) -> Iterator[ast.expr]:
        """What a call of the function still reads."""
        yield call.func
        yield from (node for name, node, _ in self._arguments(call) if name in self.kept)

    def _names(self) -> list[str]:
        return list(self.function.parameters.values())

    def _arguments(self, call: ast.AST) -> Iterator[tuple[str, ast.expr, bool]]:
        assert isinstance(call, ast.Call)
        spec = self.function.node.args
        names = [parameter.arg for parameter in spec.args]
        for index, node in enumerate(call.args):
            yield names[index] if index < len(names) else spec.vararg.arg if spec.vararg else "", node, False
        yield from ((str(keyword.arg), keyword.value, True) for keyword in call.keywords)

    def _can_go(self, name: str) -> bool:
        """Whether no call gives a parameter something that only an evaluation does."""
        facts = self.body.analysis.facts
        done = {node for _, node in (*facts.sites, *facts.calls, *facts.rng_calls)}
        for context in self.function.calls:
            for given, node, _ in self._arguments(context[-1]):
                if given == name and any(n in done or isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
                    return False
        return True

    def _signature(self) -> list[Edit]:
        """The parameters that stay, and those for the layers."""
        source, node = self.body.source, self.function.node
        start, end, plain = parentheses(source, node)
        by_position = {a.arg for a in node.args.args}
        old: list[tuple[str, str]] = []
        for argument, default in _with_defaults(node.args):
            first, last = source.span(argument)[0], source.span(default or argument)[1]
            found = replacements(source, argument, self.body.names.replacement)
            if default is not None:
                found += replacements(source, default, self.body.names.replacement)
            edits = [Edit(a - first, b - first, new) for a, b, new in sorted(found)]
            old.append((argument.arg, SourceText(source.text[first:last]).with_edits(edits).text))
        names = [name for name, _ in old]
        texts = [text for name, text in old if name in by_position and name in self.kept]
        texts += ["*", *(text for name, text in old if name not in by_position and name in self.kept)]
        optional = self.function.optional
        texts += [f"{name}=None" if name in optional else name for name in self._names()]
        if not plain or len(names) != len(set(names)):
            raise Refuse("unsupported-syntax", f"comments between the parameters of `{node.name}`", node)
        indent = indentation(source, node.lineno)
        head = source.text[source.line_start(node.lineno) + len(indent) : start]
        suffix = rest_of_line(source, end + 1)
        text = call_text("", texts, indent, head, line_limit(source), suffix)
        return [Edit(start, end + 1, text)]


def _with_defaults(args: ast.arguments) -> list[tuple[ast.arg, ast.expr | None]]:
    known = dict(defaults(args))
    return [(argument, known.get(argument)) for argument in (*args.args, *args.kwonlyargs)]
