"""Fixture pairs of rule linen-module: `before.py`, `after.py` and `case.toml`, which says how to run them.

`python -m tests.linen_module.fixture NAME...` writes `after.py` anew (all cases without a name); read the
diff.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnx_migrate.engine.imports import edit_imports
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import Conversions, convert_project
from nnx_migrate.nnx.plan import make_plan
from nnx_migrate.nnx.preparation import preparations, prepared
from nnx_migrate.sources.text import SourceText

ROOT = Path(__file__).parents[2] / "fixtures" / "linen-module"


@dataclass(frozen=True)
class Case:
    """One model of a fixture: the Linen construction, what the NNX one gets more, and the inputs."""

    folder: Path
    model: str
    sizes: str = ""
    args: tuple[str, ...] = ()
    eval: dict[str, str] = field(default_factory=dict)
    train: dict[str, str] | None = None
    method: str | None = None
    rngs: bool = True
    tolerance: str = ""

    def __str__(self) -> str:
        return f"{self.folder.name}:{self.model.partition('(')[0]}"

    @property
    def nnx_model(self) -> str:
        """The NNX construction."""
        more = [part for part in (self.sizes, "rngs=rngs" if self.rngs else "") if part]
        inside = self.model.rstrip()[:-1]
        separator = "" if inside.endswith("(") else ", "
        return f"{inside}{separator}{', '.join(more)})"


def folders() -> list[Path]:
    """Every fixture, in order."""
    return sorted(path.parent for path in ROOT.glob("*/before.py"))


def cases() -> Iterator[Case]:
    """Every model of every fixture."""
    for folder in folders():
        document = tomllib.loads((folder / "case.toml").read_text())
        for raw in document["model"]:
            values: dict[str, Any] = {**raw, "args": tuple(raw.get("args", ()))}
            yield Case(folder, **values)


def convert(path: Path, bridge: bool = True) -> tuple[str, Conversions]:
    """What the tool makes of a file."""
    project = Project([path], lambda p: SourceText.decode(p.read_bytes()))
    case = path.parent / "case.toml"
    if case.exists() and tomllib.loads(case.read_text()).get("prepares"):
        project = prepared(project, preparations(project, make_plan(project), make_plan))
    conversions = convert_project(project, bridge=bridge)
    module = project.module(path)
    assert module is not None
    converted = list(conversions.converted.values())
    functions = {node: function.edits for c in converted for node, function in c.functions.items()}
    edits = [edit for c in converted for edit in c.edits] + [e for own in functions.values() for e in own]
    source = module.source.with_edits(edits)
    requests = sorted({r for c in converted for r in c.imports}, key=lambda r: r.qualified)
    after = edit_imports(module, Module(path, module.name, source), requests, lambda name: False)
    return after.text, conversions


def main(names: list[str]) -> None:
    """Write `after.py` of the named fixtures."""
    for folder in folders():
        if not names or folder.name in names:
            text, conversions = convert(folder / "before.py")
            (folder / "after.py").write_text(text)
            for path, helpers in conversions.helper_files.items():
                path.write_text(helpers)
            for refusal in conversions.refused.values():
                print(f"{folder.name}: {refusal}")


if __name__ == "__main__":
    main(sys.argv[1:])
