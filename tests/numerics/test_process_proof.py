"""Each side in a process of its own: what `verify` and `fix --trace` do."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nnx_migrate.numerics.draws import Draw
from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.map_expansion import LeafSpec
from nnx_migrate.numerics.parameter_map import ClassMap, ParameterMap, module
from nnx_migrate.numerics.process_proof import prove_in_processes, run_after, run_before
from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.numerics.recording import Description, Recording, load, save
from nnx_migrate.numerics.results import Proof
from nnx_migrate.numerics.shapes_trace import trace_shapes
from nnx_migrate.numerics.source import ModelSource

LINEN = """
import flax.linen as nn
from .sizes import SIZES

class CNN(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool = False):
        for size in SIZES:
            x = nn.Conv(size, (3, 3))(x)
            x = nn.BatchNorm(use_running_average=not train)(x)
            x = nn.relu(x)
        x = nn.max_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
        x = nn.Dropout(0.4, deterministic=not train)(x)
        return nn.Dense(self.classes, name="head")(x)
"""
NNX = """
from flax import nnx
from .sizes import SIZES

class CNN(nnx.Module):
    def __init__(self, classes, *, in_features, rngs):
        sizes = (in_features, *SIZES)
        self.convs = nnx.List([nnx.Conv(m, n, (3, 3), rngs=rngs) for m, n in zip(sizes, SIZES)])
        self.norms = nnx.List([nnx.BatchNorm(n, MOMENTUMrngs=rngs) for n in SIZES])
        self.dropout = nnx.Dropout(0.4, rngs=rngs)
        self.head = nnx.Linear(SIZES[-1] * 4, classes, rngs=rngs)

    def __call__(self, x, train=False):
        for conv, norm in zip(self.convs, self.norms):
            x = nnx.relu(norm(conv(x), use_running_average=not train))
        x = nnx.max_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
        return self.head(self.dropout(x, deterministic=not train))
