"""Calls that are written anew: `{x!}.at[{idx}].set({y}{?mode:, mode={mode}})`.

`{x}` is the source of an argument, `{x!}` the same so that an attribute can follow, `{?x:...}` text for the
case that the argument is given, `<jax.numpy.inf>` a qualified name as the file spells it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence

from nnx_migrate.engine.arguments import CallView, CannotBind
from nnx_migrate.engine.positions import atom
from nnx_migrate.sources.text import SourceText

_OPTIONAL = re.compile(r"\{\?(\w+):((?:[^{}]|\{\w+!?\})*)\}")
_ARGUMENT = re.compile(r"\{(\w+)(!?)\}")
_NAME = re.compile(r"<([A-Za-z_][\w.]*)>")


def bind(call: CallView, signature: Sequence[str]) -> dict[str, ast.expr]:
    """The arguments of a call by parameter. Raises CannotBind for star arguments and unknown ones."""
    if call.has_star or call.is_partial:
        raise CannotBind("`*args`, `**kwargs` or `partial` hide which arguments are passed")
    if len(call.args) > len(signature):
        raise CannotBind(f"more positional arguments than the {len(signature)} that it had")
    bound = dict(zip(signature, call.args, strict=False))
    for name, keyword in call.by_keyword.items():
        if name in bound or name not in signature:
            raise CannotBind(f"`{name}=` is not an argument that it had")
        bound[name] = keyword.value
    return bound


def expand(template: str, arguments: dict[str, str], spell: Callable[[str], str]) -> str:
    """The text of a template. Raises CannotBind where it needs an argument that is not given, or lacks a
    place for one that is."""
    mentioned = {name for name, _ in _ARGUMENT.findall(template)} | {
        n for n, _ in _OPTIONAL.findall(template)
    }
    for name in arguments.keys() - mentioned:
        raise CannotBind(f"`{name}=` has no equivalent")

    def argument(match: re.Match[str]) -> str:
        if match.group(1) not in arguments:
            raise CannotBind(f"`{match.group(1)}` is not given")
        text = arguments[match.group(1)]
        return atom(text) if match.group(2) else text

    text = _OPTIONAL.sub(lambda m: m.group(2) if m.group(1) in arguments else "", template)
    text = _NAME.sub(lambda match: spell(match.group(1)), text)
    return _ARGUMENT.sub(argument, text)


def argument_text(node: ast.expr, source: SourceText) -> str:
    """Source of an argument, in parentheses where it spans lines without brackets of its own."""
    text = source.segment(node)
    if "\n" in text:
        try:
            ast.parse(text, mode="eval")
        except SyntaxError:
            return f"({text})"
    return text


def loses_comment(call: ast.Call, kept: Sequence[ast.expr], source: SourceText) -> bool:
    """True where a comment inside the call stands outside of the arguments that are kept."""
    start, end = source.span(call)
    inside = source.text[start:end]
    for node in kept:
        inside = inside.replace(source.segment(node), "", 1)
    return "#" in inside
