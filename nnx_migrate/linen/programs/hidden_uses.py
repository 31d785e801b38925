"""Classes that code may construct without naming them: by text, by `getattr`, by imports that are computed.

Such uses can't be rewritten, so the classes that they may reach stay as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator

from nnx_migrate.linen.model import LinenClass
from nnx_migrate.linen.programs.instances import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

Found = tuple[LinenClass, Obstacle]
_IMPORTERS = ("importlib.import_module", "builtins.__import__", "__import__")


def hidden_uses(project: Project, classes: Iterable[LinenClass]) -> Iterator[Found]:
    """Every use of that kind, with the class that it may reach."""
    known = list(classes)
    if not known:
        return
    yield from _texts(project, known)
    for module in project.matching(re.compile(r"\b(?:getattr|import_module|__import__)\(")):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                yield from _lookups(project, known, module, node)
                yield from _computed_imports(project, known, module, node)


def neighbours(
    found: Iterable[Found], classes: Iterable[LinenClass], used: Container[LinenClass]
) -> Iterator[Found]:
    """Classes that nothing uses, beside one that is constructed without being named: they may be, too."""
    first: dict[Module, Obstacle] = {}
    reached = set()
    for cls, obstacle in found:
        if obstacle.reason == "hidden-use":
            first.setdefault(cls.module, obstacle)
            reached.add(cls)
    for cls in classes:
        if cls.module in first and cls not in used and cls not in reached:
            detail = f"nothing constructs it, and of another class of the file {first[cls.module].detail}"
            yield cls, Obstacle("hidden-use", detail, cls.module, cls.node)


def _texts(project: Project, classes: list[LinenClass]) -> Iterator[Found]:
    """`"pkg.models.CNN"`, as configurations, registries and test doubles write it."""
    names = {cls.name for cls in classes}
    pattern = re.compile(rf"""["'][\w.]*\w[.:]({"|".join(map(re.escape, sorted(names)))})["']""")
    for module in project.matching(pattern):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                place, _, name = node.value.replace(":", ".").rpartition(".")
                for cls in classes:
                    if cls.name == name and place and _same_place(place, cls):
                        yield cls, Obstacle("hidden-use", f'"{node.value}" names it', module, node)


def _lookups(project: Project, classes: list[LinenClass], module: Module, call: ast.Call) -> Iterator[Found]:
    """`getattr(models, name)`."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) >= 2):
        return
    target = project.resolve(call.args[0], module.scope_at(call), module)
    if target is None:
        return
    name = call.args[1]
    for cls in classes:
        wanted = name.value == cls.name if isinstance(name, ast.Constant) else True
        if wanted and _reaches(project, target, cls, module):
            text = ast.unparse(call)[:80]
            yield cls, Obstacle("hidden-use", f"`{text}` may name it", module, call)


def _reaches(project: Project, target: str, cls: LinenClass, importer: Module) -> bool:
    """Whether the module `target` defines or imports a class."""
    if target == cls.module.name:
        return True
    return project.canonical(f"{target}.{cls.name}", importer) == cls.qualified


def _computed_imports(
    project: Project, classes: list[LinenClass], module: Module, call: ast.Call
) -> Iterator[Found]:
    """`importlib.import_module(f"models.{name}")`: all that stands in such a module."""
    qualified = project.resolve(call.func, module.scope_at(call), module) or ast.unparse(call.func)
    if qualified not in _IMPORTERS or not call.args:
        return
    start, whole = _known_start(call.args[0])
    for cls in classes:
        place = cls.module.name
        if place == start if whole else f".{place}".find(f".{start}") >= 0 or not start:
            detail = f"`{ast.unparse(call)[:80]}` may import its module"
            yield cls, Obstacle("hidden-use", detail, module, call)


def _known_start(name: ast.expr) -> tuple[str, bool]:
    """What is known of a module's name, and whether that is all of it."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return name.value.lstrip("."), True
    first: ast.expr = name
    if isinstance(name, ast.JoinedStr) and name.values:
        first = name.values[0]
    elif isinstance(name, ast.BinOp):
        first = name.left
    elif isinstance(name, ast.Call) and isinstance(name.func, ast.Attribute) and name.func.attr == "format":
        text = name.func.value
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            return text.value.partition("{")[0].lstrip("."), False
    text_known = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return (str(first.value).lstrip(".") if text_known else ""), False  # type: ignore[attr-defined]


def _same_place(place: str, cls: LinenClass) -> bool:
    """Whether a dotted path may be the module of a class: one ends like the other."""
    own = cls.qualified.rpartition(".")[0]
    return f".{own}".endswith(f".{place}") or f".{place}".endswith(f".{own}") or _shares_package(place, own)


def _shares_package(place: str, own: str) -> bool:
    """A package may hand on what its modules define."""
    return own.startswith(f"{place}.") or f".{place}.".find(f".{own.partition('.')[0]}.") >= 0
