"""From a recorded map and two concrete trees to a complete list of leaf pairs, or to a list of what is wrong.

`nnx.update` accepts wrong shapes, unknown names and missing leaves without a word, so nothing is moved before
every Linen leaf has exactly one place to go, every NNX leaf exactly one origin, and shapes, dtypes and kinds
agree.
"""

from __future__ import annotations

import keyword
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nnx_migrate.numerics.layer_maps import LAYER_MAPS, LINEN_NAMES
from nnx_migrate.numerics.leaf_transforms import IDENTITY, Shape, Transform, TransformError
from nnx_migrate.numerics.map_patterns import Path, PatternError
from nnx_migrate.numerics.map_places import Place, places
from nnx_migrate.numerics.map_sequences import SequenceEntry, replay
from nnx_migrate.numerics.parameter_map import (
    DYNAMIC,
    ClassMap,
    Entry,
    LeafEntry,
    ModuleEntry,
    ParameterMap,
    PathEntry,
)

#: Collections with an NNX variable type of their own; any other may have any type that is none of these.
STOCK_KINDS = ("params", "batch_stats", "cache")

#: Linen collections that hold no state to carry over.
TRANSIENT_COLLECTIONS = frozenset({"intermediates", "perturbations", "params_axes"})

ClassOf = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class LeafSpec:
    """One leaf; `kind` is the Linen collection, or the one that the NNX variable's type stands for."""

    shape: Shape
    dtype: str
    kind: str


@dataclass(frozen=True)
class LeafPair:
    """Linen leaves (paths start with the collection) that make NNX leaves; nearly always one and one."""

    linen: tuple[Path, ...]
    nnx: tuple[Path, ...]
    transform: Transform = IDENTITY


@dataclass
class Expansion:
    """The complete correspondence; `scopes` maps Linen scopes to NNX module paths where entries name them."""

    pairs: list[LeafPair]
    scopes: dict[Path, Path] = field(default_factory=dict)


class MapError(ValueError):
    """The map does not fit the two trees; `problems` has one line for each leaf or entry at fault."""

    def __init__(self, problems: Sequence[str]):
        self.problems = list(problems)
        super().__init__("the parameter map does not fit:\n  " + "\n  ".join(self.problems))


def expand(
    parameter_map: ParameterMap,
    root_class: str | None,
    linen: Mapping[Path, LeafSpec],
    nnx: Mapping[Path, LeafSpec],
    class_of: ClassOf = lambda path: (),
) -> Expansion:
    """Applies the map to concrete trees.

    `root_class` keys the class of the whole model (None: the same paths on both sides); Linen paths start
    with the collection; list indices in NNX paths are decimal strings. `class_of` names the classes (subclass
    first) of the NNX submodule at a path, for entries whose class is ``"*"``. Raises MapError unless the
    result is complete and fits.
    """
    expander = _Expander(parameter_map, linen, nnx, class_of)
    pairs = expander.module(root_class, (), ())
    problems = [*expander.problems, *find_problems(pairs, linen, nnx)]
    if problems:
        raise MapError(problems)
    scopes = expander.scopes
    for pair in pairs:
        if len(pair.linen) == len(pair.nnx) == 1 and pair.linen[0][-1] == pair.nnx[0][-1]:
            scopes.setdefault(pair.linen[0][1:-1], pair.nnx[0][:-1])
    return Expansion(pairs, scopes)


def find_problems(
    pairs: Iterable[LeafPair], linen: Mapping[Path, LeafSpec], nnx: Mapping[Path, LeafSpec]
) -> list[str]:
    """What keeps `pairs` from being a complete, fitting correspondence of the two trees."""
    problems = []
    used: Counter[Path] = Counter()
    covered: Counter[Path] = Counter()
    for pair in pairs:
        used.update(pair.linen)
        covered.update(pair.nnx)
        known = all(p in linen for p in pair.linen) and all(p in nnx for p in pair.nnx)
        if known:
            problems += _misfits(pair, linen, nnx)
    for word, counted, tree in (("Linen", used, linen), ("NNX", covered, nnx)):
        problems += [f"{word} leaf {show(path)} is not mapped" for path in tree if path not in counted]
        problems += [f"{word} leaf {show(path)} is mapped {n} times" for path, n in counted.items() if n > 1]
        problems += [f"{word} leaf {show(path)} does not exist" for path in counted if path not in tree]
    return problems


def show(path: Path) -> str:
    """A path as people read it."""
    return "/".join(path)


