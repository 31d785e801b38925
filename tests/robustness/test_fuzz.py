"""A fixed sample of what `python -m benchmarks.fuzz` does at length."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest

from benchmarks.fuzz import ROOT, grammar_programs, judge, mutated, real_files
from benchmarks.oddities import DAMAGE, LAYOUT, Mutation
from benchmarks.robustness import examine, page_breaks

SEED = 20
PROGRAMS = 240
TOGETHER = 8  # programs that form a project: what one breaks, another may import


@cache
def fixtures() -> list[bytes]:
    return real_files([ROOT / "fixtures"])


@pytest.mark.parametrize("first", range(0, PROGRAMS, TOGETHER))
def test_mutated_files(first: int, tmp_path: Path) -> None:
    programs = [mutated(fixtures(), SEED, first + n) for n in range(TOGETHER)]
    outcome = judge(programs, tmp_path, unsafe=first % (2 * TOGETHER) == 0)
    assert outcome.problems == []


def test_the_sample_holds_much_to_fix_and_much_that_is_not_python(tmp_path: Path) -> None:
    outcome = judge([mutated(fixtures(), SEED, n) for n in range(60)], tmp_path, unsafe=False)
    assert outcome.fixes.total() > 10
    assert outcome.unreadable > 5


def test_programs_of_the_grammar(tmp_path: Path) -> None:
    programs = [(program, False) for program in grammar_programs(25, SEED)]
    outcome = judge(programs, tmp_path, unsafe=False)
    assert outcome.problems == []
    assert outcome.fixes.total() > 25


@pytest.mark.parametrize("mutation", [*LAYOUT, *DAMAGE], ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_something(mutation: Mutation) -> None:
    data = b'import jax\nimport numpy as np\n\nif jax:\n    x = 1\n    y = jax.numpy.ones((2, 3))  # a\n    z = "a"\n'
    assert any(mutation(data, random.Random(seed)) != data for seed in range(40))


def test_page_breaks_stand_between_statements() -> None:
    assert page_breaks(b"a = f(  # b\n\fc,\r\n  d)\n\f\ne = [\n1]\n\fg = 2\n") == 2
    assert page_breaks(b"\f(\n\f") == 2  # no Python


def test_a_broken_promise_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge itself: a fix that writes nonsense, loses a comment and another end of line is a problem."""
    from nnx_migrate.sources.text import SourceText

    (tmp_path / "a.py").write_bytes(b"import jax\r\njax.tree_map(id, 1)  # kept\r\n")
    real = SourceText.encode

    def encode(self: SourceText) -> bytes:
        return real(self).replace(b"# kept\r\n", b"(\n") if "jax.tree.map" in self.text else real(self)

    monkeypatch.setattr(SourceText, "encode", encode)
    problems = " ".join(examine(tmp_path).problems)
    assert "does not parse" in problems
    assert "other line ends" in problems
