"""`[tool.nnx-migrate]`: what can be configured, and where it is read from.

The nearest `pyproject.toml` with that table, or the nearest `nnx-migrate.toml` (same keys at top level), counts.
`config.schema.json` beside this file is the published JSON schema; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nnx_migrate.array_notation import ArraySpec, NotationError, parse_array

NUMERICS = ("exact", "native")
PROGRAMS = ("idiomatic", "functional")


class ConfigError(Exception):
    """A setting that can't be used; the message names file, line and what to do."""


@dataclass(frozen=True)
class Config:
    """Settings of one run. `root` is the folder of the file that they came from.

    `convert` names classes (patterns) that move although code that uses them stays Linen;
    `inputs` maps a class ("pkg.models:CNN") to the arrays that it is called with; `verify` holds the
    `[[tool.nnx-migrate.verify]]` tables as they are.
    """

    root: Path = field(default_factory=Path.cwd)
    file: Path | None = None
    select: tuple[str, ...] = ("ALL",)
    ignore: tuple[str, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    baseline: Path | None = None
    target_flax: str = ""
    numerics: str = "exact"
    programs: str = "idiomatic"
    bridge: bool = True
    convert: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[ArraySpec, ...]] = field(default_factory=dict)
    verify: tuple[Mapping[str, Any], ...] = ()

    def ignored_in(self, path: Path) -> frozenset[str]:
        """Rules and groups that `per-file-ignores` turns off for a file."""
        absolute = path.absolute()
        relative = (
            absolute.relative_to(self.root).as_posix()
            if absolute.is_relative_to(self.root)
            else str(absolute)
        )
        return frozenset(
            rule
            for pattern, rules in self.per_file_ignores.items()
            if fnmatch(relative, pattern)
            or fnmatch(path.name, pattern)
            or fnmatch(relative, f"{pattern.rstrip('/')}/*")
            for rule in rules
        )


def load_config(start: Path, explicit: Path | None = None) -> Config:
    """The configuration in force for files at `start` (the nearest file upwards), or of `explicit`.

    Raises ConfigError for a file that isn't TOML and for unknown or ill-typed settings.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise ConfigError(f"{explicit}: no such config file")
        return _read(explicit, required=True) or Config(root=explicit.absolute().parent)
    folder = start.absolute() if start.is_dir() else start.absolute().parent
    for above in (folder, *folder.parents):
        for name in ("nnx-migrate.toml", "pyproject.toml"):
            candidate = above / name
            if candidate.is_file():
                config = _read(candidate, required=name == "nnx-migrate.toml")
                if config is not None:
                    return config
    return Config(root=project_root(folder))


def project_root(folder: Path) -> Path:
    """The nearest folder upwards that looks like a project's top, else `folder` itself."""
    marks = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git")
    for above in (folder, *folder.parents):
        if any((above / mark).exists() for mark in marks):
            return above
    return folder


def _read(path: Path, required: bool) -> Config | None:
    text = path.read_bytes()
    if not required and b"nnx-migrate" not in text:
        return None  # saves start-up the TOML parser
    import tomllib

    try:
        data = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    table = data.get("tool", {}).get("nnx-migrate") if path.name == "pyproject.toml" else data
    if table is None:
        return None
    return _Reader(path, text.decode()).config(table)


@dataclass
class _Reader:
    """Checks and converts one table, with errors that name the line of the key."""

    path: Path
    text: str

    def config(self, table: dict[str, Any]) -> Config:
        readers = {
            "select": self._strings,
            "ignore": self._strings,
            "exclude": self._strings,
            "rules": self._paths,
            "per-file-ignores": self._strings_by_key,
            "baseline": self._path,
            "target-flax": self._string,
            "numerics": self._choice(NUMERICS),
            "programs": self._choice(PROGRAMS),
            "bridge": self._boolean,
            "convert": self._strings,
            "inputs": self._arrays_by_key,
            "verify": self._tables,
        }
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in readers:
                raise self._error(key, f"unknown setting {key!r}; known are {', '.join(readers)}")
            values[key.replace("-", "_")] = readers[key](key, value)
        return Config(root=self.path.absolute().parent, file=self.path, **values)

    def _error(self, key: str, message: str) -> ConfigError:
        match = re.search(
            rf'^\s*"?{re.escape(key)}"?\s*=|^\s*\[+[\w.-]*\b{re.escape(key)}\b', self.text, re.MULTILINE
        )
        line = f":{self.text.count(chr(10), 0, match.start() + 1) + 1}" if match else ""
        return ConfigError(f"{self.path}{line}: {message}")

    def _boolean(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._error(key, f"{key} must be true or false, not {value!r}")
        return value

    def _string(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self._error(key, f"{key} must be a string, not {value!r}")
        return value

    def _strings(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._error(key, f"{key} must be a list of strings, not {value!r}")
        return tuple(value)

    def _strings_by_key(self, key: str, value: Any) -> dict[str, tuple[str, ...]]:
        if not isinstance(value, dict):
            raise self._error(key, f"{key} must be a table of lists of strings, not {value!r}")
        return {k: self._strings(key, v) for k, v in value.items()}

    def _arrays_by_key(self, key: str, value: Any) -> dict[str, tuple[ArraySpec, ...]]:
        arrays = {}
        for name, texts in self._strings_by_key(key, value).items():
            try:
                arrays[name] = tuple(map(parse_array, texts))
            except NotationError as error:
                raise self._error(name, f"{key} of {name}: {error}") from None
        return arrays

    def _path(self, key: str, value: Any) -> Path:
        return self.path.absolute().parent / self._string(key, value)

    def _paths(self, key: str, value: Any) -> tuple[Path, ...]:
        return tuple(self.path.absolute().parent / v for v in self._strings(key, value))

    def _choice(self, known: tuple[str, ...]) -> Callable[[str, Any], str]:
        def read(key: str, value: Any) -> str:
            if value not in known:
                raise self._error(key, f"{key} must be one of {', '.join(known)}, not {value!r}")
            return str(value)

        return read

    def _tables(self, key: str, value: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self._error(key, f"{key} must be written as [[tool.nnx-migrate.{key}]] tables")
        return tuple(value)
