"""Rule `namedtuple-static-arg`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from nnx_migrate.rules._sites import Patches, RefusalError
from nnx_migrate.rules._static_arguments import JIT, Jitting, decorator_jitting, edits_without, jitting

from nnx_migrate.engine.callees import PARTIAL, Callees, FunctionNode
from nnx_migrate.engine.context import CannotName, ProjectContext
from nnx_migrate.engine.findings import Finding, Fix
from nnx_migrate.engine.follow import Follower
from nnx_migrate.engine.follow_kinds import DONE, Function, Kind, Value
from nnx_migrate.engine.positions import type_position
from nnx_migrate.engine.rule import ProjectRule
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import Guard

CONFIG = "config"
_PLAIN = {"int", "float", "bool", "str", "bytes", "complex", "None"}
_UNHASHABLE = {"list", "dict", "set", "List", "Dict", "Set", "MutableMapping", "FrozenDict"}
_ARRAYS = {
    "ndarray",
    "Array",
    "ArrayLike",
    "PRNGKey",
    "PRNGKeyArray",
    "KeyArray",
    "Tensor",
    "DeviceArray",
    "PyTree",
    "Params",
}
_SHOWS = {"print", "repr", "str", "hash", "isinstance", "type", "id"}
_TRACING = {"jax.vmap", "jax.pmap", "jax.checkpoint", "jax.remat", "jax.experimental.pjit.pjit"}


class NamedtupleStaticArg(ProjectRule):
    """NamedTuple classes that are passed as static arguments of `jax.jit`.

    What it finds
    -------------
    `class Config(NamedTuple)` whose instances go to a parameter that is named in `static_argnums` or
    `static_argnames`.

    Why
    ---
    A NamedTuple is a pytree: forget to mark it static in one place, or wrap the function once more, and its
    numbers are traced there. A dataclass whose fields are metadata is static by itself, wherever it goes.

    Example
    -------
        class Config(NamedTuple):
            layers: int
            rate: float = 0.1

        @partial(jax.jit, static_argnames="config")
        def apply(config, params, x): ...

    becomes

        @partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["layers", "rate"])
        @dataclasses.dataclass(frozen=True)
        class Config:
            layers: int
            rate: float = 0.1

        @jax.jit
        def apply(config, params, x): ...

    Fix safety
    ----------
    Safe where every instance can be followed to every use: reads of fields stay, `_replace` and `_asdict`
    are rewritten, and the parameter is taken out of the static arguments. Left alone, with a reason:
    classes whose instances are indexed, unpacked, iterated over, compared, saved, mapped over as pytrees,
    traced elsewhere or handed to code out of sight; fields that hold arrays or can't be hashed; derived
    classes.

    Since
    -----
    JAX 0.4.27 has `register_dataclass` for metadata fields.

    References
    ----------
    JAX documentation: jax.tree_util.register_dataclass; "Custom pytree nodes".
    """

    id = "namedtuple-static-arg"
    group = "jax"
    since = "jax>=0.4.27"
    texts = ("static_arg", "NamedTuple")

    def check_project(self, project: ProjectContext) -> Iterator[Finding]:
        """One finding per class."""
        jitting = [project.project.text(path) for path in project.project.files_mentioning("static_arg")]
        if not jitting:
            return
        callees = Callees(project.project)
        files = project.project.files_where(lambda text: _CLASS.search(text) is not None)
        find = partial(_named_tuples, project=project, jitting=jitting)
        for module, classes in project.project.having(files, find):
            for node in classes:
                yield from self._class(project, callees, module, node)

    def _class(
        self, project: ProjectContext, callees: Callees, module: Module, node: ast.ClassDef
    ) -> Iterator[Finding]:
        config = _Config(project, callees, module, node)
        if not config.follow():
            return
        file = project.file(module)
        span = _name_span(module, node)
        message = f"NamedTuple `{node.name}` is passed as a static argument"
        try:
            fix = config.fix()
        except RefusalError as refusal:
            yield self.finding(file, span, message, reason=refusal.reason, help=str(refusal))
        except CannotName as error:
            yield self.finding(file, span, message, reason="name-taken", help=str(error))
        else:
            yield self.finding(file, span, message, fix, help=fix.title)


@dataclass
class _Semantics:
    fields: set[str]
    methods: set[str]
    makers: set[str] = field(default_factory=set)  # methods that return an instance
    replaced: dict[ast.Call, Module] = field(default_factory=dict)
    as_dicts: dict[ast.Call, Module] = field(default_factory=dict)

    def attribute(self, value: Value, node: ast.Attribute) -> tuple[ast.expr, Kind] | None:
        """Fields, methods, `_replace`, `_asdict`."""
        parent = value.module.parents[node]
        call = parent if isinstance(parent, ast.Call) and parent.func is node else None
        if not isinstance(node.ctx, ast.Load):
            return None
        if call is not None and node.attr in self.makers:
            return call, CONFIG
        if node.attr in self.fields or node.attr in self.methods:
            return node, DONE
        if call is not None and not call.args and node.attr == "_replace":
            self.replaced[call] = value.module
            return call, CONFIG
        if call is not None and not call.args and not call.keywords and node.attr == "_asdict":
            self.as_dicts[call] = value.module
            return call, DONE
        return None

    def passed(self, value: Value, call: ast.Call, callee: str | None) -> Kind | None:
        """Functions that only look at it."""
        builtin = isinstance(call.func, ast.Name) and callee is None and call.func.id in _SHOWS
        if builtin and call.func.id == "isinstance" and isinstance(call.args[-1], ast.Name | ast.Attribute):  # type: ignore[attr-defined]
            return None if ast.unparse(call.args[-1]) == "tuple" else DONE
        return DONE if builtin and call.func.id != "isinstance" else None  # type: ignore[attr-defined]

    def called(self, value: Value, call: ast.Call) -> Kind | None:
        """Instances aren't called."""
        return None

    def other(self, value: Value, parent: ast.AST) -> Kind | None:
        """f-strings and `del`."""
        return DONE if isinstance(parent, ast.FormattedValue | ast.Delete) else None


