"""`[tool.nnx-migrate]`: what can be configured, and where it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    """Settings of one run. `root` is the folder of the file that they came from."""

    root: Path = field(default_factory=Path.cwd)
    select: tuple[str, ...] = ("ALL",)
    ignore: tuple[str, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    target_flax: str = ""
    numerics: str = "exact"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    verify: tuple[Mapping[str, Any], ...] = ()
