"""What comes of projects that can't be compared as they are; each is run in processes of its own."""

import textwrap

import pytest

from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.verification.cases import Cases
from nnx_migrate.verification.listed import read_listed
from nnx_migrate.verification.running import Runner
from nnx_migrate.verification.verdicts import Result, Verdict

QUICK = Protocol(modes=("jit",), steps=0, gradients=False)

LINEN = """
import flax.linen as nn
import jax.numpy as jnp
{imports}

class Net(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return {result}
"""


def verify(folder, old, new=None, table=None, protocol=QUICK, stubs=()) -> Verdict:
    for side, text in (("old", old), ("new", new or old)):
        (folder / side).mkdir()
        (folder / side / "models.py").write_text(textwrap.dedent(text))
    listed = [read_listed({"model": "models:Net", "inputs": ["f32[2,3]"], **(table or {})})]
    cases = Cases(folder / "old", folder / "new", {}, listed, stubs)
    (case,) = cases
    runner = Runner(None, protocol, roots=(cases.old, cases.new), missing=cases.code.missing_packages)
    return runner.run(case)


def source(imports="", result="nn.Dense(self.width)(x)"):
    return LINEN.format(imports=imports, result=result)


def test_equal_and_different(tmp_path):
    same = verify(tmp_path, source())
    assert (same.word, same.failed) == ("equal", False)
    assert same.proof is not None
    assert same.proof.parameters == 3 * 4 + 4
    (tmp_path / "more").mkdir()
    other = verify(tmp_path / "more", source(), source(result="2 * nn.Dense(self.width)(x)"))
    assert (other.word, other.failed) == ("different", True)
    assert [c.name for c in other.differing] == ["eval/jit/output", "train/jit/output"]


def test_code_that_differs_from_itself_proves_nothing(tmp_path):
    unseeded = source("import numpy as np", "x + np.random.default_rng().standard_normal((2, 3))")
    verdict = verify(tmp_path, unseeded)
    assert verdict.failed
    assert verdict.proof is None
    assert "differs from itself" in verdict.reason


def test_a_module_that_is_not_installed_can_be_stubbed(tmp_path):
    imports = """
import tracking_service
from tracking_service.log import Watcher, watched

class Mine(Watcher):
    pass

@watched
def double(x):
    return 2 * x

@tracking_service.timed(every=3)
def half(x):
    return x / 2
"""
    text = source(imports, "half(double(nn.Dense(self.width)(x)))")
    verdict = verify(tmp_path, text)
    assert verdict.proof is None
    assert verdict.reason.startswith(
        "before the migration: ModuleNotFoundError: No module named 'tracking_service' (models.py:5, in <module>);"
    )
    assert "install tracking_service, or do without it: --stub tracking_service" in verdict.reason
    (tmp_path / "more").mkdir()
    assert verify(tmp_path / "more", text, stubs=["tracking_service"]).word == "equal"


def test_a_model_above_the_limit_is_not_built(tmp_path):
    table = {"args": "width=10**12"}
    verdict = verify(tmp_path, source(), table=table, protocol=Protocol(steps=0, max_bytes=2**30))
    assert verdict.proof is None
    assert "its variables need" in verdict.reason
    assert "--max-memory" in verdict.reason


def test_numbers_that_are_all_nan_prove_nothing(tmp_path):
    verdict = verify(tmp_path, source(result="nn.Dense(self.width)(x) * jnp.nan"))
    assert verdict.failed
    assert "no finite number to compare" in {c.reason for c in verdict.differing}
    assert "list it with other `args` or `inputs`" in verdict.reason


def test_a_stated_tolerance_counts_and_is_shown(tmp_path):
    table = {"tolerance": {"rtol": 1e-3, "reason": "a rounder constant"}}
    verdict = verify(tmp_path, source(), source(result="1.00001 * nn.Dense(self.width)(x)"), table=table)
    assert (verdict.word, verdict.failed) == ("close", False)
    assert {c.reason for c in verdict.differing} == {"a rounder constant"}


TABLE = "jnp.arange(64.0) / 3.0 * 1.7 + 0.3"


def test_tables_that_are_made_before_the_call_are_rounded_otherwise_under_jit(tmp_path):
    """XLA's constants differ in the last place from what its operations compute one by one."""
    old = source(result=f"nn.Dense(64)(x) * ({TABLE})")
    new = source(f"TABLE = {TABLE}", "nn.Dense(64)(x) * TABLE")
    verdict = verify(tmp_path, old, new)
    assert (verdict.word, verdict.failed) == ("close", False)
    assert all("equal without jit" in c.reason and "/jit/" in c.name for c in verdict.differing)
    assert {"eval/eager/output", "train/eager/output"} <= {c.name for c in verdict.proof.checks}


@pytest.mark.parametrize(
    "result",
    [
        "nn.Dense(64)(x) * 1.000001 * TABLE",  # not by rounding: it differs without jit, too
        "nn.Dense(64)(x) * (TABLE * 2 if isinstance(x, jax.core.Tracer) else TABLE)",  # by far, under jit alone
    ],
)
def test_more_than_rounding_stays_different(tmp_path, result):
    old = source(result=f"nn.Dense(64)(x) * ({TABLE})")
    verdict = verify(tmp_path, old, source(f"import jax\nTABLE = {TABLE}", result))
    assert (verdict.word, verdict.failed) == ("different", True)


@pytest.mark.parametrize(
    ("result", "expected"),
    [("undefined_name + x", "NameError"), ("nn.Dense(self.width)(x) @ x", "TypeError")],
)
def test_code_that_raises_is_told_by_its_exception(tmp_path, result, expected):
    verdict = verify(tmp_path, source(result=result))
    assert verdict.failed
    assert verdict.reason.startswith(f"before the migration: {expected}")


def test_nothing_compared_or_too_little_is_a_failure(tmp_path):
    assert Result().failed
    fine = verify(tmp_path, source())
    assert not Result([fine]).failed
    assert Result([fine], uncovered=["models:Other"]).failed


def test_a_class_that_is_not_to_be_compared_says_why(tmp_path):
    verdict = verify(tmp_path, source(), table={"skip": "needs a licence server"})
    assert (verdict.word, verdict.failed, verdict.reason) == ("skipped", False, "needs a licence server")
    assert verdict.classes == {"models:Net"}
