"""Submodules that other classes give a class as a field, in the terms of the class that gets them.

`Decoder(config=config, embed=self.embed)`: inside of `Decoder`, `self.embed` is a layer with
`self.config.emb_dim` features, if that is what every construction in the project gives it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nnx_migrate.linen.analysis import ClassAnalysis, field_symbol
from nnx_migrate.linen.arrays.shapes import Global, Unknown
from nnx_migrate.linen.classes.model import Field, LinenClass, LinenProgram
from nnx_migrate.linen.dims import Dim, parts_of
from nnx_migrate.linen.dims.terms import Opaque
from nnx_migrate.linen.factories.uses import FactoryUses, Use
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import (
    ClassRef,
    Either,
    Expr,
    FieldFactory,
    FieldModule,
    Instance,
    Layer,
    Maybe,
)

if TYPE_CHECKING:
    from nnx_migrate.linen.programs.instance import Instance as MadeByProgram

_CHAIN = re.compile(r"[A-Za-z_][\w.]*(?:\[[\w'\"]+\][\w.]*)*")  # names, attributes and items, no operators


@dataclass(frozen=True, eq=False)
class GivenModule:
    """A submodule that a construction gives a field: its class and arguments."""

    target: Layer | ClassRef
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class GivenModules:
    """Finds what the constructions of a class give its fields. `analyse` interprets the classes around them."""

    def __init__(
        self,
        uses: FactoryUses,
        analyse: Callable[[LinenClass], ClassAnalysis],
        made: Callable[[], Sequence[MadeByProgram]] = lambda: (),
    ) -> None:
        """`made` are the modules that programs construct, with the modules that they get."""
        self.uses, self.analyse, self.made = uses, analyse, made
        self._known: dict[tuple[LinenClass, str], tuple[GivenModule, ...] | None] = {}

    def of(self, cls: LinenClass, field: str) -> tuple[GivenModule, ...] | None:
        """The modules that a field is given (none, where it is always None); None where that isn't known."""
        key = (cls, field)
        if key not in self._known:
            self._known[key] = None  # what a class gives to itself isn't followed
            self._known[key] = self._find(cls, field)
        return self._known[key]

    def _find(self, cls: LinenClass, field: str) -> tuple[GivenModule, ...] | None:
        found: list[GivenModule] = []
        constructed = False
        for relative in (c for c in self.uses.program if cls in c.mro or c in cls.mro):
            item = relative.field(field)
            uses = self.uses.of(relative, field) if item is not None else []
            if uses is None:
                return None
            for use in uses:
                given = self._by(use, relative, field)
                if given is None:
                    return None
                found += given
            constructed |= bool(uses)
        return tuple(found) if constructed else None

    def _by(self, use: Use, cls: LinenClass, field: str) -> list[GivenModule] | None:
        """What one construction gives."""
        item = cls.field(field)
        node = use.arguments.get(field, item.default if item is not None else None)
        if isinstance(node, ast.Constant) and node.value is None:
            return []
        if item is not None and node is item.default is not None:
            by_default = made_by_default(self.uses.program, item)
            return [by_default] if by_default is not None else None
        owner = self.uses.class_around(use.module, use.call)
        if owner is None:
            return self._by_program(field, use.call)
        return self._by_class(cls, field, owner, use.call)

    def _by_program(self, field: str, call: ast.Call) -> list[GivenModule] | None:
        """What a construction outside of classes gives. What its own fields hold is read from the module."""
        made = next((one for one in self.made() if one.reference.call is call and one.made_by is None), None)
        parts = made.parts.get(field) if made is not None else None
        return [self._read_from(part.cls, f"self.{field}") for part in parts] if parts is not None else None

    def _read_from(self, cls: LinenClass, reference: str) -> GivenModule:
        """A module of a class, whose fields are attributes of `reference`; lists that are never empty say so."""
        found = read_from(cls, reference)
        return replace(found, kwargs={name: self._filled(cls, name, v) for name, v in found.kwargs.items()})

    def _filled(self, cls: LinenClass, name: str, value: Any) -> Any:
        item = cls.field(name)
        if not isinstance(value, Expr) or item is None or value.kind != "sequence":
            return value
        uses = self.uses.of(cls, name)
        given = [use.arguments.get(name, item.default) for use in uses or ()]
        return replace(value, filled=True) if given and all(map(_has_items, given)) else value

    def _by_class(
        self, cls: LinenClass, field: str, owner: LinenClass, call: ast.Call
    ) -> list[GivenModule] | None:
        """What a construction in another class gives."""
        analysis: ClassAnalysis | None = None
        with suppress(Refuse, RecursionError):
            analysis = self.analyse(owner)
        sites = [s for s in analysis.facts.sites.values() if s.call is call] if analysis is not None else []
        found: list[GivenModule] = []
        for site in sites:
            given = _given(cls, field, site)
            if given is None:
                return None
            found += given
        return found if sites else None


