"""Submodules that are called with arguments which their caller only hands on: `block(x, *args, **kwargs)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

TEXT = """
import flax.linen as nn


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, mask=None, *, scale=None):
        y = nn.Dense(4)(x)
        return {result}


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, *args, **kwargs):
        {body}
"""


def refusals(tmp_path: Path, body: str, needs: str = "") -> tuple[str, dict[str, str]]:
    """The new text of the file, and why classes stay; `needs` is an argument of Block that has a layer of its own."""
    path = tmp_path / "model.py"
    result = f"y if {needs} is None else y * nn.Dense(4)({needs})" if needs else "y"
    path.write_text(TEXT.format(body=body, result=result))
    text, conversions = convert(path, bridge=False)
    return text, {name: refusal.reason for name, refusal in conversions.refused.items()}


@pytest.mark.parametrize(
    "body",
    [
        "return Block()(x, *args, **kwargs)",
        "return Block()(x, *args)",
        "return Block()(x, None, **kwargs)",
        "return nn.Dense(2)(Block()(x * 2, *args, scale=None))",
    ],
)
def test_they_are_handed_on(tmp_path: Path, body: str) -> None:
    text, refused = refusals(tmp_path, body)
    assert not refused
    call = body.partition("Block()")[2].rstrip(")")
    assert f"self.block{call}" in text


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ("return Block()(x, *args)", "mask"),
        ("return Block()(x, **kwargs)", "mask"),
        ("return Block()(x, **kwargs)", "scale"),
        ("args = [x, nn.Dense(2)]\n        return Block()(x, *args)", ""),
        ("return Block()(*args, **kwargs)", ""),
        ("return Block()(*args, x)", ""),
    ],
    ids=[
        "by position",
        "by name",
        "by name only",
        "of the method's own",
        "all of them",
        "in front of others",
    ],
)
def test_sizes_that_they_may_decide_about_are_refused(tmp_path: Path, body: str, needs: str) -> None:
    _, refused = refusals(tmp_path, body, needs)
    assert "model.Model" in refused


def test_by_position_alone_gives_no_argument_by_name(tmp_path: Path) -> None:
    _, refused = refusals(tmp_path, "return Block()(x, *args)", "scale")
    assert not refused
