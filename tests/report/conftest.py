from pathlib import Path

import pytest

from nnx_migrate.numerics.compare import LeafComparison
from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.map_expansion import LeafPair, LeafSpec
from nnx_migrate.numerics.results import Check, Proof
from nnx_migrate.verification.cases import Case
from nnx_migrate.verification.verdicts import Result, Verdict

OLD = "class Net(nn.Module):\n    width: int  # <b>&amp;\n\n    def __call__(self, x):\n        return x\n"
NEW = OLD.replace("nn.Module", "nnx.Module").replace("width: int  ", "width: int = 3  ")


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """The folders before and after."""
    for name, text in (("old", OLD), ("new", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "models.py").write_text(text)
    return tmp_path / "old", tmp_path / "new"


@pytest.fixture
def result() -> Result:
    """Every kind of verdict, with text that must not be taken for markup."""
    kernel, bias = ("a" * 120, "kernel"), ("<script>alert(1)</script>", "bias")
    fine = Proof(
        [
            Check("eval/jit/output", "equal", leaves=(LeafComparison((), "equal", 0.0, 0),)),
            Check("train/jit/state", "skipped", "raises on both sides: ValueError: <i>no</i>"),
        ],
        ["NNX draws from stream 'x' what Linen draws from 'dropout'"],
        [LeafPair((("params", "q"), ("params", "k")), (kernel,), Transform("concat", axis=1))],
        {kernel: LeafSpec((3, 4), "float32", "params"), bias: LeafSpec((4,), "float32", "params")},
        frozenset({"models:Net"}),
        "gpu",
        "NVIDIA A100",
    )
    wrong = Proof(
        [
            Check(
                "train/jit/gradients",
                "different",
                leaves=(
                    LeafComparison(kernel, "different", 0.25, 1_000_000),
                    LeafComparison(bias, "close", 1e-7, 1, detail="as stated"),
                    LeafComparison(("scale",), "different", detail="missing after the migration"),
                    LeafComparison(("other",), "equal", 0.0, 0),
                ),
            ),
            Check("eval/jit", "error", "after the migration: TypeError: x"),
        ],
        platform="cpu",
        device="cpu",
    )
    return Result(
        [
            Verdict(Case("models:Net"), fine, seconds=1.5),
            Verdict(Case("models:Net", variant="bfloat16"), wrong),
            Verdict(Case("models:Gone"), reason="ImportError: <b>nothing</b>", details="Traceback\n  line"),
        ],
        ["models:Never"],
    )
