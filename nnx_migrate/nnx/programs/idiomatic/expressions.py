"""The expressions of a training program in their new form."""

from __future__ import annotations

import ast
from collections.abc import Callable

from nnx_migrate.names.modules import Module
from nnx_migrate.nnx.programs.idiomatic.functions import JIT, JIT_KEYWORDS
from nnx_migrate.nnx.programs.idiomatic.kinds import (
    Apply,
    Called,
    Creation,
    Facts,
    Function,
    Kind,
    NotIdiomatic,
)
from nnx_migrate.nnx.programs.idiomatic.naming import MODEL, OPTIMIZER, Naming
from nnx_migrate.nnx.writer.text import call_text, indentation, one_line, rewritten
from nnx_migrate.sources.lines import line_limit

_PARTS = (MODEL, OPTIMIZER)
#: What a tuple loses where the model is changed in place.
_GONE = frozenset(set(Kind) - {Kind.MODULE, Kind.GRADS, Kind.STATE})


class Expressions:
    """Writes expressions. `nnx` gives the name of `flax.nnx` in a file; `constructed` the new constructions."""

    def __init__(
        self,
        facts: Facts,
        naming: Naming,
        nnx: Callable[[Module], str],
        qualified: Callable[[Module, ast.expr], str],
    ) -> None:
        self.facts, self.naming, self.nnx, self.qualified = facts, naming, nnx, qualified
        self.constructed: dict[ast.Call, str] = {}
        self._applies = {apply.call: apply for apply in facts.applies}
        self._optimizers = {call for _, call in facts.optimizers}
        self._creations = {creation.call: creation for creation in facts.creations}
        self._calls: dict[ast.Call, tuple[Function, Called]] = {
            called.call: (function, called)
            for function in facts.functions.values()
            for called in function.calls
        }
        self._grads = {
            grad.call: function for function in facts.functions.values() for grad in function.grads
        }
        self._jits: set[ast.expr] = set()  # `jax.jit` itself, wherever it compiles such a function
        self._options: dict[ast.keyword, Function] = {}
        for function in facts.functions.values():
            for module, node in function.jits if _changes(function) else ():
                self._compiled(module, node, function)

    def _compiled(self, module: Module, node: ast.expr, function: Function) -> None:
        """`jax.jit`, `jax.jit(step, ...)`, `partial(jax.jit, ...)` and `partial(jax.jit, ...)(step)`."""
        head = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) else node
        if isinstance(head, ast.Call):
            self._options |= dict.fromkeys(head.keywords, function)
            self._jits.add(head.func if self.qualified(module, head.func) == JIT else head.args[0])
        else:
            self._jits.add(head)

    def text(self, module: Module, node: ast.AST) -> str:
        """The new source of an expression."""
        return rewritten(module.source, node, lambda part: self.replacement(module, part))

    def replacement(self, module: Module, node: ast.AST) -> str | None:
        """The new text of a node that changes as a whole."""
        if isinstance(node, ast.Call):
            return self._call(module, node)
        if isinstance(node, ast.Attribute) and any(node is step for _, step in self.facts.steps):
            return f"{self.naming.optimizer(module, node)}.step[...]"
        if isinstance(node, ast.arg):
            return self._parameter(module, node)
        if isinstance(node, ast.keyword) and node in self._options:
            return self._option(module, node, self._options[node])
        if isinstance(node, ast.expr):
            if node in self.facts.leaves:
                nnx = self.nnx(module)
                return f"{nnx}.state({self.naming.model(module, node)}, {nnx}.Param)"
            if node in self._jits:
                return f"{self.nnx(module)}.jit"
            if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and self._shrinks(module, node):
                return self.tuple_text(module, node)
        return None

    # ---- tuples ------------------------------------------------------------------------------------------

    def is_gone(self, module: Module, node: ast.expr) -> bool:
        """Whether a value, or the target of one, is no more."""
        if isinstance(node, ast.Tuple):
            return bool(node.elts) and all(self.is_gone(module, element) for element in node.elts)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            kind = self.facts.names.get((module.scope_at(node), node.id), {}).get(())
            return node in self.facts.bound and (kind in _GONE or kind is Kind.STATE)
        kind = self.facts.kind(node)
        return kind in _GONE or (kind is Kind.STATE and not self.is_made(module, node))

    def is_made(self, module: Module, node: ast.AST) -> bool:
        """Whether a state that a function returns is one that it has made."""
        function = self.facts.function_at(module, node)
        return function is None or function.parameter(Kind.STATE) is None

    def _shrinks(self, module: Module, node: ast.Tuple) -> bool:
        return any(
            self.is_gone(module, e)
            or self.facts.kind(e) is Kind.STATE
            or (isinstance(e, ast.Tuple) and self._shrinks(module, e))
            for e in node.elts
        )

    def tuple_text(self, module: Module, node: ast.Tuple) -> str:
        """A tuple without what is gone; what is left of a single item stands alone."""
        texts = [t for element in node.elts for t in self.element_texts(module, element)]
        if len(texts) == 1:
            return texts[0]
        joined = ", ".join(texts)
        return f"({joined})" if module.source.segment(node).startswith("(") else joined

    def element_texts(self, module: Module, node: ast.expr) -> list[str]:
        """What an element of a tuple becomes: nothing, itself, or the model and the optimizer."""
        if self.is_gone(module, node):
            return []
        if self.facts.kind(node) is Kind.STATE:
            if isinstance(node, ast.Name):
                return self.made_names(module, node)
            if isinstance(node, ast.Call) and node in self._creations:
                if not self.gives_model(self.facts.function_at(module, node)):
                    return [self.optimizer_text(module, self._creations[node])]
                return [self.naming.model(module, node), self.optimizer_text(module, self._creations[node])]
            raise NotIdiomatic("a new state in a tuple", module, node)
        return [self.text(module, node)]

    def made_names(self, module: Module, node: ast.AST) -> list[str]:
        """What a function returns that has made a state: its caller has the model already if it gave one."""
        optimizer = self.naming.optimizer(module, node)
        gives = self.gives_model(self.facts.function_at(module, node))
        return [self.naming.model(module, node), optimizer] if gives else [optimizer]

    @staticmethod
    def gives_model(function: Function | None) -> bool:
        """Whether the model is new to those who call a function that makes a state."""
        return function is None or not function.gets_module

    # ---- calls -------------------------------------------------------------------------------------------

    def _call(self, module: Module, call: ast.Call) -> str | None:
        if call in self.constructed:
            return self.constructed[call]
        if call in self._applies:
            return self._apply(module, self._applies[call])
        if call in self._creations:
            return self.optimizer_text(module, self._creations[call])
        if call in self._optimizers and isinstance(call.func, ast.Attribute):
            return self.new_optimizer(module, call, call.func.value)
        if call in self._grads:
            return self._grad(module, call, self._grads[call])
        if call in self._calls:
            return self._tracked(module, *self._calls[call])
        return None

    def _apply(self, module: Module, apply: Apply) -> str:
        model = self.naming.model(module, apply.call)
        callee = model if apply.method == "__call__" else f"{model}.{apply.method}"
        return self.built(module, apply.call, callee, [self.text(module, node) for node in apply.kept])

    def optimizer_text(self, module: Module, creation: Creation) -> str:
        """`nnx.Optimizer(model, tx, wrt=nnx.Param)`."""
        return self.new_optimizer(module, creation.call, creation.tx)

    def new_optimizer(self, module: Module, call: ast.Call, tx: ast.expr) -> str:
        """What takes the place of a call that makes the state of an optimizer."""
        nnx, model = self.nnx(module), self.naming.model(module, call)
        return self.built(
            module, call, f"{nnx}.Optimizer", [model, self.text(module, tx), f"wrt={nnx}.Param"]
        )

    def built(self, module: Module, call: ast.Call, callee: str, arguments: list[str]) -> str:
        """A call that is laid out anew. Raises NotIdiomatic where a comment would be lost."""
        if has_comment(module.source.segment(call)):
            raise NotIdiomatic("a comment inside of a call", module, call)
        source = module.source
        line = source.line_text(call.lineno)
        prefix = line[: call.col_offset].strip()
        return call_text(
            callee,
            [one_line(a) for a in arguments],
            indentation(source, call.lineno),
            prefix,
            line_limit(source),
        )

    def _tracked(self, module: Module, function: Function, called: Called) -> str | None:
        """A call of a function whose parameters have changed."""
        call = called.call
        names = {function.argument(call, name): name for name in function.params}
        given: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
        texts: list[str] = []
        changed = isinstance(call.func, ast.Call) and self.text(module, call.func) != module.source.segment(
            call.func
        )
        for item in given:
            value = item.value if isinstance(item, ast.keyword) else item
            if value not in names or function.params[names[value]] is Kind.GRADS:
                texts.append(self.text(module, item))
                continue
            changed = True
            for part in self.naming.parts(function, names[value]):
                name = (
                    self.naming.model(module, call) if part == MODEL else self.naming.optimizer(module, call)
                )
                keyword = self.naming.name(function.module, function.scope, part)
                texts.append(f"{keyword}={name}" if isinstance(item, ast.keyword) else name)
        if not changed:
            return None
        return self.built(module, call, self.text(module, call.func), texts)

    # ---- transforms ----------------------------------------------------------------------------------------

    def _grad(self, module: Module, call: ast.Call, function: Function) -> str:
        grad = next(g for g in function.grads if g.call is call)
        name = "value_and_grad" if grad.with_value else "grad"
        texts = [self.text(module, call.args[0])]
        for keyword in call.keywords:
            if keyword.arg == "has_aux" and grad.has_aux and self._loses_aux(function):
                continue
            if keyword.arg == "argnums":
                place = self.new_place(function, grad.argnums)
                if place:
                    texts.append(f"argnums={place}")
                continue
            texts.append(module.source.segment(keyword))
        return self.built(module, call, f"{self.nnx(module)}.{name}", texts)

    def _loses_aux(self, function: Function) -> bool:
        """Whether nothing is left of what a loss function returns beside the loss."""
        if ((1,), Kind.UPDATES) in function.results:
            return True
        values = [n.value for n in ast.walk(function.node) if isinstance(n, ast.Return)]
        return any(
            isinstance(v, ast.Tuple) and len(v.elts) == 2 and self.is_gone(function.module, v.elts[1])
            for v in values
        )

    def new_place(self, function: Function, place: int) -> int:
        """Where a parameter stands that stood at `place`."""
        return sum(
            len(self.naming.parts(function, name)) if name in function.params else 1
            for name in function.positional[:place]
        )

    def _option(self, module: Module, keyword: ast.keyword, function: Function) -> str:
        """`donate_argnums=0` for the parameters as they are now."""
        name = keyword.arg or ""
        values = keyword.value.elts if isinstance(keyword.value, ast.Tuple | ast.List) else [keyword.value]
        constants = [v.value for v in values if isinstance(v, ast.Constant)]
        if len(constants) != len(values) or name not in JIT_KEYWORDS:
            raise NotIdiomatic("options of `jax.jit`", module, keyword.value)
        positional = function.positional
        chosen = [positional[c] if isinstance(c, int) and c < len(positional) else c for c in constants]
        parts: list[tuple[str, int]] = []
        for old in chosen:
            if not isinstance(old, str) or (old in function.params and name.startswith("static")):
                raise NotIdiomatic("options of `jax.jit`", module, keyword.value)
            place = self.new_place(function, positional.index(old)) if old in positional else -1
            new = self.naming.parts(function, old) if old in function.params else [old]
            parts += [
                (
                    self.naming.name(function.module, function.scope, p) if p in _PARTS and p != old else p,
                    place + i,
                )
                for i, p in enumerate(new)
            ]
        if not parts:
            raise NotIdiomatic("options of `jax.jit`", module, keyword.value)
        texts = [repr(p[0]).replace("'", '"') if name.endswith("names") else str(p[1]) for p in parts]
        if len(texts) == 1 and not isinstance(keyword.value, ast.Tuple | ast.List):
            return f"{name}={texts[0]}"
        return f"{name}=({', '.join(texts)}{',' if len(texts) == 1 else ''})"

    # ---- parameters ----------------------------------------------------------------------------------------

    def _parameter(self, module: Module, node: ast.arg) -> str | None:
        arguments = module.parents[node]
        owner = module.parents[arguments]
        function = self.facts.function_of(owner)
        if function is None or node.arg not in function.params or function.params[node.arg] is Kind.GRADS:
            return None
        texts = []
        for part in self.naming.parts(function, node.arg):
            name = self.naming.name(module, function.scope, part)
            kind = f"{self.nnx(module)}.{'Module' if part == MODEL else 'Optimizer'}"
            texts.append(f"{name}: {kind}" if node.annotation is not None else name)
        if not texts and isinstance(owner, ast.Lambda):
            raise NotIdiomatic("a lambda with such a parameter", module, node)
        return ", ".join(texts)


def _changes(function: Function) -> bool:
    return any(kind is not Kind.GRADS for kind in function.params.values())


def has_comment(text: str) -> bool:
    """Whether a piece of source holds a comment (or a `#` that may begin one)."""
    return "#" in text
