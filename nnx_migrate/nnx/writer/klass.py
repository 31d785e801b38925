"""A whole class: bases, constructor, methods."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.bridged import Bridges
from nnx_migrate.linen.classes.class_decorators import may_keep
from nnx_migrate.linen.classes.decorators import keeps_method
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.classes.post_init import NAME, check_post_init
from nnx_migrate.linen.classes.wrappers import wrapper
from nnx_migrate.linen.dims.maxima import Agreed
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.compared import kept_fields
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site, VariableSite
from nnx_migrate.linen.values import Either, Instance, Maybe
from nnx_migrate.nnx.writer.comments import with_comments
from nnx_migrate.nnx.writer.construction.choosing_functions import choosing_functions
from nnx_migrate.nnx.writer.construction.lifting import check_no_lifts_left, decorator_edits
from nnx_migrate.nnx.writer.construction.partitioning import check_initializers
from nnx_migrate.nnx.writer.construction.writer import RNGS, ConstructionWriter
from nnx_migrate.nnx.writer.constructor.computed.reads import SharedReads
from nnx_migrate.nnx.writer.constructor.computed.slices import Computed, computed
from nnx_migrate.nnx.writer.constructor.computed.texts import name_computed
from nnx_migrate.nnx.writer.constructor.derived_arrays import (
    Derived,
    derived_arrays,
    name_derived,
    properties,
)
from nnx_migrate.nnx.writer.constructor.dict_fields import check_dict_fields
from nnx_migrate.nnx.writer.constructor.inheritance import Inheritance
from nnx_migrate.nnx.writer.constructor.uncalled import find_uncalled
from nnx_migrate.nnx.writer.constructor.writer import ConstructorWriter, own_methods
from nnx_migrate.nnx.writer.methods.body import BodyEditor
from nnx_migrate.nnx.writer.methods.creating_functions import CreatingFunctions
from nnx_migrate.nnx.writer.methods.late_layers import take_late_layers
from nnx_migrate.nnx.writer.methods.layer_functions import function_calls
from nnx_migrate.nnx.writer.methods.reached import inside_maker
from nnx_migrate.nnx.writer.methods.setup_helpers import find_setup_helpers
from nnx_migrate.nnx.writer.methods.setup_makers import setup_makers, without_methods
from nnx_migrate.nnx.writer.methods.shared_helpers import SharedHelper, shared_helpers
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.naming import RESERVED, Names, Naming, name_sites
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.residual.array_lists import inlined
from nnx_migrate.nnx.writer.residual.builder import Residual
from nnx_migrate.nnx.writer.residual.local_lists import LocalList, find_local_lists
from nnx_migrate.nnx.writer.residual.nodes import Node
from nnx_migrate.nnx.writer.state import check_state
from nnx_migrate.nnx.writer.text import indentation, replacements
from nnx_migrate.nnx.writer.written import WrittenClass
from nnx_migrate.sources.text import Edit

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion


class ClassWriter:
    """Writes one class. Raises Refuse."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        converted: Callable[[LinenClass], ClassConversion],
        factories: Factories,
        bridges: Bridges | None = None,
        naming: Naming = Naming.FREELY,
        agreed: Agreed = MappingProxyType({}),
    ) -> None:
        self.analysis, self.names, self.naming = analysis, names, naming
        self.cls, self.source = analysis.cls, names.module.source
        self.renderer = InitRenderer(analysis, names, self._access, agreed)
        self.constructions = ConstructionWriter(analysis, names, self.renderer, converted, factories, bridges)
        self.renderer.element = self.constructions.element
        self.converted, self.factories = converted, factories.of(analysis.cls)
        self.inheritance: Inheritance | None = None
        self.lists: dict[str, list[LocalList]] = {}
        self.creating: CreatingFunctions
        self.makers: list[Method] = []  # methods that go
        self.derived: Derived = {}
        self.computed = Computed()

    def write(self) -> WrittenClass:
        """All edits of the class."""
        for closure in self.analysis.facts.functions.values():
            self.names.learn(closure.node, closure.module)
        find_uncalled(self.analysis)
        find_setup_helpers(self.analysis)
        late = take_late_layers(self.analysis, self.constructions)
        self.creating = CreatingFunctions(self.analysis, local=False)
        self._check()
        self._find_base()
        self._name_everything()
        helpers = self._helpers()
        self.creating = CreatingFunctions(self.analysis, local=not helpers)
        self.constructions.handing_over = {s.context for helper in helpers for s in helper.sites.values()}
        self.constructions.handing_over |= set(self.creating.by_call)
        self.creating.check()
        check_state(self.analysis, self._own_names())
        if self.inheritance is not None and self.inheritance.calls_super:
            self.inheritance.check_sizes(self.constructions)
        edits, written = self._bases(), WrittenClass()
        nodes = self._nodes()
        edits += without_methods(self.source, self.makers)
        left = [*self.makers, *self.analysis.setup_helpers.values()]
        kept = [m for m in own_methods(self.cls) if m not in left]
        for method in sorted(kept, key=lambda m: all(m.node not in h.functions for h in helpers)):
            edits += self._decorators(method)
            edits += self._body_edits(method, late, helpers, written)
        for site in self.analysis.sites:
            callee, arguments = self.constructions.parts(site)
            written.constructions[site.call] = f"{callee}({', '.join(arguments)})"
        written.functions = {**written.functions, **choosing_functions(self.constructions)}
        for method in self.analysis.setup_helpers.values():
            edits += self._decorators(method) if method.owner is self.cls else []
        constructor = ConstructorWriter(
            self.analysis, self.names, self.constructions, self.inheritance, self.factories
        )
        edits += constructor.edits(nodes, written)
        edits += properties(self.derived, self.computed, self.names, self.cls)
        check_no_lifts_left(self.analysis, self.source, edits)
        written.open_maxima = frozenset(self.renderer.open_maxima)
        written.edits = with_comments(self.analysis, self.names.module, _distinct(edits))
        return written

    def _helpers(self) -> list[SharedHelper]:
        """The helpers that get their modules from the method that calls them."""
        elsewhere = {passed.site for passed in function_calls(self.analysis).values()}
        elsewhere.update(s for s in self.analysis.sites if inside_maker(self.analysis, s))
        elsewhere.update(s for s in self.analysis.sites if self.creating.passed(s))
        return shared_helpers(self.analysis, self.names.module, elsewhere)

    def _body_edits(
        self,
        method: Method,
        late: Mapping[ast.AST, Site],
        helpers: Sequence[SharedHelper],
        written: WrittenClass,
    ) -> list[Edit]:
        """The edits of a method's body and parameters; code of helpers has to come out alike for all their calls."""
        lists = self.lists.get(method.name, []) if method.owner is self.cls else []
        found: list[Edit] = []
        for choice in range(max((len(helper.calls) for helper in helpers), default=1)):
            editor = BodyEditor(
                self.analysis,
                self.names,
                self.constructions,
                method,
                lists,
                late,
                helpers,
                choice,
                self.creating,
            )
            editor.shared = SharedReads(self.computed, self.derived, method, method.owner is self.cls)
            written.functions = written.functions or editor.outside_functions()
            editor.calls.check_outside()
            edits = editor.edits()
            edits += editor.helpers.signature(method.node) or self._signature_edits(method)
            if choice and edits != found:
                detail = "code that is reached in several ways calls modules in different ways"
                raise Refuse("unsupported-syntax", detail, method.node)
            found = edits
        return found

    # ---- what is refused --------------------------------------------------------------------------------

    def _check(self) -> None:
        cls = self.cls
        if cls.problem:
            raise Refuse("unknown-base", cls.problem, cls.node)
        for name in ("__init__", "__new__", "__getattr__", "__setattr__"):
            if cls.method(name) is not None:
                raise Refuse("unsupported-api", f"the class defines `{name}`", cls.node)
        for owner in cls.mro:
            for method in owner.own_methods.values():
                use = _use_of_class(method)
                if use is not None:
                    raise Refuse("class-as-value", f"`{method.name}` makes instances of its class", use)
        check_post_init(cls, self.names.project)
        check_initializers(self.names.project)
        called = {passed.site for passed in function_calls(self.analysis).values()}
        for site in self.analysis.sites:
            if site.method == NAME:
                raise Refuse("unsupported-api", f"a module is created in `{NAME}`", site.call)
            known = inside_maker(self.analysis, site) or self.creating.passed(site.outermost)
            known = known or site.outermost in called
            if site.foreign and not known:
                raise Refuse(
                    "unsupported-syntax", "a module is created in a function outside of the class", site.call
                )
        self.makers = setup_makers(self.analysis)
        check_dict_fields(self.analysis)
        if cls.field(RNGS) is not None:
            raise Refuse("name-clash", f"the class has a field `{RNGS}`", cls.node)
        if any(keyword.arg != "metaclass" for keyword in cls.node.keywords):
            raise Refuse("unsupported-syntax", "the class is defined with keyword arguments", cls.node)
        for decorator in cls.node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            resolved = self.names.qualified(function)
            if resolved == "functools.partial" and isinstance(decorator, ast.Call):
                resolved = self.names.qualified(decorator.args[0]) if decorator.args else None
            if resolved is None or resolved.startswith("flax.") or resolved.rpartition(".")[2] == "dataclass":
                raise Refuse(
                    "unsupported-syntax", f"the class decorator `{ast.unparse(decorator)}`", cls.node
                )
            if may_keep(decorator, resolved, self.names.project):
                detail = f"the class decorator `{ast.unparse(decorator)}` may keep it"
                raise Refuse("class-as-value", detail, cls.node)

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

    def _own_names(self) -> frozenset[str]:
        """What the instances have as attributes, sown values apart."""
        names = {s.attribute for s in self.analysis.sites} | {v.attribute for v in self.analysis.variables}
        names |= RESERVED
        names.update(f.name for f in self.cls.fields)
        names.update(self.analysis.session.attributes)
        return frozenset(names.union(*(owner.own_methods for owner in self.cls.mro)))

    # ---- names ------------------------------------------------------------------------------------------

    def _name_everything(self) -> None:
        for name, slot in self.analysis.session.attributes.items():
            value = slot.value.value if isinstance(slot.value, Maybe) else slot.value
            for one in value.values if isinstance(value, Either) else (value,):
                if isinstance(one, Instance) and not one.site.attribute and one.site.method == "setup":
                    one.site.attribute = name
        names = Names(self.analysis)
        # parameters of the constructor, and no attributes
        names.taken -= self.factories.keys() - kept_fields(self.analysis.session.program, self.cls)
        setup_sites = [s for s in self.analysis.sites if s.method == "setup"]
        for site in setup_sites:
            site.attribute = site.attribute or site.stored or "?"
        compact = [m for m in self.analysis.methods if self._sites_of(m)]
        self.lists = {m.name: find_local_lists(self.analysis, m) for m in compact}
        lists = [made for found in self.lists.values() for made in found]
        if setup := self.cls.method("setup"):
            self.derived = derived_arrays(self.analysis, setup)
            self.computed = computed(self.analysis, setup, self.derived)
        name_derived(self.derived, names)
        name_computed(self.computed, names)
        self.constructions.carried.moved = {loop: made.creating for made in lists for loop in made.running}
        name_sites(self.analysis, names, lists, self.naming)

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
            text = f"{self.names.nnx()}.Module" if self.cls.layer_fields else self.names.replacement(base)
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
            residual = Residual(self.analysis, self.renderer, self.constructions, (), lists, self.creating)
            nodes += residual.build(method.node.body, self._sites_of(method))
        return inlined(nodes)

    def _sites_of(self, method: Method) -> list[Site | VariableSite]:
        variables = [v for v in self.analysis.variables if not v.by_calls]
        everything: list[Site | VariableSite] = [*self.analysis.sites, *variables]
        own = [s for s in everything if s.owner is self.cls and s.entry == method.name]
        return sorted(own, key=lambda s: s.number)

    def _decorators(self, method: Method) -> list[Edit]:
        """`@nn.compact` and `@nn.nowrap` go, with their lines."""
        edits: list[Edit] = []
        for decorator in method.node.decorator_list:
            name = self.names.qualified(decorator)
            if name in ("flax.linen.compact", "flax.linen.nowrap"):
                edits.append(Edit(*self.source.line_span(decorator), ""))
            elif (
                lifted := decorator_edits(self.names, self.converted, self.analysis.sites, method, decorator)
            ) is not None:
                edits += lifted
            elif decorator in method.transforms and name != "abc.abstractmethod":
                module, project = self.names.module, self.names.project
                unbound = self.analysis.session.program.unbound_methods.of(self.cls)
                known = keeps_method(decorator, module, project) or method.name in unbound
                if known or wrapper(decorator, module, project) is not None:
                    continue  # what wrappers do is judged when the sizes are known
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
        nodes = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs]
        given = [n for n in nodes if n is not None]
        last = max(
            self.source.span(n)[1] for n in [*given, *args.defaults, *args.kw_defaults] if n is not None
        )
        added = [] if args.vararg is not None or args.kwonlyargs else ["*"]
        added += [f"{flag}: bool" for flag in flags]
        indent, line = indentation(self.source, given[-1].lineno), given[-1].lineno
        is_first = self.source.span(given[-1])[0] == self.source.line_start(line) + len(indent)
        comma = f",\n{indent}" if is_first else ", "  # one parameter a line, if the others stand so
        return [Edit(last, last, "".join(f"{comma}{text}" for text in added))]


