"""Writing the NNX construction that equals a Linen one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeGuard

from nnx_migrate.nnx.layers.binding import bind_call
from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import Judge
from nnx_migrate.nnx.layers.model import (
    Argument,
    AxisDims,
    BoundArgs,
    CallSpec,
    CarryDim,
    Construction,
    LastDim,
    LayerSpec,
    NeededSize,
    Note,
    Numerics,
    Refusal,
    Size,
    SpatialDims,
)


def needed_sizes(
    spec: LayerSpec, bound: BoundArgs, judge: Judge | None = None, call: ast.Call | None = None
) -> tuple[NeededSize, ...] | Refusal:
    """The input sizes that this construction needs: which dimensions of which call argument.

    With the layer's `call` given, sizes of arguments that it doesn't pass are left out. Refused where an
    argument that is no literal decides about the axes.
    """
    judge = judge or Judge()
    passed = None if call is None or spec.call.variadic else bind_call(spec.call, call)
    if isinstance(passed, Refusal):
        return passed
    found = []
    for size in spec.sizes:
        needed = _needed(size, bound, judge)
        if isinstance(needed, Refusal):
            return needed
        if needed is not None and passed is not None:
            needed = _at_call(needed, spec.call, passed)
        if needed is not None:
            found.append(needed)
    return tuple(found)


def _at_call(needed: NeededSize, call: CallSpec, passed: Collection[str]) -> NeededSize | None:
    """The size with the argument that the call really passes, which may be an older name for the same one."""
    given = next((name for name in call.names_of(needed.call_arg) if name in passed), None)
    if given is None:
        return None if needed.optional else needed
    return replace(needed, call_arg=call.params.index(given))


def _needed(size: Size, bound: BoundArgs, judge: Judge) -> NeededSize | Refusal | None:
    source = size.source
    if isinstance(source, LastDim):
        return NeededSize(size.param, source.call_arg, (-1,), "one", size.optional)
    if isinstance(source, CarryDim):
        given = source.field in bound.values
        return None if given else NeededSize(size.param, 0, (-1,), "one", part=1 if source.pairs else None)
    value = judge.field(bound, source.field)
    node = bound.values.get(source.field)
    if isinstance(source, SpatialDims):
        rank = _length(node and judge.seen(node), value)
        if rank is not None:
            return NeededSize(
                size.param, source.call_arg, tuple(range(-rank - 1, -1)), "tuple", size.optional
            )
    axes = (value,) if isinstance(value, int) else value
    if not isinstance(source, AxisDims) or not _are_axes(axes):
        return Refusal(
            "unknown-axes",
            f"`{source.field}` of `{bound.spec.name}` decides which input sizes the NNX layer needs",
            f"Give `{source.field}` as a literal.",
            node,
        )
    if source.combine == "mapping" and not axes:
        return None
    if len({axis < 0 for axis in axes}) > 1:
        return Refusal(
            "unknown-axes",
            f"`{source.field}` of `{bound.spec.name}` mixes axes counted from the front and from the end",
            f"Count all of `{source.field}` from the same end.",
            node,
        )
    one = isinstance(value, int) or (source.combine in ("product", "shape") and len(axes) == 1)
    return NeededSize(
        size.param, source.call_arg, tuple(sorted(axes)), "one" if one else source.combine, size.optional
    )


def _length(node: ast.expr | None, value: object) -> int | None:
    """The number of dimensions of a kernel size: one for an int, else one for each element."""
    if isinstance(value, int):
        return 1
    return len(node.elts) if isinstance(node, ast.Tuple | ast.List) else None


def _are_axes(value: object) -> TypeGuard[Sequence[int]]:
    return isinstance(value, tuple | list) and all(isinstance(axis, int) for axis in value)


def write_construction(
    spec: LayerSpec,
    bound: BoundArgs,
    sizes: Mapping[str, str],
    *,
    nnx: str,
    rngs: str,
    segment: Callable[[ast.AST], str],
    judge: Judge | None = None,
    helper: Callable[[str], str] = str,
    numerics: Numerics = "exact",
    methods: frozenset[str] | None = None,
    keep_flag: bool = False,
    call: ast.Call | None = None,
) -> Construction | Refusal:
    """Write the NNX construction for a bound Linen one.

    `sizes` gives the source text of every `NeededSize` by its `param`; `nnx` and `rngs` are the names under
    which the site knows `flax.nnx` and its `nnx.Rngs`; `segment` gives the (converted) source of a node;
    `helper` the text that refers to a helper. The mode flag (`deterministic`, `use_running_average`) is left
    out, since `write_call` puts it at the call; `keep_flag` keeps it. `methods` are the methods other than
    `__call__` that the program uses on the layer, `call` is the layer's call if it has just one.
    """
    draft = Draft(
        bound, sizes, nnx, rngs, segment, judge or Judge(), helper, numerics, methods=methods, call=call
    )
    if spec.helper is not None:
        draft.use_class(spec.helper)
    elif spec.nnx is not None:
        draft.callee = f"{nnx}.{spec.nnx.rpartition('.')[2]}"
    refusal = (
        spec.refusal
        or _incomplete(draft)
        or _fixed_fields(draft)
        or _sizes(draft)
        or _fields(draft, keep_flag)
        or (spec.adjust and spec.adjust(draft))
        or _collision(draft)
    )
    if refusal:
        return refusal
    if spec.needs_rngs:
        draft.arguments["rngs"] = Argument("rngs", rngs, "rngs", "rngs")
    return Construction(draft.callee, _ordered(draft), frozenset(draft.helpers), tuple(draft.notes))


def _incomplete(draft: Draft) -> Refusal | None:
    """A required field that is not given, or arguments that are not visible where they matter."""
    spec, bound = draft.bound.spec, draft.bound
    missing = [name for name in spec.required if name not in bound.values]
    if missing:
        return Refusal("bad-arguments", f"`{spec.name}` lacks its argument `{missing[0]}`", "", bound.call)
    if not bound.unseen:
        return None
    if spec.call.flag or spec.own or spec.children or spec.helper:
        return _hidden(draft)
    text = (
        "keyword arguments are passed on unseen: NNX raises TypeError for those that it has under other names"
    )
    draft.notes.append(Note("unseen-arguments", text))
    for index, node in enumerate(bound.unseen):
        draft.arguments[f"**{index}"] = Argument("**", draft.segment(node), f"**{index}", "extra")
    return None


def _collision(draft: Draft) -> Refusal | None:
    """An extra argument that the unseen ones may contain, too."""
    fields = {draft.bound.spec.nnx_parameter(name) for name in draft.bound.spec.fields}
    if draft.bound.unseen and any(
        a.origin == "extra" and a.parameter in fields for a in draft.arguments.values()
    ):
        return _hidden(draft)
    return None


def _hidden(draft: Draft) -> Refusal:
    unseen = ", ".join(f"**{ast.unparse(node)}" for node in draft.bound.unseen)
    reason = f"`{draft.bound.spec.name}` gets keyword arguments from `{unseen}`"
    return Refusal("unknown-arguments", reason, "", draft.bound.unseen[0])


def _fixed_fields(draft: Draft) -> Refusal | None:
    """Fields without a counterpart must have the value for which they change nothing."""
    spec = draft.bound.spec
    for name, value in spec.fixed.items():
        node = draft.bound.values.get(name)
        if node is not None and not draft.surely(name, value):
            return Refusal(
                "no-counterpart",
                f"NNX has no `{name}` as `{spec.name}` has in Linen",
                f"Keep this layer behind `nnx.bridge.ToNNX`, or drop `{name}` if it is always {value!r}.",
                node,
            )
    return None


def _sizes(draft: Draft) -> Refusal | None:
    """Put the input sizes in; a size that is not optional and not given is refused."""
    needed = needed_sizes(draft.bound.spec, draft.bound, draft.judge)
    if isinstance(needed, Refusal):
        return needed
    for size in needed:
        text = draft.sizes.get(size.param)
        if text is not None:
            keyword = None if size.param in draft.bound.spec.positional else size.param
            draft.arguments[size.param] = Argument(keyword, text, size.param, "size")
        elif not size.optional:
            return Refusal(
                "missing-size",
                f"the size `{size.param}` of this `{draft.bound.spec.name}` is not known",
                "",
                draft.bound.call,
            )
    return None


def _fields(draft: Draft, keep_flag: bool) -> Refusal | None:
    """Put the user's own arguments in, under their NNX names and in the user's order."""
    spec = draft.bound.spec
    for name, node in draft.bound.values.items():
        if name in spec.fixed or name in spec.own or (name == spec.call.flag and not keep_flag):
            continue
        parameter = spec.nnx_parameter(name)
        if parameter in draft.arguments:  # known as an input size, in the form that NNX wants
            continue
        text = _as_argument(node, draft.segment(node))
        if name in spec.sequences:
            text = as_tuple(node, text, draft.segment)
        if name in spec.adapters:
            wrapped = _adapted(draft, name, node, text)
            if wrapped is None:
                continue
            text = wrapped
        by_position = name in draft.bound.positional or parameter != name
        keyword = None if by_position and parameter in spec.positional else parameter
        draft.arguments[parameter] = Argument(keyword, text, parameter, "field", name)
    return None


def _as_argument(node: ast.expr, text: str) -> str:
    """The text of a value that may move from a position to a keyword."""
    return f"({text})" if isinstance(node, ast.NamedExpr) and not text.startswith("(") else text


def as_tuple(node: ast.expr, text: str, segment: Callable[[ast.AST], str]) -> str:
    """The text of a sequence as a tuple, if it is visibly a list (static attributes must be hashable)."""
    if isinstance(node, ast.List):
        if any(isinstance(item, ast.List) for item in node.elts):
            items = [as_tuple(item, segment(item), segment) for item in node.elts]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        inner = text[1:-1]
        comma = "," if len(node.elts) == 1 and not inner.rstrip().endswith(",") else ""
        return f"({inner}{comma})"
    if isinstance(node, ast.ListComp):
        return f"tuple({text[1:-1]})"
    if isinstance(node, ast.BinOp) and any(
        isinstance(n, ast.List | ast.ListComp) for n in (node.left, node.right)
    ):
        return f"tuple({text})"
    return text


def _adapted(draft: Draft, name: str, node: ast.expr, text: str) -> str | None:
    """The text of a function in NNX's calling convention; None where it is the default anyway."""
    if draft.judge.constant(node) is None or draft.judge.name(node) in _DEFAULT_FUNCTIONS:
        return None
    return f"{draft.helper(draft.bound.spec.adapters[name])}({text})"


_DEFAULT_FUNCTIONS = {
    "jax.lax.dot_general",
    "jax.lax.conv_general_dilated",
    "flax.linen.dtypes.promote_dtype",
}


def _ordered(draft: Draft) -> tuple[Argument, ...]:
    """Positional arguments in NNX's order, then keywords in the user's, then extras, then rngs.

    An argument can stand by position only if all before it do.
    """
    rest = dict(draft.arguments)
    ordered = []
    by_position = True
    for parameter in draft.bound.spec.positional:
        argument = rest.pop(parameter, None)
        by_position = by_position and argument is not None and argument.name is None
        if argument is not None:
            ordered.append(argument if by_position else replace(argument, name=parameter))
    keywords = sorted(rest.values(), key=lambda a: ("field", "size", "extra", "rngs").index(a.origin))
    return (*ordered, *keywords)
