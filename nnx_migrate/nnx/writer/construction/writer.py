"""The NNX construction of a submodule: callee, arguments, the sizes of its inputs, `rngs`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.arrays.optional_arrays import array_for
from nnx_migrate.linen.arrays.shapes import Array, Unknown
from nnx_migrate.linen.bridged import Bridges
from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim, same
from nnx_migrate.linen.factories import Factories
from nnx_migrate.linen.factories.values import Factory, placeholder
from nnx_migrate.linen.given.arguments import OptionalArray
from nnx_migrate.linen.interpreter.calls.flatteners import all_joined
from nnx_migrate.linen.interpreter.calls.forwarded import unfolded
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, LayerCall, Site
from nnx_migrate.linen.values import ClassChoice, ClassRef, DerivedLayer, Layer, Partial
from nnx_migrate.names.displays import display_behind
from nnx_migrate.nnx.layers import (
    LAYERS,
    BoundArgs,
    Construction,
    LayerSpec,
    NeededSize,
    bind,
    bind_partial,
    needed_sizes,
)
from nnx_migrate.nnx.layers import write_construction as write_layer
from nnx_migrate.nnx.writer.construction.bridging import bridge, bridged_parts, check_holder
from nnx_migrate.nnx.writer.construction.call_arguments import argument_at, at_path, bound_argument, in_order
from nnx_migrate.nnx.writer.construction.carried import CarriedValues
from nnx_migrate.nnx.writer.construction.certain_sizes import certain_size
from nnx_migrate.nnx.writer.construction.checked import checked
from nnx_migrate.nnx.writer.construction.chosen_classes import chosen_class
from nnx_migrate.nnx.writer.construction.chosen_layers import chosen_layer
from nnx_migrate.nnx.writer.construction.derived import nnx_layer
from nnx_migrate.nnx.writer.construction.factories import (
    check_bound,
    check_plain,
    late_arguments,
    late_extras,
    own_partial,
)
from nnx_migrate.nnx.writer.construction.given_carries import sized_by_carry
from nnx_migrate.nnx.writer.construction.given_factories import given_texts
from nnx_migrate.nnx.writer.construction.given_sizes import dtype_given, sequence_given
from nnx_migrate.nnx.writer.construction.handed import check_handed, check_plain_call, is_in_sequence
from nnx_migrate.nnx.writer.construction.known_inputs import check_called, check_kinds, check_ranks
from nnx_migrate.nnx.writer.construction.lifting import class_text, lifted_class, lifted_parts_text
from nnx_migrate.nnx.writer.construction.merged_flags import merged_flags, without_flags
from nnx_migrate.nnx.writer.construction.optional_sizes import given_under, same_argument, where_given
from nnx_migrate.nnx.writer.construction.spread_items import rejoined, spread_fields, spread_items
from nnx_migrate.nnx.writer.construction.stand_in_sizes import given_or_instead
from nnx_migrate.nnx.writer.construction.walrus import check_no_walrus
from nnx_migrate.nnx.writer.methods.reached import makers
from nnx_migrate.nnx.writer.names import FileNames
from nnx_migrate.nnx.writer.render import InitRenderer
from nnx_migrate.nnx.writer.symbols import SizeParameter
from nnx_migrate.nnx.writer.text import unwrapped

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion

RNGS = "rngs"


class ConstructionWriter:
    """Writes the constructions of one class."""

    def __init__(
        self,
        analysis: ClassAnalysis,
        names: FileNames,
        renderer: InitRenderer,
        converted: Callable[[LinenClass], ClassConversion],
        factories: Factories,
        bridges: Bridges | None = None,
    ) -> None:
        self.analysis, self.names, self.renderer, self.converted = analysis, names, renderer, converted
        self.bridges, self._bridged = bridges, dict[Site, bool]()
        self.known_factories = factories
        self.carried = CarriedValues(analysis, renderer.none_test)
        own = factories.of(analysis.cls).values()
        made = [one for factory in own for one in factory.several or (factory,)]
        self.factories = {f.value.call: f for f in made if isinstance(f.value, Partial)}
        for partial in (partial for site in analysis.sites for partial in site.partials):
            names.learn(partial.call, partial.module)
        # (size of an argument that may be None, `context_features=...` with that size)
        self.passed_on: set[tuple[str, str]] = set()
        # calls of functions that get modules, or None for missing ones
        self.handing_over: set[Context] = set()
        self.partials: dict[ast.Call, list[str]] = {}  # those given to submodules: callee and arguments

    @cached_property
    def _makers(self) -> dict[ast.AST, Site]:
        """Calls of functions that do nothing but create a module."""
        return makers(self.analysis)

    def text_of(self, node: ast.AST) -> str:
        """An expression of the class as the constructor writes it. Raises Refuse."""
        return self.renderer.text(node)

    def parts(self, site: Site) -> tuple[str, list[str]]:
        """Callee and argument texts. Raises Refuse."""
        check_no_walrus(self.names.home_of(site.call), site)
        if site.called_by_others:
            check_plain_call(self, site)
        return lifted_parts_text(self, site, *self.member(site))

    def member(self, site: Site) -> tuple[str, list[str]]:
        """Callee and argument texts without the lifted transforms around the class."""
        if isinstance(site.target, Layer):
            return self._layer(site)
        if self.is_bridged(site):
            return bridged_parts(self, site)
        if isinstance(site.target, ClassRef):
            return self.project_class(site, site.target.cls)
        if isinstance(site.target, LayerChoice):
            return chosen_layer(self, site)
        if isinstance(site.target, ClassChoice):
            return chosen_class(self, site, site.target)
        raise Refuse("unknown-module", f"the class behind `self.{site.target.name}` isn't known", site.call)

    def is_bridged(self, site: Site) -> bool:
        """Whether a submodule stays Linen, in `nnx.bridge.ToNNX`. Raises Refuse."""
        if site not in self._bridged:
            self._bridged[site] = bridge(self, site)
        return self._bridged[site]

    def element(self, node: ast.AST, context: Context) -> str | None:
        """The construction of a module that is an argument of another one, or an element of a list."""
        site = self.analysis.facts.sites.get((context, node)) or self._makers.get(node)
        if site is None or not site.is_held:
            return None
        if is_in_sequence(site):
            check_plain_call(self, site)
        callee, arguments = self.parts(site)
        return f"{callee}({', '.join(arguments)})"

    # ---- built-in layers --------------------------------------------------------------------------------

    def bound(self, site: Site) -> tuple[LayerSpec, BoundArgs]:
        """The layer's table row and the arguments bound to its fields."""
        spec = LAYERS.get(f"flax.linen.{site.layer_name}")
        if spec is None:
            raise Refuse("unsupported-layer", f"`nn.{site.target_name}`", site.call)
        base: BoundArgs | None = None
        for partial in site.partials:
            base = checked(bind_partial(spec, partial.call, expand=self._expand))

        def expand(node: ast.expr) -> dict[str, ast.expr] | None:
            shown, value = self._expand(node), self.analysis.facts.values.get((site.context, node))
            return shown or spread_items(self.names.home_of(node), spec.name, node, value)

        call, _ = unfolded(self.analysis.facts, site.call, site.context)
        return spec, sized_by_carry(self.analysis.cls, bind(spec, call, base=base, expand=expand))

    def _expand(self, node: ast.expr) -> dict[str, ast.expr] | None:
        """What `**node` consists of, if the file shows it."""
        return display_behind(self.names.home_of(node), node) if hasattr(node, "lineno") else None

    def layer(
        self, site: Site, keep_flag: bool, segment: Callable[[ast.AST], str] | None = None
    ) -> Construction:
        """The construction of a built-in layer, with `segment` to write its arguments. Raises Refuse."""
        spec, bound = self.bound(site)
        judge = self.names.judge()
        needed = checked(needed_sizes(spec, bound, judge))
        sizes: dict[str, str] = {}
        for size in needed:
            dims = [self._size(site, size, spec, axis) for axis in size.axes]
            if all(dim is not None for dim in dims):
                sizes[size.param] = size.text([str(dim) for dim in dims])
        _, elsewhere = unfolded(self.analysis.facts, site.call, site.context)
        calls = [c.node for c in site.calls if c.node is not None]
        methods = frozenset(c.method for c in site.calls if c.method != "__call__")
        written: Construction = checked(
            write_layer(
                spec,
                bound,
                sizes,
                nnx=self.names.nnx(),
                rngs=RNGS,
                segment=segment
                or (
                    lambda n: (
                        placeholder(n) or unwrapped(self.renderer.argument(n, elsewhere.get(n, site.context)))
                    )
                ),
                judge=judge,
                helper=self.names.helper if self._factory(site) is None or self.late_extras(site) else str,
                keep_flag=keep_flag,
                methods=methods,
                call=calls[0] if len(calls) == 1 else None,
            )
        )
        return written

    def late_extras(self, site: Site) -> frozenset[str]:
        """The extras that the call of a factory gives; none for other constructions."""
        factory = self._factory(site)
        return late_extras(factory, site.call, self.names) if factory is not None else frozenset()

    def _layer(self, site: Site) -> tuple[str, list[str]]:
        spec, bound = self.bound(site)
        factory = self._factory(site)
        written = self.layer(site, keep_flag=is_in_sequence(site))
        if factory is not None:
            check_plain(written, factory, self.names.nnx(), site.call)
            local = own_partial(self, site)
            named = frozenset(k.arg or "" for k in local.keywords) if local is not None else frozenset()
            callee = (
                self.names.written(site.call.func, lambda _: None) if local is not None else factory.field
            )
            return callee, late_arguments(written, factory, site.call, self.late_extras(site), named)
        callee = written.callee
        if isinstance(site.target, DerivedLayer):
            callee = self.derived(site, site.target, callee)
        arguments = rejoined(spec, bound, written.arguments, lambda n: self.renderer.text(n, site.context))
        return callee, [str(argument) for argument in arguments]

    def _factory(self, site: Site) -> Factory | None:
        """The factory field that makes a submodule, if partials of it bind something."""
        return next((self.factories[p.call] for p in site.partials if p.call in self.factories), None)

    def derived(self, site: Site, target: DerivedLayer, callee: str) -> str:
        """The class of the project that stands for the NNX layer `callee`, which it derives from."""
        self.converted(target.cls)
        if callee != f"{self.names.nnx()}.{nnx_layer(target.name)}" or site.lifts:
            raise Refuse("unsupported-layer", f"`{target.cls.name}` as another layer than its own", site.call)
        return self.callee(site)

    def _size(self, site: Site, size: NeededSize, spec: LayerSpec, axis: int) -> str | None:
        argument, optional = size.call_arg, size.optional
        found: list[Dim] = []
        calls: list[LayerCall] = []
        for call in site.deciding_calls:
            given = (argument_at(call, argument, name) for name in spec.call.names_of(argument))
            value = next((value for value in given if value is not None), None)
            if value is None and optional:
                continue
            if optional and isinstance(value, OptionalArray) and value.is_sized:
                detail = f"`{site.label}` gets an argument that may be None"
                raise Refuse("unknown-size", detail, site.call)
            found.append(self._dim(value if size.part is None else at_path(value, (size.part,)), axis))
            calls.append(call)
        if not found:
            if optional:
                return None
            raise Refuse("unknown-size", f"`{site.label}` is never called in the class", site.call)
        return self.one_size(site, calls, found)

    def _dim(self, value: Any, axis: int, *, flat: bool = False) -> Dim:
        """The size of an axis; `flat`: the number of elements from there on."""
        array = effect_value(self.analysis.session, value)
        if isinstance(array, Array):
            return array.shape.elements(axis) if flat else array.shape.dim(axis)
        return Dim.unknown(array.reason if isinstance(array, Unknown) else "the input isn't an array")

    def one_size(self, site: Site, calls: list[LayerCall], dims: list[Dim]) -> str:
        """The size that inputs have in all of these calls. Raises Refuse."""
        dims = self.carried.at_site(site, calls, dims)
        first = next((d for d in dims if d.known), dims[0])
        certain = (
            certain_size(self.analysis, site, dims) if len(dims) == len(site.deciding_calls) > 1 else None
        )
        if certain is None and any(not same(first, other) for other in dims):
            certain = given_or_instead(self.renderer, calls, dims)
        for other in dims if certain is None else ():
            if not other.known:
                raise Refuse("unknown-size", f"an input of `{site.label}`: {other.reason}", site.call)
            if not same(first, other):
                detail = f"`{site.label}` gets inputs of size `{first.text()}` and `{other.text()}`"
                raise Refuse("sizes-differ", detail, site.call)
        return unwrapped(self.renderer.dim(first if certain is None else certain, site.call))

    # ---- classes of the project -------------------------------------------------------------------------

    def project_class(self, site: Site, cls: LinenClass) -> tuple[str, list[str]]:
        """Callee and argument texts of a class of the project. Raises Refuse."""
        conversion = self.converted(cls)
        if cls.is_subclass_of_layer:
            raise Refuse("unknown-module", f"`{cls.name}` where another class may stand", site.call)
        if conversion.is_lazy:
            check_holder(self, site)
        factory = self._factory(site)
        if factory is not None:
            check_bound(site, factory, conversion)
        callee = self.callee(site) if factory is None else factory.field
        fields = conversion.factories if factory is None else ()
        given = given_texts(self, site, cls, fields)
        parts = [(p.call.args[1:], p.call.keywords) for p in site.partials if factory is None]
        call, elsewhere = unfolded(self.analysis.facts, site.call, site.context)
        if any(k.arg in fields for k in call.keywords if k.value in elsewhere):
            raise Refuse("unknown-module", f"`{cls.name}` gets a factory from `**`", site.call)
        parts.append((call.args, call.keywords))
        late = merged_flags(self, site)
        parts = [(list(without_flags(late, args, site)), keywords) for args, keywords in parts]
        arguments = in_order(
            (len(args), self._arguments(args, keywords, site, conversion, given, elsewhere))
            for args, keywords in parts
        )
        check_called(self.analysis, site, conversion)
        check_kinds(self.analysis.session, site, conversion)
        check_ranks(self.analysis.session, site, cls, conversion)
        sizes = [(size.name, self._child_size(site, cls, size)) for size in conversion.sizes]
        arguments += [f"{name}={text}" for name, text in sizes if text is not None]
        arguments += [f"{RNGS}={RNGS}"] if conversion.needs_rngs else []
        return callee, arguments

    def callee(self, site: Site) -> str:
        """What is called to construct a submodule. Raises Refuse."""
        made = lifted_class(site) if site.lifts else site.call.func
        node = site.partials[0].call.args[0] if site.partials and not site.lifts else made
        if isinstance(node, ast.Attribute) and node.attr in self.known_factories.of(self.analysis.cls):
            return node.attr
        if site.lifts:
            return class_text(self.names, site)
        if isinstance(site.target, ClassChoice):
            text = self.renderer.choice(node, site.context)
            return f"({text})" if isinstance(node, ast.IfExp) else text
        return self.names.written(node, lambda _: None)

    def _arguments(
        self,
        args: Iterable[ast.expr],
        keywords: Iterable[ast.keyword],
        site: Site,
        conversion: ClassConversion,
        given: Mapping[str, str | None],
        elsewhere: Mapping[ast.AST, Context],
    ) -> list[str]:
        def text(name: str, node: ast.expr) -> str:
            factory = given.get(name)
            if factory is not None:
                return factory
            context = elsewhere.get(node, site.context)
            check_handed(self, site, node, context)
            return self.renderer.argument(node, context)

        fields = [*conversion.parameters, *("" for _ in args)]
        found = [text(name, node) for name, node in zip(fields, args, strict=False)]
        late = merged_flags(self, site)
        for keyword in keywords:
            if keyword.arg in ("name", "parent") or late.get(keyword.arg or "") is keyword.value:
                continue
            if keyword.arg is None:
                found.append(spread_fields(self.analysis, self.renderer, keyword.value, site))
            else:
                found.append(f"{keyword.arg}={text(keyword.arg, keyword.value)}")
        return found

    def _child_size(self, site: Site, cls: LinenClass, size: SizeParameter) -> str | None:
        if size.is_dtype:
            return dtype_given(self, site, cls, size)
        if size.listed is not None:
            return sequence_given(self, site, cls, size)
        calls, written = [call for call in site.deciding_calls if call.method == size.method], "{}"
        if size.optional and calls:
            given = [bound_argument(cls, call, str(size.path[0]), optional=True) for call in calls]
            if all(value is None for value in given):
                return None
            if any(value is None for value in given):
                choice = given_under(self, calls, given)
                if choice is None:
                    detail = f"`{site.label}` gets `{size.path[0]}` in some of its calls only"
                    raise Refuse("sizes-differ", detail, site.call)
                written = choice
                calls = [call for call, value in zip(calls, given, strict=True) if value is not None]
                given = [value for value in given if value is not None]
            written = where_given(self, site, given, written)
            handed_on = same_argument(given)
            if handed_on is not None:
                text = written.format(f"{handed_on.text}§a{size.axis}")
                self.passed_on.add((f"{handed_on.text}§a{size.axis}", f"{size.name}={text}"))
        values = [at_path(bound_argument(cls, call, str(size.path[0])), size.path[1:]) for call in calls]
        values = [all_joined(v) if size.joined else array_for(v, size.optional) for v in values]
        dims = [self._dim(value, size.axis, flat=size.flat) for value in values]
        if not dims:
            raise Refuse("unknown-size", f"`{site.label}` is never called in the class", site.call)
        return written.format(self.one_size(site, calls, dims))
