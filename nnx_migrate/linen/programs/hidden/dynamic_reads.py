"""Reads of module-level names that no import shows: `importlib.import_module(path).build`, `getattr(zoo, name)`,
and those of namespaces.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from nnx_migrate.linen.programs.dataflow.callees import RELOADERS
from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.hidden.class_paths import is_taken_apart
from nnx_migrate.linen.programs.hidden.mentions import Mentions
from nnx_migrate.linen.programs.hidden.namespaces import Namespaces, setattr_with
from nnx_migrate.linen.programs.hidden.texts import ANYTHING, Texts
from nnx_migrate.linen.programs.uses import End
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind

_IMPORTERS = ("importlib.import_module", "builtins.__import__", "__import__", *RELOADERS)
_MENTION = re.compile(r"\b(?:getattr|import_module|__import__|reload)\(")
_NAMESPACE = re.compile(
    r"\b(?:globals|locals|vars|eval|exec)\(|\bsys\.modules\b|\bmodules\[|__dict__|\bimport\b"
)


_DOCUMENTATION = frozenset({"docs", "doc", "documentation"})


@dataclass(frozen=True, eq=False)
class DynamicRead:
    """`node` gives what a module whose name matches one of `places` calls by a name that matches one of `names`.

    `cause` is what imports the module or looks the name up; `is_lookup` where the value of `node` is what is read,
    and nothing but looking up is done to get at it. `may_choose` tells the names that a text may choose where both
    are texts that can't be seen.
    """

    places: frozenset[str]
    names: frozenset[str]
    module: Module
    node: ast.expr
    cause: ast.expr
    is_lookup: bool = False
    may_choose: Callable[[str], bool] | None = None

    def may_give(self, place: str, name: str) -> bool:
        """Whether it may read `name` of the module `place`."""
        return self.may_reach(place) and self.may_read(name)

    def may_read(self, name: str) -> bool:
        """Whether it may read `name` of some module."""
        return _matches(self.names, name) and (self.may_choose is None or self.may_choose(name))

    def may_reach(self, place: str) -> bool:
        """Whether it may read something of the module `place`, which either may know by more of its path."""
        return any(_leads_to(pattern, place) for pattern in self.places)


def find_dynamic_reads(finder: FlowFinder) -> list[DynamicRead]:
    """All such reads of a project."""
    project, texts = finder.project, Texts(finder)
    mentions, namespaces = Mentions(finder.index, texts), Namespaces(finder, texts)
    found: list[DynamicRead] = []
    for module in project.matching(_MENTION):
        if _is_of_sphinx(module, project):
            continue
        for call in module.nodes(ast.Call):
            direct = [
                *_looked_up(project, texts, module, call),
                *_imported(finder, mentions, module, call),
            ]
            found += direct
            found += [inner for read in direct for inner in _within(namespaces, read)]
    for module in project.matching(_NAMESPACE):
        if _is_of_sphinx(module, project):
            continue
        for read in namespaces.reads(module):
            may_choose = mentions.may_mean if read.is_written and ANYTHING in read.names else None
            place = (read.module, read.node, read.node)
            found.append(DynamicRead(read.places, read.names, *place, read.is_lookup, may_choose))
    return found


def _within(namespaces: Namespaces, read: DynamicRead) -> Iterator[DynamicRead]:
    """What is read of a module that is read of a package: `importlib.import_module("zoo").nets.Net`."""
    for inner in namespaces.of_submodules(read.module, read.node, read.places, read.names):
        yield DynamicRead(inner.places, inner.names, inner.module, inner.node, read.cause, inner.is_lookup)


def _is_of_sphinx(module: Module, project: Project) -> bool:
    """Whether a file is the settings of Sphinx, imported by these, or an extension: such look definitions up to
    describe and link them.
    """
    if not _DOCUMENTATION & set(module.path.parts):
        return False
    for above in module.path.parents:
        if not _DOCUMENTATION & set(above.parts):
            break
        path = above / "conf.py"
        settings = project.module(path) if path in project else None
        if settings is not None and any(
            isinstance(node, ast.ImportFrom | ast.Import) and module.path.stem in _imported_names(node)
            for node, _, _ in settings.scopes.imports
        ):
            return True
    imported = [b for found in module.scopes.module.bindings.values() for b in found if b.target]
    return module.path.name == "conf.py" or any(b.target.partition(".")[0] == "sphinx" for b in imported)


def _imported_names(node: ast.Import | ast.ImportFrom) -> set[str | None]:
    return {node.module} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}


def _looked_up(project: Project, texts: Texts, module: Module, call: ast.Call) -> Iterator[DynamicRead]:
    """`getattr(models, name)`."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) >= 2):
        return
    target = project.resolve(call.args[0], module.scope_at(call), module)
    if target is not None and isinstance(call.args[0], ast.Name | ast.Attribute):
        names = frozenset(texts.patterns(module, call.args[1]))
        yield DynamicRead(frozenset({re.escape(target)}), names, module, call, call, True)


