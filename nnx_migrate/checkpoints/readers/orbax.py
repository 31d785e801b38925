"""Reads one Orbax item: the folder with `_METADATA` (or, before Orbax 0.5, an aggregate `checkpoint` file).

Covers PyTree and Standard handlers, OCDBT or one folder per array, zarr 2 and 3, arrays that several
processes wrote in shards, strings, and typed PRNG keys. What the files mean was measured on checkpoints
written by Orbax 0.2.3, 0.10.3, 0.11.20 and 0.12.8.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from nnx_migrate.checkpoints.errors import TruncatedCheckpointError
from nnx_migrate.checkpoints.readers import msgpack, tensorstores
from nnx_migrate.checkpoints.tree import EMPTY, ArrayLeaf, Checkpoint, Leaf, Literal, TreePath

METADATA = "_METADATA"
AGGREGATE = "checkpoint"
_EMPTY_TYPES = ("None", "Dict", "List", "Tuple", "NamedTuple")
_PLACEHOLDER = "PLACEHOLDER://"


def is_item(folder: Path) -> bool:
    """Whether `folder` holds one Orbax tree."""
    return (folder / METADATA).is_file() or _is_aggregate(folder / AGGREGATE)


def read(folder: Path) -> Checkpoint:
    """Opens an Orbax item.

    Raises:
        TruncatedCheckpointError: its metadata or one of its arrays is missing or damaged.
    """
    if (folder / METADATA).is_file():
        return Checkpoint("Orbax", folder, _read_with_metadata(folder))
    return Checkpoint("Orbax (aggregate)", folder, _fill_placeholders(folder, _aggregate_leaves(folder)))


def _is_aggregate(file: Path) -> bool:
    """TensorFlow calls a text file `checkpoint` too; Orbax's is a msgpack map."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        first = opened.read(1)
    return bool(first) and (0x80 <= first[0] <= 0x8F or first[0] in (0xDE, 0xDF))


def _aggregate_leaves(folder: Path) -> dict[TreePath, Leaf]:
    return msgpack.read(folder / AGGREGATE).leaves


def _read_with_metadata(folder: Path) -> dict[TreePath, Leaf]:
    metadata = _load_json(folder / METADATA)
    entries = {
        tuple(str(key["key"]) for key in entry["key_metadata"]): entry["value_metadata"]
        for entry in metadata["tree_metadata"].values()
    }
    stored = {
        path: ".".join(path)
        for path, value in entries.items()
        if not value.get("skip_deserialize") and value["value_type"] != "string"
    }
    arrays = _open_arrays(folder, list(stored.values()), metadata)
    # In a checkpoint of Orbax 0.4 some leaves stand in the aggregate file, although there is metadata.
    aggregated = _aggregate_leaves(folder) if _is_aggregate(folder / AGGREGATE) else {}
    leaves: dict[TreePath, Leaf] = {}
    for path, value in entries.items():
        if path in stored:
            leaf = arrays[stored[path]]
            leaves[path] = Literal(leaf.read().item()) if value["value_type"] == "scalar" else leaf
        elif value["value_type"] == "string":
            leaves[path] = Literal(_load_json(folder / "_strings.json")[".".join(path)])
        else:
            leaves[path] = aggregated.get(path, EMPTY)
    return leaves


def _fill_placeholders(folder: Path, leaves: dict[TreePath, Leaf]) -> dict[TreePath, Leaf]:
    """Replaces the strings that stand for arrays in folders of their own."""
    names = {
        path: leaf.value.removeprefix(_PLACEHOLDER)
        for path, leaf in leaves.items()
        if isinstance(leaf, Literal) and isinstance(leaf.value, str) and leaf.value.startswith(_PLACEHOLDER)
    }
    arrays = _open_arrays(folder, list(names.values()), {})
    return {path: arrays[names[path]] if path in names else leaf for path, leaf in leaves.items()}


def _open_arrays(folder: Path, names: list[str], metadata: dict[str, Any]) -> dict[str, ArrayLeaf]:
    driver = "zarr3" if metadata.get("use_zarr3") else "zarr"
    ocdbt = metadata.get("use_ocdbt")
    if ocdbt is None:
        ocdbt = (folder / "manifest.ocdbt").is_file()
    if ocdbt and not (folder / "manifest.ocdbt").is_file():
        raise TruncatedCheckpointError(
            f"{folder} has no manifest.ocdbt: its processes never finished writing it together.",
            hint="Use an older checkpoint.",
        )
    specs = {}
    for name in names:
        if ocdbt:
            kvstore = {
                "driver": "ocdbt",
                "base": f"file://{folder}/",
                "path": f"{name}/",
                "cache_pool": "cache_pool#ocdbt",
            }
        else:
            kvstore = {"driver": "file", "path": f"{folder / name}/"}
        # Before this property existed, chunks of zeros were not written at all.
        all_written = bool(metadata.get("store_array_data_equal_to_fill_value"))
        specs[name] = {"driver": driver, "kvstore": kvstore, "fill_missing_data_reads": not all_written}
    leaves = tensorstores.open_all(specs)
    for name, implementation in _key_implementations(folder).items():
        if name in leaves:
            leaves[name] = dataclasses.replace(leaves[name], key_impl=implementation)
    return leaves


def _key_implementations(folder: Path) -> dict[str, str]:
    """Which arrays are typed PRNG keys, and of which implementation."""
    found = {}
    for file in (folder / "array_metadatas").glob("process_*"):
        for entry in _load_json(file)["array_metadatas"]:
            array = entry["array_metadata"]
            if implementation := (array.get("ext_metadata") or {}).get("random_key_impl"):
                found[array["param_name"]] = implementation
    return found


def _load_json(file: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise TruncatedCheckpointError(f"{file} is missing or damaged: {error}") from error
    return loaded
