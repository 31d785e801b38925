"""The recorded map from Linen variable paths to NNX variable paths: its data model and its file.

`fix` writes it, `verify` and `checkpoint` read it. The file is JSON::

    {"version": 1,
     "modules": {
       "pkg.models:CNN": {"entries": [
         {"linen": ["params", "Dense_0", "kernel"], "nnx": ["dense", "kernel"]},
         {"linen": ["Conv_{i}"], "nnx": ["convs", "{i}"], "module": "flax.linen:Conv"},
         {"linen": ["encoder"], "nnx": ["encoder"], "module": "pkg.models:Encoder"}
       ]}}}

A class is keyed ``module:qualified.name``; its entries are relative to the class, so a class that several
others use is written down once. Kinds of entries:

- a *leaf* entry has a Linen path that starts with the collection and ends with the variable's name. ``linen``
  may be a list of several paths where a ``transform`` joins them (a fused LSTM kernel).
- a *module* entry has the key ``module`` and a Linen path without a collection; it says that the submodule at
  ``nnx`` is the one that Linen keeps at ``linen``. ``module`` names the class whose own entries hold from
  there on: a class of the map, a layer of ``flax.linen`` (see `layer_maps`), ``"*"`` (whatever class the NNX
  submodule turns out to have), or null (the paths below are the same on both sides). An empty path is the
  module itself (`nn.share_scope`, inline wrappers).

A third kind, with the key ``sequence``, lists unnamed submodules in construction order (see `map_sequences`).

Path elements may hold placeholders (see `map_patterns`); ``where`` limits them (``"where": "i % 2 == 0"``).
An entry that matches nothing is no error (a bias that is not used): completeness is checked on the concrete
trees, by `map_expansion.expand`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from nnx_migrate.numerics.leaf_transforms import IDENTITY, Transform
from nnx_migrate.numerics.map_patterns import Expression, PathPattern, PatternError
from nnx_migrate.numerics.map_sequences import SequenceEntry, sequence_from_json, sequence_to_json
from nnx_migrate.sources.writing import write_atomically

VERSION = 1
DEFAULT_LOCATION = FilePath(".nnx-migrate") / "parameters.json"
DYNAMIC = "*"


class MapFormatError(ValueError):
    """A parameter map file that cannot be read; says where and why."""


@dataclass(frozen=True)
class LeafEntry:
    """Variables of the class itself: `linen` paths start with the collection, `nnx` at the module."""

    linen: tuple[PathPattern, ...]
    nnx: PathPattern
    transform: Transform = IDENTITY
    where: Expression | None = None

    @property
    def linen_names(self) -> frozenset[str]:
        """The indices on Linen's side."""
        return frozenset().union(*(pattern.names for pattern in self.linen))


@dataclass(frozen=True)
class ModuleEntry:
    """A submodule: its Linen scope, its NNX path, and the class whose entries hold below."""

    linen: PathPattern
    nnx: PathPattern
    module: str | None
    transform: Transform = IDENTITY
    where: Expression | None = None

    @property
    def linen_names(self) -> frozenset[str]:
        """The indices on Linen's side."""
        return self.linen.names

    @property
    def has_unknown_names(self) -> bool:
        """Whether a part of Linen's name shows in models only."""
        return bool(self.linen.texts - self.nnx.names)


PathEntry = LeafEntry | ModuleEntry
Entry = PathEntry | SequenceEntry


@dataclass(frozen=True)
class ClassMap:
    """All entries of one class."""

    entries: tuple[Entry, ...] = ()


@dataclass
class ParameterMap:
    """The maps of a project's classes, keyed ``module:qualified.name``."""

    modules: dict[str, ClassMap] = field(default_factory=dict)

    def key(self, class_name: str) -> str | None:
        """The key of a class: the folder of its module may be part of one name and not of the other.

        >>> ParameterMap({"src.pkg.models:CNN": ClassMap()}).key("pkg.models:CNN")
        'src.pkg.models:CNN'
        """
        if class_name in self.modules:
            return class_name
        module, _, name = class_name.partition(":")
        similar = [
            key
            for key in self.modules
            if key.partition(":")[2] == name and _same_module(key.partition(":")[0], module)
        ]
        return similar[0] if len(similar) == 1 else None


