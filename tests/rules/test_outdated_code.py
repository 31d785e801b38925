"""Every outdated API that was measured on real releases: reported by the right rule, or silent for a reason."""

from __future__ import annotations

import pytest

from nnx_migrate.engine.findings import Finding
from tests.rules.current_code import SILENT
from tests.rules.harness import check_text, fix_text
from tests.rules.outdated_code import PROLOGUE, REPORTED

LINES = PROLOGUE.count("\n")
PIECES = [(rule, code) for rule, pieces in REPORTED.items() for code in pieces]
#: The Linen rule plans for a whole project; what it does with its classes is for `tests/linen_module`.
BY_FILE = [(rule, code) for rule, code in PIECES if rule != "linen-module"]
QUIET = [code for pieces in SILENT.values() for code in pieces]


def findings(code: str) -> list[Finding]:
    return [f for f in check_text(f"{PROLOGUE}{code}\n", "ALL") if f.line > LINES]


@pytest.mark.parametrize(("rule", "code"), PIECES, ids=[code for _, code in PIECES])
def test_what_is_outdated_is_reported(rule: str, code: str) -> None:
    """By its rule; a finding without a fix says why and what to do."""
    found = findings(code)
    assert rule in {f.rule for f in found}
    assert all(f.fix or (f.reason and f.help) or rule == "linen-module" for f in found)


@pytest.mark.parametrize(("rule", "code"), BY_FILE, ids=[code for _, code in BY_FILE])
def test_what_can_be_fixed_is_gone_after_fix(rule: str, code: str) -> None:
    """A second run finds only what the first couldn't rewrite."""
    before = findings(code)
    after = fix_text(f"{PROLOGUE}{code}\n", "ALL", unsafe=True)
    left = [f for f in check_text(after, "ALL") if f.rule == rule and f.fix]
    assert left == []
    if all(f.fix for f in before):
        assert after != f"{PROLOGUE}{code}\n"


@pytest.mark.parametrize("code", QUIET, ids=QUIET)
def test_what_is_not_outdated_for_certain_is_not_reported(code: str) -> None:
    """See the reasons in the table."""
    assert findings(code) == []
