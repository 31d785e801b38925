"""From the tokens of symbolic sizes to names that the constructor has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.symbols import TOKEN
from nnx_migrate.linen.symbols import token as token_of
from nnx_migrate.linen.values import Input, path_of

_AXES = {
    3: {-1: "features", -2: "length"},
    4: {-1: "features", -2: "width", -3: "height"},
    5: {-1: "features", -2: "width", -3: "height", -4: "depth"},
}
_CHANNELS_FIRST = {
    3: {-2: "features", -1: "length"},
    4: {-3: "features", -2: "height", -1: "width"},
    5: {-4: "features", -3: "depth", -2: "height", -1: "width"},
}


@dataclass(frozen=True)
class SizeParameter:
    """A constructor parameter for a size of an input: which argument of which method, and which axis of it.

    With `flat`, it is the product of all sizes from that axis on. An `optional` one isn't given where the argument
    isn't, either. With `is_dtype`, it isn't a size but the dtype. With `listed`, it is a sequence: the sizes that the
    method's comprehension of that number lists (see `sizes_at_axes`). With `joined`, it is the sum over all arrays that
    the argument holds (see `flatteners`).
    """

    name: str
    method: str
    path: tuple[str | int, ...]
    axis: int
    flat: bool = False
    optional: bool = False
    is_dtype: bool = False
    listed: int | None = None
    joined: bool = False

    @property
    def token(self) -> str:
        """The symbol that stands for it."""
        if self.is_dtype:
            return f"{Input(self.path).text}§t0"
        if self.listed is not None:
            return f"{Input(self.path).text}§x{self.listed}"
        if self.joined:
            return token_of(Input(self.path).text, "j", self.axis)
        return f"{Input(self.path).text}§{'f' if self.flat else 'a'}{self.axis}"

    def expression(self, array: str, axes: Sequence[int] = ()) -> str:
        """The size, read from an array given as an expression; or the sizes at the `axes`."""
        if self.listed is not None:
            return f"({', '.join(f'{array}.shape[{axis}]' for axis in axes)}{',' if len(axes) == 1 else ''})"
        if self.is_dtype:
            return f"{array}.dtype"
        if self.joined:
            return joined_features(array)
        if not self.flat:
            return f"{array}.shape[{self.axis}]"
        front = " * ".join(f"{array}.shape[{axis}]" for axis in range(self.axis))
        if self.axis > 1:
            front = f"({front})"
        return f"{array}.size // {front}" if front else f"{array}.size"


@dataclass
class SizeNames:
    """Which input sizes a class uses, and what its constructor calls them."""

    taken: frozenset[str]
    ranks: dict[tuple[str | int, ...], int]
    used: dict[str, tuple[tuple[str | int, ...], int]] = field(default_factory=dict)  # token -> (path, axis)
    flat: set[str] = field(default_factory=set)  # tokens of products of sizes
    dtypes: set[str] = field(default_factory=set)  # tokens of dtypes
    listed: dict[str, int] = field(default_factory=dict)  # tokens of sequences of sizes, with their numbers
    joined: set[str] = field(default_factory=set)  # tokens of sums over all arrays that an argument holds
    fixed: dict[str, str] = field(default_factory=dict)
    unbatched: frozenset[tuple[str | int, ...]] = frozenset()
    channels_first: frozenset[tuple[str | int, ...]] = frozenset()
    optional: frozenset[str] = frozenset()  # tokens of sizes that need not be given
    paths: dict[str, tuple[str | int, ...]] = field(default_factory=dict)  # text of an input -> its path
    # argument -> the names of its parts, in the method or where they get in the end; "" for a part without a name
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def use(self, text: str) -> None:
        """Remember every input size in a text."""
        for match in TOKEN.finditer(text):
            if match["kind"] in "afjtx":
                path = self.paths.get(match["name"]) or path_of(match["name"])
                self.used[match.group()] = (path, int(match["id"]) if match["kind"] != "x" else -1)
                if match["kind"] == "x":
                    self.listed[match.group()] = int(match["id"])
                if match["kind"] == "t":
                    self.dtypes.add(match.group())
                if match["kind"] == "f":
                    self.flat.add(match.group())
                if match["kind"] == "j":
                    self.joined.add(match.group())

    def _kind(self, path: tuple[str | int, ...], axis: int) -> str:
        """What an axis means, by the rank that the input has with a batch axis."""
        rank = self.ranks.get(path, 0) + (path in self.unbatched)
        axes = _CHANNELS_FIRST if path in self.channels_first else _AXES
        return axes.get(rank, {-1: "features"}).get(axis, f"size{axis}".replace("-", "_"))

    def _order(self, item: tuple[str, tuple[tuple[str | int, ...], int]]) -> tuple[str, bool, int]:
        """By input, features first, then the axes as they come: features, height, width."""
        path, axis = item[1]
        return str(path[0]), axis != -1 and path not in self.channels_first, axis

    def require(self, size: SizeParameter) -> None:
        """A size that the base class's constructor takes, under the name that it has there."""
        token = size.token
        self.used.setdefault(token, (size.path, size.axis))
        if size.flat:
            self.flat.add(token)
        if size.joined:
            self.joined.add(token)
        if size.is_dtype:
            self.dtypes.add(token)
        if size.listed is not None:
            self.listed[token] = size.listed
        self.fixed[token] = size.name

    def _named(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """The path by the name that a part of an argument has: `args[0]` as `observations`."""
        head, *rest = path
        names = self.parts.get(str(head), ())
        if rest and isinstance(rest[0], int) and rest[0] < len(names) and names[rest[0]]:
            return names[rest[0]], *rest[1:]
        return path

    def names(self) -> dict[str, str]:
        """Token -> parameter name."""
        paths = {path for path, _ in self.used.values()}
        for path in paths:
            if any(len(other) > len(path) and other[: len(path)] == path for other in paths):
                detail = f"`{Input(path).text}` is an array in one case, and has parts in another"
                raise Refuse("unknown-size", detail)
        whole = {path for token, (path, _) in self.used.items() if token in self.joined}
        for path in sorted(whole, key=str):
            if sum(path == other for other, _ in self.used.values()) > 1:
                detail = f"`{Input(path).text}` is an array here, and may be a dictionary there"
                raise Refuse("unknown-size", detail)
        several = len(paths) > 1
        found: dict[str, str] = {}
        for token, (path, axis) in sorted(self.used.items(), key=self._order):
            prefix = _prefix(self._named(path)) if several or token in self.optional else "in"
            is_sum = token in self.flat or token in self.joined
            kind = "features" if is_sum else self._kind(path, axis)
            if token in self.dtypes:
                kind = "dtype"
            name = f"{prefix}_{kind}"
            while name in self.taken or name in found.values():
                name = f"input_{name}" if not name.startswith("input_") else name + "_"
            found[token] = self.fixed.get(token, name)
        return found


def joined_features(tree: str) -> str:
    """The sum of the last dimensions of all arrays in a tree, which is given as an expression; of an array, its own."""
    return f"sum(leaf.shape[-1] for leaf in jax.tree.leaves({tree}))"


def _prefix(path: tuple[str | int, ...]) -> str:
    words = [part for part in path if isinstance(part, str)]
    numbers = [str(part) for part in path if isinstance(part, int)]
    return "_".join([words[-1] if words else "in", *numbers]).strip("_")


def input_paths(paths: list[tuple[str | int, ...]]) -> dict[str, tuple[str | int, ...]]:
    """The text of each input -> its path."""
    return {Input(path).text: path for path in paths}
