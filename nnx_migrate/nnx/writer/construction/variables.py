"""`self.param(...)` and `self.variable(...)` as NNX variables that the constructor makes."""

from __future__ import annotations

import ast
from contextlib import AbstractContextManager
from typing import Protocol

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Context, VariableSite
from nnx_migrate.nnx.writer.construction.partitioning import ANNOTATING, AXES_READERS, has_readers
from nnx_migrate.nnx.writer.names import FileNames


class Texts(Protocol):
    """Where a variable is made: in the constructor, or in a method."""

    names: FileNames

    def text(self, node: ast.AST, context: Context = ()) -> str:
        """The text of an expression there."""
        ...

    def substituting(self, names: dict[str, str]) -> AbstractContextManager[None]:
        """Put texts in place of names."""
        ...


_TYPES = {"params": "Param", "batch_stats": "BatchStat", "cache": "Cache"}


def variable_parts(renderer: Texts, site: VariableSite) -> tuple[str, list[str]]:
    """The construction of a variable: its type, and the arguments, first `init(rngs.params(), shape, dtype)`."""
    api = "variable" if site.is_reference else "param"
    named = ["col", "name"] if site.is_reference else ["name"]
    args = list(site.call.args)
    keywords = {k.arg: k.value for k in site.call.keywords}
    if any(isinstance(a, ast.Starred) for a in args) or None in keywords:
        raise Refuse("unsupported-syntax", f"`self.{api}` with `*args` or `**kwargs`", site.call)
    positional = args[len([name for name in named if name not in keywords]) :]
    for name in named:
        keywords.pop(name, None)
    init = positional.pop(0) if positional else keywords.pop("init_fn", None)
    if init is None:
        raise Refuse("unsupported-syntax", f"`self.{api}` without an initializer", site.call)
    if site.axes is not None:
        keywords = {name: value for name, value in keywords.items() if name != "axes"}
    if "unbox" in keywords:
        raise Refuse("unsupported-api", f"`self.{api}` with `unbox`", site.call)
    texts = [renderer.text(a, site.context) for a in positional]
    texts += [f"{name}={renderer.text(value, site.context)}" for name, value in keywords.items()]
    key = [] if site.is_reference else ["rngs.params()"]
    value = _applied(renderer, init, [*key, *texts], site) if isinstance(init, ast.Lambda) else None
    if value is None:
        function = renderer.text(init, site.context)
        if isinstance(init, ast.Lambda):
            function = f"({function})"
        value = f"{function}({', '.join([*key, *texts])})"
    return _type(renderer, site.collection), [value, *_axes(renderer, site)]


def _axes(renderer: Texts, site: VariableSite) -> list[str]:
    """The metadata that name the axes of a variable."""
    if site.axes is None or not site.has_axes:
        return []
    if has_readers(renderer.names.project, ANNOTATING):
        detail = "`param_with_axes` in a project whose initializers name axes, too"
        raise Refuse("unsupported-api", detail, site.call)
    metadata = [f"out_sharding={renderer.text(site.axes, site.context)}", "eager_sharding=False"]
    box = ['linen_box="AxisMetadata"'] if has_readers(renderer.names.project, AXES_READERS) else []
    return [*metadata, *box]


def read_text(names: FileNames, site: VariableSite, access: str) -> str:
    """The value of a variable: of one with named axes laid out as Linen does whenever it gives the parameter."""
    value = f"{access}{site.read}"
    return (
        f"{names.linen()}.with_logical_constraint({value}, {access}.out_sharding)" if site.has_axes else value
    )


def _applied(renderer: Texts, function: ast.Lambda, arguments: list[str], site: VariableSite) -> str | None:
    """A lambda's body with the arguments in place of its parameters, None where that would not be the same."""
    spec = function.args
    names = [a.arg for a in spec.args]
    others = [*spec.posonlyargs, *spec.kwonlyargs, *spec.defaults, spec.vararg, spec.kwarg]
    if any(other is not None for other in others) or len(names) != len(arguments):
        return None
    if any(_is_keyword(argument) for argument in arguments):
        return None
    reads = [n.id for n in ast.walk(function.body) if isinstance(n, ast.Name)]
    nested = any(isinstance(n, ast.Lambda | ast.comprehension) for n in ast.walk(function.body))
    if nested or any(reads.count(name) > 1 for name in names):
        return None
    with renderer.substituting(dict(zip(names, arguments, strict=True))):
        return renderer.text(function.body, site.context)


def _is_keyword(argument: str) -> bool:
    return argument.partition("=")[0].isidentifier() and "=" in argument


def _type(renderer: Texts, collection: str) -> str:
    """The variable type of a collection; those that NNX doesn't know are registered under their Linen name."""
    nnx = renderer.names.nnx()
    known = _TYPES.get(collection)
    if known is not None:
        return f"{nnx}.{known}"
    return f'{nnx}.variable_type_from_name("{collection}", allow_register=True)'