def _same_module(left: str, right: str) -> bool:
    return f".{left}".endswith(f".{right}") or f".{right}".endswith(f".{left}")


def leaf(
    linen: Sequence[str] | Sequence[Sequence[str]],
    nnx: Sequence[str],
    transform: Transform = IDENTITY,
    where: str | None = None,
) -> LeafEntry:
    """A leaf entry from plain lists; `linen` is one path or a list of paths."""
    several = not (linen and isinstance(linen[0], str))
    paths: Sequence[Any] = linen if several else [linen]
    if not paths or any(len(path) < 2 for path in paths):
        raise PatternError("a leaf's Linen path needs a collection and a name")
    return LeafEntry(tuple(map(PathPattern.of, paths)), PathPattern.of(nnx), transform, _condition(where))


def module(
    linen: Sequence[str],
    nnx: Sequence[str],
    module: str | None,
    transform: Transform = IDENTITY,
    where: str | None = None,
) -> ModuleEntry:
    """A module entry from plain lists."""
    return ModuleEntry(PathPattern.of(linen), PathPattern.of(nnx), module, transform, _condition(where))


def load(path: str | os.PathLike[str]) -> ParameterMap:
    """Reads a map file; raises MapFormatError (with the entry at fault) or OSError."""
    try:
        document = json.loads(FilePath(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise MapFormatError(f"{path}: not JSON: {error}") from error
    return from_json(document, str(path))


def save(parameter_map: ParameterMap, path: str | os.PathLike[str]) -> None:
    """Writes a map file atomically: a reader sees the old file or the new one, never a part of it."""
    target = FilePath(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(parameter_map), indent=1, ensure_ascii=False) + "\n"
    write_atomically(target, text.encode())


def from_json(document: Any, origin: str = "parameter map") -> ParameterMap:
    """The map in a parsed JSON document; `origin` is named in errors."""
    if not isinstance(document, Mapping) or "version" not in document:
        raise MapFormatError(f"{origin}: no version")
    if document["version"] != VERSION:
        raise MapFormatError(f"{origin}: version {document['version']!r}, this release reads {VERSION}")
    result = ParameterMap()
    for name, content in document.get("modules", {}).items():
        entries = []
        for index, raw in enumerate(content.get("entries", [])):
            try:
                entries.append(_entry_from_json(raw))
            except (KeyError, TypeError, ValueError) as error:
                raise MapFormatError(f"{origin}: {name}, entry {index}: {error!r}") from error
        result.modules[name] = ClassMap(tuple(entries))
    return result


def to_json(parameter_map: ParameterMap) -> dict[str, Any]:
    """The JSON document of a map; classes in sorted order, so that the file's diffs stay small."""
    modules = sorted(parameter_map.modules.items())
    return {
        "version": VERSION,
        "modules": {name: {"entries": [_entry_to_json(e) for e in m.entries]} for name, m in modules},
    }


def _condition(where: str | None) -> Expression | None:
    return None if where is None else Expression(where, condition=True)


def _entry_from_json(raw: Mapping[str, Any]) -> Entry:
    if "sequence" in raw:
        return sequence_from_json(raw)
    transform = Transform.from_json(raw.get("transform"))
    make: Any = leaf
    arguments = {"linen": raw["linen"], "nnx": raw["nnx"], "transform": transform, "where": raw.get("where")}
    if "module" in raw:
        make = module
        arguments["module"] = raw["module"]
    return make(**arguments)  # type: ignore[no-any-return]


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    if isinstance(entry, SequenceEntry):
        return sequence_to_json(entry)
    document: dict[str, Any] = {}
    if isinstance(entry, ModuleEntry):
        document["linen"] = list(entry.linen.elements)
    elif len(entry.linen) == 1:
        document["linen"] = list(entry.linen[0].elements)
    else:
        document["linen"] = [list(pattern.elements) for pattern in entry.linen]
    document["nnx"] = list(entry.nnx.elements)
    if isinstance(entry, ModuleEntry):
        document["module"] = entry.module
    if entry.transform != IDENTITY:
        document["transform"] = entry.transform.to_json()
    if entry.where is not None:
        document["where"] = entry.where.source
    return document
