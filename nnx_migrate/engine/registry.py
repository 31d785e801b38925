"""Finding the rules: the package's own, those of installed plugins, and local files named in the config."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from nnx_migrate.engine.rule import GROUPS, Rule

if TYPE_CHECKING:
    from nnx_migrate.engine.catalog import Card

ENTRY_POINT_GROUP = "nnx_migrate.rules"
Choice = TypeVar("Choice", Rule, "Card")


class RuleError(Exception):
    """An unknown rule, or a rule that can't be loaded."""


def _rules_in(module: ModuleType) -> Iterable[type[Rule]]:
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Rule)
            and value.__module__ == module.__name__
            and not getattr(value, "__abstractmethods__", ())
            and hasattr(value, "id")
        ):
            yield value


@cache
def builtin_rules() -> dict[str, Rule]:
    """The package's own rules by id, in order of id."""
    import pkgutil

    package = importlib.import_module("nnx_migrate.rules")
    found: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"nnx_migrate.rules.{info.name}")
            found.update((rule.id, rule()) for rule in _rules_in(module))
    return dict(sorted(found.items()))


def plugin_rules() -> dict[str, Rule]:
    """Rules that installed distributions offer under the entry-point group `nnx_migrate.rules`."""
    found: dict[str, Rule] = {}
    if not _some_plugin_is_installed():
        return found
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = entry.load()
        except Exception as error:
            raise RuleError(f"rule plugin {entry.name} ({entry.value}) can't be loaded: {error}") from error
        classes: list[type[Rule]] = [loaded] if isinstance(loaded, type) else list(_rules_in(loaded))
        found.update((rule.id, rule()) for rule in classes)
    return found


def _some_plugin_is_installed() -> bool:
    """A look at the installed entry-point files that saves most runs the slow import of their parser."""
    for folder in sys.path:
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder or "."):
                if entry.name.endswith((".dist-info", ".egg-info")):
                    with contextlib.suppress(OSError):
                        if ENTRY_POINT_GROUP.encode() in Path(entry.path, "entry_points.txt").read_bytes():
                            return True
    return False


def local_rules(files: Iterable[Path]) -> dict[str, Rule]:
    """Rules in Python files of the user's own project."""
    from importlib.util import module_from_spec, spec_from_file_location

    found: dict[str, Rule] = {}
    for path in files:
        spec = spec_from_file_location(f"nnx_migrate_local_{path.stem}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise RuleError(f"local rule file {path} doesn't exist or isn't a Python file")
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and the cache look modules up
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise RuleError(f"local rule file {path} can't be loaded: {error}") from error
        found.update((rule.id, rule()) for rule in _rules_in(module))
    return found


def select(rules: dict[str, Choice], chosen: Iterable[str], ignored: Iterable[str] = ()) -> list[Choice]:
    """Rules named by id, group or ALL, without the ignored ones. Raises RuleError for an unknown name."""
    wanted = _expand(rules, chosen)
    unwanted = _expand(rules, ignored)
    return [rule for rule_id, rule in rules.items() if rule_id in wanted and rule_id not in unwanted]


def _expand(rules: dict[str, Choice], names: Iterable[str]) -> set[str]:
    ids: set[str] = set()
    for name in names:
        if name == "ALL":
            ids |= rules.keys()
        elif name in rules:
            ids.add(name)
        elif name in GROUPS:
            ids |= {rule_id for rule_id, rule in rules.items() if rule.group == name}
        else:
            from difflib import get_close_matches

            close = get_close_matches(name, [*rules, *GROUPS, "ALL"], n=1)
            hint = f"; did you mean {close[0]}?" if close else "; `nnx-migrate rules` lists them"
            raise RuleError(f"unknown rule or group {name!r}{hint}")
    return ids
