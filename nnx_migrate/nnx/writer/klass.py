"""A whole class: bases, constructor, methods."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.model import LinenClass, Method
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.values import Instance, Maybe
from nnx_migrate.nnx.writer.allocation import NameAllocator, size_tokens
from nnx_migrate.nnx.writer.body import BodyEditor, inside_maker, rng_attribute
from nnx_migrate.nnx.writer.construction import RNGS, ConstructionWriter
from nnx_migrate.nnx.writer.constructor import Parameter, field_assignments, field_parameters, signature
from nnx_migrate.nnx.writer.emit import Emitter
from nnx_migrate.nnx.writer.inheritance import Inheritance
from nnx_migrate.nnx.writer.lifting import decorator_edits
from nnx_migrate.nnx.writer.local_lists import LocalList, find_local_lists
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import RESERVED, Names, name_sites
from nnx_migrate.nnx.writer.nodes import Node
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual import Residual
from nnx_migrate.nnx.writer.setup import SetupWriter
from nnx_migrate.nnx.writer.state import check_state
from nnx_migrate.nnx.writer.symbols import SizeNames, SizeParameter, input_paths
from nnx_migrate.nnx.writer.text import indentation, line_limit
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion


@dataclass
class WrittenClass:
    """The edits of one class and what its users have to know."""

    edits: list[Edit] = field(default_factory=list)
    sizes: list[SizeParameter] = field(default_factory=list)
    needs_rngs: bool = True
    constructions: dict[ast.Call, str] = field(default_factory=dict)
    has_constructor: bool = True


class ClassWriter:
    """Writes one class. Raises Refuse."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        converted: Callable[[LinenClass], ClassConversion],
        factories: Factories,
    ) -> None:
        self.analysis, self.names = analysis, names
        self.cls, self.source = analysis.cls, names.module.source
        self.renderer = InitRenderer(analysis, names, self._access)
        self.constructions = ConstructionWriter(analysis, names, self.renderer, converted, factories)
        self.renderer.element = self.constructions.element
        self.limit = line_limit(self.source)
        self.converted, self.factories = converted, factories.of(analysis.cls)
        self.inheritance: Inheritance | None = None
        self.carried: set[str] = set()
        self.lists: dict[str, list[LocalList]] = {}

    def write(self) -> WrittenClass:
        """All edits of the class."""
        self._check()
        self._find_base()
        self._name_everything()
        check_state(self.analysis, self._own_names())
        if self.inheritance is not None and self.inheritance.calls_super:
            self.inheritance.check_sizes(self.constructions)
        edits = self._bases()
        nodes = self._nodes()
        for method in self._own_methods():
            edits += self._decorators(method)
            lists = self.lists.get(method.name, []) if method.owner is self.cls else []
            edits += BodyEditor(self.analysis, self.names, self.constructions, method, lists).edits()
            edits += self._signature_edits(method)
        written = WrittenClass()
        for site in self.analysis.sites:
            callee, arguments = self.constructions.parts(site)
            written.constructions[site.call] = f"{callee}({', '.join(arguments)})"
        edits += self._constructor(nodes, written)
        written.edits = _distinct(edits)
        return written

    # ---- what is refused --------------------------------------------------------------------------------

    def _check(self) -> None:
        cls = self.cls
        if cls.problem:
            raise Refuse("unknown-base", cls.problem, cls.node)
        if cls.is_subclass_of_layer:
            raise Refuse("unknown-base", f"a subclass of `nn.{cls.is_subclass_of_layer}`", cls.node)
        for name in ("__post_init__", "__init__", "__new__", "__getattr__", "__setattr__"):
            if cls.method(name) is not None:
                raise Refuse("unsupported-api", f"the class defines `{name}`", cls.node)
        for site in self.analysis.sites:
            if site.foreign and not inside_maker(self.analysis, site):
                raise Refuse(
                    "unsupported-syntax", "a module is created in a function outside of the class", site.call
                )
        if cls.field(RNGS) is not None:
            raise Refuse("name-clash", f"the class has a field `{RNGS}`", cls.node)
        if any(keyword.arg != "metaclass" for keyword in cls.node.keywords):
            raise Refuse("unsupported-syntax", "the class is defined with keyword arguments", cls.node)
        for decorator in cls.node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            resolved = self.names.qualified(function)
            if resolved is None or resolved.startswith("flax.") or resolved.rpartition(".")[2] == "dataclass":
                raise Refuse(
                    "unsupported-syntax", f"the class decorator `{ast.unparse(decorator)}`", cls.node
                )

    def _find_base(self) -> None:
        """The converted base class; mixins without state need no constructor."""
        bases = [base for base in self.cls.bases if not _is_stateless_mixin(base)]
        if len(bases) > 1:
            raise Refuse("unknown-base", "several base classes with fields or modules", self.cls.node)
        if bases:
            if bases[0].qualified not in bases[0].known_classes:
                raise Refuse("unknown-base", f"the mixin `{bases[0].name}` has fields", self.cls.node)
            try:
                base = self.converted(bases[0])
            except Refuse as refusal:
                raise Refuse(
                    "base-not-converted", f"`{bases[0].name}`: {refusal.detail}", self.cls.node
                ) from None
            self.inheritance = Inheritance(self.analysis, base)

    @property
    def _super(self) -> Inheritance | None:
        """The base whose constructor is called, if any."""
        found = self.inheritance
        return found if found is not None and found.calls_super and found.base.has_constructor else None

    def _own_names(self) -> frozenset[str]:
        """What the instances have as attributes, sown values apart."""
        names = {s.attribute for s in self.analysis.sites} | {v.attribute for v in self.analysis.variables}
        names |= RESERVED
        names.update(f.name for f in self.cls.fields)
        names.update(self.analysis.session.attributes)
        return frozenset(names.union(*(owner.own_methods for owner in self.cls.mro)))

    def _own_methods(self) -> list[Method]:
        return [m for m in self.cls.own_methods.values() if m.name != "setup"]

    # ---- names ------------------------------------------------------------------------------------------

    def _name_everything(self) -> None:
        for name, slot in self.analysis.session.attributes.items():
            value = slot.value.value if isinstance(slot.value, Maybe) else slot.value
            if isinstance(value, Instance) and not value.site.attribute and value.site.method == "setup":
                value.site.attribute = name
        names = Names(self.analysis)
        setup_sites = [s for s in self.analysis.sites if s.method == "setup"]
        for site in setup_sites:
            site.attribute = site.attribute or site.stored or "?"
        compact = [m for m in self.analysis.methods if self._sites_of(m)]
        self.lists = {m.name: find_local_lists(self.analysis, m) for m in compact}
        name_sites(self.analysis, names, [made for found in self.lists.values() for made in found])

    def _access(self, value: Instance) -> str | None:
        """How the constructor reads a module; None where it has the same local variable as setup."""
        site = value.site
        if site.loops:
            raise Refuse("shared-module", "a module that a loop creates is given to another one", site.call)
        attributes = self.analysis.session.attributes
        if site.method == "setup" and getattr(attributes.get(site.attribute), "value", None) != value:
            return None
        return f"self.{site.attribute}"

    # ---- parts ------------------------------------------------------------------------------------------

    def _bases(self) -> list[Edit]:
        edits: list[Edit] = []
        for base in self.cls.node.bases:
            text = self.names.replacement(base)
            if text is not None:
                edits.append(Edit(*self.source.span(base), text))
        return edits

    def _nodes(self) -> list[Node]:
        """The residual constructor of the compact methods."""
        nodes: list[Node] = []
        compact = [m for m in self.analysis.methods if self._sites_of(m)]
        if any(m.kind != "method" for m in compact):
            raise Refuse("unsupported-syntax", "a static method creates modules", self.cls.node)
        if len(compact) > 1:
            raise Refuse("unsupported-syntax", "several methods create modules", self.cls.node)
        for method in compact:
            lists = self.lists.get(method.name, [])
            residual = Residual(self.analysis, self.renderer, self.constructions, lists=lists)
            nodes += residual.build(method.node.body, self._sites_of(method))
        return nodes

    def _sites_of(self, method: Method) -> list[Site | VariableSite]:
        everything: list[Site | VariableSite] = [*self.analysis.sites, *self.analysis.variables]
        own = [s for s in everything if s.owner is self.cls and s.entry == method.name]
        return sorted(own, key=lambda s: s.number)

    def _decorators(self, method: Method) -> list[Edit]:
        """`@nn.compact` and `@nn.nowrap` go, with their lines."""
        edits: list[Edit] = []
        for decorator in method.node.decorator_list:
            name = self.names.qualified(decorator)
            if name in ("flax.linen.compact", "flax.linen.nowrap"):
                start = self.source.line_start(decorator.lineno)
                edits.append(Edit(start, self.source.line_start((decorator.end_lineno or 0) + 1), ""))
            elif (
                lifted := decorator_edits(self.names, self.converted, self.analysis.sites, method, decorator)
            ) is not None:
                edits += lifted
            elif decorator in method.transforms and name not in ("abc.abstractmethod", "typing.override"):
                raise Refuse("unsupported-layer", f"the decorator `{ast.unparse(decorator)}`", decorator)
        return edits

    def _signature_edits(self, method: Method) -> list[Edit]:
        """References to Linen in defaults and annotations."""
        args = method.node.args
        nodes: list[ast.AST | None] = [*args.defaults, *args.kw_defaults, method.node.returns]
        nodes += [a.annotation for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
        edits: list[Edit] = []
        for node in nodes:
            if node is not None:
                from nnx_migrate.nnx.writer.text import replacements

                edits += [Edit(*found) for found in replacements(self.source, node, self.names.replacement)]
        return [*edits, *self._flag_parameters(method)]

    def _flag_parameters(self, method: Method) -> list[Edit]:
        """The mode flags that factories no longer bind, as keyword arguments of the call."""
        flags = sorted({f.flag for f in self.factories.values() if f.flag})
        if not flags or method.name != "__call__":
            return []
        args = method.node.args
        taken = {n.id for n in ast.walk(method.node) if isinstance(n, ast.Name)}
        taken |= {n.arg for n in ast.walk(method.node) if isinstance(n, ast.arg)}
        if taken & set(flags) or args.kwarg is not None:
            raise Refuse("name-clash", f"`__call__` has a `{flags[0]}` of its own", method.node)
        nodes: list[ast.AST | None] = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs]
        last = max(
            self.source.span(n)[1] for n in [*nodes, *args.defaults, *args.kw_defaults] if n is not None
        )
        star = "" if args.vararg is not None or args.kwonlyargs else ", *"
        return [Edit(last, last, star + "".join(f", {flag}: bool" for flag in flags))]

    # ---- the constructor --------------------------------------------------------------------------------

    def _constructor(self, nodes: list[Node], written: WrittenClass) -> list[Edit]:
        indent = indentation(self.source, self.cls.node.body[0].lineno)
        unit = self._unit(indent)
        setup = self.cls.own_methods.get("setup")
        setup_writer = None
        setup_text = ""
        if setup is not None:
            setup_writer = SetupWriter(self.analysis, self.names, self.renderer, self.constructions, setup)
            setup_text = setup_writer.text(self.limit)
            self.carried = {p.token for sizes in setup_writer.loop_sizes.values() for p in sizes}
            setup_text = self._without_phis(setup_text)
        parameters = self._size_names(nodes, setup_text, written)
        taken = self._taken_names()
        allocator = NameAllocator(nodes, dict(parameters), taken)
        lines = Emitter(allocator, unit, self.limit).lines(nodes, indent + unit)
        setup_text = TOKEN.sub(lambda m: parameters.get(m.group()) or m["name"], setup_text)
        streams = self._streams()
        lines = [
            f"{indent}{unit}self.{name} = {RNGS}.{stream}.fork()" for stream, name in streams.items()
        ] + lines
        uses_rngs = any(RNGS in line for line in lines) or RNGS in setup_text
        uses_rngs = uses_rngs or (self._super is not None and self._super.base.needs_rngs)
        written.needs_rngs = uses_rngs
        keyword_only = [f"{name}: int" for name in dict.fromkeys(parameters.values())]
        if uses_rngs:
            keyword_only.append(f"{RNGS}: {self.names.nnx()}.Rngs")
        fields = field_parameters(self.cls, self.names, self.factories)
        base = self._super
        nothing_own = not self.cls.own_fields and not lines and not setup_text.strip()
        same_sizes = base is None or not any(
            dim != Dim.symbol(size.token, 1)
            for size in base.base.sizes
            for dim in [base.given.get(size.name)]
            if dim is not None
        )
        if nothing_own and same_sizes and (base is not None or not (fields or keyword_only)):
            written.has_constructor = base is not None
            return [self._removed_method(setup)] if setup is not None else []
        head = signature(fields, keyword_only, indent, unit, self.limit)
        done = frozenset(f.name for f in base.base.cls.fields) if base is not None else frozenset()
        done |= frozenset(self.factories)
        body = [*field_assignments(self.cls, indent + unit, done), *lines]
        if base is not None:
            call_text = base.call_text(lambda dim: TOKEN.sub(lambda m: parameters[m.group()], dim.text()))
            setup_text, placed = _place_super(setup_text, call_text)
            if not placed:
                body.insert(0, f"{indent}{unit}{call_text}")
        text = "\n".join([*head, *body]) + ("\n" + setup_text.rstrip("\n") if setup_text.strip() else "")
        if not body and not setup_text.strip():
            text += f"\n{indent}{unit}pass"
        return self._place(text, fields, setup)

    def _without_phis(self, text: str) -> str:
        """Sizes that conditions in a method decide, written as conditional expressions."""
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
            first, second = (self.renderer.dim(d, phi.node) for d in phi.sources)
            choice = f"({first} if {self.renderer.text(phi.node.test)} else {second})"
            text = text.replace(match.group(), choice)
        raise Refuse("unknown-size", "a size that many conditions decide", self.cls.node)

    def _streams(self) -> dict[str, str]:
        """The random streams that the class's own methods draw from, with the attributes that hold them."""
        calls = self.analysis.facts.rng_calls
        own = {node for method in self._own_methods() for node in ast.walk(method.node)}
        return {
            stream: rng_attribute(stream)
            for (_, node), stream in sorted(calls.items(), key=lambda c: c[1])
            if node in own
        }

    def _size_names(self, nodes: list[Node], setup_text: str, written: WrittenClass) -> dict[str, str]:
        session = self.analysis.session
        found = SizeNames(
            frozenset(f.name for f in self.cls.fields),
            session.input_ranks,
            unbatched=frozenset(session.unbatched),
            paths=input_paths(list(session.inputs_seen)),
        )
        for token in size_tokens(nodes):
            found.use(token)
        found.use(setup_text)
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
            written.sizes.append(
                SizeParameter(names[token], self._method_of(path), path, axis, token in found.flat)
            )
        written.sizes.sort(key=lambda s: list(names.values()).index(s.name))
        return names

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
        for method in self._own_methods():
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
        return "    "

    def _place(self, text: str, fields: list[Parameter], setup: Method | None) -> list[Edit]:
        """Put the constructor where the fields stood (else where setup or the first method stands)."""
        edits: list[Edit] = []
        own = [item.node for item in self.cls.own_fields]
        if setup is not None and not own:
            return [self._setup_span(setup, text)]
        if setup is not None:
            edits.append(self._removed_method(setup))
        if own:
            start = self.source.line_start(own[0].lineno)
            end = self.source.line_start((own[-1].end_lineno or 0) + 1)
            between = self._between(own)
            if not all(isinstance(statement, ast.Assign) for statement in between):
                raise Refuse("unsupported-syntax", "other statements stand between the fields", self.cls.node)
            following = self._first_after(own[-1])
            tail = "\n" if following is None or following.lineno > (own[-1].end_lineno or 0) + 1 else "\n\n"
            before = self.source.line_text(own[0].lineno - 1).strip()
            lead = (
                "\n"
                if before and own[0].lineno - 1 > self.cls.node.lineno and not before.startswith("#")
                else ""
            )
            kept = "".join(self._lines(statement) for statement in between)
            return [*edits, Edit(start, end, lead + kept + ("\n" if kept else "") + text + tail)]
        first = next((m for m in self.cls.node.body if isinstance(m, ast.FunctionDef)), None)
        if first is None:
            end = self.source.line_start((self.cls.node.body[-1].end_lineno or 0) + 1)
            return [*edits, Edit(end, end, "\n" + text + "\n")]
        line = min([first.lineno, *(d.lineno for d in first.decorator_list)])
        start = self.source.line_start(line)
        return [*edits, Edit(start, start, text + "\n\n")]

    def _first_after(self, node: ast.stmt) -> ast.stmt | None:
        body = self.cls.node.body
        index = body.index(node)
        return body[index + 1] if index + 1 < len(body) else None

    def _between(self, own: list[ast.AnnAssign]) -> list[ast.stmt]:
        body = self.cls.node.body
        first, last = body.index(own[0]), body.index(own[-1])
        return [s for s in body[first : last + 1] if s not in own]

    def _lines(self, statement: ast.stmt) -> str:
        """The whole lines of a statement."""
        first, last = statement.lineno, (statement.end_lineno or statement.lineno) + 1
        return self.source.text[self.source.line_start(first) : self.source.line_start(last)]

    def _setup_span(self, setup: Method, text: str) -> Edit:
        start = self.source.line_start(setup.node.lineno)
        end = self.source.line_start((setup.node.end_lineno or 0) + 1)
        return Edit(start, end, text + "\n")

    def _removed_method(self, method: Method) -> Edit:
        """Remove a method and the blank lines behind it."""
        first = min([method.node.lineno, *(d.lineno for d in method.node.decorator_list)])
        last = (method.node.end_lineno or 0) + 1
        while last <= self.source.line_count and not self.source.line_text(last).strip():
            last += 1
        return Edit(self.source.line_start(first), self.source.line_start(last), "")


def _is_stateless_mixin(cls: LinenClass) -> bool:
    """A plain class of the project that only adds methods."""
    return cls.qualified not in cls.known_classes and not cls.own_fields and "__init__" not in cls.own_methods


def _place_super(setup_text: str, call: str) -> tuple[str, bool]:
    """Put the constructor call where setup calls the base's setup; False where it doesn't."""
    for old in ("super().setup()",):
        if old in setup_text:
            return setup_text.replace(old, call, 1), True
    return setup_text, False


def _distinct(edits: list[Edit]) -> list[Edit]:
    found: dict[tuple[int, int], Edit] = {}
    for edit in edits:
        if edit.start == edit.end:
            found[edit.start, -len(found) - 1] = edit
        else:
            found.setdefault((edit.start, edit.end), edit)
    return sorted(found.values(), key=lambda e: (e.start, e.end))
