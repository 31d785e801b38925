"""The releases that a project is written for, read from its own dependency pins.

A project pinned below the release that made a pattern outdated is not bothered with it, and a fix never
writes an API that the pinned release lacks. `--target-flax` overrides what is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGES = ("flax", "jax", "optax", "orbax-checkpoint")
Version = tuple[int, int, int, int]
NEWEST: Version = (10**6, 0, 0, 0)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?\s*([^;#)]*)")
_SPECIFIER = re.compile(r"(===|==|~=|<=|>=|!=|<|>|\^|~|=)?\s*v?(\d+(?:\.\d+)*)(\.\*)?")
_SINCE = re.compile(r"\s*([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)\s*$")


class TargetError(Exception):
    """A target version that isn't one."""


def version(text: str) -> Version:
    """ "0.12.8" → (0, 12, 8, 0). What follows the numbers (rc1, .dev0) is dropped; NEWEST without numbers."""
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", text)
    if match is None:
        return NEWEST
    parts = [int(part) for part in match.group(1).split(".")][:4]
    return tuple(parts + [0] * (4 - len(parts)))  # type: ignore[return-value]


@dataclass(frozen=True)
class Pin:
    """The newest release of a package that one line of a project admits."""

    newest: Version
    text: str
    path: Path


@dataclass(frozen=True)
class Targets:
    """The pins of a project; packages without one are taken to be the newest release."""

    pins: Mapping[str, Pin] = field(default_factory=dict)

    def has(self, package: str, since: str) -> bool:
        """True where the project can use an API of `package` that came with release `since`."""
        pin = self.pins.get(package)
        return pin is None or pin.newest >= version(since)

    def blocking(self, needs: str) -> Pin | None:
        """The pin that keeps the project from using what a rule with this `needs` ("flax>=0.12") writes."""
        return None if self.concerned(needs) else self.pins[needs.partition(">")[0].strip()]

    def concerned(self, since: str) -> bool:
        """True where a rule with this `since` ("flax>=0.11") concerns the project; always for ""."""
        if not since:
            return True
        match = _SINCE.match(since)
        if match is None:
            raise ValueError(f"`since` must read like 'flax>=0.11', not {since!r}")
        return self.has(match.group(1), match.group(2))


def read_targets(root: Path, target_flax: str = "") -> Targets:
    """The targets of the project in `root`. Raises TargetError for a `target_flax` that is no version."""
    pins: dict[str, Pin] = {}
    for name, specifiers, path in _requirements(root):
        package = re.sub(r"[-_.]+", "-", name).lower()
        newest = _newest(specifiers)
        if package in PACKAGES and newest < pins.get(package, Pin(NEWEST, "", path)).newest:
            pins[package] = Pin(newest, f"{package}{specifiers}", path)
    if target_flax:
        if not re.match(r"\d+(\.\d+)*", target_flax):
            raise TargetError(f"target Flax release {target_flax!r} is not a version such as 0.12.8")
        # The companions move with Flax: their pins belong to the release that is being left.
        pins = {"flax": Pin(version(target_flax), f"flax=={target_flax}", root)}
    return Targets(pins)


def _newest(specifiers: str) -> Version:
    newest = NEWEST
    for piece in specifiers.split(","):
        match = _SPECIFIER.match(piece.strip())
        if match is None:
            continue
        operator, number, star = match.groups()
        value = version(number)
        parts = number.split(".")
        if operator in ("==", "===", "=", "<=", None) and not star:
            bound = value
        elif operator == "<":
            bound = _below(value)
        elif star:
            bound = _below(_next(parts, len(parts) - 1)) if operator in ("==", None) else NEWEST
        elif operator == "~=":
            bound = _below(_next(parts, max(0, len(parts) - 2)))
        elif operator == "~":
            bound = _below(_next(parts, min(1, len(parts) - 1)))
        elif operator == "^":
            first = next((i for i, part in enumerate(parts) if int(part)), len(parts) - 1)
            bound = _below(_next(parts, first))
        else:
            bound = NEWEST
        newest = min(newest, bound)
    return newest


def _next(parts: list[str], index: int) -> Version:
    return version(".".join([*parts[:index], str(int(parts[index]) + 1)]))


def _below(value: Version) -> Version:
    return value[0], value[1], value[2], value[3] - 1


# -- where pins are written -------------------------------------------------------------------------------


def _requirements(root: Path) -> Iterator[tuple[str, str, Path]]:
    """(name, specifiers, file) of every dependency that a project in `root` states."""
    for path in sorted([*root.glob("requirements*.txt"), *root.glob("requirements/*.txt")]):
        for line in _text(path).splitlines():
            if not line.lstrip().startswith(("#", "-")):
                yield from _split(line, path)
    for path in (root / "setup.cfg", root / "setup.py"):
        # both hold plain requirement strings, one per line or per literal
        for match in re.finditer(
            r"""(?m)(?:^[ \t]+|["'])((?:flax|jax|optax|orbax-checkpoint)\b[^"'\n;#]*)""", _text(path)
        ):
            yield from _split(match.group(1), path)
    for name in ("environment.yml", "environment.yaml"):
        for match in re.finditer(
            r"(?m)^\s*-\s*[\"']?((?:flax|jax|optax|orbax-checkpoint)\b[^\"'\n#]*)", _text(root / name)
        ):
            yield from _split(match.group(1), root / name)
    yield from _pyproject(root / "pyproject.toml")
    for name in ("uv.lock", "poetry.lock", "pdm.lock"):
        for package in _toml(root / name).get("package", []):
            if isinstance(package, dict) and "version" in package:
                yield str(package.get("name", "")), f"=={package['version']}", root / name
    yield from _pipfile_lock(root / "Pipfile.lock")


def _pyproject(path: Path) -> Iterator[tuple[str, str, Path]]:
    data = _toml(path)
    project = data.get("project", {})
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    groups += [*data.get("dependency-groups", {}).values()]
    for requirement in (r for group in groups for r in group if isinstance(r, str)):
        yield from _split(requirement, path)
    poetry = data.get("tool", {}).get("poetry", {})
    tables = [
        poetry.get("dependencies", {}),
        *(g.get("dependencies", {}) for g in poetry.get("group", {}).values()),
    ]
    for name, value in (item for table in tables for item in table.items()):
        text = value.get("version", "") if isinstance(value, dict) else value
        if isinstance(text, str):
            yield name, text, path


def _pipfile_lock(path: Path) -> Iterator[tuple[str, str, Path]]:
    try:
        data = json.loads(_text(path) or "{}")
    except ValueError:
        return
    for name, value in data.get("default", {}).items():
        if isinstance(value, dict):
            yield name, str(value.get("version", "")), path


def _split(requirement: str, path: Path) -> Iterator[tuple[str, str, Path]]:
    match = _NAME.match(requirement)
    if match and "@" not in requirement:
        yield match.group(1), match.group(2).strip(), path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    text = _text(path)
    if not any(package in text for package in PACKAGES):
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}  # somebody else's file: the pins in it are not ours to complain about
