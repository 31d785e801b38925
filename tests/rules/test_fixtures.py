from __future__ import annotations

import pytest

from tests.rules import running
from tests.rules.harness import Case, all_cases, check_files, comments, fix_files, mark_text, marks

CASES = list(all_cases())
PAIRS = [c for c in CASES if c.kind == "pair"]
UNTOUCHED = [c for c in CASES if c.kind != "pair"]


def ids(case: Case) -> str:
    return case.id


def assert_findings_are_the_marked_ones(case: Case, files: dict, scan) -> None:
    assert not scan.errors
    if stays := case.settings.get("stays"):  # classes, and the copies that `fix` has written of others
        assert [f.message.split("`")[1] for f in scan.findings] == stays
        return
    found = {(f.path, f.line): f"{f.message} {f.help} {f.reason}" for f in scan.findings}
    assert found.keys() == marks(files).keys(), f"{case.id}: findings at {sorted(found)}"
    for (path, line), text in found.items():
        assert mark_text(files[path].splitlines()[line - 1]) in text, text


@pytest.mark.parametrize("case", PAIRS, ids=ids)
def test_fix_turns_before_into_after(case: Case) -> None:
    before, after = case.files("before"), case.files("after")
    found = check_files(before, case.rules, case.targets).findings
    assert case.rule in {f.rule for f in found}, "the rule finds nothing in before"
    fixed, _ = fix_files(before, case.rules, unsafe=case.unsafe, targets=case.targets)
    assert fixed == after
    assert_findings_are_the_marked_ones(case, after, check_files(after, case.rules, case.targets))


@pytest.mark.parametrize("case", PAIRS, ids=ids)
def test_fix_is_idempotent_and_keeps_comments(case: Case) -> None:
    after = case.files("after")
    again, result = fix_files(after, case.rules, unsafe=case.unsafe, targets=case.targets)
    assert again == after
    assert not result.fixed
    if not case.settings.get("drops_comments"):
        had = sum((comments(text) for text in case.files("before").values()), start=comments(""))
        has = sum((comments(text) for text in after.values()), start=comments(""))
        assert not had - has, "comments were lost"


@pytest.mark.parametrize("case", PAIRS, ids=ids)
def test_before_and_after_compute_the_same(case: Case) -> None:
    for package in case.settings.get("needs", ()):
        pytest.importorskip(package, reason=f"needs {package}, too large to install for a few fixtures")
    after, warned = running.run_main(case, "after")
    assert case.settings.get("warns") or not warned, f"after still uses deprecated APIs: {warned}"
    if case.settings.get("static"):
        return  # after runs; nothing that can be installed runs before
    before = running.recorded(case) if case.settings.get("era") else running.run_main(case, "before")[0]
    running.assert_equal(before, after, case.settings.get("tolerance"))


@pytest.mark.parametrize("case", UNTOUCHED, ids=ids)
def test_what_must_not_be_touched_comes_back_as_it_was(case: Case) -> None:
    files = case.files(case.kind)
    scan = check_files(files, case.rules, case.targets)
    if case.kind == "noop":
        assert [(f.path.name, f.line, f.message) for f in scan.findings] == []
        assert not scan.errors
    else:
        assert marks(files), "mark the lines with `# finding`"
        assert_findings_are_the_marked_ones(case, files, scan)
    fixed, _ = fix_files(files, case.rules, unsafe=case.unsafe, targets=case.targets)
    assert fixed == files
