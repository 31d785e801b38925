"""`match` statements: followed as the conditions that they stand for, where these compare values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

MODEL = """\
import flax.linen as nn


class Model(nn.Module):
    kind: str
    sizes: tuple = (1, 2)

    def kind_of(self, x):
        return len(x)

    @nn.compact
    def __call__(self, x, train=False):
        match {subject}:
            case {pattern}:
                x = nn.Dense(3)(x)
            case _:
                x = x * 2
        return nn.Dense(2)(x)
"""

CONDITIONS = {
    "'wide'": "self.kind == 'wide'",
    "'wide' | 'deep'": "self.kind == 'wide' or self.kind == 'deep'",
    "None": "self.kind is None",
    "'wide' | 'deep' if self.sizes or train is None": None,
    "'wide' | 'deep' if self.sizes or self.kind": "(self.kind == 'wide' or self.kind == 'deep') and (self.sizes or self.kind)",
    "_ if self.sizes": "self.sizes",
}


def _converted(tmp_path: Path, subject: str, pattern: str) -> tuple[str, str]:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(subject=subject, pattern=pattern))
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text, refusal.reason if refusal else ""


@pytest.mark.parametrize(("pattern", "condition"), CONDITIONS.items(), ids=CONDITIONS)
def test_the_constructor_takes_the_same_choice(tmp_path: Path, pattern: str, condition: str | None) -> None:
    text, reason = _converted(tmp_path, "self.kind", pattern)
    if condition is None:
        assert reason == "dynamic-construction"
        return
    assert reason == ""
    assert (
        f"        if {condition}:\n            self.dense_0 = nnx.Linear(in_features, 3, rngs=rngs)" in text
    )
    assert f"match self.kind:\n            case {pattern}:\n                x = self.dense_0(x)" in text


@pytest.mark.parametrize(
    "pattern", ["str()", "kind if kind", "(1, 2)", "{'a': 1}", "str() | 'wide'", "'a' as b"]
)
def test_patterns_that_do_more_than_compare(tmp_path: Path, pattern: str) -> None:
    assert _converted(tmp_path, "self.kind", pattern)[1] == "unsupported-syntax"


@pytest.mark.parametrize("subject", ["self.kind_of(x)", "x.shape[0]", "(self.kind, train)"])
def test_subjects_that_are_computed(tmp_path: Path, subject: str) -> None:
    assert _converted(tmp_path, subject, "1")[1] == "unsupported-syntax"


def test_a_subject_that_the_constructor_computes_as_well(tmp_path: Path) -> None:
    text, reason = _converted(tmp_path, "self.kind.lower()", "'wide' | 'deep'")
    assert reason == ""
    assert "        if self.kind.lower() == 'wide' or self.kind.lower() == 'deep':\n" in text


FOREIGN = """

def scaled(x, kind):
    match kind, x.shape:
        case 'wide', (_, n):
            return x * n
        case other, _:
            return x


class Scaled(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x):
        x = {call}
        return nn.Dense(2)(x)
"""


@pytest.mark.parametrize(
    ("call", "reason"),
    [("nn.Dense(3)(x) + scaled(x[:1], self.kind).sum()", ""), ("scaled(x, self.kind)", "unknown-size")],
)
def test_statements_in_functions_that_make_no_layers(tmp_path: Path, call: str, reason: str) -> None:
    path = tmp_path / "model.py"
    functions, cls = FOREIGN.split("\n\nclass")
    (tmp_path / "functions.py").write_text(functions)
    path.write_text(
        f"import flax.linen as nn\nfrom functions import scaled\n\n\nclass{cls.format(call=call)}"
    )
    _, conversions = convert(path)
    refusal = conversions.refused.get("model.Scaled")
    assert (refusal.reason if refusal else "") == reason


def test_a_choice_that_only_a_call_takes(tmp_path: Path) -> None:
    assert _converted(tmp_path, "train", "True")[1] == "dynamic-construction"
