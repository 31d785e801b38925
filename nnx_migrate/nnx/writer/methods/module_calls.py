"""Calls of submodules in a method: in NNX's form, with the mode flags that Linen bound before."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.chosen.layers import LayerChoice, alternatives, is_late
from nnx_migrate.linen.factories.values import placeholder
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import Layer
from nnx_migrate.nnx.layers import LAYERS, Refusal, rewritten_arguments, write_call
from nnx_migrate.nnx.writer.construction.bridging import changed_collections
from nnx_migrate.nnx.writer.construction.factories import given_flags
from nnx_migrate.nnx.writer.construction.lifting import lifted_call
from nnx_migrate.nnx.writer.methods.carries import attached_carry, detached_carry
from nnx_migrate.nnx.writer.methods.chosen_calls import chosen_call
from nnx_migrate.nnx.writer.methods.chosen_modes import ChosenModes
from nnx_migrate.nnx.writer.methods.layer_functions import FunctionCall
from nnx_migrate.nnx.writer.methods.outside_modes import OutsideModes
from nnx_migrate.nnx.writer.methods.reached import closures, is_outside, reached_sites
from nnx_migrate.nnx.writer.methods.shared_helpers import of_one_call
from nnx_migrate.nnx.writer.text import call_text, one_line, rest_of_line
from nnx_migrate.sources.lines import line_limit

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.methods.body import BodyEditor

_SIMPLE = (ast.Name, ast.Attribute, ast.Constant)
_ATOMS = (*_SIMPLE, ast.Call, ast.Subscript)


class ModuleCalls:
    """The calls of submodules in one method."""

    def __init__(self, analysis: ClassAnalysis, editor: BodyEditor) -> None:
        self.editor, self.writer, self.names = editor, editor.writer, editor.names
        self.source, self.method = editor.source, editor.method
        creating, function = editor.creating, editor.function
        if function is None:
            elsewhere = {passed.site for passed in editor.functions.values()}
            calls = of_one_call(analysis.facts.calls, editor.helpers.helpers, editor.choice)
            own = {key: site for key, site in calls.items() if creating.around(key[0]) is None}
            self.calls = reached_sites(analysis, own, elsewhere)
        else:
            self.calls = creating.calls_in(function)
        self.sites = editor.sites
        self.outside = OutsideModes(analysis, self.names, editor.text)
        self.text = self.outside.text
        self.place: tuple[ast.Call, str] | None = (
            None  # where a call stands that a function makes, and on what
        )
        self.plain = analysis.facts.plain_calls
        self.modes = ChosenModes(self)

    def replacement(self, call: ast.Call) -> str | None:
        """The call of a submodule, or of one of several that a loop or a condition chooses."""
        texts = {site: self._special_call(call, site) for site in self.calls[call]}
        different = {*texts.values(), *([None] if call in self.plain else [])}
        if len(different) > 1:
            return chosen_call(self, call, texts, call in self.plain)
        return different.pop() or self._joined_call(call)

    def check_outside(self) -> None:
        """Refuse functions outside of the class that would go on to call its submodules in Linen's way.

        A cell that is only asked for its first carry is none of them: that works outside of modules, too.
        """
        analysis, creating = self.editor.analysis, self.editor.creating
        elsewhere = {passed.site for passed in creating.layer_calls.values()}
        for (context, call), site in analysis.facts.calls.items():
            kept = creating.around(context) is None and site not in elsewhere and not site.carry_only
            if kept and isinstance(call, ast.Call) and any(map(is_outside, closures(analysis, context))):
                if self._special_call(call, site) is not None:
                    detail = f"a function outside of the class calls `{site.label}`"
                    raise Refuse("unsupported-syntax", detail, call)

    def of_function(self, call: ast.Call, passed: FunctionCall) -> str:
        """The call of a layer, for the call of a function that does nothing else. Raises Refuse."""
        read = self.parameters_read(passed)
        for name, argument in passed.arguments.items():
            if name in read and read[name] > 1 and not isinstance(argument, _SIMPLE):
                detail = f"`{name}`, which a function reads more than once, is an expression"
                raise Refuse("unsupported-syntax", detail, call)
            if name not in read and any(n in self.sites or n in self.calls for n in ast.walk(argument)):
                detail = f"`{name}`, which only a construction reads, is made by a submodule"
                raise Refuse("unsupported-syntax", detail, call)
        inner = passed.call
        whole = {n.id for n in [*inner.args, *(k.value for k in inner.keywords)] if isinstance(n, ast.Name)}
        texts = {name: self.text(passed.arguments[name]) for name in read}
        for name, argument in passed.arguments.items():
            if name in read and name not in whole and not isinstance(argument, _ATOMS):
                texts[name] = f"({texts[name]})"
        self.editor.parameters, self.place = texts, (call, self.editor.access(passed.site))
        try:
            text = self._special_call(inner, passed.site)
            if text is None:
                arguments = [self.text(a) for a in inner.args]
                arguments += [f"{k.arg}={self.text(k.value)}" for k in inner.keywords]
                text = self.call_text(inner, [one_line(argument) for argument in arguments])
        finally:
            self.editor.parameters, self.place = {}, None
        return text

    def parameters_read(self, passed: FunctionCall) -> dict[str, int]:
        """The parameters of a function that the call of its layer reads, and how often. Raises Refuse."""
        inner = passed.call
        nodes: list[ast.expr] = [*inner.args, *(k.value for k in inner.keywords)]
        if isinstance(passed.site.target, Layer):
            spec, bound = self.writer.bound(passed.site)
            flag = bound.values.get(spec.call.flag or "")
            nodes += [flag] if flag is not None else []
        else:
            flags = given_flags(self.writer, passed.site).values()
            nodes += [node for one in flags for node in self.outside.read(one)]
        names = {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}
        if names & passed.own_names:
            detail = f"`{min(names & passed.own_names)}`, a variable of a function, decides about a call"
            raise Refuse("unsupported-syntax", detail, inner)
        return passed.read(nodes)

    def _special_call(self, call: ast.Call, site: Site) -> str | None:
        """The call of a submodule where NNX calls it in another way, None where only parts inside it change."""
        first_carry = isinstance(call.func, ast.Attribute) and call.func.attr == "initialize_carry"
        if not (first_carry and isinstance(site.target, Layer)) and any(
            lift.name != "jit" for lift in site.lifts
        ):  # a whole program is compiled, or each of its steps
            return lifted_call(self.editor, call, site)
        if site.carry_only:
            return detached_carry(self.editor, call, site)
        if self.writer.is_bridged(site):
            return self._with_argument(call, changed_collections(site))
        if isinstance(site.target, LayerChoice):
            return self._chosen_layer_call(call, site, site.target)
        return self._layer_call(call, site) or self._flagged_call(call, site)

    def _with_argument(self, call: ast.Call, argument: str) -> str | None:
        """The call with one more argument, None where there is none to add."""
        return self.plain_call(call, argument) if argument else None

    def plain_call(self, call: ast.Call, *more: str) -> str:
        """The call with its own arguments, and more behind them."""
        texts = [*(self.text(a) for a in call.args), *map(self._keyword, call.keywords), *more]
        return self.call_text(call, [one_line(text) for text in texts])

    def _keyword(self, keyword: ast.keyword) -> str:
        return f"{keyword.arg}={self.text(keyword.value)}" if keyword.arg else f"**{self.text(keyword.value)}"

    def _chosen_layer_call(self, call: ast.Call, site: Site, choice: LayerChoice) -> str | None:
        """The call of one of several layers, some of which take their mode from the call."""
        if self.place is not None:
            raise Refuse("unsupported-syntax", "a function that calls one of several layers", call)
        late, made = self.editor.analysis.facts.late_modes, alternatives(site)
        texts = {
            made[maker]: self._layer_call(call, made[maker], keep_flag=not is_late(maker, late))
            for maker in choice.makers
        }  # a class of the project is called as before
        different = set(texts.values())
        if len(different) == 1:
            return different.pop()
        return chosen_call(self, call, texts, False, self.modes.text(call, list(different)))

    def _layer_call(self, call: ast.Call, site: Site, keep_flag: bool = False) -> str | None:
        """The call of a built-in layer in NNX's form, None where only parts inside it change.

        With `keep_flag` the constructor keeps the mode that the construction gives.
        """
        if not isinstance(site.target, Layer):
            return None
        spec = LAYERS.get(f"flax.linen.{site.layer_name}")
        if spec is None:
            raise Refuse("unsupported-layer", f"`nn.{site.target_name}`", call)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "initialize_carry":
            return self.call_text(call, attached_carry(self.editor, call))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "attend":
            return None
        _, bound = self.writer.bound(site)
        flag = bound.values.get(spec.call.flag or "")
        keep_flag = keep_flag and flag is not None
        flag = None if keep_flag else flag
        self._check_flag(flag, call)
        if flag is not None:
            self._check_direct(call)
        rewrite = write_call(
            spec,
            bound,
            call,
            self.text,
            nnx=self.names.nnx(),
            judge=self.names.judge(),
            helper=self.names.helper,
            keep_flag=keep_flag,
        )
        if isinstance(rewrite, Refusal):
            reason = "mode-flag" if rewrite.code == "missing-mode-flag" else "unsupported-layer"
            raise Refuse(reason, rewrite.reason, call)
        if not rewrite.edits:
            return None
        arguments = [one_line(text) for text in rewritten_arguments(call, rewrite, self.text)]
        return self.call_text(call, arguments)

    def _flagged_call(self, call: ast.Call, site: Site) -> str | None:
        """The call of a submodule that gets the mode flags which factories given to it bound in Linen."""
        flags = given_flags(self.writer, site)
        if not flags:
            return None
        if any(keyword.arg is None for keyword in call.keywords):
            raise Refuse("mode-flag", "`**` may give a module the mode of its layers, too", call)
        for flag in flags.values():
            self._check_flag(flag, call)
            self._check_direct(call)
        texts = [*(self.text(a) for a in call.args), *map(self._keyword, call.keywords)]
        texts += [f"{name}={self.text(flag)}" for name, flag in flags.items()]
        return self.call_text(call, [one_line(text) for text in texts])

    def _check_flag(self, flag: ast.expr | None, call: ast.Call) -> None:
        """Refuse to move a mode flag behind a statement that gives one of its variables another value."""
        if flag is None or placeholder(flag) or self.place is not None:
            return
        read = self.outside.read(flag)
        names = {n.id for node in read for n in ast.walk(node) if isinstance(n, ast.Name)}
        function = self.editor.function
        if (
            function is not None
            and flag not in function.nodes
            and (function.is_outside or names & function.own_names)
        ):
            raise Refuse(
                "mode-flag", f"`{function.node.name}` gets the mode of a layer from its caller", call
            )
        for node in ast.walk(self.method.node):
            changed = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names
            if changed and isinstance(node, ast.Name) and any(node.lineno > one.lineno for one in read):
                raise Refuse("mode-flag", f"`{node.id}` changes after the layer got it as its mode", call)

    def _joined_call(self, call: ast.Call) -> str | None:
        """A call that took several lines with its construction, on one line if it fits; None where it stays."""
        if call.func not in self.sites or call.lineno == call.end_lineno:
            return None
        if call.func.lineno == call.func.end_lineno and self._is_exploded(call):
            return None
        arguments = [one_line(self.text(node)) for node in call.args]
        arguments += [
            one_line(f"{k.arg}={self.text(k.value)}" if k.arg else f"**{self.text(k.value)}")
            for k in call.keywords
        ]
        if any("\n" in argument for argument in arguments) or "#" in self.source.segment(call):
            return None
        return self.call_text(call, arguments)

    def _is_exploded(self, call: ast.Call) -> bool:
        """Whether a comma behind the last argument asks for one line for each."""
        return self.source.segment(call)[:-1].rstrip().endswith(",")

    def _check_direct(self, call: ast.Call) -> None:
        """Refuse to give a mode flag to `jax.tree.map(layer, x)`, which calls the layer for us."""
        called = self.names.qualified(call.func)
        if called is not None:
            raise Refuse("mode-flag", f"`{called}` calls a layer that needs its mode", call)

    def call_text(self, call: ast.Call, arguments: list[str], callee: str = "") -> str:
        """The call (of `callee`, if given), broken where the line would become too long."""
        if self.place is not None:
            call, callee = self.place
        start, end = self.source.span(call)
        line = self.source.text[self.source.line_start(call.lineno) : start]
        rest = rest_of_line(self.source, end)
        indent = line[: len(line) - len(line.lstrip())]
        limit = line_limit(self.source)
        return call_text(callee or self.text(call.func), arguments, indent, line.lstrip(), limit, rest)
