"""Submodules: constructing them, calling them."""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.arrays.shapes import NO_RANK, Unknown
from nnx_migrate.linen.chosen.layers import LayerChoice
from nnx_migrate.linen.chosen.partials import PartialChoice
from nnx_migrate.linen.classes.derived_layers import CallOverride
from nnx_migrate.linen.classes.lifts import REMAT, lifted_parts
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.configured import Configured, decided
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.given.modules import GivenModule
from nnx_migrate.linen.interpreter.branches.fallbacks import optional_array
from nnx_migrate.linen.interpreter.branches.repeated import known_conditions
from nnx_migrate.linen.interpreter.calls.arguments import arguments
from nnx_migrate.linen.interpreter.convert import effect_arguments, effect_value
from nnx_migrate.linen.interpreter.dispatch import evaluate
from nnx_migrate.linen.interpreter.expressions.static_text import static_or_unknown
from nnx_migrate.linen.interpreter.frame import Frame, Session, Slot
from nnx_migrate.linen.interpreter.ranks.every_rank import result_for_every_rank
from nnx_migrate.linen.interpreter.ranks.patterns import learn_from_call, may_learn
from nnx_migrate.linen.interpreter.records import objects_among
from nnx_migrate.linen.interpreter.sizes.numbers import as_array
from nnx_migrate.linen.interpreter.sizes.spread_fields import fields_behind, spread_mapping
from nnx_migrate.linen.interpreter.state.given_kernels import applied
from nnx_migrate.linen.interpreter.static import is_static
from nnx_migrate.linen.interpreter.submodules.chosen_modules import chosen_class, chosen_layer, chosen_partial
from nnx_migrate.linen.interpreter.submodules.explicit_names import name_expression
from nnx_migrate.linen.interpreter.submodules.handed_over import hand_over
from nnx_migrate.linen.interpreter.submodules.layers import layer_output, params_needed
from nnx_migrate.linen.interpreter.submodules.pure_modules import check_pure
from nnx_migrate.linen.interpreter.transforms.lifting import call_lifts, joined_result, lift, member_arguments
from nnx_migrate.linen.interpreter.transforms.scanned import scanned
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.values import (
    MADE_BY_MODULE,
    ClassChoice,
    ClassRef,
    Closure,
    DerivedLayer,
    FieldFactory,
    FieldModule,
    Input,
    Instance,
    Layer,
    Lifted,
    ModuleList,
    Partial,
    Spread,
    VariableValue,
)

_TRANSFORMS = frozenset(
    [
        "scan",
        "vmap",
        "remat",
        REMAT,
        "checkpoint",
        "jit",
        "remat_scan",
        "map_variables",
        "jvp",
        "vjp",
        "grad",
        "value_and_grad",
        "cond",
        "switch",
        "while_loop",
        "custom_vjp",
        "add_metadata_axis",
        "named_call",
    ]
)


# ---- construction ------------------------------------------------------------------------------------------


def construct_or_bind(frame: Frame, node: ast.Call, target: Any) -> Any:
    """`Layer(...)`, `partial_of_layer(...)`: a submodule, registered at this place."""
    partials: list[Partial] = []
    lifts, target = lifted_parts(target)
    while isinstance(target, Partial):
        partials.insert(0, target)
        target = target.func
    args, kwargs, certain = arguments(frame, node)
    for partial in reversed(partials):
        args, kwargs = (*partial.args, *args), {**dict(partial.kwargs), **kwargs}
    site = _site(frame, node, target, tuple(partials), args, kwargs)
    site.lifts = lifts
    if not certain:
        site.kwargs = {**site.kwargs, "**": None if partials else spread_mapping(frame, node)}
    return Instance(site)


def _site(frame: Frame, node: ast.Call, target: Any, partials: Any, args: Any, kwargs: Any) -> Site:
    facts = frame.session.facts
    key = (frame.context, node)
    site = facts.sites.get(key)
    if site is None:
        site = Site(
            number=frame.session.next_number(),
            call=node,
            target=target,
            owner=frame.owner or frame.session.cls,
            method=frame.method,
            context=frame.context,
            controls=frame.controls,
            partials=partials,
            args=args,
            kwargs=kwargs,
            name=name_expression(frame, node),
        )
        site.foreign, site.entry = frame.foreign or frame.outside, frame.session.entry
        facts.sites[key] = site
    elif site.target != target:
        raise Refuse("unknown-module", "one expression constructs different kinds of modules", node)
    site.args, site.kwargs, site.controls = args, kwargs, frame.controls
    hand_over(site)
    return site


# ---- calls -------------------------------------------------------------------------------------------------


