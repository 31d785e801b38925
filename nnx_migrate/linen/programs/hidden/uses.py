"""Classes that code may construct without naming them: by text, by `getattr`, by imports that are computed.

Such uses can't be rewritten, so the classes that they may reach stay as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator, Sequence

from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.programs.constructions.fitting import may_construct
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.hidden.dynamic_reads import DynamicRead
from nnx_migrate.linen.programs.hidden.run_magics import runs
from nnx_migrate.linen.programs.hidden.texts import ANYTHING
from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Binding, dotted

Found = tuple[LinenClass, Obstacle]


def hidden_uses(
    finder: FlowFinder, classes: Iterable[LinenClass], reads: Sequence[DynamicRead]
) -> Iterator[Found]:
    """Every use of that kind, with the class that it may reach; `reads` are the computed ones of the project."""
    project = finder.project
    known = list(classes)
    if not known:
        return
    yield from _texts(project, known)
    yield from _brought_by_magics(project, known)
    for read in reads:
        for cls in _reached(project, known, read):
            if read.is_lookup and not may_construct(cls, finder, read.module, read.node):
                continue
            what = "import its module" if _imports(read.cause) else "name it"
            detail = f"`{ast.unparse(read.cause)[:80]}` may {what}"
            yield cls, Obstacle("hidden-use", detail, read.module, read.cause)


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
    """`"pkg.models.CNN"`, as configurations, registries and test doubles write it; gin's `@models.CNN` in a text."""
    either = "|".join(map(re.escape, sorted({cls.name for cls in classes})))
    reference = re.compile(rf"@(?:[\w./]*[./])?({either})\b")
    for module in project.matching(re.compile(rf"""["'][\w.]*\w[.:](?:{either})["']|{reference.pattern}""")):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for match in reference.finditer(node.value):
                    for cls in (c for c in classes if c.name == match[1]):
                        yield cls, Obstacle("hidden-use", f"a text refers to `{match[0]}`", module, node)
                place, _, name = node.value.replace(":", ".").rpartition(".")
                for cls in classes:
                    if cls.name == name and place and _same_place(place, cls):
                        yield cls, Obstacle("hidden-use", f'"{node.value}" names it', module, node)


def _brought_by_magics(project: Project, classes: list[LinenClass]) -> Iterator[Found]:
    """`%run models.ipynb`: what the notebook does with the classes that it gets so goes unseen."""
    known = {cls.qualified: cls for cls in classes}
    for run in runs(project):
        obstacle = Obstacle(
            "hidden-use", f"`%run{run.given}` may bring it", run.notebook, ast.Pass(lineno=run.line)
        )
        brought = run.brought(project, known)
        yield from ((cls, obstacle) for qualified, cls in known.items() if qualified in brought)


def _reached(project: Project, classes: list[LinenClass], read: DynamicRead) -> Iterator[LinenClass]:
    """The classes that a computed read may give, under their own names or others."""
    within = [cls for cls in classes if cls.module is read.module or _is_global(cls)]
    found = {cls for cls in within if read.may_give(cls.module.name, cls.name)}
    by_name = {cls.qualified: cls for cls in classes}
    names = {cls.name for cls in within}
    for module in project.modules():
        if read.may_reach(module.name):
            bindings = module.scopes.module.bindings
            if read.places == {ANYTHING}:
                bound = {name for name, ways in bindings.items() if _bind(ways, names)}
            else:
                bound = names | set(bindings)
            reached = {name: project.canonical(f"{module.name}.{name}", module) for name in bound}
            found |= {by_name[q] for name, q in reached.items() if q in by_name and read.may_read(name)}
    yield from (cls for cls in classes if cls in found)


def _bind(bindings: Iterable[Binding], names: Container[str]) -> bool:
    """Whether something called by one of some names may be bound, by an import or an assignment."""
    for binding in bindings:
        target = binding.target or (dotted(binding.value) if binding.value is not None else "") or ""
        if target.rpartition(".")[2] in names:
            return True
    return False


def _is_global(cls: LinenClass) -> bool:
    """Whether other files can get at a class: it isn't one that a function defines."""
    return "<locals>" not in cls.qualified


def _imports(cause: ast.expr) -> bool:
    name = ast.unparse(cause.func) if isinstance(cause, ast.Call) else ""
    return name.rpartition(".")[2] in ("import_module", "__import__")


def _same_place(place: str, cls: LinenClass) -> bool:
    """Whether a dotted path may be the module of a class: one ends like the other."""
    own = cls.qualified.rpartition(".")[0]
    return f".{own}".endswith(f".{place}") or f".{place}".endswith(f".{own}") or _shares_package(place, own)


def _shares_package(place: str, own: str) -> bool:
    """A package may hand on what its modules define."""
    return own.startswith(f"{place}.") or f".{place}.".find(f".{own.partition('.')[0]}.") >= 0
