"""The constructor of a class: its parameters, the fields, the modules that setup and compact methods create."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.classes.post_init import NAME
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.factories.compared import kept_fields
from nnx_migrate.linen.factories.values import Factory
from nnx_migrate.linen.given.left_out import may_be_none
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.nnx.writer.channels_first import channels_first
from nnx_migrate.nnx.writer.construction.writer import RNGS, ConstructionWriter
from nnx_migrate.nnx.writer.constructor.chosen_sizes import chosen, put
from nnx_migrate.nnx.writer.constructor.dict_fields import dict_properties
from nnx_migrate.nnx.writer.constructor.fields import field_assignments, field_parameters, signature
from nnx_migrate.nnx.writer.constructor.inheritance import Inheritance
from nnx_migrate.nnx.writer.constructor.placement import Placement
from nnx_migrate.nnx.writer.constructor.setup import SetupWriter
from nnx_migrate.nnx.writer.constructor.setup_helpers import SetupHelpers
from nnx_migrate.nnx.writer.constructor.shared_loops import carried_by_setup
from nnx_migrate.nnx.writer.constructor.size_parameters import check_kind, size_annotation
from nnx_migrate.nnx.writer.constructor.size_variables import named
from nnx_migrate.nnx.writer.methods.caches import own_caches
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import rng_attribute, stream_of
from nnx_migrate.nnx.writer.residual.allocation import NameAllocator, size_tokens, texts
from nnx_migrate.nnx.writer.residual.emit import Emitter
from nnx_migrate.nnx.writer.residual.nodes import Node, unconditional
from nnx_migrate.nnx.writer.residual.repeated_sizes import with_repeated_sizes
from nnx_migrate.nnx.writer.residual.setup_rounds import check_variables
from nnx_migrate.nnx.writer.symbols import SizeNames, SizeParameter, input_paths
from nnx_migrate.nnx.writer.text import indentation, with_quotes_of
from nnx_migrate.nnx.writer.unpacked import unpacked_names
from nnx_migrate.nnx.writer.written import WrittenClass
from nnx_migrate.sources.lines import line_limit
from nnx_migrate.sources.text import Edit


class ConstructorWriter:
    """Writes the constructor of one class. Raises Refuse."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        constructions: ConstructionWriter,
        inheritance: Inheritance | None,
        factories: Mapping[str, Factory],
    ) -> None:
        self.analysis, self.names = analysis, names
        self.cls, self.source = analysis.cls, names.module.source
        self.renderer, self.constructions = constructions.renderer, constructions
        self.inheritance, self.factories = inheritance, factories
        self.limit = line_limit(self.source)
        self.placement = Placement(self.cls, self.source)
        self.helpers = SetupHelpers(analysis, names, self.renderer, self._method_text)
        self.carried: set[str] = set()
        self.optional: set[str] = set()  # tokens of sizes that need not be given

    def edits(self, nodes: list[Node], written: WrittenClass) -> list[Edit]:
        """The constructor for the nodes of the compact methods; says in `written` what it takes."""
        indent = indentation(self.source, self.cls.node.body[0].lineno)
        unit = self._unit(indent)
        setup = self.cls.own_methods.get("setup")
        nodes, setup_text = self._with_setup(nodes, setup)
        nodes = with_repeated_sizes(nodes, self.analysis, self._taken_names())
        check_variables(self.analysis, nodes)
        parameters = self._size_names(nodes, setup_text, written)
        first = self._post_init(set(parameters.values()))
        taken = self._taken_names()
        later = {m.group() for text in texts(nodes) for m in TOKEN.finditer(text)}
        local = (
            {n.id for n in ast.walk(setup.node) if isinstance(n, ast.Name)} if setup is not None else set()
        )
        setup_text, carried = named(setup_text, parameters, taken, later, local)
        shared = {token: name for token, name in carried.items() if token in later}
        allocator = NameAllocator(nodes, {**parameters, **shared}, {*taken, *carried.values()})
        lines = Emitter(allocator, unit, self.limit).lines(nodes, indent + unit)
        streams = self._streams()
        own = [
            *(f"{indent}{unit}self.{name} = {stream_of(stream)}.fork()" for stream, name in streams.items()),
            *(f"{indent}{unit}{line}" for line in self._caches()),
        ]
        uses_rngs = any(RNGS in line for line in [*own, *lines]) or RNGS in setup_text
        uses_rngs = uses_rngs or (self._super is not None and self._super.base.needs_rngs)
        written.needs_rngs = uses_rngs
        annotations = {size.name: size_annotation(size, self.names) for size in written.sizes}
        keyword_only = [
            f"{name}: {annotations.get(name, 'int')}" for name in dict.fromkeys(parameters.values())
        ]
        if uses_rngs:
            keyword_only.append(f"{RNGS}: {self.names.nnx()}.Rngs")
        fields = field_parameters(self.cls, self.constructions, self.factories)
        base = self._super
        nothing_own = not self.cls.own_fields and not (own or lines) and not setup_text.strip() and not first
        same_sizes = base is None or not any(
            dim != Dim.symbol(size.token, 1)
            for size in base.base.sizes
            for dim in [base.given.get(size.name)]
            if dim is not None
        )
        if nothing_own and same_sizes and (base is not None or not (fields or keyword_only)):
            written.has_constructor = base is not None
            return [self.placement.removed_method(setup)] if setup is not None else []
        head = signature(fields, keyword_only, indent, unit, self.limit)
        done = frozenset(f.name for f in base.base.cls.fields) if base is not None else frozenset()
        done |= frozenset(self.factories) - kept_fields(self.constructions.known_factories.program, self.cls)
        before = [
            *field_assignments(self.cls, self.names, indent + unit, unit, done),
            *self._guards(indent + unit, unit),
            *first,
        ]
        before += [*self._stand_ins(parameters, indent + unit, unit), *own]
        if base is not None:
            call_text = base.call_text(lambda dim: TOKEN.sub(lambda m: parameters[m.group()], dim.text()))
            setup_text, placed = _place_super(setup_text, call_text)
            if not placed:
                before.insert(0, f"{indent}{unit}{call_text}")
        if setup_text.strip():  # Linen runs it before any other method
            before.append(setup_text.rstrip("\n"))
        gap = [""] if before and lines and lines[0].lstrip().startswith("def ") else []
        body = [*(before or lines or [f"{indent}{unit}pass"]), *(gap + lines if before else [])]
        text = "\n".join([*head, *body, *dict_properties(self.cls, self.names, indent, unit)])
        text = with_quotes_of(self.source, text)
        removed = self.cls.own_methods.get(NAME)
        gone = [self.placement.removed_method(removed)] if removed is not None else []
        dtypes = {size.token for size in written.sizes if size.is_dtype}
        written.making = {method.name for method in self.helpers.texts}
        gone += self.helpers.edits({**parameters, **carried}, self.optional, dtypes, self.limit)
        return [*self.placement.place(text, setup), *gone]

    def _with_setup(self, nodes: list[Node], setup: Method | None) -> tuple[list[Node], str]:
        """What compact methods need of the constructor, and the text of setup, which may carry sizes for them."""
        if setup is None:
            return nodes, ""
        left, shared = carried_by_setup(nodes, self.analysis, self.constructions.carried)
        try:
            return left, self._setup_text(setup, shared)
        except Refuse:
            if not shared:
                raise
            return nodes, self._setup_text(setup, [])

    def _setup_text(self, setup: Method, shared: Sequence[str]) -> str:
        text = self._method_text(setup, (), shared)
        self.helpers.check_sizes(text, (), setup)
        return text

    def _method_text(self, method: Method, context: Context, shared: Sequence[str] = ()) -> str:
        writer = SetupWriter(
            self.analysis, self.names, self.renderer, self.constructions, method, self.helpers, context
        )
        text = writer.text(self.limit, shared)
        self.carried |= {p.token for sizes in writer.carrying.sizes.values() for p in sizes}
        self.carried |= writer.carrying.given
        return self._without_phis(text, method)

    def _guards(self, indent: str, unit: str) -> list[str]:
        """The lines that refuse axes other than those that sizes were derived for."""
        lines: list[str] = []
        for name, value in self.analysis.fixed.items():
            lines.append(f"{indent}if self.{name} != {value}:")
            lines.append(f'{indent}{unit}raise NotImplementedError("sizes are those for {name}={value}")')
        return lines

    def _post_init(self, sizes: set[str]) -> list[str]:
        """The lines of the class's own `__post_init__`, which the constructor runs before all that creates modules."""
        method = self.cls.own_methods.get(NAME)
        if method is None:
            return []
        if self._super is not None:
            raise Refuse("unsupported-api", f"`{NAME}` of a class whose base has a constructor", method.node)
        stored = {
            n.id for n in ast.walk(method.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        taken = (
            sizes | {f.name for f in self.cls.fields} | set(self.names.module.scopes.module.bindings) | {RNGS}
        )
        if stored & taken:
            raise Refuse(
                "name-clash", f"`{min(stored & taken)}` is a local variable of `{NAME}`", method.node
            )
        writer = SetupWriter(
            self.analysis, self.names, self.renderer, self.constructions, method, self.helpers
        )
        text = TOKEN.sub(lambda m: m["name"], writer.text(self.limit))
        return text.rstrip("\n").split("\n") if text.strip() else []

    @property
    def _super(self) -> Inheritance | None:
        """The base whose constructor is called, if any."""
        found = self.inheritance
        return found if found is not None and found.calls_super and found.base.has_constructor else None

    def _without_phis(self, text: str, method: Method) -> str:
        """Sizes that conditions in a method decide, written as conditional expressions in `method`."""
        for _ in range(20):
            match = next(
                (m for m in TOKEN.finditer(text) if m["kind"] in "pl" and m.group() not in self.carried), None
            )
            if match is None:
                return text
            phi = self.analysis.facts.phis.get(int(match["id"])) if match["kind"] == "p" else None
            if phi is not None and phi.result is not None and phi.result.known:
                text = text.replace(match.group(), f"({self.renderer.dim(phi.result, phi.node)})")
                continue
            if phi is None or not isinstance(phi.node, ast.If | ast.IfExp):
                if match["kind"] == "l" and match["name"] in text.replace(match.group(), ""):
                    text = text.replace(match.group(), match["name"])
                    continue
                raise Refuse("unknown-size", "a size that a loop changes is needed in setup", self.cls.node)
            self.helpers.check_condition(phi.node, method)
            text = put(text, match.group(), chosen(self.renderer, phi, phi.node))
        raise Refuse("unknown-size", "a size that many conditions decide", self.cls.node)

    def _streams(self) -> dict[str, str]:
        """The random streams that the class's own methods draw from, with the attributes that hold them."""
        calls = self.analysis.facts.rng_calls
        own = {node for method in own_methods(self.cls) for node in ast.walk(method.node)}
        found = {
            stream: rng_attribute(stream)
            for (_, node), stream in sorted(calls.items(), key=lambda c: c[1])
            if node in own
        }
        taken = {f.name for f in self.cls.fields} | self.analysis.session.attributes.keys()
        taken.update(*(owner.own_methods for owner in self.cls.mro))
        taken.update(site.attribute for site in self.analysis.sites)
        taken.update(variable.attribute for variable in self.analysis.variables)
        for stream, name in found.items():
            if name in taken or list(found.values()).count(name) > 1:
                raise Refuse("name-clash", f"the random stream `{stream}` would be `{name}`", self.cls.node)
        return found

    def _caches(self) -> list[str]:
        """The attributes of caches, which calls fill."""
        nnx = self.names.nnx()
        return [
            f"self.{v.attribute}: {nnx}.Cache | None = {nnx}.data(None)" for v in own_caches(self.analysis)
        ]

    def _size_names(self, nodes: list[Node], setup_text: str, written: WrittenClass) -> dict[str, str]:
        session, call = self.analysis.session, self.cls.method("__call__")
        found = SizeNames(
            frozenset({f.name for f in self.cls.fields} | self.renderer.needed | self.helpers.own_names),
            session.input_ranks,
            unbatched=frozenset(session.unbatched),
            channels_first=channels_first(self.analysis),
            paths=input_paths(list(session.inputs_seen)),
            parts={**(unpacked_names(call.node) if call is not None else {}), **session.handed_on},
        )
        for token in size_tokens(nodes):
            found.use(token)
        found.use(setup_text)
        self.optional = self._optional(found, [*texts(nodes), setup_text])
        always = [*texts(unconditional(nodes)), setup_text]
        self.optional |= {token for token in found.used if self._may_be_left_out(token, found, always)}
        found.optional = frozenset(self.optional)
        if self._super is not None:
            for size in self._super.base.sizes:
                if size.name not in self._super.given:
                    found.require(size)
                elif self._super.given[size.name] == Dim.symbol(size.token, 1):
                    found.require(size)  # the same input
                else:
                    found.use(self.renderer.dim(self._super.given[size.name], self.cls.node))
                    self._check_input_sizes(self._super.given[size.name])
        names = found.names()
        for token, (path, axis) in found.used.items():
            size = SizeParameter(
                names[token],
                self._method_of(path),
                path,
                axis,
                token in found.flat,
                token in self.optional,
                token in found.dtypes,
                found.listed.get(token),
                token in found.joined,
            )
            check_kind(self.cls, size)
            written.sizes.append(size)
        written.sizes.sort(key=lambda s: list(names.values()).index(s.name))
        return names

    def _optional(self, found: SizeNames, texts: Sequence[str]) -> set[str]:
        """The sizes of arguments that conditions test for None, that something stands in for, or that are only
        handed on to where that happens.
        """
        fallbacks = self.analysis.session.fallbacks
        optional: set[str] = set()
        for token in list(found.used):
            if token in self.renderer.asked:
                self._check_asked(token, found.used[token][0], texts)
                optional.add(token)
                continue
            arguments = [text for size, text in self.constructions.passed_on if size == token]
            if arguments and token in fallbacks:
                detail = (
                    f"what stands in for `{found.used[token][0][0]}` is not what a submodule takes instead"
                )
                raise Refuse("unknown-size", detail, self.cls.node)
            if token in fallbacks:
                found.use(fallbacks[token].text())
                optional.add(token)
            elif arguments and not any(_names(_without(text, arguments), token) for text in texts):
                optional.add(token)
        return optional

    def _may_be_left_out(self, token: str, found: SizeNames, always: Sequence[str]) -> bool:
        """Whether only layers under conditions need a size of an argument that may be None."""
        path = found.used[token][0]
        if len(path) > 1 or token in found.dtypes or any(_names(text, token) for text in always):
            return False
        method = self.cls.method(self._method_of(path))
        return method is not None and may_be_none(self.analysis.session.program, self.cls, method, path[0])

    def _check_asked(self, token: str, path: tuple[str | int, ...], texts: Sequence[str]) -> None:
        """An argument that a condition tests for None has to have a size, if given, and nothing may stand in for it."""
        if token in self.analysis.session.fallbacks:
            detail = f"a condition asks for `{path[0]}`, and elsewhere something stands in for it"
            raise Refuse("unknown-size", detail, self.cls.node)
        has_axes = bool(self.analysis.session.input_ranks.get(path))
        tests = [f"{token} is None", f"{token} is not None"]
        if not has_axes and not any(_names(_without(text, tests), token) for text in texts):
            detail = f"`{path[0]}` is known only when the module is called, and nothing shows its rank"
            raise Refuse("dynamic-construction", detail, self.cls.node)

    def _stand_ins(self, parameters: Mapping[str, str], indent: str, unit: str) -> list[str]:
        """`if context_features is None: context_features = in_features`."""
        lines: list[str] = []
        for token, dim in self.analysis.session.fallbacks.items():
            if token in self.optional:
                name = parameters[token]
                text = TOKEN.sub(lambda m: parameters[m.group()], self.renderer.dim(dim, self.cls.node))
                lines += [f"{indent}if {name} is None:", f"{indent}{unit}{name} = {text}"]
        return lines

    def _check_input_sizes(self, size: Dim) -> None:
        """What the base's constructor gets has to be an expression over the inputs alone."""
        if any(m["kind"] not in "af" for m in TOKEN.finditer(size.text())):
            raise Refuse("unknown-size", "a size that the base class gets", self.cls.node)

    def _method_of(self, path: tuple[str | int, ...]) -> str:
        """The method whose argument an input is."""
        for method in self.analysis.methods:
            if path[0] in method.parameters:
                return method.name
        return "__call__"

    def _taken_names(self) -> set[str]:
        names = {f.name for f in self.cls.own_fields} | {RNGS, "self"} | set(self.renderer.needed)
        for method in own_methods(self.cls):
            names.update(
                n.id
                for n in ast.walk(method.node)
                if isinstance(n, ast.Name) and n.id in self.renderer.needed
            )
        names.update(self.names.module.scopes.module.bindings)
        return names

    def _unit(self, indent: str) -> str:
        for method in self.cls.own_methods.values():
            inner = indentation(self.source, method.node.body[0].lineno)
            if len(inner) > len(indent):
                return inner[len(indent) :]
        return indent.removeprefix(indentation(self.source, self.cls.node.lineno)) or "    "


def _without(text: str, parts: Sequence[str]) -> str:
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "")
    return text


def _names(text: str, token: str) -> bool:
    return any(match.group() == token for match in TOKEN.finditer(text))


def _place_super(setup_text: str, call: str) -> tuple[str, bool]:
    """Put the constructor call where setup calls the base's setup; False where it doesn't."""
    for old in ("super().setup()",):
        if old in setup_text:
            return setup_text.replace(old, call, 1), True
    return setup_text, False


def own_methods(cls: LinenClass) -> list[Method]:
    """The methods of the class that stay methods."""
    return [m for m in cls.own_methods.values() if m.name not in ("setup", NAME)]