def made_by_default(program: LinenProgram, item: Field) -> GivenModule | None:
    """The module that a field has by default (`ArrayInput()`); None for other defaults, and where it isn't clear."""
    node = item.default
    if not isinstance(node, ast.Call) or any(k.arg in (None, "name", "parent") for k in node.keywords):
        return None
    cls = program.find(item.owner.resolve_in_class(node.func))
    if cls is None or cls is item.owner:
        return None
    return read_from(cls, f"self.{item.name}")


def _given(cls: LinenClass, field: str, site: Site) -> list[GivenModule] | None:
    names = [item.name for item in cls.fields]
    arguments = {**dict(zip(names, site.args, strict=False)), **site.kwargs}
    value = arguments.get(field)
    value = value.value if isinstance(value, Maybe) else value
    found: list[GivenModule] = []
    for one in value.values if isinstance(value, Either) else (value,):
        if one is None:
            continue
        if not isinstance(one, Instance) or one.site.partials or one.site.lifts:
            return None
        if not isinstance(one.site.target, Layer | ClassRef):
            return None
        rename = _Renaming({name: given for name, given in arguments.items() if name in names})
        args = tuple(rename(a) for a in one.site.args)
        kwargs = {k: rename(v) for k, v in one.site.kwargs.items() if k not in ("name", "parent")}
        found.append(GivenModule(one.site.target, args, kwargs))
    return found


def read_from(cls: LinenClass, reference: str) -> GivenModule:
    """A module of a class, whose fields are attributes of `reference`."""
    kwargs: dict[str, Any] = {}
    for item in cls.fields:
        value = field_symbol(cls, item, f"{reference}.{item.name}")
        kwargs[item.name] = _UNTOLD if isinstance(value, FieldFactory | FieldModule) else value
    return GivenModule(ClassRef(cls), (), kwargs)


def _has_items(node: ast.expr | None) -> bool:
    """Whether an expression is a list or tuple that surely isn't empty."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    return any(not isinstance(item, ast.Starred) for item in items)


class _Renaming:
    """Says in the terms of a class what stands where it is constructed, by what its fields are given there."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.fields: dict[str, str] = {}
        for name, value in given.items():
            text = value.text if isinstance(value, Expr) else _symbol(value)
            if text is not None and _CHAIN.fullmatch(text) and "§" not in text:
                self.fields.setdefault(text, f"self.{name}")

    def __call__(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str | Global | Layer):
            return value
        if isinstance(value, tuple | list):
            return type(value)(self(item) for item in value)
        if isinstance(value, Expr):
            text = self._text(value.text)
            return Expr(text, value.kind, value.length) if text is not None else _UNTOLD
        if isinstance(value, Dim):
            return self._dim(value)
        return _UNTOLD

    def _dim(self, dim: Dim) -> Any:
        texts = {text: self._text(text) for text in dim.symbols()}
        if not dim.known or None in texts.values() or _has_opaque(dim):
            return _UNTOLD
        return dim.substitute(lambda text: Expr(str(texts[text])).dim)

    def _text(self, text: str) -> str | None:
        """The text of an expression, where it starts with something that a field is given."""
        if not _CHAIN.fullmatch(text):
            return None
        for start in sorted(self.fields, key=len, reverse=True):
            rest = text.removeprefix(start)
            if text.startswith(start) and rest[:1] in ("", ".", "["):
                return self.fields[start] + rest
        return None


_UNTOLD = Unknown("an argument of a module that another class gives")


def _symbol(value: Any) -> str | None:
    """The text of a dim that is a single symbol."""
    if not isinstance(value, Dim) or len(value.symbols()) != 1:
        return None
    (text,) = value.symbols()
    return text if value == Dim.symbol(text) else None


def _has_opaque(dim: Dim) -> bool:
    """Whether an expression holds text of its own, which can't be renamed."""
    atoms = [atom for monomial in dim.terms for atom, _ in monomial.factors]
    return any(isinstance(a, Opaque) or any(_has_opaque(part) for part in parts_of(a)) for a in atoms)
