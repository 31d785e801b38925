"""record.py itself, with the running interpreter as the era and fixtures that need numpy only."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from fixtures.eras import record

PYTHON = "# python " + ".".join(platform.python_version_tuple()[:2])
PINS = f"{PYTHON}\nnumpy=={np.__version__}\n"
SEEDED = """
    import numpy as np

    def main():
        r = np.random.default_rng(3)
        return {"b": r.normal(size=(2, 3)).astype("float32"), "a/count": np.int32(7), "inf": -np.inf}
"""


class Workplace:
    """A fixtures folder and environments, in which the era "here" is the running interpreter."""

    def __init__(self, root: Path) -> None:
        self.fixtures, self.environments = root / "fixtures", root / "environments"
        self.case = self.fixtures / "rule" / "case"
        for folder in (self.fixtures / "eras", self.environments, self.case):
            folder.mkdir(parents=True)
        (self.environments / "here").symlink_to(sys.prefix, target_is_directory=True)
        self.pins(PINS)
        (self.case / "case.toml").write_text('era = "here"\n')

    def pins(self, text: str) -> None:
        (self.fixtures / "eras" / "here.txt").write_text(text)

    def before(self, code: str, name: str = "before.py") -> None:
        path = self.case / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(code))

    def run(self, *cases: str) -> int:
        return record.main(["--eras", str(self.environments), *cases])

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.case / "recorded.npz") as arrays:
            return dict(arrays)

    def facts(self) -> dict[str, object]:
        return json.loads((self.case / "recorded.json").read_text())

    def recording(self) -> dict[str, bytes]:
        """Everything in the case's folder that nobody wrote by hand."""
        made = (
            path for path in self.case.rglob("*") if path.suffix not in {".py", ".toml"} and path.is_file()
        )
        return {path.name: path.read_bytes() for path in made}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    place = Workplace(tmp_path)
    monkeypatch.setattr(record, "FIXTURES", place.fixtures)
    return place


# -- what is recorded -------------------------------------------------------------------------------------


def test_arrays_come_back_with_their_dtypes_and_shapes(work: Workplace) -> None:
    work.before(SEEDED)
    assert work.run() == 0
    arrays = work.arrays()
    expected = np.random.default_rng(3).normal(size=(2, 3)).astype("float32")
    np.testing.assert_array_equal(arrays["b"], expected)
    assert {key: (str(array.dtype), array.shape) for key, array in arrays.items()} == {
        "a/count": ("int32", ()),
        "b": ("float32", (2, 3)),
        "inf": ("float64", ()),
    }


def test_provenance_says_where_the_arrays_come_from(work: Workplace) -> None:
    work.before(SEEDED)
    work.run()
    facts = work.facts()
    assert facts["era"] == "here"
    assert facts["sha256"] == record.source_digest(work.case)
    assert facts["npz_sha256"] == hashlib.sha256(work.recording()["recorded.npz"]).hexdigest()
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["python"] == platform.python_version()
    assert facts["command"] == "python fixtures/eras/record.py --eras ~/eras rule/case"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"])
    assert str(work.case) not in json.dumps(facts), "no paths of this machine"


def test_same_arrays_give_the_same_file(work: Workplace) -> None:
    work.before(SEEDED)
    work.run("rule/case")
    first = work.recording()["recorded.npz"]
    work.run("rule/case")
    assert work.recording()["recorded.npz"] == first


def test_fortran_order_is_the_same_array() -> None:
    array = np.arange(6.0).reshape(2, 3)
    same = record._to_numpy("x", np.asfortranarray(array))
    assert record.npz_bytes({"x": same}) == record.npz_bytes({"x": array})


def test_a_fixture_of_several_files_imports_its_own(work: Workplace) -> None:
    work.before("from sizes import N\ndef main(): return {'n': N}\n", "before/main.py")
    work.before("N = 5\n", "before/sizes.py")
    assert work.run() == 0
    assert work.arrays()["n"] == 5
    assert not list(work.case.rglob("__pycache__"))


