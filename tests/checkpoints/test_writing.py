"""The destination appears whole or not at all, the source stays as it was, and memory stays bounded."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization

from nnx_migrate.checkpoints import stream
from nnx_migrate.checkpoints.convert import plan_conversion
from nnx_migrate.checkpoints.detect import open_checkpoint
from nnx_migrate.checkpoints.errors import CheckpointError
from nnx_migrate.checkpoints.memory import ByteBudget
from tests.checkpoints import states
from tests.checkpoints.states import new_models

ROOT = Path(__file__).parents[2]


@pytest.fixture
def conversion(tmp_path, write_map, project):
    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=1)
    (tmp_path / "source").mkdir()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "source" / "3", state)
    return plan_conversion(
        tmp_path / "source", "new_models:mlp_with('adam')", parameter_map=write_map(), folder=project
    )


def digest(folder):
    """Names, contents and times of everything below a folder."""
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_source_is_never_touched(conversion, tmp_path):
    before = digest(tmp_path / "source")
    conversion.write(tmp_path / "new")
    assert digest(tmp_path / "source") == before


def test_nothing_is_left_behind_but_the_destination(conversion, tmp_path):
    before = set(tmp_path.iterdir())
    conversion.write(tmp_path / "new")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "new"}


def test_a_failure_half_way_leaves_nothing(conversion, tmp_path, monkeypatch):
    """As when a file of the source turns out to be damaged after many others have been written."""
    before = set(tmp_path.iterdir())
    runs = []

    def failing(move, leaves):
        runs.append(move)
        if len(runs) == 5:
            raise CheckpointError("damaged")
        return original(move, leaves)

    original = stream.run_move
    monkeypatch.setattr(stream, "run_move", failing)
    with pytest.raises(CheckpointError, match="damaged"):
        conversion.write(tmp_path / "new")
    assert set(tmp_path.iterdir()) == before
    assert len(runs) >= 5


def test_an_existing_destination_is_kept_unless_told_otherwise(conversion, tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").write_text("x")
    with pytest.raises(CheckpointError, match="--overwrite"):
        conversion.write(tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(stream, "run_move", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            conversion.write(tmp_path / "new", overwrite=True)
    assert (tmp_path / "new" / "mine").read_text() == "x"
    conversion.write(tmp_path / "new", overwrite=True)
    assert not (tmp_path / "new" / "mine").exists()
    assert ("model", "head", "bias", "value") in open_checkpoint(tmp_path / "new").leaves


@pytest.mark.parametrize("place", ["source", "source/3", "source/3/new", "."])
def test_source_and_destination_must_not_contain_one_another(place, conversion, tmp_path):
    with pytest.raises(CheckpointError, match="must not contain"):
        conversion.write(tmp_path / place, overwrite=True)
    assert (tmp_path / "source" / "3" / "_METADATA").exists()


def test_a_killed_conversion_leaves_no_destination(tmp_path):
    """Killed at any moment: there is a whole checkpoint or none."""
    script = """
import os, sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {project!r}]
from nnx_migrate.checkpoints import stream
from nnx_migrate.checkpoints.convert import plan_conversion
original = stream.run_move
def slow(move, leaves):
    arrays = original(move, leaves)
    os.write(1, b"moved\\n")  # one write a line: several threads move leaves
    time.sleep(600)
    return arrays
stream.run_move = slow
plan_conversion(Path({source!r}), "new_models:MLP", parameter_map=Path({map!r})).write(Path({new!r}))
"""
    import maps

    state = states.mlp_state(new_models.OPTIMIZERS["adam"](), steps=0)
    (tmp_path / "source").write_bytes(serialization.to_bytes(state))
    modules = {"new_models:MLP": {"entries": maps.MODULES["new_models:MLP"]}}
    (tmp_path / "map.json").write_text(json.dumps({"version": 1, "modules": modules}))
    values = {"root": ROOT, "project": Path(__file__).parent / "project", "source": tmp_path / "source"}
    values |= {"map": tmp_path / "map.json", "new": tmp_path / "new"}
    code = script.format(**{name: str(value) for name, value in values.items()})
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"moved\n"
    process.kill()
    process.wait()
    assert not (tmp_path / "new").exists()


MEASURED = """
import os, sys, threading
from pathlib import Path
sys.path[:0] = [{root!r}, {project!r}]
from nnx_migrate.checkpoints import stream
from nnx_migrate.checkpoints.convert import plan_conversion

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

