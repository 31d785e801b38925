"""Files that are hard on a parser or on recursion: each is an error of its own at worst, never of the run."""

from pathlib import Path

import pytest

from nnx_migrate.config import Config
from nnx_migrate.engine.session import Session
from nnx_migrate.engine.targets import Targets

OUTDATED = "import jax\njax.tree_map(print, {})\n"
HARD = {
    "terms": "x = " + " + ".join(["1"] * 3000) + "\n",
    "calls": "x = x" + ".a()" * 800 + "\n",
    "parentheses": "x = " + "(" * 400 + "1" + ")" * 400 + "\n",
    "lambdas": "x = " + "lambda: " * 150 + "1\n",
    "branches": "if a == 0:\n    pass\n" + "".join(f"elif a == {i}:\n    b = {i}\n" for i in range(1000)),
    "blocks": "".join("    " * i + f"if a{i}:\n" for i in range(95)) + "    " * 95 + "pass\n",
    "table": "T = {\n" + "".join(f"    'k{i}': (jax.tree, [{i}, 'a']),\n" for i in range(5000)) + "}\n",
}


@pytest.mark.parametrize("kind", HARD)
def test_a_hard_file_does_not_end_the_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "hard.py").write_text(OUTDATED + HARD[kind])
    (tmp_path / "plain.py").write_text(OUTDATED)
    paths = sorted(tmp_path.glob("*.py"))
    session = Session.open(paths, Config(root=tmp_path), Targets(), use_cache=False, jobs=1)
    scan = session.check()
    found = {finding.path.name for finding in scan.findings if finding.rule == "jax-tree"}
    assert "plain.py" in found
    if "hard.py" not in found:
        assert "nest" in scan.errors[tmp_path / "hard.py"].message  # what and why
