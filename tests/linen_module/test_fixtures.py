"""Each fixture pair: `after.py` is what the tool writes, and computes what `before.py` computes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from nnx_migrate.nnx.conversion import Conversions
from nnx_migrate.numerics.inputs import Protocol
from nnx_migrate.numerics.judging import Tolerances
from nnx_migrate.numerics.modules import IsolatedTree, load_file
from nnx_migrate.numerics.proof import prove
from tests.linen_module.fixture import Case, cases, convert, folders
from tests.linen_module.sides import linen_side, nnx_side, value


@cache
def converted(folder: Path) -> tuple[str, Conversions]:
    """What the tool makes of a fixture, once for all its models."""
    return convert(folder / "before.py")


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_the_tool_writes_after_byte_for_byte(folder: Path) -> None:
    text, conversions = converted(folder)
    held = {cls.qualified for c in conversions.converted.values() for cls in c.bridged}
    assert conversions.refused.keys() == held  # what others hold by `nnx.bridge.ToNNX` stays Linen
    assert text == (folder / "after.py").read_text()
    for path, helpers in conversions.helper_files.items():
        assert helpers == path.read_text()


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_after_computes_the_same(case: Case) -> None:
    _, conversions = converted(case.folder)
    before = load_file(case.folder / "before.py", "before")
    with IsolatedTree(case.folder).active():
        after = load_file(case.folder / "after.py", "before")
    tolerances: Tolerances | None = value(case.tolerance) if case.tolerance else None
    proof = prove(
        linen_side(case, before),
        nnx_side(case, after),
        conversions.parameter_map,
        Protocol(modes=("jit",), steps=3),
        tolerances,
    )
    failed = [f"{c.name}: {c.status} {c.reason}" for c in proof.checks if c.status not in ("equal", "close")]
    assert not failed