def _imported(
    finder: FlowFinder, mentions: Mentions, module: Module, call: ast.Call
) -> Iterator[DynamicRead]:
    """What is read of `importlib.import_module(f"models.{name}")`."""
    texts = mentions.texts
    qualified = finder.project.resolve(call.func, module.scope_at(call), module) or ast.unparse(call.func)
    runs_again = qualified in RELOADERS and isinstance(module.parents[call], ast.Expr)
    if qualified not in _IMPORTERS or not call.args or runs_again:
        return
    if qualified in RELOADERS and _is_given(module, call.args[0]):
        return  # it gives what it gets: who hands a module over is seen there
    places = frozenset(
        re.sub(r"^(?:\\\.)+", "", text) or ANYTHING for text in texts.patterns(module, call.args[0])
    )
    yield DynamicRead(
        places, frozenset(), module, call, call
    )  # what is imported runs, whatever becomes of it
    for use in finder.follow(module, call).uses:
        names, may_choose = {ANYTHING}, None
        if use.end is End.ATTRIBUTE and isinstance(use.node, ast.Attribute) and use.node.attr != "__dict__":
            names = {re.escape(use.node.attr)}
        elif use.end is End.LOOKED_UP and isinstance(use.node, ast.Call):
            names = texts.patterns(use.module, use.node.args[1])
            if ANYTHING in names and ANYTHING in places:
                name = use.node.args[1]
                if use.module is module and is_taken_apart(texts.origins, module, call.args[0], name):
                    may_choose = mentions.may_end_path
                elif mentions.choose(use.module, name):
                    may_choose = mentions.may_mean
        elif use.end is End.ESCAPE and (call_of_setattr := setattr_with(use)) is not None:
            if call_of_setattr.args[0] is use.node:
                names = texts.patterns(use.module, call_of_setattr.args[1])
                may_choose = mentions.may_mean if ANYTHING in names else None
            else:  # as an attribute it is found by the code that reads it there
                may_choose = mentions.may_be_read
        yield DynamicRead(places, frozenset(names), use.module, use.node, call, may_choose=may_choose)


@lru_cache(maxsize=100_000)
def _leads_to(pattern: str, place: str) -> bool:
    """Whether the path of a module may be that of `place`: one of them may begin further outside."""
    ends = pattern.replace("\\", "").endswith(f".{place}")
    return ends or re.fullmatch(rf"(?:.*\.)?{pattern}", place) is not None


def _is_given(module: Module, node: ast.expr) -> bool:
    """Whether it is a parameter of the function around it, and nothing else."""
    bindings = module.scope_at(node).lookup(node.id) if isinstance(node, ast.Name) else []
    return bool(bindings) and all(binding.kind is BindingKind.PARAMETER for binding in bindings)


def _matches(patterns: Iterable[str], text: str) -> bool:
    return any(_is(pattern, text) for pattern in patterns)


@lru_cache(maxsize=100_000)
def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None