"""
MAP = ParameterMap({
    "net.models:CNN": ClassMap((
        module(["Conv_{i}"], ["convs", "{i}"], "flax.linen:Conv"),
        module(["BatchNorm_{i}"], ["norms", "{i}"], "flax.linen:BatchNorm"),
        module(["head"], ["head"], "flax.linen:Dense"),
    ))
})  # fmt: skip


@pytest.fixture
def projects(tmp_path: Path) -> tuple[ModelSource, ModelSource]:
    for side, text in (("before", LINEN), ("after", NNX)):
        package = tmp_path / side / "src" / "net"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "sizes.py").write_text("SIZES = (3,)\n")
        (package / "models.py").write_text(text.replace("MOMENTUM", ""))
        # A module whose name JAX needs: the user's folder must not come first while JAX is imported.
        (package.parent / "tokenize.py").write_text("raise RuntimeError('the wrong module')\n")
    common: dict[str, Any] = {
        "setup": "from net.models import CNN\nbatch = np.float32(np.random.RandomState(0).randn(2, 4, 4, 1))",
        "args": ("batch",),
        "eval_kwargs": {"train": "False"},
        "train_kwargs": {"train": "True"},
        "sys_path": ("src",),
    }
    before = ModelSource("linen", str(tmp_path / "before"), "CNN(classes=3)", **common)
    after = ModelSource("nnx", str(tmp_path / "after"), "CNN(3, in_features=1, rngs=rngs)", **common)
    return before, after


def test_five_training_steps_with_xla_optimising(
    projects: tuple[ModelSource, ModelSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XLA_FLAGS")  # which conftest.py sets for fast compiling, and processes inherit
    proof = prove_in_processes(*projects, MAP, Protocol(modes=("jit",), steps=5), optimize=True)
    assert proof.verdict == "equal", str(proof)
    steps = {c.name: c for c in proof.checks}["training/jit/loss"].leaves
    assert len(steps) == 5


def test_a_mistake_shows_across_processes(projects: tuple[ModelSource, ModelSource]) -> None:
    models = Path(projects[1].root, "src/net/models.py")
    models.write_text(NNX.replace("MOMENTUM", "momentum=0.9, "))
    proof = prove_in_processes(*projects, MAP, Protocol(modes=("jit",), gradients=False))
    different = {c.name for c in proof.checks if c.status == "different"}
    assert different == {"train/jit/state"}, str(proof)
    (state,) = [c for c in proof.checks if c.name == "train/jit/state"]
    assert {"/".join(leaf.path) for leaf in state.leaves if leaf.verdict == "different"} == {
        f"norms/0/{name}" for name in ("mean", "var")
    }


def test_a_map_that_does_not_fit_is_reported_by_the_second_side(tmp_path: Path) -> None:
    linen = ModelSource("linen", str(tmp_path), "nn.Dense(2)", args=("np.ones((1, 3))",))
    after = ModelSource("nnx", str(tmp_path), "nnx.Linear(3, 2, use_bias=False, rngs=rngs)", args=linen.args)
    job = {"protocol": {"modes": []}, "alignment": {}, "output": str(tmp_path / "before.npz")}
    run_before(linen, job)
    answer = run_after(after, {**job, "report": job["output"], "parameter_map": None})
    assert "Linen leaf params/bias is not mapped" in answer["problems"]


def test_trace_of_every_call(projects: tuple[ModelSource, ModelSource]) -> None:
    answer = trace_shapes(projects[0])
    modules = answer["modules"]
    assert list(modules) == ["", "BatchNorm_0", "Conv_0", "Dropout_0", "head"]
    assert modules[""]["class"] == "net.models:CNN"
    assert modules[""]["fields"] == {"classes": 3}
    assert modules[""]["calls"] == [
        {
            "method": "__call__",
            "args": [{"shape": [2, 4, 4, 1], "dtype": "float32"}],
            "kwargs": {"train": {"value": False}},
            "output": {"shape": [2, 3], "dtype": "float32"},
        }
    ]
    assert modules["head"]["class"] == "flax.linen:Dense"
    assert [call["args"][0]["shape"] for call in modules["head"]["calls"]] == [[2, 12]]
    assert answer["variables"]["params/head/kernel"] == {"shape": [12, 3], "dtype": "float32"}
    assert answer["variables"]["batch_stats/BatchNorm_0/mean"] == {"shape": [3], "dtype": "float32"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit('bye')\n", r"SystemExit: bye .*models\.py:2, in <module>"),
        ("import os\nos._exit(7)\n", "exit code 7"),
    ],
)
def test_code_that_cannot_be_imported_says_why(projects, text: str, message: str) -> None:
    Path(projects[0].root, "src/net/models.py").write_text(text)
    with pytest.raises(ChildError, match=message):
        trace_shapes(projects[0])


def test_a_child_has_limited_time(projects: tuple[ModelSource, ModelSource]) -> None:
    with pytest.raises(ChildError, match=r"longer than 0\.05 s"):
        trace_shapes(projects[0], timeout=0.05)


def test_reports_survive_the_file(tmp_path: Path) -> None:
    values: dict[tuple[str, ...], Any] = {
        ("a/b", "c"): np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3),
        (): np.float32(1.5),
        ("empty",): np.zeros((0, 2), np.int32),
    }
    description = Description(
        "linen",
        "m:A",
        {("params", "x"): LeafSpec((2, 3), "float32", "params")},
        [("params", "x")],
        ("noise",),
        values,
    )
    recording = Recording(
        {"eval/jit/output": values}, {"train/jit": "ValueError: no"}, {"x": "why"},
        {"eval/jit": frozenset({Draw("dropout", 1, 2)})}, {"eval/jit": {("0",): "Normal"}}, ["note"],
    )  # fmt: skip
    save(tmp_path / "report", description, recording)
    loaded = load(tmp_path / "report")
    assert [vars(part) | {"leaves": 0, "values": 0} for part in loaded] == [
        vars(part) | {"leaves": 0, "values": 0} for part in (description, recording)
    ]
    for found in (loaded[0].leaves, loaded[1].values["eval/jit/output"]):
        assert found.keys() == values.keys()
        assert all(found[p].dtype == v.dtype and np.array_equal(found[p], v) for p, v in values.items())


def test_proofs_are_reported_as_json(projects: tuple[ModelSource, ModelSource]) -> None:
    document = Proof().to_json()
    assert document == {
        "verdict": "skipped",
        "parameters": 0,
        "platform": "",
        "device": "",
        "checks": [],
        "notes": [],
        "parameter_map": [],
    }
    with pytest.raises(TypeError, match="unknown keys of a model source: modell"):
        ModelSource.from_json({"modell": "x"})
    assert ModelSource.from_json(projects[0].to_json()) == projects[0]
