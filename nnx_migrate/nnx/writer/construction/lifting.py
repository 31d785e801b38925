"""Lifted transforms of module classes: members built in one array axis, and calls through NNX's transforms.

`nn.vmap(Critic, ...)(dim)(x)` becomes a `Critic` whose variables have an axis of members, and
`nnx.vmap(Critic.__call__, in_axes=(0, None))(self.critic, x)` at the call.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nnx_migrate.linen.analysis import ClassAnalysis
from nnx_migrate.linen.classes.lifts import Lift, read_lift
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.linen.interpreter.transforms.lifting import decorator_parts
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import ClassRef, Layer, Lifted
from nnx_migrate.nnx.layers import LAYERS, Refusal, write_call
from nnx_migrate.nnx.writer.construction.factories import given_flags
from nnx_migrate.nnx.writer.construction.partitioning import WITH_AXES, reads_axes
from nnx_migrate.nnx.writer.construction.whole_inputs import call_of_members, hands_on
from nnx_migrate.nnx.writer.text import one_line
from nnx_migrate.sources.text import Edit, SourceText

if TYPE_CHECKING:
    from nnx_migrate.nnx.conversion import ClassConversion
    from nnx_migrate.nnx.writer.construction.writer import ConstructionWriter
    from nnx_migrate.nnx.writer.methods.body import BodyEditor
    from nnx_migrate.nnx.writer.names import FileNames

Text = Callable[[ast.AST], str]
_KEPT = ("policy", "prevent_cse", "static_argnums")


def lifted_parts_text(
    writer: ConstructionWriter, site: Site, callee: str, arguments: list[str]
) -> tuple[str, list[str]]:
    """The construction of a module with lifted transforms, from that of one member."""
    stacked = [one for one in site.lifts if one.stacked]
    if not stacked:
        return callee, arguments
    if len(stacked) > 1 or site.loops:
        raise Refuse("unsupported-layer", "modules stacked on several axes", site.call)
    count = stacked[0].options.get("axis_size" if stacked[0].name == "vmap" else "length")
    if count is None:
        raise Refuse("unknown-size", "the number of members isn't given where they are mapped", site.call)
    if "rngs=rngs" not in arguments:
        raise Refuse("unsupported-layer", "a stack of modules without variables", site.call)
    number = stacked[0].count or writer.renderer.text(count, site.context)
    member = f"{callee}({', '.join(arguments)})"
    own = ", ".join(
        [f"lambda rngs: {member}", *_metadata(stacked[0], writer.names.nnx(), writer.renderer.text)]
    )
    made = f"{writer.names.nnx()}.vmap({own})"
    if stacked[0].condition:
        return f"{made}(rngs.split({number})) if {stacked[0].condition} else {callee}", arguments
    return made, [f"rngs.split({number})"]


def lifting_calls(analysis: ClassAnalysis) -> frozenset[ast.AST]:
    """Calls that do nothing but put transforms around a class, themselves or in a function that they call."""
    facts = analysis.facts
    found = {
        n for (_, n), value in facts.values.items() if isinstance(value, Lifted) and isinstance(n, ast.Call)
    }
    for (_, call), closure in facts.functions.items() if found else ():
        if not (isinstance(closure.node, ast.FunctionDef) and _only_returns(closure.node)):
            found.discard(call)
    return frozenset(found)


def check_no_lifts_left(analysis: ClassAnalysis, source: SourceText, edits: Iterable[Edit]) -> None:
    """Refuse a class that would go on calling functions that put Linen's transforms around what is NNX now."""
    facts = analysis.facts
    lifted = {n for (_, n), value in facts.values.items() if isinstance(value, Lifted)}
    calls = {n for _, n in facts.functions if n in lifted and isinstance(n, ast.Call)}
    for call in [n for n in ast.walk(analysis.cls.node) if n in calls] if calls else ():
        assert isinstance(call, ast.Call)
        start, _ = source.span(call)
        gone = any(edit.start <= start < edit.end for edit in edits)
        if not gone or any(f"{source.segment(call.func)}(" in edit.new for edit in edits):
            detail = "a function puts a lifted transform around a class, for more than constructions"
            raise Refuse("unsupported-layer", detail, call)


def _only_returns(function: ast.FunctionDef) -> bool:
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return len(body) == 1 and isinstance(body[0], ast.Return)