class _Config:
    """One NamedTuple class with all its instances."""

    def __init__(self, project: ProjectContext, callees: Callees, module: Module, node: ast.ClassDef) -> None:
        self.project, self.callees, self.module, self.node = project, callees, module, node
        self.qualified = project.project.resolve_name(node.name, module.scope_at(node), module) or ""
        statements = [s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
        self.fields = {s.target.id: s for s in statements if isinstance(s.target, ast.Name)}
        self.methods = {s.name: s for s in node.body if isinstance(s, ast.FunctionDef)}
        plain = {
            t.id for s in node.body if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)
        }
        self.semantics = _Semantics(set(self.fields), {*self.methods, *plain})
        self.follower = Follower(project.project, self.semantics, callees)
        makers = {name: m for name, m in self.methods.items() if self._makes_one(m)}
        self.semantics.makers = set(makers)
        self.follower.handled = set(makers.values())
        self.problems: list[RefusalError] = []

    # -- following ----------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """Follow all instances. False where none of them is a static argument."""
        seeds: list[Value] = []
        for module, node in self.callees.mentions(self.node.name, self.module):
            if self.callees.name(module, node) != self.qualified:
                continue
            parent = module.parents[node]
            if isinstance(parent, ast.Call) and parent.func is node:
                seeds.append(Value(module, parent, CONFIG))
            elif isinstance(parent, ast.arg):
                self._annotated(module, parent)
            elif isinstance(parent, ast.Attribute) and self._is_called_on_class(module, parent):
                if parent.attr in self.semantics.makers:
                    call = module.parents[parent]
                    assert isinstance(call, ast.Call)
                    seeds.append(Value(module, call, CONFIG))
            elif not self._harmless(module, node, parent):
                self._problem("class-as-value", module, node, f"`{self.node.name}` itself is used as a value")
        for method in self.methods.values():
            self._self(method)
        self.follower.run(seeds)
        self.jits = self._jits()
        static = [(j, f, p) for (f, p), j in self.jits if j.is_static(f, p)]
        self.static = static
        return bool(static)

    def _makes_one(self, method: ast.FunctionDef) -> bool:
        """True where a method returns an instance, made by `_replace` or the constructor, in every case."""
        returns = [n.value for n in ast.walk(method) if isinstance(n, ast.Return)]
        first = method.args.args[0].arg if method.args.args else ""
        makers = {f"{first}._replace", first, self.node.name}
        return bool(returns) and all(
            isinstance(v, ast.Call) and ast.unparse(v.func) in makers for v in returns
        )

    def _is_called_on_class(self, module: Module, node: ast.Attribute) -> bool:
        """`Config.default()`: a class or static method."""
        method = self.methods.get(node.attr)
        call = module.parents[node]
        marks = {ast.unparse(d) for d in method.decorator_list} if method else set()
        return (
            bool(marks & {"classmethod", "staticmethod"}) and isinstance(call, ast.Call) and call.func is node
        )

    def _harmless(self, module: Module, node: ast.expr, parent: ast.AST) -> bool:
        if (
            isinstance(parent, ast.Call)
            and isinstance(parent.func, ast.Name)
            and parent.func.id == "isinstance"
        ):
            return True
        return type_position(node, self.project.file(module))

    def _annotated(self, module: Module, arg: ast.arg) -> None:
        """A parameter with the class as its annotation."""
        function = module.parents[module.parents[arg]]
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            self.follower.parameter(module, function, arg, CONFIG)

    def _self(self, method: ast.FunctionDef) -> None:
        decorators = {ast.unparse(d) for d in method.decorator_list}
        if not method.args.args or "staticmethod" in decorators:
            return
        name = method.args.args[0].arg
        scope = self.module.scopes.of_node[method]
        for reference in self.module.scopes.names.get(name, ()):
            if reference.scope.binder(name) is not scope:
                continue
            if "classmethod" in decorators:
                parent = self.module.parents[reference.node]
                if not (isinstance(parent, ast.Call) and parent.func is reference.node):
                    self._problem(
                        "class-as-value", self.module, reference.node, f"`{name}` is used as a value"
                    )
                else:
                    self.follower.add(self.module, parent, CONFIG)
            else:
                self.follower.add(self.module, reference.node, CONFIG)

    def _problem(self, reason: str, module: Module, node: ast.AST, why: str) -> None:
        self.problems.append(RefusalError(reason, f"{module.path.name}:{getattr(node, 'lineno', 0)}: {why}"))

    def _jits(self) -> list[tuple[tuple[FunctionNode, ast.arg], Jitting]]:
        """Each jit of each function that gets an instance, by parameter."""
        parameters = [key for key, kind in self.follower.parameters.items() if kind == CONFIG]
        parameters += [(m, m.args.args[0]) for m in self.methods.values() if m.args.args]
        found: list[tuple[tuple[FunctionNode, ast.arg], Jitting]] = []
        for function, parameter in parameters:
            module = self.follower.functions.get(function, self.module)
            for decorator in getattr(function, "decorator_list", ()):
                jit = decorator_jitting(module, decorator, self.callees)
                if jit is not None:
                    found.append(((function, parameter), jit))
                elif self._traces(module, decorator):
                    self._problem("traced", module, decorator, "a transformation takes it apart as a pytree")
            for value in self.follower.values.values():
                if not isinstance(value.kind, Function) or value.kind.callee.node is not function:
                    continue
                call = value.module.parents[value.node]
                if not isinstance(call, ast.Call) or call.args[:1] != [value.node]:
                    continue
                name = self.callees.name(value.module, call.func)
                if name in JIT:
                    if value.kind.callee.bound and not isinstance(value.node, ast.Attribute):
                        self._problem(
                            "partial", value.module, call, "arguments are bound before the function is jitted"
                        )
                    found.append(((function, parameter), jitting(value.module, call, call, self.callees)))
                elif name in _TRACING:
                    self._problem("traced", value.module, call, "a transformation takes it apart as a pytree")
        return found

    def _traces(self, module: Module, decorator: ast.expr) -> bool:
        call = decorator if isinstance(decorator, ast.Call) else None
        names = [self.callees.name(module, call.func if call else decorator)]
        if call is not None and names == [PARTIAL] and call.args:
            names.append(self.callees.name(module, call.args[0]))
        return any(n in _TRACING for n in names)

    # -- rewriting ----------------------------------------------------------------------------------------

    def fix(self) -> Fix:
        """The fix. Raises RefusalError, CannotName."""
        self._check()
        patches = Patches(self.project)
        builder = self.project.file(self.module).fix()
        source = self.module.source
        node = self.node
        base = node.bases[0]
        start = _name_span(self.module, node)[1]
        end = source.text.index(":", source.span(base)[1])
        if "#" in source.text[start:end]:
            raise RefusalError("comment", "a comment stands between the class's bases")
        patches.replace(self.module, (start, end), "")
        names = ", ".join(f'"{name}"' for name in self.fields)
        register = builder.name("jax.tree_util.register_dataclass", at=node)
        partial, frozen = (
            builder.name("functools.partial", at=node),
            builder.name("dataclasses.dataclass", at=node),
        )
        margin = source.text[source.line_start(node.lineno) : source.span(node)[0]]
        decorators = [
            f"@{partial}({register}, data_fields=[], meta_fields=[{names}])",
            f"@{frozen}(frozen=True)",
        ]
        text = "".join(f"{decorator}\n{margin}" for decorator in decorators)
        place = source.span(node)[0]
        patches.replace(self.module, (place, place), text)
        for call, module in self.semantics.replaced.items():
            assert isinstance(call.func, ast.Attribute)
            owner = call.func.value
            name = builder.other_file(module).name("dataclasses.replace", at=call)
            first, opened = module.source.span(owner), module.source.span(call.func)[1] + 1
            patches.replace(module, (first[0], first[0]), f"{name}(")
            patches.replace(module, (first[1], opened), ", " if call.keywords else "")
        for call, module in self.semantics.as_dicts.items():
            assert isinstance(call.func, ast.Attribute)
            name = builder.other_file(module).name("dataclasses.asdict", at=call)
            first = module.source.span(call.func.value)
            patches.replace(module, (first[0], first[0]), f"{name}(")
            patches.replace(module, (first[1], module.source.span(call)[1]), ")")
        for jit, function, parameter in self.static:
            for span, new in edits_without(jit, function, parameter):
                patches.replace(jit.module, span, new)
        patches.into(builder)
        return builder.build("make it a frozen dataclass whose fields are static")

    def _check(self) -> None:
        if self.problems:
            raise self.problems[0]
        if self.follower.escapes:
            escape = self.follower.escapes[0]
            line = getattr(escape.node, "lineno", 0)
            raise RefusalError("not-followed", f"{escape.module.path.name}:{line}: {escape.why}")
        node = self.node
        if len(node.bases) != 1 or node.keywords or node.decorator_list or not self.fields:
            raise RefusalError("class-form", "it has other bases or decorators as well")
        if "__new__" in self.methods or "__init__" in self.methods:
            raise RefusalError("class-form", "it has a constructor of its own")
        for name, statement in self.fields.items():
            words = {n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(statement.annotation)
                     if isinstance(n, ast.Name | ast.Attribute)}  # fmt: skip
            if words & _ARRAYS:
                raise RefusalError("array-field", f"field `{name}` holds arrays, which can't be static")
            if words & _UNHASHABLE or isinstance(statement.value, ast.List | ast.Dict | ast.Set):
                raise RefusalError("unhashable-field", f"field `{name}` can't be hashed")
            if self.semantics.as_dicts and not words <= {*_PLAIN, "Optional", "typing", "Literal"}:
                raise RefusalError("asdict", f"dataclasses.asdict may treat field `{name}` differently")
        if any(kind != CONFIG for kind in self.follower.parameters.values()):
            raise RefusalError("not-followed", "it is passed inside of a tuple")
        if self.follower.fields.followed:
            raise RefusalError("not-followed", "another dataclass holds it, which may be traced")
        for (function, parameter), jit in self.jits:
            if not jit.readable:
                raise RefusalError(
                    "static-arguments", "the static arguments aren't literal, or shardings depend on them"
                )
            if not jit.is_static(function, parameter):
                line = getattr(jit.node, "lineno", 0)
                raise RefusalError("traced", f"{jit.module.path.name}:{line}: it is traced there, not static")


_CLASS = re.compile(r"class\s+\w+\s*\([^)]*NamedTuple")


def _named_tuples(module: Module, project: ProjectContext, jitting: list[str]) -> list[ast.ClassDef]:
    """The classes of a file that derive from NamedTuple and are the only meaning of their name.

    A large project has hundreds of them: those are taken that are named near static arguments.
    """
    found = []
    for node, inside in module.scopes.of_node.items():
        if not isinstance(node, ast.ClassDef) or inside.parent is None:
            continue
        if not any(node.name in text for text in jitting):
            continue
        names = (project.project.resolve(base, inside.parent, module) for base in node.bases)
        bindings = inside.parent.lookup(node.name)
        if len(bindings) == 1 and bindings[0].guard is Guard.NONE and "typing.NamedTuple" in names:
            found.append(node)
    return found


def _name_span(module: Module, node: ast.ClassDef) -> tuple[int, int]:
    text = module.source.text
    start = text.index(node.name, module.source.span(node)[0] + len("class"))
    return start, start + len(node.name)