stream.WINDOW = 0
conversion = plan_conversion(Path({source!r}), "new_models:Wide(rngs=nnx.Rngs(0))", folder=Path({project!r}))
conversion.write(Path({new!r}))  # what libraries take once is not what is measured
before = peak = resident()
done = threading.Event()

def watch():
    global peak
    while not done.wait(0.001):
        peak = max(peak, resident())

watcher = threading.Thread(target=watch)
watcher.start()
conversion.write(Path({new!r}), overwrite=True)
done.set()
watcher.join()
print(peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("source", ["orbax", "msgpack"])
def test_memory_never_holds_the_whole(source, tmp_path, project):
    """12 leaves of 16 MiB: the whole would be 192 MiB, twice over while it is written; never is all of it there."""
    mib = 2**20
    random = np.random.default_rng(0)
    params = {f"layer{i}": {"kernel": random.standard_normal((2048, 2048), np.float32)} for i in range(12)}
    path = tmp_path / "source"
    if source == "orbax":
        ocp.PyTreeCheckpointer().save(path, params)
    else:
        path.write_bytes(serialization.msgpack_serialize(params))
    # in a process of its own: what other tests have left in this one's memory comes and goes
    places = {"root": ROOT, "project": project, "source": path, "new": tmp_path / "new"}
    code = MEASURED.format(**{name: str(place) for name, place in places.items()})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # On a busy machine the store reads a few leaves ahead of what is written (110 MiB were seen).
    assert int(done.stdout.split()[-1]) < 160 * mib


def test_the_budget_lets_small_work_run_together_and_large_work_alone():
    import asyncio

    running, together = set(), []

    async def work(budget, name, size):
        async with budget.reserve(size):
            running.add(name)
            together.append(frozenset(running))
            await asyncio.sleep(0.01)
            running.discard(name)

    async def main():
        budget = ByteBudget(10)
        sizes = {"a": 4, "b": 5, "large": 50, "c": 4, "d": 5}
        await asyncio.gather(*(work(budget, name, size) for name, size in sizes.items()))

    asyncio.run(main())
    assert frozenset({"a", "b"}) in together
    assert {"large"} in together and all(group == {"large"} for group in together if "large" in group)


def test_progress_counts_every_byte_once(conversion, tmp_path):
    seen = []
    conversion.write(tmp_path / "new", progress=seen.append)
    assert sum(seen) == conversion.nbytes


def test_sharded_arrays_come_together(tmp_path, project, write_map):
    """Saved from four devices: shards on disk, one array in the model."""
    script = f"""
import jax, numpy as np, orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("x",))
def put(array, *spec):
    return jax.device_put(array, NamedSharding(mesh, P(*spec)))
params = {{
    "layer_0": {{
        "kernel": put(np.arange(16, dtype=np.float32).reshape(4, 4), None, "x"),
        "bias": put(np.arange(4, dtype=np.float32), "x"),
    }},
    "layer_1": {{"kernel": put(np.full((4, 4), 2, np.float32), "x"), "bias": put(np.ones(4, np.float32))}},
    "layer_2": {{"kernel": put(np.full((4, 4), 3, np.float32)), "bias": put(np.ones(4, np.float32))}},
    "Dense_0": {{"kernel": put(np.ones((4, 2), np.float32), "x", None), "bias": put(np.ones(2, np.float32))}},
}}
with ocp.StandardCheckpointer() as c:
    c.save({str(tmp_path / "source")!r}, {{"params": params}})
"""
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, stderr=subprocess.DEVNULL)
    import maps

    file = write_map(Loop=maps.SAME_LAYERS)
    plan_conversion(
        tmp_path / "source", "new_models:Loop(rngs=nnx.Rngs(0))", parameter_map=file, folder=project
    ).write(tmp_path / "new")
    leaves = open_checkpoint(tmp_path / "new").leaves
    kernel = leaves[("layers", "0", "kernel", "value")]
    np.testing.assert_array_equal(kernel.read(), np.arange(16.0).reshape(4, 4))
    np.testing.assert_array_equal(leaves[("layers", "0", "bias", "value")].read(), np.arange(4.0))


def test_moves_do_not_wait_for_one_another(conversion, tmp_path, monkeypatch):
    """Reading is what takes long on remote disks; small leaves are read side by side."""
    active, most = set(), []
    lock = threading.Lock()
    original = stream.run_move

    def watched(move, leaves):
        with lock:
            active.add(id(move))
            most.append(len(active))
        time.sleep(0.02)
        with lock:
            active.discard(id(move))
        return original(move, leaves)

    monkeypatch.setattr(stream, "run_move", watched)
    conversion.write(tmp_path / "new")
    assert max(most) > 1
