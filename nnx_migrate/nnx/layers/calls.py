"""Rewriting the call of a layer: mode flags, renamed and moved arguments, random keys, initial carries."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from nnx_migrate.nnx.layers.attention import is_mask
from nnx_migrate.nnx.layers.binding import bind_call, value_of
from nnx_migrate.nnx.layers.draft import Draft
from nnx_migrate.nnx.layers.judge import UNKNOWN, Judge
from nnx_migrate.nnx.layers.model import ArgumentEdit, BoundArgs, CallRewrite, LayerSpec, Refusal


def write_call(
    spec: LayerSpec,
    bound: BoundArgs,
    call: ast.Call,
    segment: Callable[[ast.AST], str],
    *,
    nnx: str = "nnx",
    judge: Judge | None = None,
    helper: Callable[[str], str] = str,
    keep_flag: bool = False,
) -> CallRewrite | Refusal:
    """The edits that turn a call of the Linen layer into one of the NNX layer.

    `bound` is the construction that the callee comes from: a mode flag given there moves to the call (unless
    `keep_flag`), so its source must be valid where the call stands. Arguments that are already right get no
    edit.
    """
    draft = Draft(bound, {}, nnx, "", segment, judge or Judge(), helper)
    if spec.call.variadic:
        if any(keyword.arg == "rngs" for keyword in call.keywords):
            return Refusal(
                "no-counterpart", f"NNX keeps an argument `rngs` of `{spec.name}` for itself", "", call
            )
        return CallRewrite(())
    hidden = [k for k in call.keywords if k.arg is None]
    if hidden and not _hands_on(bound):
        hidden = []
    seen = ast.Call(call.func, call.args, [k for k in call.keywords if k not in hidden]) if hidden else call
    arguments = bind_call(spec.call, seen)
    if isinstance(arguments, Refusal):
        return arguments
    refusal = _old_signature(spec, arguments)
    if refusal is not None:
        return refusal
    flag = (
        None if spec.call.flag is None or keep_flag or hidden else _flag(draft, arguments.get(spec.call.flag))
    )
    if isinstance(flag, Refusal):
        return flag
    edits = []
    for index, (name, node) in enumerate(arguments.items()):
        is_flag = flag is not None and name == spec.call.flag
        text = flag if is_flag else _converted(draft, name, value_of(node))
        edit = _edit(draft, index, name, node, text)
        if edit is not None:
            edits.append(edit)
    if flag is not None and spec.call.flag not in arguments:
        edits.append(ArgumentEdit(None, f"{spec.call.flag}={flag}"))
    return CallRewrite(tuple(edits), frozenset(draft.helpers))


def _hands_on(bound: BoundArgs) -> bool:
    """Whether `**options` of a call may stay: every argument is called the same, and the mode comes with them.

    A mode flag that is nowhere to be seen must be among them, since Linen raises without it.
    """
    spec = bound.spec.call
    return not spec.keywords and not spec.convert and spec.flag not in bound.values


def _converted(draft: Draft, name: str, node: ast.expr) -> str | None:
    """The NNX text of an argument; None where it says nothing (a key that is None) and is dropped."""
    spec = draft.bound.spec.call
    text = draft.segment(node)
    convert = spec.convert.get(name)
    if draft.judge.constant(node) is None and name in spec.keywords:
        return None
    return text if convert is None else convert(text, draft)


def _edit(
    draft: Draft, index: int, name: str, node: ast.expr | ast.keyword, text: str | None
) -> ArgumentEdit | None:
    """The edit that gives an argument its NNX name and text, or None if it stays as it is."""
    spec = draft.bound.spec.call
    keyword = spec.keywords.get(name, name)
    by_position = not isinstance(node, ast.keyword)
    if text is None:
        return ArgumentEdit(node, None)
    if by_position and index < spec.nnx_positional and name not in spec.keywords:
        return None if text == draft.segment(node) else ArgumentEdit(node, text)
    unchanged = not by_position and keyword == name and text == draft.segment(value_of(node))
    return None if unchanged else ArgumentEdit(node, f"{keyword}={text}")


def _flag(draft: Draft, at_call: ast.expr | ast.keyword | None) -> str | Refusal | None:
    """The text of the mode flag at the call; None where none is needed.

    Linen takes the flag from the constructor or from the call and raises if it has both or neither. NNX lets
    the call win and trains if there is neither.
    """
    spec = draft.bound.spec
    flag = str(spec.call.flag)
    call_node = None if at_call is None else value_of(at_call)
    nodes = [node for node in (draft.bound.values.get(flag), call_node) if node is not None]
    given = [node for node in nodes if draft.judge.constant(node) is not None]
    if not given:
        return _missing_flag(spec, draft, flag)
    if len(given) == 1:
        return draft.segment(given[0])
    if all(draft.judge.constant(node) is not UNKNOWN for node in given):
        return Refusal(
            "bad-arguments",
            f"`{flag}` is given to the constructor and to the call; Linen allows one",
            "",
            at_call,
        )
    both = ", ".join(draft.segment(node) for node in given)
    return f'{draft.helper("merge_param")}("{flag}", {both})'


def _missing_flag(spec: LayerSpec, draft: Draft, flag: str) -> Refusal | None:
    if "dropout_rate" in spec.fields:  # attention asks for a flag only with a dropout rate, as in NNX
        return None
    return Refusal(
        "missing-mode-flag",
        f"neither constructor nor call of this `{spec.name}` gives `{flag}`: Linen raises, NNX would train",
        f"Pass `{flag}=`.",
        draft.bound.call,
    )


def _old_signature(spec: LayerSpec, arguments: Mapping[str, ast.expr | ast.keyword]) -> Refusal | None:
    """Before Flax 0.7.4 the third argument of attention was the mask; today it is the values."""
    node = arguments.get("inputs_v")
    if (
        "inputs_kv" in spec.call.params
        and node is not None
        and not isinstance(node, ast.keyword)
        and is_mask(node)
    ):
        return Refusal(
            "bad-arguments",
            "the third positional argument looks like the mask that it was before Flax 0.7.4",
            "Pass `mask=` by keyword.",
            node,
        )
    return None


def rewritten_arguments(call: ast.Call, rewrite: CallRewrite, segment: Callable[[ast.AST], str]) -> list[str]:
    """The argument texts of the rewritten call, in order: for whoever writes the call anew."""
    edited = {id(edit.node): edit.text for edit in rewrite.edits if edit.node is not None}
    texts = []
    for node in (*call.args, *call.keywords):
        if id(node) in edited:
            text = edited[id(node)]
        elif isinstance(node, ast.keyword):
            text = f"{node.arg}={segment(node.value)}" if node.arg else f"**{segment(node.value)}"
        else:
            text = segment(node)
        if text is not None:
            texts.append(text)
    return texts + [str(edit.text) for edit in rewrite.edits if edit.node is None]
