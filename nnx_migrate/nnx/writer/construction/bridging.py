"""Submodules that stay Linen: `self.block = nnx.bridge.ToNNX(Block(width), rngs=rngs)`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.arrays.shapes import Array, Global, InitialDtype, Shape
from nnx_migrate.linen.bridged import TAKEN, Bridges
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.fields.declared import declares_data
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.values import ClassRef, Closure, Expr, Instance, Layer, Partial
from nnx_migrate.names.nodes import is_of_self
from nnx_migrate.nnx.writer.construction.plain_arguments import makes_no_module

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.model import LinenClass, Method
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter

#: Arguments of a call that the bridge takes for itself.
_OF_BRIDGE = frozenset({"rngs", "method", "mutable"})


def bridge(writer: ConstructionWriter, site: Site) -> bool:
    """Whether a submodule stays Linen: its class can't be converted, and works behind a bridge. Raises Refuse."""
    if not isinstance(site.target, ClassRef) or writer.bridges is None:
        return False
    cls = site.target.cls
    try:
        writer.converted(cls)
    except Refuse as refusal:
        if cls is writer.analysis.cls:
            raise
        found = writer.bridges.of(cls)
        if found.problem:
            raise _refused(cls, refusal, found.problem, site.call) from None
        if writer.analysis.cls in found.classes:
            raise _refused(cls, refusal, f"it holds `{writer.analysis.cls.name}`", site.call) from None
        site.bridged = found
        if problem := _misplaced(site) or _needs_more(writer, site, cls) or _handed(site):
            raise _refused(cls, refusal, problem, site.call) from None
        check_calls(writer, site)
        return True
    return False


def _refused(cls: LinenClass, refusal: Refuse, problem: str, node: ast.AST) -> Refuse:
    detail = f"`{cls.name}` was not converted, and can't be held by `nnx.bridge.ToNNX`: {problem}"
    return Refuse("base-not-converted", detail, node)


def bridged_parts(writer: ConstructionWriter, site: Site) -> tuple[str, list[str]]:
    """Callee and arguments of the construction of a bridge. Raises Refuse."""
    from nnx_migrate.nnx.writer.construction.writer import RNGS

    assert isinstance(site.target, ClassRef)
    given = [*site.call.args, *(k.value for k in site.call.keywords if k.arg not in ("name", "parent"))]
    for node in given:
        _check_plain(writer, site, node)
    texts = [writer.renderer.text(node, site.context) for node in site.call.args]
    texts += [
        f"{k.arg}={writer.renderer.text(k.value, site.context)}"
        for k in site.call.keywords
        if k.arg not in ("name", "parent")
    ]
    made = f"{writer.names.module.source.segment(site.call.func)}({', '.join(texts)})"
    return f"{writer.names.nnx()}.bridge.ToNNX", [made, f"{RNGS}={RNGS}"]


def _misplaced(site: Site) -> str:
    """Why the place of a construction is none for a bridge; empty if it is one."""
    if site.lifts:
        return "a lifted transform stands around it"
    if site.partials or not isinstance(site.call.func, ast.Name | ast.Attribute):
        return "it isn't constructed by its class"
    if site.lent or site.elements or (site.called_by_others and site.parent_site is None):
        return "it is handed to another module"
    if site.foreign or site.context:
        return "it is made by a function"
    if site.carry_only or not site.calls:
        return "it isn't called"
    if any(isinstance(a, ast.Starred) for a in site.call.args) or any(
        k.arg is None for k in site.call.keywords
    ):
        return "its arguments aren't all shown"
    return ""


def _handed(site: Site) -> str:
    """Why the module that gets another one as an argument may not get a bridge; empty if it may."""
    holder = site.parent_site
    if holder is None:
        return ""
    if changed_collections(site):
        return "it is handed to another module, and its calls change its variables"
    if holder.lent or holder.lifts or holder.partials or holder.context or holder.elements:
        return f"`{holder.target_name}`, which gets it, is no plain module"
    if isinstance(holder.target, ClassRef):
        if len(site.place) != 1 or not _only_calls(holder.target.cls, site.place[0]):
            return f"it is handed to `{holder.target_name}`, which doesn't only call it"
    elif holder.target != Layer("Sequential") or not site.place[-1].isdecimal():
        return f"it is handed to `{holder.target_name}`"
    return _handed(holder)


