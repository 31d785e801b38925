"""Mode flags of modules that take them at construction or at the call, by `nn.merge_param`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

CODE = """\
from functools import partial
from typing import Optional

import flax.linen as nn


class Norm(nn.Module):
    use_running_average: Optional[bool] = None
    axis_name: Optional[str] = None

    @nn.compact
    def __call__(self, x, use_running_average: Optional[bool] = None):
        use_running_average = {merged}
        return nn.BatchNorm()(x, use_running_average=use_running_average)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = True):
        return nn.Dense(3)({call})
"""
MERGED = 'nn.merge_param("use_running_average", self.use_running_average, use_running_average)'
CALL = "Norm(use_running_average=not train)(nn.Dense(4)(x))"


def test_the_flag_moves_to_the_call(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(merged=MERGED, call=CALL))
    text, conversions = convert(path)
    assert conversions.refused == {}
    assert "self.norm = Norm(in_features=4, rngs=rngs)" in text
    assert "self.norm(self.dense_1(x), use_running_average=not train)" in text


@pytest.mark.parametrize(
    ("merged", "call"),
    [
        ("use_running_average if self.use_running_average is None else True", CALL),
        (f"{MERGED} or bool(self.use_running_average)", CALL),
        (MERGED, CALL.replace("(x))", "(x), use_running_average=None)")),
        (MERGED, CALL.replace("(x))", "(x), None)")),
        (MERGED, f"nn.Sequential([{CALL.partition('(nn')[0]}])(x)"),
        (MERGED, "partial(Norm, use_running_average=not train)(use_running_average=True)(x)"),
        (MERGED, "partial(Norm, use_running_average=True)(use_running_average=not train)(x)"),
        (MERGED, "Norm(not train, None)(nn.Dense(4)(x))"),
    ],
)
def test_flags_that_stay_where_they_are(tmp_path: Path, merged: str, call: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE.format(merged=merged, call=call))
    _, conversions = convert(path)
    assert conversions.refused["model.Net"].reason in ("dynamic-construction", "mode-flag")
