import xml.etree.ElementTree as ET

from nnx_migrate.report.proof.junit import render


def test_a_suite_per_model_with_its_counts(result):
    suites = ET.fromstring(render(result)).findall("testsuite")
    counts = {s.get("name"): [s.get(k) for k in ("tests", "failures", "errors", "skipped")] for s in suites}
    assert counts == {
        "models:Net": ["2", "0", "0", "1"],
        "models:Net (bfloat16)": ["2", "1", "1", "0"],
        "models:Gone": ["1", "0", "1", "0"],
    }


def test_what_it_was_computed_on(result):
    found = ET.fromstring(render(result)).findall("testsuite/properties/property[@name='computed on']")
    assert [item.get("value") for item in found] == ["gpu (NVIDIA A100)", "cpu"]


def test_a_failure_lists_the_leaves(result):
    failure = ET.fromstring(render(result)).find(".//failure")
    assert failure is not None and failure.text is not None
    lines = failure.text.splitlines()
    assert len(lines) == 2
    assert lines[1] == "scale: different: missing after the migration"
