"""Classes that files outside of the given paths use: other Python files, and configurations that name classes.

A class whose users are not converted with it would leave them broken.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.project import Project
from nnx_migrate.sources.discovery import SUFFIXES, files_below

Found = tuple[LinenClass, Obstacle]
CONFIGURATIONS = (".yaml", ".yml", ".gin", ".json", ".toml", ".cfg", ".ini", ".jsonnet", ".libsonnet")
#: Commands that people give, for code that makes classes of what these say.
SCRIPTS = (".sh", ".bash", ".slurm", ".sbatch", ".bat", ".md", ".rst")
#: What says nothing of the program: packaging, and this tool's own settings, map and baseline.
_NOT_ITS_OWN = ("pyproject.toml", "nnx-migrate.toml", ".nnx-migrate")
#: Documentation and the settings of services: these name classes for people, no program of the project reads them.
_FOR_READERS = ("docs", "doc", "website", ".github", ".circleci", ".vscode", ".devcontainer")
_FOR_READERS_NAMED = (
    "mkdocs.",
    "_toc.",
    "_config.",
    ".readthedocs",
    ".pre-commit",
    ".gitlab-ci",
    "codecov",
    "citation",
)
# How code reads configurations itself, by their suffix, and what can make a class of a text that stands there.
_YAML = r"\byaml\.(?:\w+_)?load\w*\(|\bYAML\("
_READERS = {
    ".yaml": _YAML,
    ".yml": _YAML,
    ".json": r"\bjson\.loads?\(",
    ".toml": r"\btom\w+\.loads?\(",
}
_MAKERS = re.compile(
    r"import_module|__import__|importlib|pydoc|locate\(|instantiate|\b_target_\b|getattr|globals\(|locals\(|vars\(|\beval\("
    r"|\bexec\(|sys\.modules|__dict__|regist(?:er|ry)|runpy|\b(?:hydra|gin|fiddle|jsonargparse|lightning|draccus)\b",
    re.IGNORECASE,
)
#: Larger files are data.
LARGEST = 512 * 1024


def outside_uses(
    project: Project, classes: Iterable[LinenClass], root: Path, by_name: bool = False
) -> Iterator[Found]:
    """The first such use of each class, in files below `root`; `by_name` where code finds classes by their names."""
    named: dict[str, list[LinenClass]] = {}
    for cls in classes:
        named.setdefault(cls.name, []).append(cls)
    given = {path.absolute() for path in project.paths}
    if not named or not all(path.is_relative_to(root) and path.exists() for path in given):
        return
    only_read = {suffix for suffix in CONFIGURATIONS if _is_only_read(project, suffix)}
    for path in sorted(files_below(root, (*SUFFIXES, *CONFIGURATIONS, *(SCRIPTS if by_name else ())))):
        if path.absolute() in given or any(part.startswith(_NOT_ITS_OWN) for part in path.parts):
            continue
        is_code = path.suffix in SUFFIXES
        if not is_code and _is_for_readers(path.absolute().relative_to(root)):
            continue
        if path.suffix in only_read:
            continue
        text = _text(path)
        for match in _named(
            text,
            [name for name in named if name in text],
            is_code,
            by_name and path.suffix not in (".md", ".rst"),
        ):
            name = next(filter(None, match.groups()))
            line = text.count("\n", 0, match.start()) + 1
            for cls in list(named[name]):
                if not is_code or _imports(text, cls):
                    named[name].remove(cls)
                    place = path.absolute().relative_to(root)
                    what = "uses it and is not among the given files" if is_code else "names it"
                    detail = f"`{place}:{line}` {what}"
                    reason = "used-outside" if is_code else "hidden-use"
                    yield cls, Obstacle(reason, detail, cls.module, ast.Pass(lineno=cls.node.lineno))


def _is_only_read(project: Project, suffix: str) -> bool:
    """Whether the project reads such configurations itself, and nothing in its code makes classes of texts."""
    reader = _READERS.get(suffix)
    return (
        reader is not None
        and any(True for _ in project.matching_files(re.compile(reader)))
        and not any(True for _ in project.matching_files(_MAKERS))
    )


def _named(text: str, names: Sequence[str], is_code: bool, by_word: bool) -> Iterator[re.Match[str]]:
    """Where a file names one of these classes: as a word of Python, or by a path in a configuration.

    With `by_word`, in a configuration as a word, too.
    """
    if not names:
        return iter(())
    either = "|".join(map(re.escape, sorted(names)))
    if is_code or by_word:
        return re.finditer(rf"\b({either})\b", text)
    path = r"(?:[\w./]+/)?"
    return re.finditer(
        rf"(?<=\w[.:])({either})\b|@{path}({either})\b|^[ \t]*{path}({either})\.\w+\s*=", text, re.MULTILINE
    )


def _is_for_readers(path: Path) -> bool:
    """Whether a file belongs to documentation or to a service around the repository."""
    return any(part in _FOR_READERS for part in path.parts[:-1]) or path.name.lower().startswith(
        _FOR_READERS_NAMED
    )


def _imports(text: str, cls: LinenClass) -> bool:
    """Whether a file's text speaks of the module of a class, or of the package around it."""
    parts = cls.module.name.split(".")
    return any(re.search(rf"\b{re.escape(part)}\b", text) for part in (parts[-1], parts[0]))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
