"""Binding the arguments of a Linen construction, of a `functools.partial` of one, and of a layer call."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from nnx_migrate.nnx.layers.model import BoundArgs, CallSpec, LayerSpec, Refusal

Expand = Callable[[ast.expr], Mapping[str, ast.expr] | None]
"""What a `**expression` consists of, if the caller knows: name -> expression that is valid at the site."""

_STARRED_ADVICE = "Write the arguments out, or convert this construction by hand."


def bind(
    spec: LayerSpec,
    call: ast.Call,
    *,
    base: BoundArgs | None = None,
    expand: Expand | None = None,
    pass_on: bool = False,
) -> BoundArgs | Refusal:
    """Bind a construction's arguments to the layer's fields.

    `base` holds what an enclosing `functools.partial` has bound already: its positional arguments come first,
    its keywords give way to the call's. `expand` tells the content of `**kwargs`; displays (`**{"a": 1}`)
    and `dict()` calls are expanded anyway; with `pass_on`, other ones become `unseen`, else they are refused,
    like unknown, duplicate and surplus arguments, for which Linen would raise.
    """
    fields = (*spec.fields, "parent", "name")
    values = _positional(spec, call, base, fields)
    if isinstance(values, Refusal):
        return values
    positional = frozenset(values)
    keywords = _keywords(spec, call, expand)
    if isinstance(keywords, Refusal):
        return keywords
    unseen = tuple(node for name, node in keywords.items() if name.startswith("**"))
    if unseen and not pass_on:
        return Refusal(
            "unknown-arguments",
            f"`{spec.name}` gets keyword arguments from `**{ast.unparse(unseen[0])}`",
            _STARRED_ADVICE,
            unseen[0],
        )
    for keyword, node in keywords.items():
        if keyword.startswith("**"):
            continue
        if keyword not in fields or keyword in positional:
            problem = "twice" if keyword in positional else "that it does not have"
            return Refusal("bad-arguments", f"`{spec.name}` gets an argument `{keyword}` {problem}", "", node)
        values[keyword] = node
    name, parent = (values.pop(key, None) for key in ("name", "parent"))
    if base is not None:
        values = {**base.values, **values}
        name, parent, unseen = name or base.name, parent or base.parent, (*base.unseen, *unseen)
    return BoundArgs(spec, call, values, positional - {"name", "parent"}, name, parent, unseen)


def _positional(
    spec: LayerSpec, call: ast.Call, base: BoundArgs | None, fields: Sequence[str]
) -> dict[str, ast.expr] | Refusal:
    """The arguments given by position, those of an enclosing partial first."""
    values = {} if base is None else {name: base.values[name] for name in fields if name in base.positional}
    given = frozenset(values)
    for index, node in enumerate(call.args, len(values)):
        if isinstance(node, ast.Starred):
            return Refusal(
                "unknown-arguments",
                f"`{spec.name}` gets positional arguments from `*{ast.unparse(node.value)}`",
                _STARRED_ADVICE,
                node,
            )
        if index >= len(fields):
            return Refusal("bad-arguments", f"`{spec.name}` gets too many positional arguments", "", node)
        values[fields[index]] = node
    if base is not None and (twice := (values.keys() - given) & base.values.keys()):
        return Refusal("bad-arguments", f"`{spec.name}` gets `{min(twice)}` twice", "", call)
    return values


def bind_partial(
    spec: LayerSpec, call: ast.Call, *, base: BoundArgs | None = None, expand: Expand | None = None
) -> BoundArgs | Refusal:
    """Bind what `functools.partial(layer, ...)` fixes: the `base` for binding calls of the partial.

    For a partial of a partial, the inner one is the `base` of the outer one.
    """
    without_layer = ast.Call(func=call.args[0], args=call.args[1:], keywords=call.keywords)
    return bind(spec, ast.copy_location(without_layer, call), base=base, expand=expand)


def bind_call(spec: CallSpec, call: ast.Call) -> dict[str, ast.expr | ast.keyword] | Refusal:
    """Bind a layer call's arguments to Linen's `__call__` parameters (keywords as their `ast.keyword`)."""
    bound: dict[str, ast.expr | ast.keyword] = {}
    for index, node in enumerate(call.args):
        if isinstance(node, ast.Starred):
            return Refusal("unknown-arguments", "the layer is called with `*args`", _STARRED_ADVICE, node)
        if index >= spec.positional:
            return Refusal(
                "bad-arguments", "the layer is called with too many positional arguments", "", node
            )
        bound[spec.params[index]] = node
    for keyword in call.keywords:
        if keyword.arg is None:
            return Refusal(
                "unknown-arguments", "the layer is called with `**kwargs`", _STARRED_ADVICE, keyword
            )
        if keyword.arg not in spec.params or keyword.arg in bound:
            return Refusal(
                "bad-arguments", f"the layer's call does not take `{keyword.arg}` here", "", keyword
            )
        bound[keyword.arg] = keyword
    return bound


def value_of(node: ast.expr | ast.keyword) -> ast.expr:
    """The expression of an argument, positional or keyword."""
    return node.value if isinstance(node, ast.keyword) else node


def _keywords(spec: LayerSpec, call: ast.Call, expand: Expand | None) -> dict[str, ast.expr] | Refusal:
    """All keyword arguments by name, `**` expressions expanded where their content is visible.

    Where it isn't, the expression stands under a name that starts with two stars.
    """
    found: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        content: Mapping[str, ast.expr] | None = {keyword.arg: keyword.value} if keyword.arg else None
        if content is None:
            content = _display(keyword.value)
        if content is None and expand is not None:
            content = expand(keyword.value)
        if content is None:
            content = {f"**{len(found)}": keyword.value}
        for name, node in content.items():
            if name in found:
                return Refusal("bad-arguments", f"`{spec.name}` gets `{name}` twice", "", node)
            found[name] = node
    return found


def _display(node: ast.expr) -> dict[str, ast.expr] | None:
    """The content of `{"a": 1}` or `dict(a=1)`."""
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        if all(isinstance(key, str) for key in keys):
            return {str(key): value for key, value in zip(keys, node.values, strict=True)}
    is_dict_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"
    if is_dict_call and isinstance(node, ast.Call) and not node.args and all(k.arg for k in node.keywords):
        return {str(k.arg): k.value for k in node.keywords}
    return None
