"""Where models are computed: JAX's choice, exact as far as it goes, and CPU as the judge of an accelerator's rounding."""

import json
from pathlib import Path

import pytest

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.processes import ChildError
from nnx_migrate.numerics.shapes_trace import trace_shapes
from nnx_migrate.numerics.source import ModelSource
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.listed import read_listed
from nnx_migrate.verification.running import Runner
from nnx_migrate.verification.verdicts import Verdict

QUICK = Protocol(modes=("jit",), steps=0, gradients=False)
VARIABLES = ("JAX_PLATFORMS", "JAX_DEFAULT_MATMUL_PRECISION", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_FLAGS")

# A machine whose accelerator rounds: it says that it is no CPU unless one is asked for.
MODEL = """
import os

import flax.linen as nn
import jax

FACTOR = {on_cpu}
if os.environ.get("JAX_PLATFORMS") != "cpu":
    jax.default_backend = lambda: "gpu"
    FACTOR = {on_gpu}


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return FACTOR * nn.Dense(4)(x)
"""
ENVIRONMENT = f"""
import json, os
raise RuntimeError("ENV" + json.dumps({{name: os.environ.get(name) for name in {VARIABLES}}}) + "END")
"""


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def verify(folder: Path, on_cpu: float, on_gpu: float, table: dict | None = None) -> Verdict:
    for side, factors in (("old", (1.0, 1.0)), ("new", (on_cpu, on_gpu))):
        (folder / side).mkdir()
        (folder / side / "models.py").write_text(MODEL.format(on_cpu=factors[0], on_gpu=factors[1]))
    listed = [read_listed({"model": "models:Net", "inputs": ["f32[2,3]"], **(table or {})})]
    cases = Cases(folder / "old", folder / "new", {}, listed)
    (case,) = cases
    return Runner(None, QUICK).run(case)


def environment(folder: Path, **options: str) -> dict[str, str | None]:
    """What a child that runs user code finds in its environment."""
    from nnx_migrate.numerics.process_proof import prove_in_processes

    source = ModelSource("linen", str(folder), "nn.Dense(1)", ENVIRONMENT)
    with pytest.raises(ChildError) as caught:
        prove_in_processes(source, source, **options)
    return json.loads(str(caught.value).partition("ENV")[2].partition("END")[0])


def test_the_platform_is_the_choice_of_jax_and_computing_is_exact(unset, tmp_path):
    found = environment(tmp_path)
    assert found["JAX_PLATFORMS"] is None
    assert found["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "--xla_gpu_deterministic_ops=true" in found["XLA_FLAGS"].split()


def test_what_the_user_sets_stays(unset, tmp_path):
    unset.setenv("JAX_PLATFORMS", "cpu")
    unset.setenv("JAX_DEFAULT_MATMUL_PRECISION", "float32")
    unset.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false --xla_force_host_platform_device_count=2")
    found = environment(tmp_path)
    assert found["JAX_PLATFORMS"] == "cpu"
    assert found["JAX_DEFAULT_MATMUL_PRECISION"] == "float32"
    flags = found["XLA_FLAGS"].split()
    assert flags[:2] == ["--xla_gpu_deterministic_ops=false", "--xla_force_host_platform_device_count=2"]
    assert "--xla_gpu_deterministic_ops=true" not in flags


def test_a_platform_can_be_asked_for(unset, tmp_path):
    assert environment(tmp_path, platform="cpu")["JAX_PLATFORMS"] == "cpu"


def test_shapes_alone_need_no_accelerator(unset, tmp_path):
    with pytest.raises(ChildError, match='"JAX_PLATFORMS": "cpu"'):
        trace_shapes(ModelSource("linen", str(tmp_path), "nn.Dense(1)", ENVIRONMENT))


def test_rounding_on_an_accelerator_counts_where_the_cpu_finds_both_equal(unset, tmp_path):
    verdict = verify(tmp_path, on_cpu=1.0, on_gpu=1.0001)
    assert (verdict.word, verdict.failed) == ("close", False)
    assert verdict.proof is not None
    assert verdict.proof.platform == "gpu"
    assert any("on cpu the verdict is 'equal'" in note for note in verdict.proof.notes)


def test_a_difference_as_small_as_rounding_is_found_by_the_cpu(unset, tmp_path):
    verdict = verify(tmp_path, on_cpu=1.0001, on_gpu=1.0001)
    assert (verdict.word, verdict.failed) == ("different", True)
    assert verdict.proof is not None
    assert verdict.proof.platform == "cpu"


def test_a_difference_that_only_an_accelerator_shows_is_one(unset, tmp_path):
    verdict = verify(tmp_path, on_cpu=1.0, on_gpu=1.5)
    assert (verdict.word, verdict.failed) == ("different", True)


def test_a_stated_tolerance_is_the_one_that_counts(unset, tmp_path):
    table = {"tolerance": {"rtol": 1e-6, "reason": "fused"}}
    assert verify(tmp_path, on_cpu=1.0, on_gpu=1.0001, table=table).word == "different"