def _misfits(pair: LeafPair, linen: Mapping[Path, LeafSpec], nnx: Mapping[Path, LeafSpec]) -> list[str]:
    sources = [linen[path] for path in pair.linen]
    targets = [nnx[path] for path in pair.nnx]
    names = f"{' + '.join(map(show, pair.linen))} -> {' + '.join(map(show, pair.nnx))}"
    try:
        shapes = pair.transform.shapes([s.shape for s in sources], [t.shape for t in targets])
    except TransformError as error:
        return [f"{names}: {error}"]
    problems = []
    for path, target, shape in zip(pair.nnx, targets, shapes, strict=True):
        if shape != target.shape:
            problems.append(f"{names}: shape {shape} in Linen, {target.shape} in NNX at {show(path)}")
        for dtype in sorted({source.dtype for source in sources} - {target.dtype}):
            problems.append(f"{names}: dtype {dtype} in Linen, {target.dtype} in NNX at {show(path)}")
        for kind in sorted({source.kind for source in sources}):
            if kind != target.kind and (kind in STOCK_KINDS or target.kind in STOCK_KINDS):
                problems.append(f"{names}: collection {kind} in Linen, variable type of {target.kind} in NNX")
    return problems


class _Expander:
    def __init__(
        self,
        parameter_map: ParameterMap,
        linen: Mapping[Path, LeafSpec],
        nnx: Mapping[Path, LeafSpec],
        class_of: ClassOf,
    ):
        self.maps = {**LAYER_MAPS, **parameter_map.modules}
        self.class_of = class_of
        self.linen = linen
        self.nnx = nnx
        self.linen_scopes = _ordered_prefixes(path[1:-1] for path in linen)
        nnx_modules = _ordered_prefixes(path[:-1] for path in nnx)
        self.linen_leaves = _Index(linen, start=1)  # by scope: a Linen path begins with its collection
        self.nnx_leaves = _Index(nnx)
        self.scopes_below = _Index(self.linen_scopes)
        self.modules_below = _Index(nnx_modules)
        self.problems: list[str] = []
        self.scopes: dict[Path, Path] = {}

    def module(self, class_name: str | None, scope: Path, path: Path) -> list[LeafPair]:
        """The pairs below one module: `scope` on Linen's side, `path` on NNX's."""
        self.scopes[scope] = path
        class_map = self._class_map(class_name, path)
        if class_map is None:
            return self._same_paths(scope, path)
        pairs: list[LeafPair] = []
        entries = sorted(self._there(class_map.entries, path), key=_has_unknown_names)
        for entry in entries:  # such names are those that are left
            try:
                pairs += self._entry(entry, scope, path)
            except PatternError as error:
                self.problems.append(f"{class_name} at {show(path) or 'the model'}: {error}")
        return pairs

    def _there(self, entries: Sequence[Entry], path: Path) -> Iterator[Entry]:
        """The entries, without those for what this model has not made.

        Branches of a condition may call layers by one name; NNX then has an attribute for each, and makes one.
        """
        claims = Counter(entry.linen for entry in entries if isinstance(entry, PathEntry))
        for entry in entries:
            if isinstance(entry, PathEntry) and claims[entry.linen] > 1 and entry.nnx.binds:
                made = self.modules_below if isinstance(entry, ModuleEntry) else self.nnx_leaves
                if not any(entry.nnx.match(place) is not None for place in made.relative(path)):
                    continue
            yield entry

    def _class_map(self, class_name: str | None, path: Path) -> ClassMap | None:
        if class_name == DYNAMIC:
            return next((self.maps[name] for name in self.class_of(path) if name in self.maps), None)
        if class_name is None:
            return None
        if class_name not in self.maps and not class_name.startswith(("flax.linen:", "flax.nnx:")):
            self.problems.append(
                f"no map for class {class_name} (submodule {show(path) or 'the model itself'})"
            )
        return self.maps.get(class_name)

    def _name_of(self, path: Path) -> str:
        """The bare Linen name of the class of the NNX submodule at a path."""
        classes = self.class_of(path)
        name = next((name for name in classes if name in self.maps or name.startswith("flax.nnx:")), DYNAMIC)
        bare = name.rpartition(":")[2].rpartition(".")[2]
        return LINEN_NAMES.get(bare, bare) if name.startswith("flax.nnx:") else bare

    def _same_paths(self, scope: Path, path: Path) -> list[LeafPair]:
        """Same paths on both sides, each spelled its library's way (``layers_0`` = ``layers/0``)."""
        nnx_leaves: dict[Path, list[Path]] = defaultdict(list)
        for leaf in self.nnx_leaves[path]:
            nnx_leaves[_linen_spelling(leaf[len(path) :])].append(leaf)
        linen_leaves = self.linen_leaves[scope]
        relative = Counter(leaf[1 + len(scope) :] for leaf in linen_leaves)
        pairs = []
        for leaf in linen_leaves:
            rest = leaf[1 + len(scope) :]
            candidates = nnx_leaves.get(rest, [])
            if len(candidates) > 1 or (candidates and relative[rest] > 1):
                self.problems.append(f"{show(leaf)} has several possible counterparts; map it by an entry")
            elif candidates:
                pairs.append(LeafPair((leaf,), (candidates[0],)))
        return pairs

    def _entry(self, entry: Entry, scope: Path, path: Path) -> list[LeafPair]:
        if isinstance(entry, LeafEntry):
            return [
                LeafPair(site.linen, site.nnx, entry.transform)
                for site in self._leaf_sites(entry, scope, path)
            ]
        pairs: list[LeafPair] = []
        if isinstance(entry, SequenceEntry):
            for placed in replay(
                entry,
                self.modules_below.relative(path),
                lambda p: self._name_of(path + p),
                lambda name: (*scope, name) in self.linen_scopes,
            ):
                inner = (*scope, placed.linen)
                if inner in self.linen_scopes:
                    pairs += self.module(placed.module, inner, path + placed.nnx)
            return pairs
        for site in self._module_sites(entry, scope, path):
            below = self.module(entry.module, site.linen[0], site.nnx[0])
            if entry.transform == IDENTITY:
                pairs += below
            else:
                pairs += [_layered(pair, site, entry.transform) for pair in below]
        return pairs

    def _leaf_sites(self, entry: LeafEntry, scope: Path, path: Path) -> list[Place]:
        relative = [(leaf[0], *leaf[1 + len(scope) :]) for leaf in self.linen_leaves[scope]]
        sites = places(entry, entry.linen, relative, self.nnx_leaves.relative(path))
        return [
            Place(
                tuple((p[0], *scope, *p[1:]) for p in site.linen),
                tuple(path + p for p in site.nnx),
            )
            for site in sites
            # Nothing on Linen's side: an unused optional leaf; an NNX leaf then lacks its origin.
            if any((p[0], *scope, *p[1:]) in self.linen for p in site.linen)
        ]

    def _module_sites(self, entry: ModuleEntry, scope: Path, path: Path) -> list[Place]:
        linen_scopes = self.scopes_below.relative(scope)
        if entry.has_unknown_names:
            linen_scopes = [p for p in linen_scopes if scope + p not in self.scopes]
        sites = places(entry, (entry.linen,), linen_scopes, self.modules_below.relative(path))
        return [
            Place(tuple(scope + p for p in site.linen), tuple(path + p for p in site.nnx))
            for site in sites
            if any(scope + p in self.linen_scopes for p in site.linen)
        ]