def lifted_call(editor: BodyEditor, call: ast.Call, site: Site) -> str:
    """The call of a module with lifted transforms. Raises Refuse."""
    if given_flags(editor.writer, site):
        raise Refuse("mode-flag", "a module with a lifted transform gets its mode where it is made", call)
    if hands_on(call, site):
        check_axes(editor.writer.converted, editor.names, [site], call)
        check_members(editor.writer.converted, site, site.lifts[0], call)
        return call_of_members(editor, call, site.lifts[0])
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        raise Refuse("unsupported-layer", "a module with a lifted transform is called with `*args`", call)
    if len([one for one in site.lifts if one.maps]) > 1:
        raise Refuse("unsupported-layer", "a module that is mapped twice", call)
    if not isinstance(site.target, ClassRef):
        _check_layer(editor, call, site)
    nnx, text = editor.names.nnx(), editor.text
    arguments = [one_line(text(a)) for a in call.args]
    keywords = [f"{k.arg}={one_line(text(k.value))}" for k in call.keywords]
    function = _method_text(editor, call, site, [*arguments, *keywords])
    for one in reversed(site.lifts):
        if one.maps:
            check_axes(editor.writer.converted, editor.names, [site], call)
        if one.rematerialises:
            plain = function
            function = f"{nnx}.remat({', '.join([function, *_options(one, _KEPT, text)])})"
            if one.condition:
                function = f"({function} if {one.condition} else {plain})"
        elif one.name == "vmap":
            check_members(editor.writer.converted, site, one, call)
            axes = ", ".join(str(one.axis(i)) for i in range(len(arguments)))
            own = [
                f"in_axes=({0 if one.stacked else None}, {axes})",
                *_out(one),
                *_options(one, ("axis_name",), text),
                *_metadata(one, nnx, text),
            ]
            plain = function
            function = f"{nnx}.vmap({', '.join([function, *own])})"
            if one.condition:
                function = f"({function} if {one.condition} else {plain})"
        elif one.name == "scan":
            check_members(editor.writer.converted, site, one, call)
            function, arguments = _scanned(function, arguments, one, nnx, text)
    return editor.calls.call_text(call, [one_line(text(call.func)), *arguments, *keywords], function)


def _scanned(function: str, arguments: list[str], one: Lift, nnx: str, text: Text) -> tuple[str, list[str]]:
    """`nnx.scan(function, ...)` and its arguments. What all rounds share is closed over: flags stay Python values."""
    mapped = [i for i in range(1, len(arguments)) if one.axis(i) is not None]
    shared = [i for i in range(1, len(arguments)) if one.axis(i) is None]
    if shared:
        taken = " ".join(arguments)
        names = ["layer", "carry", *(f"x{i}" for i in mapped)]
        names = [f"{name}_" if name in taken else name for name in names]
        inner = dict(zip([0, *mapped], names[1:], strict=True))
        passed = [inner.get(i, argument) for i, argument in enumerate(arguments)]
        if function.startswith("lambda "):
            function = f"lambda {', '.join(names)}: {names[0]}({', '.join(passed)})"
        else:
            function = f"lambda {', '.join(names)}: {function}({', '.join([names[0], *passed])})"
    axes = [str(0 if one.stacked else None), f"{nnx}.Carry", *(str(one.axis(i)) for i in mapped)]
    own = [f"in_axes=({', '.join(axes)})", f"out_axes=({nnx}.Carry, {one.out_axes})"]
    own += _options(
        one, ("length", "reverse", "unroll"), text, skip="length" if one.stacked or mapped else ""
    )
    own += _metadata(one, nnx, text)
    return f"{nnx}.scan({', '.join([function, *own])})", [arguments[0], *(arguments[i] for i in mapped)]


def _metadata(one: Lift, nnx: str, text: Text) -> list[str]:
    """How the axis of members is called in the partition metadata of their variables."""
    if one.axis_name is None:
        return []
    return [f"transform_metadata={{{nnx}.PARTITION_NAME: {text(one.axis_name)}}}"]


def _options(one: Lift, names: tuple[str, ...], text: Text, skip: str = "") -> list[str]:
    found = {n: one.options[n] for n in names if n in one.options and n != skip}
    written = {n: text(node) if hasattr(node, "lineno") else ast.unparse(node) for n, node in found.items()}
    return [f"{n}={one_line(option)}" for n, option in written.items()]


def _out(one: Lift) -> list[str]:
    return [f"out_axes={one.out_axes}"] if one.out_axes else []


