"""`model = CNN()` and its `init` become `model = CNN(in_features=3, rngs=nnx.Rngs(key))`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from nnx_migrate.linen.programs.inputs.entry_calls import argument_of, method_of
from nnx_migrate.linen.programs.instance import Instance
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Scope
from nnx_migrate.nnx.conversion import ClassConversion
from nnx_migrate.nnx.programs.idiomatic.expressions import Expressions
from nnx_migrate.nnx.programs.idiomatic.kinds import NotIdiomatic
from nnx_migrate.nnx.programs.sizes import Sizes
from nnx_migrate.nnx.writer.text import indentation

_LINEN_ONLY = ("name", "parent")
_OWN_NAMES = frozenset({"jax", "sum"})  # of sizes that are summed over all arrays of an input
_KEYS = frozenset({"jax.random.key", "jax.random.PRNGKey"})


@dataclass(frozen=True)
class Constructed:
    """A construction in its new form: its `text` replaces the old one, or it is a statement at another place.

    That is in place of the statement `at`, which calls `init`, or in front of it where it calls a function that does.
    """

    text: str
    at: ast.stmt | None = None
    in_front: bool = False


class Constructions:
    """Writes constructions. `has_keys`: calls of the model get keys for dropout."""

    def __init__(self, expressions: Expressions, has_keys: bool) -> None:
        self.expressions, self.has_keys = expressions, has_keys

    def write(self, instance: Instance, conversion: ClassConversion, sizes: Sizes) -> Constructed:
        """One construction. Raises NotIdiomatic where its key or its sizes aren't known in time."""
        module, call = instance.reference.module, instance.reference.call
        if len(instance.inits) != 1 or instance.inits[0][0] is not module:
            raise NotIdiomatic("a model without one `init`", module, call)
        init = instance.inits[0][1]
        if not init.args or method_of(init) != "__call__" or any(k.arg == "mutable" for k in init.keywords):
            raise NotIdiomatic("the arguments of `init`", module, init)
        here, scope = module.statement_of(call), module.scope_at(call)
        if not isinstance(here, ast.Assign) or here.value is not call:
            raise NotIdiomatic("a model that is made elsewhere", module, call)
        key, place = init.args[0], init
        is_handed = module.scope_at(init) is not scope
        if is_handed:
            key, place = self._handed(module, scope, init)
            if sizes.inputs:
                raise NotIdiomatic("sizes that a function knows", module, init)
        there = module.statement_of(place)
        late = self._late(instance, init, sizes)
        needed = [*([key] if conversion.needs_rngs else []), *late.values()]
        in_place = all(_known_before(module, scope, node, here) for node in needed)
        if not in_place:
            self._check_move(module, scope, call, here, there)
        added = [f"{name}={text}" for name, text in sizes.arguments.items()]
        added += [f"{name}={text}" for name, text in self._texts(module, sizes, late).items()]
        if conversion.needs_rngs:
            added.append(f"rngs={self._rngs(module, key)}")
        kept: list[ast.expr | ast.keyword] = [*call.args]
        kept += [k for k in call.keywords if k.arg not in _LINEN_ONLY]
        if in_place and module.source.line_text(call.end_lineno or 0).lstrip().startswith(")") and kept:
            return Constructed(self._with_lines(module, call, kept, added))
        arguments = [*(self.expressions.text(module, item) for item in kept), *added]
        text = self.expressions.built(module, call, module.source.segment(call.func), arguments)
        if in_place:
            return Constructed(text)
        return Constructed(f"{module.source.segment(here.targets[0])} = {text}", there, is_handed)

    def _handed(self, module: Module, scope: Scope, init: ast.Call) -> tuple[ast.expr, ast.Call]:
        """The key and the call of the function that initialises a module which it gets."""
        function = self.expressions.facts.function_at(module, init)
        if function is None or not function.gets_module or module.scope_at(init) is not function.scope:
            raise NotIdiomatic("a model that is made elsewhere", module, init)
        (called,) = function.calls
        key = init.args[0]
        if (
            called.module is not module
            or module.scope_at(called.call) is not scope
            or called.grad is not None
        ):
            raise NotIdiomatic("a model that is made elsewhere", module, init)
        if not isinstance(key, ast.Name) or len(function.scope.bindings.get(key.id, ())) != 1:
            raise NotIdiomatic("a key that a function makes", module, init)
        given = function.argument(called.call, key.id)
        if given is None or key.id not in function.positional:
            raise NotIdiomatic("a key that a function makes", module, init)
        return given, called.call

    @staticmethod
    def _with_lines(
        module: Module, call: ast.Call, kept: Sequence[ast.expr | ast.keyword], added: Sequence[str]
    ) -> str:
        """A call with an argument per line gets more of them; its comments stay where they are."""
        if len(kept) < len(call.args) + len(call.keywords):
            raise NotIdiomatic("a name of the module", module, call)
        source = module.source
        start, end = source.span(call)
        last = max(source.span(node)[1] for node in kept)
        closing = source.line_start(call.end_lineno or 0)
        between = source.text[last:closing]
        comma = "" if between.lstrip().startswith(",") else ","
        indent = indentation(source, max(node.lineno for node in kept))
        lines = "".join(f"{indent}{text},\n" for text in added)
        return f"{source.text[start:last]}{comma}{between}{lines}{source.text[closing:end]}"

    def _late(self, instance: Instance, init: ast.Call, sizes: Sizes) -> dict[str, ast.expr]:
        """The inputs of `init` that sizes are read from, by argument."""
        found: dict[str, ast.expr] = {}
        method = instance.cls.method("__call__")
        for name in sizes.inputs:
            node = argument_of(init, method, name) if method is not None else None
            if not isinstance(node, ast.Name | ast.Attribute):
                raise NotIdiomatic(f"the size of `{name}`", instance.reference.module, init)
            found[name] = node
        return found

    def _texts(self, module: Module, sizes: Sizes, late: dict[str, ast.expr]) -> dict[str, str]:
        """The late sizes, read from what the program gives to `init`."""
        texts = {}
        for name, expression in sizes.late.items():
            names = [n for n in ast.walk(ast.parse(expression, mode="eval")) if isinstance(n, ast.Name)]
            own = {n.id for n in names if isinstance(n.ctx, ast.Store)} | _OWN_NAMES
            for node in sorted(names, key=lambda n: -n.col_offset):
                if node.id in own and node.id not in late:
                    continue
                if node.id not in late or node.id in own:
                    raise NotIdiomatic(f"the size `{name}`", module, next(iter(late.values())))
                new = module.source.segment(late[node.id])
                expression = expression[: node.col_offset] + new + expression[node.end_col_offset :]
            texts[name] = expression
        return texts

    def _check_move(
        self, module: Module, scope: Scope, call: ast.Call, here: ast.Assign, there: ast.stmt
    ) -> None:
        """The construction may stand where `init` is called: nothing needs it before, its arguments stay."""
        body = _block(module, here)
        if there not in body or body.index(there) < body.index(here):
            raise NotIdiomatic("`init` stands elsewhere", module, there)
        name = here.targets[0]
        assert isinstance(name, ast.Name)
        between = body[body.index(here) + 1 : body.index(there)]
        inner = {node for statement in between for node in ast.walk(statement)}
        used = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
        if any(isinstance(n, ast.Name) and n.id == name.id for n in inner):
            raise NotIdiomatic("the model is used before `init`", module, here)
        for other in used:
            binder = scope.binder(other)
            if binder is not None and any(b.node in inner for b in binder.bindings[other]):
                raise NotIdiomatic(f"`{other}` changes before `init`", module, here)

    def _rngs(self, module: Module, key: ast.expr) -> str:
        """`nnx.Rngs(key)`; the stream for dropout has a key of its own, which calls then replace."""
        nnx = self.expressions.nnx(module)
        if isinstance(key, ast.Dict):
            names = [str(k.value) if isinstance(k, ast.Constant) else "" for k in key.keys]
            if not all(name.isidentifier() for name in names) or "params" not in names:
                raise NotIdiomatic("the keys of `init`", module, key)
            given = [f"{n}={module.source.segment(v)}" for n, v in zip(names, key.values, strict=True)]
            if self.has_keys and "dropout" not in names:
                given.append("dropout=0")
            return f"{nnx}.Rngs({', '.join(given)})"
        if isinstance(key, ast.Name):
            bindings = module.scope_at(key).lookup(key.id)
            if any(isinstance(b.value, ast.Dict | ast.DictComp) for b in bindings):
                raise NotIdiomatic("the keys of `init`", module, key)
        text = module.source.segment(key)
        if isinstance(key, ast.Call) and len(key.args) == 1 and not key.keywords:
            seed = key.args[0]
            literal = isinstance(seed, ast.Constant) and type(seed.value) is int
            if literal and self.expressions.qualified(module, key.func) in _KEYS:
                text = module.source.segment(seed)
        return f"{nnx}.Rngs({text}{', dropout=0' if self.has_keys else ''})"


def _block(module: Module, node: ast.stmt) -> list[ast.stmt]:
    parent = module.parents[node]
    for name in ("body", "orelse", "finalbody"):
        body = getattr(parent, name, None)
        if isinstance(body, list) and node in body:
            return body
    return [node]


def _known_before(module: Module, scope: Scope, node: ast.expr, place: ast.stmt) -> bool:
    """Whether every name in an expression has its value, for good, before a statement."""
    for name in (n for n in ast.walk(node) if isinstance(n, ast.Name)):
        binder = scope.binder(name.id)
        if binder is None or (binder is not scope and binder.is_module):
            continue
        if binder is not scope:
            return False
        lines = [getattr(b.node, "lineno", 0) for b in binder.bindings[name.id]]
        if any(line >= place.lineno for line in lines):
            return False
    return True
