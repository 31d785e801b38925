"""Methods that do a part of setup's work, as the constructor calls them: `self._make_layers(width, rngs=rngs)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.making_functions import names_module
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Instance
from nnx_migrate.names.nodes import contains, is_of_self
from nnx_migrate.names.parameters import defaults
from nnx_migrate.nnx.writer.construction.writer import RNGS
from nnx_migrate.nnx.writer.constructor.size_variables import named
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import holds_modules
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.text import indentation, one_line, rewritten
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.constructor.setup import SetupWriter

_DISPLAYS = (ast.List, ast.Tuple, ast.Dict)


class SetupHelpers:
    """Those of one class, written with tokens for sizes; `write` gives the writer of one's body."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        renderer: InitRenderer,
        write: Callable[[Method, Context], str],
    ) -> None:
        self.analysis, self.names, self.renderer, self.write = analysis, names, renderer, write
        self.source = names.module.source
        self.texts: dict[Method, str] = {}

    @property
    def own_names(self) -> set[str]:
        """The variables and parameters of those that need sizes, which get other names."""
        methods = [method for method, text in self.texts.items() if _sizes(text)]
        return set[str]().union(*map(_names, methods))

    def call(self, setup: SetupWriter, node: ast.Call) -> str:
        """The call of such a method: what it returns, if it becomes a container of modules, in one of NNX's own."""
        method = self.analysis.setup_helpers[node]
        self._check_unpacked(method, node)
        text = self._text(method, (*setup.context, node))
        values = [*node.args, *(k.value for k in node.keywords)]
        words = [*("" for _ in node.args), *(f"{k.arg}=" for k in node.keywords)]
        given = [word + one_line(setup.element(value)) for word, value in zip(words, values, strict=True)]
        given += [f"{token}={token}" for token in _sizes(text)] + (
            [f"{RNGS}={RNGS}"] if _needs_rngs(text) else []
        )
        callee = self.source.segment(node.func)
        value = self.analysis.facts.values.get((setup.context, node))
        if isinstance(value, Instance) or not holds_modules(value) or not self._becomes_part(node):
            return setup.wrapped(node, callee, given)
        kind = "Dict" if isinstance(value, dict) else "List"
        return f"{self.names.nnx()}.{kind}({callee}({', '.join(given)}))"

    def returned(self, setup: SetupWriter, node: ast.AST) -> str | None:
        """A list or dict of modules that a method returns among others, as one of NNX's own; None elsewhere."""
        parents = self.names.module.parents
        display = parents.get(node)
        if not setup.context or not isinstance(display, _DISPLAYS):
            return None
        value = self.analysis.facts.values.get((setup.context, node))
        if not isinstance(parents.get(display), ast.Return) or not holds_modules(value):
            return None
        call = setup.context[-1]
        assert isinstance(call, ast.Call)
        if isinstance(value, Instance) or isinstance(node, _DISPLAYS) or node in self.analysis.setup_helpers:
            return None  # a display becomes one anyway, as what a method returns does
        if not self._becomes_part(call) and not self._unpacked(call):
            return None
        return f"{self.names.nnx()}.{'Dict' if isinstance(value, dict) else 'List'}({setup.inner(node)})"

    def _unpacked(self, call: ast.Call) -> list[str]:
        """The attributes that get the parts of what a call returns: `self.layers, self.norms = self._make()`."""
        around = self.names.module.parents.get(call)
        targets = around.targets[0] if isinstance(around, ast.Assign) else None
        elements = targets.elts if isinstance(targets, ast.Tuple | ast.List) else []
        return [target.attr for target in elements if is_of_self(target)]

    def _check_unpacked(self, method: Method, call: ast.Call) -> None:
        """Refuse attributes that get a container of modules which isn't written out where the method returns."""
        attributes = self.analysis.session.attributes
        values = [attributes[name].value for name in self._unpacked(call) if name in attributes]
        results = [n.value for n in ast.walk(method.node) if isinstance(n, ast.Return)]
        listed = any(holds_modules(value) and not isinstance(value, Instance) for value in values)
        if listed and not all(isinstance(result, ast.Tuple) for result in results):
            raise Refuse("unsupported-syntax", "a container of modules that isn't written out", call)

    def _becomes_part(self, node: ast.Call) -> bool:
        """Whether an attribute, or a container that may become one, gets what a call returns as it is."""
        around = self.names.module.parents.get(node)
        if isinstance(around, ast.Assign):
            return is_of_self(around.targets[0])
        is_appended = isinstance(around, ast.Call) and isinstance(around.func, ast.Attribute)
        return is_appended or isinstance(around, (*_DISPLAYS, ast.ListComp, ast.DictComp))

    # ---- bodies -----------------------------------------------------------------------------------------

    def _text(self, method: Method, context: Context) -> str:
        if method not in self.texts:
            self._check(method, context)
            given = dict(self._given(method, context))
            saved, self.renderer.parameters = self.renderer.parameters, {t: n for n, t in given.items()}
            try:
                text = self.write(method, context)
            finally:
                self.renderer.parameters = saved
            known = {text: name for name, text in given.items()}
            self.texts[method] = TOKEN.sub(lambda m: known.get(m.group(), m.group()), text)
            self.check_sizes(self.texts[method], context, method)
        return self.texts[method]

    def _given(self, method: Method, context: Context) -> Iterator[tuple[str, str]]:
        """The parameters that stand for sizes, with their texts as symbols, or as numbers that become features."""
        facts = self.analysis.facts
        calls = [call for way, call in facts.sites if way == context and isinstance(call, ast.Call)]
        features = [argument for call in calls for argument in call.args[:1]]
        features += [k.value for call in calls for k in call.keywords if k.arg == "features"]
        named = {n.id for n in features if isinstance(n, ast.Name)}
        found: dict[str, str] = {}
        for name in (n for n in method.parameters if (context, n) in facts.arguments):
            size = facts.values.get(facts.arguments[context, name])
            if type(size) is int or (isinstance(size, Dim) and size.known):
                found[name] = size.text() if isinstance(size, Dim) else str(size)
        texts = list(found.values())
        for name, text in found.items():
            if TOKEN.fullmatch(text) or (name in named and texts.count(text) == 1):
                yield name, text

    def _check(self, method: Method, context: Context) -> None:
        """Refuse what isn't reached with the arguments at hand: it would stay as it is."""
        facts, node = self.analysis.facts, method.node
        body = node.body[0]
        if any(a.arg == RNGS for a in (*node.args.args, *node.args.kwonlyargs)):
            raise Refuse("name-clash", f"`{method.name}` has a parameter `{RNGS}`", node)
        if body.lineno == node.lineno or indentation(self.source, body.lineno) == "":
            raise Refuse("unsupported-syntax", f"`{method.name}` stands on one line", node)
        reached = {n for _, n in (*facts.sites, *facts.variables, *facts.functions, *facts.values)}
        program, module = self.analysis.session.program, self.names.module
        for part in ast.walk(node):
            if not isinstance(part, ast.Call) or part in reached:
                continue
            if names_module(program, module, part.func) or is_of_self(part.func):
                detail = f"`{method.name}`, which `setup` calls, has a part that this call doesn't reach"
                raise Refuse("unsupported-syntax", detail, part)

    def check_condition(self, node: ast.If | ast.IfExp, method: Method) -> None:
        """Refuse a size of `method` that a condition decides by variables of another one."""
        names = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
        if self.analysis.setup_helpers and names != {"self"} and not contains(method.node, node):
            detail = f"a size depends on a variable of another method than `{method.name}`"
            raise Refuse("unknown-size", detail, method.node)

    def check_sizes(self, text: str, context: Context, method: Method) -> None:
        """Refuse sizes that variables of another method tell."""
        own = set(ast.walk(method.node))
        session, facts = self.analysis.session, self.analysis.facts
        for match in TOKEN.finditer(text):
            number = int(match["id"])
            variable = facts.loop_variables.get(number)
            is_other = (match["kind"] == "s" and session.local_contexts.get(number, context) != context) or (
                match["kind"] == "l" and variable is not None and variable.node not in own
            )
            if is_other and self.analysis.setup_helpers:
                detail = f"a size depends on a variable of another method than `{method.name}`"
                raise Refuse("unknown-size", detail, method.node)

    # ---- edits ------------------------------------------------------------------------------------------

    def edits(
        self, parameters: Mapping[str, str], optional: Collection[str], dtypes: Collection[str], limit: int
    ) -> list[Edit]:
        """The methods with their new parameters and bodies."""
        return [
            edit
            for method, text in self.texts.items()
            for edit in self._edits(method, text, parameters, optional, dtypes, limit)
        ]

    def _edits(
        self,
        method: Method,
        text: str,
        parameters: Mapping[str, str],
        optional: Collection[str],
        dtypes: Collection[str],
        limit: int,
    ) -> Iterator[Edit]:
        node, sizes = method.node, _sizes(text)
        if any(token in optional or token in dtypes for token in sizes):
            raise Refuse("unknown-size", f"`{method.name}` needs a size that not every call has", node)
        own = _names(method)
        names = list(dict.fromkeys(parameters[token] for token in sizes))
        if own & {*names, RNGS}:
            name = min(own & {*names, RNGS})
            raise Refuse("name-clash", f"`{method.name}` has a variable `{name}` of its own", node)
        new = [f"{name}: int" for name in names]
        new += [f"{RNGS}: {self.names.nnx()}.Rngs"] if _needs_rngs(text) else []
        start, end = self.source.span(node)
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        head = self._signature(method, new, limit)
        yield Edit(start, self._colon(node), head)
        if body:
            line = self.source.line_start(self._first_line(node, body[0]))
            written, _ = named(text, parameters, {*own, *names}, (), own)
            inner = indentation(self.source, body[0].lineno)
            yield Edit(line, end, (written.rstrip("\n").rstrip() or f"{inner}pass"))

    def _first_line(self, node: ast.FunctionDef | ast.AsyncFunctionDef, statement: ast.stmt) -> int:
        """The first line of the body, comments above the first statement included."""
        line = statement.lineno
        while line - 1 > node.lineno and self.source.line_text(line - 1).strip().startswith("#"):
            line -= 1
        return line

    def _colon(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        """Where the signature ends."""
        parts = [*node.args.args, *node.args.kwonlyargs, *node.args.defaults, node.returns]
        parts += [d for d in node.args.kw_defaults if d is not None]
        last = max(self.source.span(part)[1] for part in parts if part is not None)
        return self.source.text.index(":", last) + 1

    def _signature(self, method: Method, new: list[str], limit: int) -> str:
        node = method.node
        by_name = {arg.arg: default for arg, default in defaults(node.args)}

        def written(arg: ast.arg) -> str:
            text = one_line(rewritten(self.source, arg, self.names.replacement))
            if arg.arg not in by_name:
                return text
            default = one_line(rewritten(self.source, by_name[arg.arg], self.names.replacement))
            return f"{text} = {default}" if arg.annotation is not None else f"{text}={default}"

        texts = [written(arg) for arg in node.args.args]
        texts += ["*"] if new or node.args.kwonlyargs else []
        texts += [*map(written, node.args.kwonlyargs), *new]
        back = ""
        if node.returns is not None:
            back = f" -> {one_line(rewritten(self.source, node.returns, self.names.replacement))}"
        indent = indentation(self.source, node.lineno)
        line = f"def {node.name}({', '.join(texts)}){back}:"
        if len(indent) + len(line) <= limit:
            return line
        return f"def {node.name}(\n" + "".join(f"{indent}    {t},\n" for t in texts) + f"{indent}){back}:"


def _sizes(text: str) -> list[str]:
    """The sizes that a method needs of its caller."""
    found = dict.fromkeys(m.group() for m in TOKEN.finditer(text) if m["kind"] in "afjtp")
    return [token for token in found if _assigned(token, text) is None]


def _names(method: Method) -> set[str]:
    return {n.id for n in ast.walk(method.node) if isinstance(n, ast.Name)} | set(method.parameters)


def _needs_rngs(text: str) -> bool:
    return re.search(rf"\b{RNGS}\b", text) is not None


def _assigned(token: str, text: str) -> re.Match[str] | None:
    return re.search(rf"^[ \t]*{re.escape(token)} = ", text, re.MULTILINE)