def test_runs_see_neither_the_callers_directory_nor_its_variables(
    work: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stray.py").write_text("N = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    work.before("""
        import importlib.util, os

        def main():
            open("left-behind.txt", "w").close()
            stray = importlib.util.find_spec("stray") is not None
            return {"stray": stray, "x64": "JAX_ENABLE_X64" in os.environ}
    """)
    assert work.run() == 0
    assert not any(work.arrays().values())
    assert not (tmp_path / "left-behind.txt").exists()


# -- which cases are recorded -----------------------------------------------------------------------------


def test_only_missing_and_stale_recordings_are_made(
    work: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    work.before(SEEDED)
    current = work.fixtures / "rule" / "on-current-releases"
    current.mkdir()
    (current / "before.py").write_text("def main(): return {}\n")
    work.run()
    assert capsys.readouterr().out == "rule/case: recorded\n"
    work.run()
    assert capsys.readouterr().out == ""
    work.before(SEEDED.replace("default_rng(3)", "default_rng(4)"))
    assert not record.is_fresh(work.case)
    work.run()
    assert capsys.readouterr().out == "rule/case: recorded\n"
    assert record.is_fresh(work.case)


def test_arrays_that_do_not_belong_to_the_provenance_are_stale(work: Workplace) -> None:
    work.before(SEEDED)
    work.run()
    (work.case / "recorded.npz").write_bytes(record.npz_bytes({"b": np.zeros(2)}))
    assert not record.is_fresh(work.case)


def test_one_failing_case_does_not_stop_the_others(
    work: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    work.before(SEEDED)
    broken = work.fixtures / "rule" / "a-broken-one"
    broken.mkdir()
    (broken / "case.toml").write_text('era = "here"\n')
    (broken / "before.py").write_text("def main(): return {'x': 1 / 0}\n")
    assert work.run() == 1
    out, err = capsys.readouterr()
    assert out == "rule/case: recorded\n"
    assert err.startswith("rule/a-broken-one: not recorded: ")
    assert "ZeroDivisionError" in err


# -- what is refused --------------------------------------------------------------------------------------

REFUSED = {
    "raises": ("def main(): raise KeyError('no such layer')", "KeyError: 'no such layer'"),
    "syntax": ("def main(: pass", "SyntaxError"),
    "no main": ("x = 1", "defines no main()"),
    "not a dict": ("def main(): return [1, 2]", "must return a dict"),
    "nothing": ("def main(): return {}", "at least one array"),
    "name": ("def main(): return {1: 2}", "name its arrays with strings, not 1"),
    "nested": ("def main(): return {'tree': {'w': 1}}", "'tree' has dtype object"),
    "ragged": ("def main(): return {'rows': [[1], [1, 2]]}", "'rows' is no array"),
    "text": ("def main(): return {'s': 'abc'}", "'s' has dtype <U3"),
    "bfloat16": ("import numpy as np\ndef main(): return {'h': np.zeros(2, 'V2')}", "bfloat16 as float32"),
    "random": ("import numpy as np\ndef main(): return {'x': np.random.normal()}", "different arrays"),
    "time": ("import time\ndef main(): return {'t': time.time_ns()}", "different arrays"),
    "hash order": (
        "def main(): return {'x': [int(n) for n in set(map(str, range(100)))]}",
        "different arrays",
    ),
    "killed": ("import os\ndef main(): os._exit(3)", "the interpreter ended with code 3"),
    "neighbour": ("import helper\ndef main(): return {'x': helper.X}", "No module named 'helper'"),
}


@pytest.mark.parametrize(("code", "why"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_reason_and_the_old_recording_stays(
    work: Workplace, capsys: pytest.CaptureFixture[str], code: str, why: str
) -> None:
    work.before(SEEDED)
    work.before("X = 1\n", "helper.py")
    work.run()
    old = work.recording()
    work.before(code)
    assert work.run() == 1
    assert why in capsys.readouterr().err
    assert work.recording() == old


PLACES = {
    "no before": ('era = "here"', PINS, "there is no before.py"),
    "no era": ("unsafe = true", PINS, "case.toml names no era"),
    "unknown era": ('era = "flax-9"', PINS, "there is no fixtures/eras/flax-9.txt"),
    "wrong version": ('era = "here"', f"{PYTHON}\nnumpy==0.1", "numpy==0.1 is pinned, " + np.__version__),
    "missing": ('era = "here"', f"{PINS}no-such-package==1", "no-such-package==1 is pinned, nothing is"),
    "wrong python": ('era = "here"', "# python 3.1\n", "python 3.1 is pinned, " + platform.python_version()),
    "which python": ('era = "here"', "numpy==1.0", "here.txt has no comment '# python X.Y'"),
    "loose pin": ('era = "here"', f"{PYTHON}\nnumpy>=1", "'numpy>=1' is not an exact pin"),
}


@pytest.mark.parametrize(("settings", "pins", "why"), PLACES.values(), ids=PLACES)
def test_refused_in_the_wrong_place(
    work: Workplace, capsys: pytest.CaptureFixture[str], settings: str, pins: str, why: str
) -> None:
    if why != "there is no before.py":
        work.before(SEEDED)
    work.pins(pins)
    (work.case / "case.toml").write_text(settings)
    assert work.run("rule/case") == 1
    assert why in capsys.readouterr().err
    assert not work.recording()


def test_every_difference_of_the_environment_is_listed(
    work: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    work.before(SEEDED)
    work.pins("# python 2.7\nnumpy==0.1\nno-such-package==1\n")
    assert work.run() == 1
    err = capsys.readouterr().err
    assert "python 2.7" in err
    assert "numpy==0.1" in err
    assert "no-such-package==1" in err


def test_an_era_without_an_environment(work: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    work.before(SEEDED)
    (work.environments / "here").unlink()
    assert work.run() == 1
    assert "no environment for here" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_old_file_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "recorded.npz"
    target.write_bytes(b"old")

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space left"):
        record._write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


# -- the committed eras -----------------------------------------------------------------------------------

ERAS = sorted((Path(record.__file__).parent).glob("*.txt"))


@pytest.mark.parametrize("path", ERAS, ids=lambda path: path.stem)
def test_an_era_pins_the_release_it_is_named_after(path: Path) -> None:
    lines = path.read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    package, _, release = path.stem.partition("-")
    assert re.fullmatch(r"# python 3\.\d+", lines[0])
    assert f"{pins[package]}.".startswith(f"{release}.")
    assert {"jax", "jaxlib", "numpy"} <= pins.keys()
    assert pins["jax"] == pins["jaxlib"]


def test_the_readme_knows_every_era() -> None:
    readme = (Path(record.__file__).parent / "README.md").read_text()
    assert re.findall(r"^\| `([\w.-]+)` +\|", readme, flags=re.MULTILINE) == [
        p.stem
        for p in sorted(
            ERAS, key=lambda path: (path.stem.split("-")[0], [int(n) for n in re.findall(r"\d+", path.stem)])
        )
    ]
