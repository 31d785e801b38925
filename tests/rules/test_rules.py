"""Every rule is documented, tried, and listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nnx_migrate.engine.findings import Safety
from nnx_migrate.engine.registry import builtin_rules
from nnx_migrate.engine.rule import GROUPS, HEADINGS, Rule
from tests.rules.harness import FIXTURES, all_cases

RULES = list(builtin_rules().values())
COUNTS = {rule.id: Counter(case.kind for case in all_cases() if case.rule == rule.id) for rule in RULES}
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
NOT_FIXTURES = {"eras"}


def rule_id(rule: Rule) -> str:
    return rule.id


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_rule_is_documented(rule: Rule) -> None:
    sections = rule.documentation()
    assert sections[""].endswith("."), "the docstring opens with a sentence that sums the rule up"
    assert [h for h in HEADINGS if not sections.get(h)] == []
    assert rule.group in GROUPS
    assert rule.triggers or type(rule).check is Rule.check, "a file rule without triggers never runs"


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_rule_lives_in_the_file_named_after_it(rule: Rule) -> None:
    assert type(rule).__module__ == f"nnx_migrate.rules.{rule.id.replace('-', '_')}"


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_rule_has_enough_fixtures(rule: Rule) -> None:
    counts = COUNTS[rule.id]
    if rule.safety is Safety.MANUAL:
        assert counts["finding"] >= 1
    else:
        assert counts["pair"] >= 3
    # what linen-module must leave alone is a table of programs: tests/programs, tests/linen_module
    assert rule.id == "linen-module" or counts["noop"] > counts["pair"]


def test_fixtures_belong_to_rules() -> None:
    folders = {path.name for path in FIXTURES.iterdir() if path.is_dir()} - NOT_FIXTURES
    assert folders - builtin_rules().keys() == set()


def test_changelog_lists_exactly_the_rules() -> None:
    text = CHANGELOG.read_text()
    assert [rule.id for rule in RULES if f"`{rule.id}`" not in text] == []