def call_instance(
    frame: Frame,
    instance: Instance,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
    method: str = "__call__",
) -> Any:
    """Call a submodule: recorded with its arguments; the result by the layer's effect or the class's own
    code.
    """
    site = instance.site
    result = applied(frame, site, args, kwargs, node, method)
    if result is not NotImplemented:
        return result
    check_pure(frame, instance, node)
    lifts = call_lifts(frame, site, method, node)
    if isinstance(site.target, DerivedLayer) and isinstance(site.target.cls.override, CallOverride):
        from nnx_migrate.linen.interpreter.submodules.derived import call_derived

        if lifts or method != "__call__":
            raise Refuse("unsupported-layer", f"`{site.target_name}` in an unusual way", node or site.call)
        return call_derived(frame, site, site.target.cls.override, args, kwargs, node)
    args = member_arguments(frame, lifts, args)
    if isinstance(site.target, Layer | LayerChoice) and needs_sizes(frame, site):
        args = (*map(as_array, args[:1]), *args[1:])
    if lifts and frame.session.recording and any(one.maps for one in lifts) and kwargs:
        raise Refuse("unsupported-layer", "a mapped module is called with keyword arguments", node)
    _record_inner(frame.session, site, args, kwargs, method)
    if frame.session.recording:
        within = frame.method, frame.context, frame.session.entry, frame.controls
        call = LayerCall(node, args, dict(kwargs), method, *within)
        site.calls = [
            c for c in site.calls if not (c.node is node and node is not None and c.context == frame.context)
        ]
        site.calls.append(call)
        if node is not None:
            frame.session.facts.calls[frame.context, node] = site
    if isinstance(site.target, Layer):
        return joined_result(frame, lifts, layer_output(frame, site, args, kwargs, node, method))
    if isinstance(site.target, ClassRef):
        result = call_project_class(frame, site, site.target.cls, args, kwargs, method)
        return joined_result(frame, lifts, result)
    if isinstance(site.target, LayerChoice):
        return chosen_layer(frame, site, args, kwargs, node, method)
    if isinstance(site.target, PartialChoice):
        return chosen_partial(frame, site, site.target, args, kwargs, method)
    if isinstance(site.target, ClassChoice):
        return chosen_class(frame, site, site.target, args, kwargs, method)
    return Unknown(f"the result of `{site.target_name}` isn't known")


def _record_inner(session: Session, site: Site, args: Any, kwargs: Any, method: str) -> None:
    """Record a call that the module to which a submodule was handed makes."""
    owner = inner = session
    while owner.facts.sites.get((site.context, site.call)) is not site:
        if owner.caller is None:
            return
        owner, inner = owner.caller, owner
    if owner is not session and owner.recording:
        from nnx_migrate.linen.interpreter.summaries import without_inner

        given = without_inner(args, inner.first_number), without_inner(dict(kwargs), inner.first_number)
        site.calls.append(LayerCall(None, *given, method, entry=owner.entry))
        site.called_by_others = True


def call_one_of(
    frame: Frame, instances: tuple[Instance, ...], args: Any, kwargs: Any, node: ast.Call | None
) -> Any:
    """A call in a loop over a list of different submodules: each in turn."""
    raise Refuse("unsupported-syntax", "a loop over submodules of different kinds", node)


# Methods of a Linen module that an NNX one lacks, or that mean something else there.
_ONLY_LINEN = frozenset(
    {
        "apply", "bind", "clone", "copy", "get_variable", "has_variable", "init", "init_with_output",
        "is_initializing", "is_mutable_collection", "lazy_init", "make_rng", "module_paths", "put_variable",
        "tabulate", "unbind",
    }
)  # fmt: skip


def call_field_module(
    frame: Frame, module: FieldModule, method: str, args: Any, kwargs: Any, node: ast.Call | None
) -> Any:
    """A module that was handed in: what those return that the project gives the field."""
    if method in _ONLY_LINEN:
        raise Refuse("unsupported-api", f"`self.{module.name}.{method}`", node)
    if frame.session.entry == "setup" and method == "__call__":  # as a class: modules are called later
        raise Refuse("unknown-module", f"`self.{module.name}` is called in setup; it may hold a class", node)
    results = [
        _given_result(frame, given, method, args, kwargs) for given in frame.session.given(module.name) or ()
    ]
    if results and all(result == results[0] for result in results):
        return results[0]
    return Unknown(f"{MADE_BY_MODULE} `self.{module.name}` isn't known")