def _method_text(editor: BodyEditor, call: ast.Call, site: Site, arguments: list[str]) -> str:
    """What is transformed: the method where the call gives all of its arguments, else a function of those given.

    NNX's transforms would fill in the defaults before they trace, and so turn flags into arrays.
    """
    if isinstance(site.target, ClassRef):
        method = site.target.cls.method("__call__")
        parameters = method.parameters if method is not None else []
        if len(parameters) == len(arguments):
            return f"{class_text(editor.names, site)}.__call__"
    else:
        parameters = list(editor.writer.bound(site)[0].call.params)
    if call.keywords:
        raise Refuse(
            "unsupported-layer", "a module with a lifted transform gets some arguments by name", call
        )
    passed = ", ".join(parameters[: len(arguments)])
    if len(parameters) < len(arguments) or "layer" in parameters:
        raise Refuse(
            "unsupported-layer", "a module with a lifted transform gets arguments that can't be named", call
        )
    return f"lambda layer, {passed}: layer({passed})"


def _check_layer(editor: BodyEditor, call: ast.Call, site: Site) -> None:
    """Raises Refuse for built-in layers that NNX calls in another way than Linen."""
    if not isinstance(site.target, Layer):
        raise Refuse("unsupported-layer", "a lifted transform of an unknown class", call)
    spec, bound = editor.writer.bound(site)
    nnx, judge = editor.names.nnx(), editor.names.judge()
    rewrite = write_call(spec, bound, call, editor.text, nnx=nnx, judge=judge, helper=editor.names.helper)
    if isinstance(rewrite, Refusal) or rewrite.edits or spec.call.flag is not None or spec.children:
        raise Refuse("unsupported-layer", f"`nn.{site.target_name}` with a lifted transform", call)


def lifted_class(site: Site) -> ast.expr:
    """The expression for the class that lifted transforms are applied to."""
    node = site.lifts[-1].call
    assert isinstance(node, ast.Call)
    return node.args[0] if node.args else next(k.value for k in node.keywords if k.arg == "target")


def class_text(names: FileNames, site: Site) -> str:
    """How the file names the class of the project that a lifted transform is applied to."""
    assert isinstance(site.target, ClassRef)
    given, module, cls = lifted_class(site), names.module, site.target.cls
    if names.qualified(given) is None and not isinstance(given, ast.Name):
        raise Refuse("unknown-module", "a lifted transform of a class that the code computes", given)
    home = names.home_of(given)
    bound = home.scopes.module.bindings.get(home.source.segment(given).partition(".")[0])
    if bound and names.project.resolve(given, home.scope_at(given), home) is not None:
        return names.written(given, lambda _: None)
    if names.project.resolve_name(cls.name, module.scopes.module, module) == cls.qualified:
        return cls.name
    scope = home.scope_at(given)
    for one in scope.lookup(given.id) if isinstance(given, ast.Name) else ():  # `block_cls = blocks.Block`
        if one.value is not None and names.project.resolve(one.value, scope, home) == cls.qualified:
            return names.written(one.value, lambda _: None)
    raise Refuse("unknown-module", "a lifted transform of a class that has another name here", given)


# ---- decorators --------------------------------------------------------------------------------------------


def decorator_edits(
    names: FileNames,
    converted: Callable[[LinenClass], ClassConversion],
    sites: list[Site],
    method: Method,
    decorator: ast.expr,
) -> list[Edit] | None:
    """`@nn.remat` and `@partial(nn.scan, ...)` over a method, None for decorators that are no such transform."""
    name, keywords = decorator_parts(method, decorator)
    if name not in ("remat", "checkpoint", "jit", "scan"):
        return None
    if method.node.args.kwonlyargs or method.node.args.vararg or method.node.args.kwarg:
        raise Refuse("unsupported-layer", f"`nn.{name}` over a method with keyword-only arguments", decorator)
    one = read_lift(str(name), decorator, keywords)
    _check_defaults(method, keywords.get("static_argnums"), decorator)
    source, nnx = names.module.source, names.nnx()
    target = decorator.args[0] if isinstance(decorator, ast.Call) else decorator
    edits = [Edit(*source.span(target), f"{nnx}.{'remat' if name == 'checkpoint' else name}")]
    if name != "scan":
        return edits
    if one.stacked or not isinstance(decorator, ast.Call) or method.name != "__call__":
        raise Refuse("unsupported-layer", "`nn.scan` over a method, with variables for each round", decorator)
    check_shared(converted, sites, decorator)
    check_axes(converted, names, sites, decorator, method.owner)
    axes = [one.axis(i + 1) for i in range(len(method.parameters) - 1)]
    if None in axes:
        raise Refuse(
            "unsupported-layer", "`nn.scan` over a method, with arguments that all rounds share", decorator
        )
    inside = ", ".join([f"{nnx}.scan", f"in_axes=({', '.join(['None', f'{nnx}.Carry', *map(str, axes)])})"])
    rest = [f"out_axes=({nnx}.Carry, {one.out_axes})"]
    rest += _options(one, ("length", "reverse", "unroll"), source.segment)
    callee = source.segment(decorator.func)
    start, end = source.span(decorator)
    line = f"{callee}({', '.join([inside, *rest])})"
    return [Edit(start, end, line)]