def _only_calls(cls: LinenClass, field: str) -> bool:
    """Whether the methods of a class do nothing with a field but to call it themselves."""
    if any(method.transforms for owner in cls.mro for method in owner.own_methods.values()):
        return False
    for owner in cls.mro:
        for node in ast.walk(owner.node):
            if isinstance(node, ast.Attribute) and node.attr == field and isinstance(node.ctx, ast.Load):
                call = owner.module.parents.get(node)
                if not (isinstance(call, ast.Call) and call.func is node and _method_around(owner, call)):
                    return False
    return True


def _method_around(cls: LinenClass, node: ast.AST) -> Method | None:
    """The method of a class whose own code a node is; None for code of a function within one."""
    methods: dict[ast.AST, Method] = {method.node: method for method in cls.own_methods.values()}
    around: ast.AST | None = node
    while around is not None and around not in methods:
        if isinstance(around, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        around = cls.module.parents.get(around)
    return methods[around] if around is not None else None


def _needs_more(writer: ConstructionWriter, site: Site, cls: LinenClass) -> str:
    """What the Linen class would miss."""
    bridges = writer.bridges
    assert bridges is not None
    for call in site.calls:
        method = cls.method(call.method)
        if call.method in TAKEN or method is None or method.kind != "method":
            return f"its method `{call.method}` is called"
        if call.method != "__call__" and site.parent_site is not None:
            return f"another module calls its method `{call.method}`"
        if _OF_BRIDGE & call.kwargs.keys():
            return f"it is called with `{min(_OF_BRIDGE & call.kwargs.keys())}`"
    for name, annotation, value, node in _given(site, cls):
        if declares_data(annotation) or _is_plain_text(writer, site, node):
            continue
        if _holds_modules(bridges, value):
            return f"its field `{name}` gets modules"
        called = site.bridged.unknown_call(name) if site.bridged is not None else ""
        if called and not _is_plain(value):
            return f"`{name}`, or a part of it, may be a module, and {called} is called"
    return ""


def _given(site: Site, cls: LinenClass) -> Iterable[tuple[str, ast.expr | None, Any, ast.expr | None]]:
    """The arguments of a construction: the fields that they set, what these are declared to be, and the values with
    their expressions.
    """
    declared = {item.name: item.annotation for item in cls.fields}
    nodes = dict(zip(declared, site.call.args, strict=False))
    nodes |= {keyword.arg: keyword.value for keyword in site.call.keywords if keyword.arg is not None}
    for name, value in (*zip(declared, site.args, strict=False), *site.kwargs.items()):
        if name not in ("name", "parent"):
            yield name, declared.get(name), value, nodes.get(name)


def _is_plain_text(writer: ConstructionWriter, site: Site, node: ast.expr | None) -> bool:
    """Whether the text of an argument shows that it has nothing to do with modules."""
    bridges, values = writer.bridges, writer.analysis.facts.values

    def is_data(local: ast.expr) -> bool:
        known = (site.context, local) in values
        return known and bridges is not None and not _holds_modules(bridges, values[site.context, local])

    return bridges is not None and makes_no_module(bridges, writer.analysis.cls, node, is_data)


def _holds_modules(bridges: Bridges, value: Any) -> bool:
    """Whether a value is, or may hold, modules, their classes, or functions that make them."""
    if isinstance(value, tuple | list):
        return any(_holds_modules(bridges, item) for item in value)
    if isinstance(value, dict):
        return any(_holds_modules(bridges, item) for item in value.values())
    if isinstance(value, Partial):
        return _holds_modules(bridges, (value.func, *value.args, *(given for _, given in value.kwargs)))
    if isinstance(value, Closure):
        is_local = value.env is not None or value.self_value is not None  # it may have modules around it
        return is_local or not bridges.is_harmless(value.module, value.node)
    if isinstance(value, Layer):
        return value.is_class
    known = Dim | Expr | Array | Shape | InitialDtype | Global | bool | int | float | str
    return not (value is None or isinstance(value, known))


def _is_plain(value: Any) -> bool:
    """Whether a value surely is, and has, nothing that could be called to make a module."""
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    if isinstance(value, Expr):
        return value.kind in ("int", "float", "bool", "str", "elementwise") or value.text.endswith("dtype")
    return True


def _check_plain(writer: ConstructionWriter, site: Site, node: ast.AST) -> None:
    """Refuse arguments that would have to stay in Linen's form, or that NNX would have in another one."""
    handed = {*writer.known_factories.of(writer.analysis.cls), *_module_fields(writer)}
    for inner in ast.walk(node):
        value = writer.analysis.facts.values.get((site.context, inner))
        is_layer = isinstance(value, Layer) and value.is_class
        reads = isinstance(inner, ast.Attribute) and inner.attr in handed
        if is_layer or reads or isinstance(value, ClassRef | Instance) or isinstance(inner, ast.Lambda):
            detail = f"`{site.target_name}`, which stays Linen, gets modules, their classes or functions"
            raise Refuse("base-not-converted", detail, node)


def _module_fields(writer: ConstructionWriter) -> Iterable[str]:
    """Fields of the class around to which programs or other classes may give modules."""
    session = writer.analysis.session
    for name, value in session.fields.items():
        plain = value is None or isinstance(value, Dim | Expr | bool | int | float | str)
        if not plain or session.given(name):
            yield name


def check_holder(writer: ConstructionWriter, site: Site) -> None:
    """Refuse a module with a bridge in it where it can't be initialised by a call. Raises Refuse."""
    if problem := _misplaced(site) or _handed(site):
        detail = f"`{site.target_name}` holds a Linen module, and {problem}"
        raise Refuse("base-not-converted", detail, site.call)
    check_calls(writer, site)


def check_calls(writer: ConstructionWriter, site: Site) -> None:
    """Refuse what isn't a plain call in a method: each call changes the streams of a bridge, as no transform may."""
    facts = writer.analysis.facts
    if site.parent_site is not None:
        return check_calls(writer, site.parent_site)
    for call in site.calls:
        if problem := _called_by(writer, call):
            detail = f"`{site.target_name}`, which holds a Linen module, is called {problem}"
            raise Refuse("base-not-converted", detail, site.call)
    parents = writer.names.module.parents
    for (context, node), value in facts.values.items():
        parent = parents.get(node) if isinstance(value, Instance) and value.site is site else None
        if parent is None or context:
            continue
        called = isinstance(parent, ast.Call) and parent.func is node
        read = isinstance(parent, ast.Attribute) and not _is_called(parents, parent)
        if read or (not called and isinstance(parent, ast.Call | ast.keyword) and node is not site.call):
            detail = f"`{site.target_name}`, which holds a Linen module, is used otherwise than by calling it"
            raise Refuse("base-not-converted", detail, node)
    return None


def _is_called(parents: Any, node: ast.Attribute) -> bool:
    above = parents.get(node)
    return isinstance(above, ast.Call) and above.func is node


def _called_by(writer: ConstructionWriter, call: LayerCall) -> str:
    """How a call is made, if not by the code of a method itself, whoever calls that."""
    if call.node is None:
        return "by a function or another module"
    for step in (*call.context, call.node):
        if step is not call.node and not (isinstance(step, ast.Call) and is_of_self(step.func)):
            return "by a function or another module"
        owners = writer.analysis.cls.mro
        method = next((m for owner in owners if (m := _method_around(owner, step)) is not None), None)
        if method is None:
            return "within a function"
        if method.transforms:
            return "in a method with a decorator"
    return ""


def changed_collections(site: Site) -> str:
    """The argument that lets a call of a Linen module change its variables; empty where it has none to change."""
    if site.bridged is None or not site.bridged.collections:
        return ""
    names = ", ".join(f'"{name}"' for name in site.bridged.collections)
    return f"mutable=[{names}]"
