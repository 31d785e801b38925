"""Throughput and memory of `checkpoint convert`, against a raw Orbax copy of the same tree, in one run.

    python benchmarks/checkpoint.py [--megabytes 1024] [--format orbax|msgpack] [--json]

The checkpoint is a Linen-style `TrainState` with Adam: one embedding that makes up a quarter of the parameters,
and equal layers. Every measurement runs in a process of its own; memory is the peak of the resident set above what
the process had after its imports. Bars (exit code 1 if one is missed): at least half the throughput of the raw
copy, and at most twice the largest leaf plus 256 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
MIB = 2**20
CONSTANT = 256 * MIB
LAYERS = 12
MODEL = """
from flax import nnx

class Model(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed({rows}, {width}, rngs=rngs)
        self.layers = nnx.List(
            [nnx.Linear({width}, {width}, use_bias=False, rngs=rngs) for _ in range({layers})]
        )
"""
MAP = {
    "version": 1,
    "modules": {
        "bench_model:Model": {
            "entries": [
                {"linen": ["Embed_0"], "nnx": ["embed"], "module": None},
                {"linen": ["Dense_{i}"], "nnx": ["layers", "{i}"], "module": None},
            ]
        }
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the checkpoint")
    parser.add_argument("--format", choices=("orbax", "msgpack"), default="orbax")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stage", choices=("make", "raw", "convert"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        print(json.dumps(_stage(arguments)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        _run(arguments, Path(folder), "make")
        # Alternating, so that a busy machine hurts both alike; the best of each counts.
        runs = [(_run(arguments, Path(folder), "raw"), _run(arguments, Path(folder), "convert"))
                for _ in range(arguments.repeat)]  # fmt: skip
    raw, convert = (min(column, key=lambda run: run["seconds"]) for column in zip(*runs, strict=True))
    largest = convert["largest"]
    result = {
        "bytes": convert["bytes"],
        "largest_leaf": largest,
        "raw_seconds": raw["seconds"],
        "convert_seconds": convert["seconds"],
        "relative_throughput": raw["seconds"] / convert["seconds"],
        "raw_peak_bytes": raw["peak"],
        "convert_peak_bytes": max(run["peak"] for _, run in runs),
    }
    passed = result["relative_throughput"] >= 0.5 and result["convert_peak_bytes"] <= 2 * largest + CONSTANT
    if arguments.json:
        print(json.dumps({**result, "passed": passed}))
    else:
        _print(result, arguments.format, passed)
    return 0 if passed else 1


def _print(result: dict[str, float], source: str, passed: bool) -> None:
    size = result["bytes"] / MIB
    print(f"checkpoint    {size:8.0f} MiB ({source}), largest leaf {result['largest_leaf'] / MIB:.0f} MiB")
    for name in ("raw", "convert"):
        seconds, peak = result[f"{name}_seconds"], result[f"{name}_peak_bytes"] / MIB
        print(
            f"{name:13} {seconds:8.2f} s  {size / seconds:7.0f} MiB/s  peak {peak:6.0f} MiB above the imports"
        )
    print(f"throughput    {result['relative_throughput']:8.2f} of the raw copy (at least 0.5)")
    bound = (2 * result["largest_leaf"] + CONSTANT) / MIB
    print(f"memory        {result['convert_peak_bytes'] / MIB:8.0f} MiB (at most {bound:.0f})")
    print("passed" if passed else "MISSED")


def _run(arguments: argparse.Namespace, folder: Path, stage: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder)]
    command += ["--megabytes", str(arguments.megabytes), "--format", arguments.format]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _stage(arguments: argparse.Namespace) -> dict[str, float]:
    folder: Path = arguments.folder
    if arguments.stage == "make":
        return _make(folder, arguments.megabytes * MIB, arguments.format)
    if arguments.stage == "raw":
        return _raw_copy(folder)
    return _convert(folder)


def _make(folder: Path, size: int, source: str) -> dict[str, float]:
    import numpy as np
    import orbax.checkpoint as ocp
    from flax import serialization

    # Three copies (params, mu, nu); a quarter of each is the embedding.
    width = max(8, int((size / 3 * 3 / 4 / LAYERS / 4) ** 0.5) // 8 * 8)
    rows = max(8, int(size / 3 / 4 / 4 / width))
    rng = np.random.default_rng(0)

    def params() -> dict[str, Any]:
        layers = {
            f"Dense_{i}": {"kernel": rng.standard_normal((width, width), np.float32)} for i in range(LAYERS)
        }
        return {"Embed_0": {"embedding": rng.standard_normal((rows, width), np.float32)}, **layers}

    count = np.zeros((), np.int32)
    adam = {"count": count, "mu": params(), "nu": params()}
    state = {"step": count, "params": params(), "opt_state": {"0": adam}}
    ocp.PyTreeCheckpointer().save(folder / "orbax", state)
    if source == "msgpack":
        (folder / "msgpack").write_bytes(serialization.msgpack_serialize(state, in_place=True))
    (folder / "source").write_text(source)
    (folder / "bench_model.py").write_text(MODEL.format(rows=rows, width=width, layers=LAYERS))
    (folder / "map.json").write_text(json.dumps(MAP))
    return {}


def _raw_copy(folder: Path) -> dict[str, float]:
    import orbax.checkpoint as ocp

    def copy() -> None:
        checkpointer = ocp.PyTreeCheckpointer()
        checkpointer.save(folder / "copy", checkpointer.restore(folder / "orbax"))

    result = _measure(copy)
    shutil.rmtree(folder / "copy")
    return result


def _convert(folder: Path) -> dict[str, float]:
    # Imported beforehand, as for the raw copy: imports are what the bar calls the constant.
    import flax.nnx  # noqa: F401

    import nnx_migrate.checkpoints.writer  # noqa: F401
    from nnx_migrate.checkpoints.convert import plan_conversion

    conversions = []

    def convert() -> None:
        source = folder / (folder / "source").read_text()
        conversions.append(
            plan_conversion(source, "bench_model:Model", parameter_map=folder / "map.json", folder=folder)
        )
        conversions[0].write(folder / "converted")

    result = _measure(convert)
    shutil.rmtree(folder / "converted")
    arrays = [leaf.nbytes for leaf in conversions[0].checkpoint.arrays().values()]
    return {**result, "bytes": sum(arrays), "largest": max(arrays)}


def _measure(work: Callable[[], None]) -> dict[str, float]:
    """Seconds, and the peak of the resident set above its value before."""
    before = peak = _resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        work()
        return {"seconds": time.perf_counter() - started, "peak": peak - before}
    finally:
        done.set()
        watcher.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
