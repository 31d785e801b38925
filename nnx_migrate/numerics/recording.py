"""What one side of a proof reports, in a form that travels between processes.

A `Description` is the side's model (which leaves, of which shape, in which order they are read); a
`Recording` is what it computed. Both are written to one `.npz` file that holds a JSON document and raw array
bytes, so that bfloat16 and float8 survive, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes  # noqa: F401  registers bfloat16 and the float8 dtypes by name
import numpy as np

from nnx_migrate.numerics.draws import Draw
from nnx_migrate.numerics.map_expansion import LeafSpec
from nnx_migrate.numerics.map_patterns import Path


@dataclass
class Description:
    """A model as the other side needs to know it.

    `kind` is ``linen`` or ``nnx``; `class_name` keys the parameter map; `reads` lists leaf paths in the order
    in which the model first reads them; `streams` are the random streams that it asks for; `leaves` are its
    variables.
    """

    kind: str
    class_name: str
    specs: dict[Path, LeafSpec] = field(default_factory=dict)
    reads: list[Path] = field(default_factory=list)
    streams: tuple[str, ...] = ()
    leaves: dict[Path, Any] = field(default_factory=dict)


@dataclass
class Recording:
    """What a side computed. Keys of `values` are ``phase/mode/what`` (``train/jit/gradients``).

    `errors` and `draws` are keyed ``phase/mode``; `opaque` names outputs that are no arrays, by class;
    `notes` say what a reader should know about the run; `probes` name the further points where gradients
    were taken.
    """

    values: dict[str, dict[Path, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    draws: dict[str, frozenset[Draw]] = field(default_factory=dict)
    opaque: dict[str, dict[Path, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    probes: list[str] = field(default_factory=list)


def save(path: str | os.PathLike[str], description: Description | None, recording: Recording | None) -> None:
    """Writes a side's report."""
    store = _Store()
    document: dict[str, Any] = {}
    if description is not None:
        document["description"] = {
            "kind": description.kind,
            "class_name": description.class_name,
            "specs": [[list(p), list(s.shape), s.dtype, s.kind] for p, s in description.specs.items()],
            "reads": [list(p) for p in description.reads],
            "streams": list(description.streams),
            "leaves": store.put(description.leaves),
        }
    if recording is not None:
        document["recording"] = {
            "values": {name: store.put(leaves) for name, leaves in recording.values.items()},
            "errors": recording.errors,
            "skipped": recording.skipped,
            "draws": {
                k: [[d.stream, d.depth, d.ordinal] for d in sorted(v)] for k, v in recording.draws.items()
            },
            "opaque": {k: [[list(p), name] for p, name in v.items()] for k, v in recording.opaque.items()},
            "notes": recording.notes,
            "probes": recording.probes,
        }
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with open(path, "wb") as file:  # noqa: PTH123  np.savez would append .npz to a name
        np.savez(file, **{"document": text, **store.arrays})  # type: ignore[arg-type]


def load(path: str | os.PathLike[str]) -> tuple[Description | None, Recording | None]:
    """Reads what `save` wrote. Raises OSError or ValueError."""
    with np.load(path, allow_pickle=False) as archive:
        document = json.loads(archive["document"].tobytes())
        description = recording = None
        if raw := document.get("description"):
            description = Description(
                raw["kind"],
                raw["class_name"],
                {tuple(p): LeafSpec(tuple(shape), dtype, kind) for p, shape, dtype, kind in raw["specs"]},
                [tuple(p) for p in raw["reads"]],
                tuple(raw["streams"]),
                _read(archive, raw["leaves"]),
            )
        if raw := document.get("recording"):
            recording = Recording(
                {name: _read(archive, rows) for name, rows in raw["values"].items()},
                raw["errors"],
                raw["skipped"],
                {k: frozenset(Draw(*row) for row in rows) for k, rows in raw["draws"].items()},
                {k: {tuple(p): name for p, name in rows} for k, rows in raw["opaque"].items()},
                raw["notes"],
                raw["probes"],
            )
    return description, recording


class _Store:
    """Arrays as raw bytes under numbered names."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def put(self, leaves: Mapping[Path, Any]) -> list[Any]:
        rows = []
        for path, value in leaves.items():
            array = np.asarray(value)
            name = f"a{len(self.arrays)}"
            self.arrays[name] = np.frombuffer(array.tobytes(), np.uint8)
            rows.append([list(path), name, list(array.shape), str(array.dtype)])
        return rows


def _read(archive: Mapping[str, np.ndarray], rows: Iterable[Any]) -> dict[Path, np.ndarray]:
    return {tuple(path): _decode(archive[name], shape, dtype) for path, name, shape, dtype in rows}


def _decode(raw: np.ndarray, shape: list[int], dtype: str) -> np.ndarray:
    return np.frombuffer(raw.tobytes(), np.dtype(dtype)).reshape(shape)
