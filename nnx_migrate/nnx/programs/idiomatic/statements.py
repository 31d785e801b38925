"""The statements of a training program in their new form."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.programs.idiomatic.expressions import Expressions, has_comment
from nnx_migrate.nnx.programs.idiomatic.kinds import Facts, Function, Kind, NotIdiomatic
from nnx_migrate.nnx.programs.idiomatic.order import follows
from nnx_migrate.nnx.writer.text import indentation, replacements
from nnx_migrate.sources.text import Edit

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Assert, ast.Raise, ast.Delete)


class Statements:
    """Writes the edits of every statement that a program's values go through."""

    def __init__(self, facts: Facts, expressions: Expressions) -> None:
        self.facts, self.expressions = facts, expressions
        self.moved: dict[ast.stmt, list[str]] = {}  # statements that others take the place of
        self.before: dict[ast.stmt, str] = {}  # statements that are added in front of others
        self._removed: set[ast.stmt] = set()
        self._updates = {update.call: update for update in facts.updates}
        self._additions = {call for _, call in facts.additions}
        self._optimizers = {call for _, call in facts.optimizers}

    def edits(self) -> Iterator[tuple[Module, Edit]]:
        """All edits."""
        touched: dict[ast.stmt, Module] = {}
        for module, node in self._nodes():
            touched.setdefault(module.statement_of(node), module)
        for statement, module in touched.items():
            for edit in self._statement(module, statement):
                yield module, edit
        for statement in self._removed:
            module, parent = touched[statement], touched[statement].parents[statement]
            for body in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody")):
                if isinstance(body, list) and statement in body and self._removed.issuperset(body):
                    raise NotIdiomatic("nothing is left of a block", module, statement)

    def _nodes(self) -> Iterator[tuple[Module, ast.AST]]:
        for node, module in self.facts.places.items():
            yield module, node
        for function in self.facts.functions.values():
            yield function.module, function.node
            yield from function.jits
            yield from ((grad.module, grad.call) for grad in function.grads)
            yield from ((called.module, called.call) for called in function.calls)

    def _statement(self, module: Module, node: ast.stmt) -> Iterator[Edit]:
        if isinstance(node, ast.FunctionDef):
            yield from self._function(module, node)
        elif not isinstance(node, _SIMPLE):
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                    for start, end, text in replacements(
                        module.source, child, lambda part: self.expressions.replacement(module, part)
                    ):
                        yield Edit(start, end, text)
        else:
            lines = self.moved[node] if node in self.moved else self._lines(module, node)
            yield self._replaced(module, node, [*self._added(module, node), *lines])

    # ---- simple statements ---------------------------------------------------------------------------------

    def _lines(self, module: Module, node: ast.stmt) -> list[str]:
        """What takes the place of a statement, none where it goes."""
        if isinstance(node, ast.Return):
            return self._return(module, node)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            if node.value in self._updates or node.value in self._additions:
                return self._updated(module, node.value)
            if node.value in self._optimizers:
                optimizer = self.expressions.naming.optimizer(module, node)
                return [f"{optimizer} = {self.expressions.text(module, node.value)}"]
            text = self._assign(module, node, node.targets[0])
            return [text] if text else []
        return [self.expressions.text(module, node)]

    def _assign(self, module: Module, node: ast.Assign, target: ast.expr) -> str:
        value = node.value
        if isinstance(value, ast.Tuple) and any(
            isinstance(e, ast.Call) and self.facts.kind(e) is not None for e in value.elts
        ):
            raise NotIdiomatic("a tuple of calls", module, node)
        text = self.expressions.text(module, value)
        if self.facts.kind(value) is Kind.STATE and isinstance(target, ast.Name):
            if self._makes(value):
                return f"{self._made(module, value, target)} = {text}"
            return text
        if isinstance(target, ast.Tuple):
            names = self._target(module, value, target)
            if not names:
                return text if isinstance(value, ast.Call) and self._happens(value) else ""
            if all(name == "_" for name in names):
                return text
            return f"{', '.join(names)} = {text}"
        if self.expressions.is_gone(module, target):
            return ""
        return f"{module.source.segment(target)} = {text}"

    def _happens(self, value: ast.Call) -> bool:
        """Whether a call is more than a value that is gone."""
        return any(c.call is value for f in self.facts.functions.values() for c in f.calls)

    def _makes(self, value: ast.expr) -> bool:
        """Whether a call gives a new state, as the model and its optimizer."""
        if any(creation.call is value for creation in self.facts.creations):
            return True
        return any(
            c.call is value and f.parameter(Kind.STATE) is None
            for f in self.facts.functions.values()
            for c in f.calls
        )

    def _made(self, module: Module, value: ast.expr, target: ast.expr) -> str:
        gives_model = self.expressions.gives_model(self.facts.function_called(value))
        if isinstance(target, ast.Name) and target.id == "_":
            return "_, _" if gives_model else "_"
        scope = module.scope_at(target)
        optimizer = self.expressions.naming.name(module, scope, "optimizer")
        if not gives_model or any(creation.call is value for creation in self.facts.creations):
            return optimizer
        return f"{self.expressions.naming.name(module, scope, 'model')}, {optimizer}"

    def _target(self, module: Module, value: ast.expr, target: ast.Tuple) -> list[str]:
        """The targets that are left, those of a new state replaced by the model and the optimizer."""
        names: list[str] = []
        for element in target.elts:
            if self._is_state(module, element) and self._makes(value):
                names.append(self._made(module, value, element))
            elif self.expressions.is_gone(module, element):
                continue
            elif isinstance(element, ast.Tuple):
                inner = self._target(module, value, element)
                joined = ", ".join(inner)
                names.append(f"({joined})" if len(inner) > 1 else joined)
            else:
                names.append(module.source.segment(element))
        if len(names) == 1 and names[0].startswith("(") and names[0].endswith(")"):
            names = [names[0][1:-1]]
        return names

    def _is_state(self, module: Module, node: ast.expr) -> bool:
        if not isinstance(node, ast.Name):
            return False
        return self.facts.names.get((module.scope_at(node), node.id), {}).get(()) is Kind.STATE

    def _updated(self, module: Module, value: ast.expr) -> list[str]:
        """`state.apply_gradients(grads=grads)` as `optimizer.update(model, grads)`; statistics are kept anyway."""
        lines: list[str] = []
        if value in self._additions:
            step = next(
                s for s in self.facts.optax_steps if s.module is module and follows(module, s.call, value)
            )
            return [self._update_text(module, value, step.grads)]
        while isinstance(value, ast.Call) and value in self._updates:
            update = self._updates[value]
            if update.grads is not None:
                lines.insert(0, self._update_text(module, value, update.grads))
            value = update.state
        if not isinstance(value, ast.Name):
            raise NotIdiomatic("an update of an unnamed state", module, value)
        return lines

    def _update_text(self, module: Module, call: ast.Call | ast.expr, grads: ast.expr) -> str:
        naming = self.expressions.naming
        arguments = [naming.model(module, call), self.expressions.text(module, grads)]
        assert isinstance(call, ast.Call)
        return self.expressions.built(module, call, f"{naming.optimizer(module, call)}.update", arguments)

    def _return(self, module: Module, node: ast.Return) -> list[str]:
        value = node.value
        lines: list[str] = []
        if value is None:
            return ["return"]
        expressions = self.expressions
        elements = value.elts if isinstance(value, ast.Tuple) else [value]
        for element in elements:
            if element in self._updates or element in self._additions:
                lines += self._updated(module, element)
                if any(
                    self.facts.kind(inner) not in (None, Kind.GRADS, Kind.OPT_STATE)
                    for other in elements
                    if other is not element
                    for inner in ast.walk(other)
                    if isinstance(inner, ast.expr)
                ):
                    raise NotIdiomatic("a returned tuple reads the older state", module, node)
        texts: list[str] = []
        for element in elements:
            if element in self._additions:
                continue
            if element in self._updates:
                if expressions.is_made(module, node):
                    texts += expressions.made_names(module, node)
            elif self.facts.kind(element) is Kind.STATE and isinstance(element, ast.Call):
                texts += self._returned_call(module, element, len(elements))
            else:
                texts += expressions.element_texts(module, element)
        if not isinstance(value, ast.Tuple) and not lines and texts and not self._states(value):
            return [expressions.text(module, node)]
        function = module.enclosing(node, ast.FunctionDef)
        last = isinstance(function, ast.FunctionDef) and function.body[-1] is node
        if texts:
            text = ", ".join(texts)
            gone = {*self._updates, *self._additions}
            left = [e for e in elements if e not in gone and not expressions.is_gone(module, e)]
            alone = len(left) == len(texts) == 1 and isinstance(left[0], ast.Tuple) and text.startswith("(")
            lines.append(f"return {text[1:-1] if alone else text}")
        elif not last:
            lines.append("return")
        return lines

    def _states(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Call):
            return any(creation.call is value for creation in self.facts.creations)
        return self.facts.kind(value) is Kind.STATE

    def _returned_call(self, module: Module, call: ast.Call, count: int) -> list[str]:
        """A call that gives a state: a creation, or a function of a state."""
        if any(creation.call is call for creation in self.facts.creations):
            return self.expressions.element_texts(module, call)
        if count > 1:
            raise NotIdiomatic("a new state in a tuple", module, call)
        return [self.expressions.text(module, call)]

    # ---- around them ---------------------------------------------------------------------------------------

    def _added(self, module: Module, node: ast.stmt) -> list[str]:
        """What is done before a statement: the keys for dropout that calls in it get are set."""
        lines: list[str] = []
        for apply in self.facts.applies:
            if (
                apply.keys is None
                or apply.module is not module
                or module.statement_of(apply.call) is not node
            ):
                continue
            own = module.enclosing(apply.call, ast.Lambda, ast.FunctionDef, *_COMPREHENSIONS)
            if lines or own is not module.enclosing(node, ast.Lambda, ast.FunctionDef, *_COMPREHENSIONS):
                raise NotIdiomatic("several keys for dropout in one statement", module, apply.call)
            nnx, model = self.expressions.nnx(module), self.expressions.naming.model(module, apply.call)
            key = self.expressions.text(module, apply.keys)
            lines.append(f"{nnx}.reseed({model}, dropout={key})")
        return [*([self.before[node]] if node in self.before else []), *lines]

    def _replaced(self, module: Module, node: ast.stmt, lines: list[str]) -> Edit:
        source = module.source
        if not lines:
            self._removed.add(node)
            return self._without(module, node)
        joint = "\n" + indentation(source, node.lineno)
        return Edit(*source.span(node), joint.join(lines))

    def _without(self, module: Module, node: ast.stmt) -> Edit:
        """A statement goes, with its line; its comment stays."""
        source = module.source
        start, end = source.span(node)
        first, line_end = source.line_start(node.lineno), source.text.find("\n", end)
        line_end = len(source.text) if line_end < 0 else line_end
        behind = source.text[end:line_end].strip()
        if has_comment(source.text[start:end]) or (behind and not behind.startswith("#")):
            raise NotIdiomatic("a comment inside of a statement", module, node)
        if source.text[first:start].strip():
            raise NotIdiomatic("several statements on a line", module, node)
        if behind:
            return Edit(start, line_end, behind)
        return Edit(first, min(line_end + 1, len(source.text)), "")

    def _function(self, module: Module, node: ast.FunctionDef) -> Iterator[Edit]:
        """Decorators, parameters and the annotation of the result."""
        function = self.facts.functions.get(node)
        source = module.source
        for decorator in node.decorator_list:
            for start, end, text in replacements(
                source, decorator, lambda part: self.expressions.replacement(module, part)
            ):
                yield Edit(start, end, text)
        if function is None:
            return
        positional = [*node.args.posonlyargs, *node.args.args]
        for index, arg in enumerate(positional):
            new = self.expressions.replacement(module, arg)
            start, end = source.span(arg)
            if new:
                yield Edit(start, end, new)
            elif new == "":
                if node.args.kwonlyargs or node.args.defaults:
                    raise NotIdiomatic("a parameter that goes", module, arg)
                if index + 1 < len(positional):
                    yield Edit(start, source.span(positional[index + 1])[0], "")
                elif index:
                    yield Edit(source.span(positional[index - 1])[1], end, "")
                else:
                    yield Edit(start, end, "")
        for arg in node.args.kwonlyargs:
            new = self.expressions.replacement(module, arg)
            if new:
                yield Edit(*source.span(arg), new)
        if node.returns is not None and any(k is not Kind.GRADS for _, k in function.results):
            yield Edit(*source.span(node.returns), self._annotation(module, function, node.returns))

    def _annotation(self, module: Module, function: Function, node: ast.expr) -> str:
        """`tuple[TrainState, Array]` without the state; the model and the optimizer where one is made."""
        nnx = self.expressions.nnx(module)
        made = function.parameter(Kind.STATE) is None
        pair = [f"{nnx}.Module", f"{nnx}.Optimizer"] if made else []
        if not self.expressions.gives_model(function):
            pair = pair[1:]
        places = {within for within, kind in function.results if kind is not Kind.GRADS}
        if places == {()}:
            return f"tuple[{', '.join(pair)}]" if len(pair) > 1 else "".join(pair) or "None"
        is_tuple = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)
        if not is_tuple or any(len(place) > 1 for place in places):
            raise NotIdiomatic("the annotation of a result", module, node)
        assert isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)
        kinds = {place[0]: kind for place, kind in ((w, k) for w, k in function.results) if place}
        texts: list[str] = []
        for index, element in enumerate(node.slice.elts):
            kind = kinds.get(index)
            if kind is Kind.STATE:
                texts += pair
            elif kind in (None, Kind.GRADS):
                texts.append(module.source.segment(element))
        if len(texts) <= 1:
            return "".join(texts) or "None"
        return f"{module.source.segment(node.value)}[{', '.join(texts)}]"


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