def _given_result(frame: Frame, given: GivenModule, method: str, args: Any, kwargs: Any) -> Any:
    """What a module returns that another class gives this one."""
    cls, call = frame.session.cls, ast.Call(ast.Name("given"), [], [])
    site = Site(0, call, given.target, cls, frame.method, (), (), args=given.args, kwargs=dict(given.kwargs))
    if isinstance(given.target, ClassRef):
        return call_project_class(frame, site, given.target.cls, args, kwargs, method)
    try:
        return layer_output(frame, site, args, kwargs, None, method)
    except Refuse as refusal:
        return Unknown(refusal.detail)


def call_project_class(frame: Frame, site: Site, cls: LinenClass, args: Any, kwargs: Any, method: str) -> Any:
    """What a method of another module returns for these constructor and call arguments."""
    from nnx_migrate.linen.interpreter.summaries import run_class

    found = cls.method(method)
    objects = objects_among(found) if found is not None else frozenset()
    names = [*(found.parameters if found is not None else ()), *("" for _ in args)]

    def handed(name: str, value: Any) -> Any:
        if isinstance(value, Spread) or (name in objects and isinstance(value, Input)):
            return value
        return optional_array(frame, value) or effect_value(frame.session, value)

    values = tuple(handed(name, value) for name, value in zip(names, args, strict=False))
    keywords = {name: handed(name, value) for name, value in kwargs.items()}
    fields = bind_fields(frame, site, cls)

    def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return run_class(frame.session, cls, fields, method, args, kwargs, may_learn(frame))

    result = run(values, keywords)
    if isinstance(result, Unknown) and result.reason == NO_RANK:
        result = result_for_every_rank(run, values, keywords) or result
    return decided(result, known_conditions(frame)) if isinstance(result, Configured | tuple) else result


def bind_fields(frame: Frame, site: Site, cls: LinenClass) -> dict[str, Any]:
    """The values of a module's fields at a construction."""
    names = [f.name for f in cls.fields]
    bound: dict[str, Any] = dict(zip(names, site.args, strict=False))
    bound.update({k: v for k, v in site.kwargs.items() if k in names})
    if "**" in site.kwargs:
        return {**fields_behind(frame, site, cls), **bound}
    return bound


def field_value(frame: Frame, site: Site, name: str) -> Any:
    """`submodule.field`."""
    assert isinstance(site.target, ClassRef)
    values = bind_fields(frame, site, site.target.cls)
    if name in values:
        return values[name]
    return default_value(frame, site.target.cls, name)


def default_value(frame: Frame, cls: LinenClass, name: str) -> Any:
    """A field's default, evaluated in its class."""
    item = cls.field(name)
    if item is None:
        return Unknown(f"no field `{name}`")
    if item.default is None:
        return Unknown(f"field `{name}` isn't given")
    return evaluate(Frame(frame.session, item.owner.module, {}, foreign=True, owner=item.owner), item.default)


def needs_sizes(frame: Frame, site: Site) -> bool:
    """Whether the NNX constructor of this submodule takes sizes of its inputs."""
    return not isinstance(site.target, Layer) or params_needed(site.target.name)


# ---- functions of flax.linen -------------------------------------------------------------------------------


def linen_function(frame: Frame, name: str, args: Any, kwargs: Any, node: ast.Call | None) -> Any:
    """`nn.relu(x)`, `nn.max_pool(...)`, `nn.merge_param(...)`, and the lifted transforms."""
    if name == "scan" and node is not None and len(args) == 1 and isinstance(args[0], Closure):
        return scanned(args[0], node)
    if name in _TRANSFORMS:
        return lift(frame, name, args, kwargs, node)
    if name == "merge_param":
        chosen = [v for v in args[1:3] if v is not None]
        return chosen[-1] if chosen else None
    if name == "share_scope":
        raise Refuse("unsupported-api", "`nn.share_scope`", node)
    transfer = registry.effect(f"flax.linen.{name}")
    if transfer is not None:
        values, keywords = effect_arguments(frame.session, args, kwargs, windows=name.endswith("pool"))
        learn_from_call(frame, f"flax.linen.{name}", values, keywords)
        return transfer(*values, **keywords)
    if node is not None and is_static(frame, node):
        return static_or_unknown(frame, node)
    return Unknown(f"`nn.{name}` isn't modelled")


def set_attribute(frame: Frame, args: tuple[Any, ...], node: ast.Call | None) -> Any:
    """`setattr(self, name, value)`."""
    raise Refuse("unsupported-syntax", "`setattr` on the module", node)


__all__ = ["FieldFactory", "Input", "ModuleList", "Slot", "VariableValue", "construct_or_bind"]


def constructs(target: Any) -> bool:
    """Whether calling a value constructs a submodule."""
    if isinstance(target, Partial):
        return constructs(target.func)
    if isinstance(target, Lifted):
        return True
    return isinstance(target, ClassRef | ClassChoice | FieldFactory) or (
        isinstance(target, Layer) and target.is_class
    )
