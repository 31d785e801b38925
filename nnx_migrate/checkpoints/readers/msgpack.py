"""Reads what `flax.serialization.to_bytes` and `flax.training.checkpoints` write: one msgpack file.

The file is walked header by header, so that no array is loaded before it is asked for. Layout of the
extension types: `flax.serialization` (1 = array, 2 = complex, 3 = numpy scalar), unchanged since Flax 0.3.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nnx_migrate.checkpoints.errors import CheckpointError, TruncatedCheckpointError
from nnx_migrate.checkpoints.readers import files, tensorstores
from nnx_migrate.checkpoints.tree import (
    EMPTY,
    ArrayLeaf,
    Checkpoint,
    Leaf,
    Literal,
    TreePath,
    dtype_named,
    show_path,
)

_ARRAY, _COMPLEX, _NUMPY_SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
#: Prefix of the strings that stand for arrays saved by several processes, in a folder beside the file.
_MULTIPROCESS = "//GDAPlaceholder:"

#: First byte -> struct format of the fixed-size number that follows.
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
#: First byte -> (kind, struct format of the length that follows).
_SIZED = {
    0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I"),
    0xC7: ("ext", ">B"), 0xC8: ("ext", ">H"), 0xC9: ("ext", ">I"),
    0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I"),
    0xDC: ("array", ">H"), 0xDD: ("array", ">I"),
    0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}  # fmt: skip


def read(path: Path) -> Checkpoint:
    """Opens a msgpack checkpoint.

    Raises:
        TruncatedCheckpointError: the file ends in the middle of a value.
        CheckpointError: the file is msgpack, but nothing that Flax writes.
    """
    if path.stat().st_size == 0:
        raise TruncatedCheckpointError(f"{path} is empty.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        scanner = _Scanner(data, path)
        try:
            leaves = dict(scanner.tree(()))
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path} is damaged at byte {scanner.at}: {error}") from error
        if scanner.at != len(data):
            raise CheckpointError(
                f"{path} is no Flax checkpoint: {len(data) - scanner.at} bytes follow the end of its tree."
            )
    return Checkpoint("msgpack", path, leaves)


class _Scanner:
    """Walks one msgpack value, noting where the bytes of its arrays are."""

    def __init__(self, data: mmap.mmap | bytes, path: Path, at: int = 0) -> None:
        self.data, self.path, self.at = data, path, at

    def tree(self, prefix: TreePath) -> Iterator[tuple[TreePath, Leaf]]:
        kind, value = self._header()
        if kind == "map":
            if value == 0:
                yield prefix, EMPTY
                return
            yield from self._mapping(prefix, value)
        elif kind == "array":
            if value == 0:
                yield prefix, EMPTY
            for index in range(value):
                yield from self.tree((*prefix, str(index)))
        elif kind == "ext":
            yield prefix, self._extension(prefix, *value)
        elif kind == "bin":
            yield prefix, Literal(self._bytes(value))
        elif isinstance(value, str) and value.startswith(_MULTIPROCESS):
            yield prefix, self._multiprocess(value.removeprefix(_MULTIPROCESS))
        else:
            yield prefix, EMPTY if value is None else Literal(value)

    def _mapping(self, prefix: TreePath, count: int) -> Iterator[tuple[TreePath, Leaf]]:
        children: list[tuple[TreePath, Leaf]] = []
        for _ in range(count):
            kind, key = self._header()
            if kind == "bin":
                key = self._bytes(key).decode()
            elif kind != "value":
                raise CheckpointError(
                    f"{self.path} is no Flax checkpoint: a key of {show_path(prefix)} is a {kind}."
                )
            children += self.tree((*prefix, str(key)))
        if any(path == (*prefix, _CHUNKED) for path, _ in children):
            parts = {path[len(prefix) :]: leaf for path, leaf in children}
            yield prefix, _join_chunks(self.path, prefix, parts)
        else:
            yield from children

    def _header(self) -> tuple[str, Any]:
        """Reads one header: ("value", scalar), ("map" | "array" | "bin", size) or ("ext", (code, size))."""
        first = self._bytes(1)[0]
        if first <= 0x7F:
            return "value", first
        if first >= 0xE0:
            return "value", first - 0x100
        if first <= 0x8F:
            return "map", first & 0x0F
        if first <= 0x9F:
            return "array", first & 0x0F
        if first <= 0xBF:
            return "value", self._text(first & 0x1F)
        if first in (0xC0, 0xC2, 0xC3):
            return "value", {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _NUMBERS:
            return "value", self._number(_NUMBERS[first])
        if 0xD4 <= first <= 0xD8:
            return "ext", (self._number(">b"), 1 << (first - 0xD4))
        if first not in _SIZED:
            raise CheckpointError(f"{self.path} is not msgpack: byte 0x{first:02x} at offset {self.at - 1}.")
        kind, length_format = _SIZED[first]
        length = self._number(length_format)
        if kind == "ext":
            return kind, (self._number(">b"), length)
        return ("value", self._text(length)) if kind == "str" else (kind, length)

    def _extension(self, prefix: TreePath, code: int, length: int) -> Leaf:
        end = self.at + length
        self._require(length)
        if code == _COMPLEX:
            _, parts = self._header()
            real, imag = (float(self._header()[1]) for _ in range(parts))
            return Literal(complex(real, imag))
        if code not in (_ARRAY, _NUMPY_SCALAR):
            raise CheckpointError(
                f"{self.path} is no Flax checkpoint: {show_path(prefix)} has extension type {code}."
            )
        self._header()
        _, rank = self._header()
        shape = tuple(int(self._header()[1]) for _ in range(rank))
        kind, name = self._header()
        dtype = dtype_named(self._bytes(name).decode() if kind == "bin" else name)
        _, size = self._header()
        if size != math.prod(shape) * dtype.itemsize or self.at + size != end:
            raise CheckpointError(
                f"{self.path} is damaged: {show_path(prefix)} has {size} bytes for {dtype}{shape}."
            )
        offset, self.at = self.at, end
        return files.array_at(self.path, offset, shape, dtype)

    def _multiprocess(self, name: str) -> ArrayLeaf:
        folder = self.path.with_name(self.path.name + "_gda")
        return tensorstores.open_zarr(folder / name, label=name)

    def _text(self, length: int) -> str:
        return self._bytes(length).decode()

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]

    def _bytes(self, length: int) -> bytes:
        self._require(length)
        start, self.at = self.at, self.at + length
        return bytes(self.data[start : self.at])

    def _require(self, length: int) -> None:
        missing = self.at + length - len(self.data)
        if missing > 0:
            raise TruncatedCheckpointError(
                f"{self.path} is truncated: at least {missing} bytes are missing after its {len(self.data)}.",
                hint="Copy the file again, or use an older checkpoint.",
            )


def _join_chunks(path: Path, prefix: TreePath, parts: dict[TreePath, Leaf]) -> ArrayLeaf:
    """Flax splits arrays above 1 GiB into flat chunks: this is the whole array, still unread."""
    ordered = sorted(
        ((key[0], int(key[1]), leaf) for key, leaf in parts.items() if len(key) == 2),
        key=lambda part: part[:2],
    )
    sizes = [leaf.value for part, _, leaf in ordered if part == "shape" and isinstance(leaf, Literal)]
    shape = tuple(size for size in sizes if isinstance(size, int))
    chunks = [leaf for part, _, leaf in ordered if part == "chunks" and isinstance(leaf, ArrayLeaf)]
    total = math.prod(shape)
    if not chunks or sum(math.prod(chunk.shape) for chunk in chunks) != total:
        raise CheckpointError(
            f"{path} is damaged: the chunks of {show_path(prefix)} don't add up to {shape}."
        )
    dtype = chunks[0].dtype

    def read_chunks() -> np.ndarray[Any, Any]:
        values, filled = np.empty(total, dtype), 0
        for chunk in chunks:
            size = math.prod(chunk.shape)
            values[filled : filled + size] = chunk.read()
            filled += size
        return values.reshape(shape)

    largest = max(chunk.nbytes for chunk in chunks)
    return ArrayLeaf(shape, dtype, read_chunks, total * dtype.itemsize + largest)