def _is_stateless_mixin(cls: LinenClass) -> bool:
    """A plain class of the project that only adds methods."""
    return cls.qualified not in cls.known_classes and not cls.own_fields and "__init__" not in cls.own_methods


def _distinct(edits: list[Edit]) -> list[Edit]:
    found: dict[tuple[int, int], Edit] = {}
    for edit in edits:
        if edit.start == edit.end:
            found[edit.start, -len(found) - 1] = edit
        else:
            found.setdefault((edit.start, edit.end), edit)
    return sorted(found.values(), key=lambda e: (e.start, e.end))


def _use_of_class(method: Method) -> ast.AST | None:
    """A use of `cls` in a class method that isn't the read of an attribute, or a call of the class in a static one.

    Sizes and random streams are not there.
    """
    owner, arguments = method.owner, getattr(method.node, "args", None)
    if method.kind not in ("class", "static") or not isinstance(arguments, ast.arguments):
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    first = positional[0].arg if method.kind == "class" and positional else None
    module = owner.module
    for node in ast.walk(method.node):
        # `del cls` says that it isn't used
        is_first = isinstance(node, ast.Name) and node.id == first and not isinstance(node.ctx, ast.Del)
        if is_first and not isinstance(module.parents.get(node), ast.Attribute):
            return node
        if isinstance(node, ast.Call):
            called = owner.program_project.resolve(node.func, module.scope_at(node.func), module)
            if called == owner.qualified:
                return node
    return None