def _check_defaults(method: Method, static: ast.expr | None, decorator: ast.expr) -> None:
    """Refuse arguments with defaults: NNX's transforms would turn them into arrays, but for static ones."""
    try:
        found = ast.literal_eval(static) if static is not None else ()
    except (ValueError, TypeError, SyntaxError):
        found = ()
    positions = {found} if isinstance(found, int) else set(found)
    count = len(method.parameters) + 1
    if not set(range(count - len(method.node.args.defaults), count)) <= positions:
        raise Refuse(
            "unsupported-layer", "a lifted transform over a method whose arguments have defaults", decorator
        )


# ---- what members may do -----------------------------------------------------------------------------------


def check_members(
    converted: Callable[[LinenClass], ClassConversion], site: Site, one: Lift, node: ast.AST
) -> None:
    """Members that share their variables may not change them: NNX would drop the changes silently.

    Nor may members make variables: those would get no axis, or another one.
    """
    if any(converted(cls).makes_caches for cls in site.classes):
        raise Refuse("unsupported-layer", f"`nn.{one.name}` of a module that makes caches", node)
    if not one.stacked:
        check_shared(converted, [site], node)


def check_shared(
    converted: Callable[[LinenClass], ClassConversion], sites: list[Site], node: ast.AST
) -> None:
    """Refuse modules that change state or draw, for rounds that share their variables."""
    for found in _impure(converted, sites, set()):
        raise Refuse(
            "unsupported-layer", f"`{found}` changes state or draws in a scan that shares variables", node
        )


def check_axes(
    converted: Callable[[LinenClass], ClassConversion],
    names: FileNames,
    sites: list[Site],
    node: ast.AST,
    owner: LinenClass | None = None,
) -> None:
    """Refuse modules that are mapped where names of axes are read: Linen keeps none for parameters of such.

    `owner` is a class that is mapped itself.
    """
    if not reads_axes(names.project):
        return
    is_own = owner is not None and WITH_AXES.search(owner.module.source.segment(owner.node)) is not None
    if is_own or _names_axes(converted, sites, set()):
        detail = "modules are mapped, or scanned, where `params_axes` is read: Linen leaves theirs out there"
        raise Refuse("unsupported-layer", detail, node)


def _names_axes(
    converted: Callable[[LinenClass], ClassConversion], sites: list[Site], seen: set[LinenClass]
) -> bool:
    """Whether modules may have parameters that name their axes."""
    for site in sites:
        if isinstance(site.target, ClassRef):
            if site.target.cls in seen:
                continue
            seen.add(site.target.cls)
            analysis = converted(site.target.cls).analysis
            if analysis is None or any(v.has_axes for v in analysis.variables):
                return True
            if _names_axes(converted, analysis.sites, seen):
                return True
        elif not isinstance(site.target, Layer):
            return True
    return False


def _impure(
    converted: Callable[[LinenClass], ClassConversion], sites: list[Site], seen: set[LinenClass]
) -> Iterator[str]:
    for site in sites:
        if isinstance(site.target, ClassRef):
            cls = site.target.cls
            if cls in seen:
                continue
            seen.add(cls)
            analysis = converted(cls).analysis
            quiet = analysis is not None and not (analysis.facts.rng_calls or analysis.facts.sown)
            if analysis is None or not quiet or any(v.collection != "params" for v in analysis.variables):
                yield cls.name
            else:
                yield from _impure(converted, analysis.sites, seen)
        elif isinstance(site.target, Layer):
            spec = LAYERS.get(f"flax.linen.{site.layer_name}")
            if (
                spec is None
                or spec.call.flag is not None
                or site.target_name in ("SpectralNorm", "WeightNorm")
            ):
                yield site.target_name
        else:
            yield site.target_name