def _has_unknown_names(entry: Entry) -> bool:
    return isinstance(entry, ModuleEntry) and entry.has_unknown_names


def _layered(pair: LeafPair, site: Place, transform: Transform) -> LeafPair:
    """A pair found for the first of several layers, made to speak about all of them."""
    layered = replace(transform, inner=pair.transform)
    first_scope, first_path = site.linen[0], site.nnx[0]
    if transform.kind == "stack":
        sources = tuple(
            (leaf[0], *scope, *leaf[1 + len(first_scope) :]) for scope in site.linen for leaf in pair.linen
        )
        return LeafPair(sources, pair.nnx, layered)
    if transform.kind == "unstack":
        targets = tuple(path + leaf[len(first_path) :] for path in site.nnx for leaf in pair.nnx)
        return LeafPair(pair.linen, targets, layered)
    raise PatternError(f"a module entry cannot have the transform {transform.kind}")


def _linen_spelling(path: Path) -> Path:
    """An NNX path as Linen would name it: indices joined to the list's name, ``if_`` called ``if``."""
    result: list[str] = []
    for element in path:
        if element.isdecimal() and result:
            result[-1] += f"_{element}"
        else:
            without = element.removesuffix("_")
            result.append(without if keyword.iskeyword(without) else element)
    return tuple(result)


class _Index:
    """Paths by what they begin with, in order: a model of many thousand leaves asks for each of its modules."""

    def __init__(self, paths: Iterable[Path], start: int = 0):
        self.start = start
        self.paths: dict[Path, list[Path]] = defaultdict(list)
        for path in paths:
            for end in range(start, len(path) + 1):
                self.paths[path[start:end]].append(path)

    def __getitem__(self, prefix: Path) -> list[Path]:
        return self.paths.get(prefix, [])

    def relative(self, prefix: Path) -> list[Path]:
        """The rests of the paths behind `prefix`."""
        return [path[self.start + len(prefix) :] for path in self[prefix]]


def _ordered_prefixes(paths: Iterable[Path]) -> dict[Path, None]:
    """All prefixes of `paths`, the empty one included, in order of appearance (an ordered set)."""
    return {path[:length]: None for path in paths for length in range(len(path) + 1)}
