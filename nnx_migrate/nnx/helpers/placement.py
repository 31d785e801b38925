"""Where the helpers of migrated code are written: one module per package, or beside the scripts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.engine.import_places import script_block
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import Guard, absolute_module
from nnx_migrate.nnx.helpers.bundle import helper_names

HELPER_MODULE = "nnx_compat"
_ROOTS = (".git", "pyproject.toml", "setup.py", "setup.cfg")  # what lies in the folder of a repository


def helper_path(module: Module, project: Project) -> Path:
    """The file that holds the helpers for a module: in its topmost package, else in its own folder."""
    folder = module.path.parent
    if not _is_package(folder, project) or _runs_alone(module, project):
        return folder / f"{HELPER_MODULE}.py"
    while _is_package(folder.parent, project):
        folder = folder.parent
    return folder / f"{HELPER_MODULE}.py"


def _is_package(folder: Path, project: Project) -> bool:
    """Whether code can import a folder: a repository's own folder (`my-models`) may hold an `__init__.py` in vain."""
    if not folder.name.isidentifier() or not (folder / "__init__.py").is_file():
        return False
    return not project.import_prefixes.is_search_path(folder)


def _runs_alone(module: Module, project: Project) -> bool:
    """Whether a file is a script or notebook that finds what lies beside it, and maybe not the package around it.

    `python baselines/ppo/train.py` puts `baselines/ppo` on the path. That the folder of `baselines` is there, too, only
    an import of the script shows.
    """
    is_script = module.path.suffix == ".ipynb" or script_block(module) is not None
    if not is_script or _imports_neighbours_relatively(module):
        return False
    folders = module.path.absolute().parents
    for name in (*_imported_modules(module), *_imported_from_packages(module)):
        root, *rest = name.split(".")
        for folder in folders:
            place = folder.joinpath(*rest)
            if folder.name == root and (place.is_dir() or place.with_suffix(".py").is_file()):
                found = project.find_path(name, module)
                if found is None and not rest:
                    continue  # `import jax` in `agents/jax`
                if found is None or found.absolute() in (place / "__init__.py", place.with_suffix(".py")):
                    return False  # not the package `zoo` in a repository's own folder, `zoo`
    return True


def helper_import(module: Module, name: str, project: Project, home: Module | None = None) -> ImportRequest:
    """The import of a helper in a module, as the project's own imports name the folder of the helpers.

    `home` is the file whose helpers the module shares, by default itself.
    """
    if home is not None and home is not module:
        prefix = _given_prefix(module, helper_path(home, project).parent, project)
        base = ".".join((*(prefix or ()), HELPER_MODULE))
        return ImportRequest(f"{base}.{name}", name, base)
    if _runs_alone(module, project):
        in_folder = _may_be_imported_in_folder(module, project)
        return ImportRequest(
            f"{HELPER_MODULE}.{name}", name, HELPER_MODULE, scripts_only=True, in_folder=in_folder
        )
    folder = helper_path(module, project).parent
    prefix = _imported_as(folder, project)
    if prefix is not None and _searches(module, folder, prefix[0], project):
        return ImportRequest(f"{HELPER_MODULE}.{name}", name, HELPER_MODULE)
    if prefix is not None and _is_imported_by_both_names(module, folder, prefix[0], project):
        return ImportRequest(
            f"{HELPER_MODULE}.{name}", name, HELPER_MODULE, scripts_only=True, in_folder=True
        )
    if prefix is not None and _names_its_package(module, prefix[0]):
        base = ".".join((*prefix, HELPER_MODULE))
    elif prefix is not None:
        depth = len(module.path.parent.relative_to(folder).parts)
        base = f"{'.' * (depth + 1)}{HELPER_MODULE}"
    elif not (module.package and _is_package(folder, project)) and _imports_neighbours_relatively(module):
        base = f".{HELPER_MODULE}"
    else:
        base = HELPER_MODULE
    is_beside = base == HELPER_MODULE
    in_folder = is_beside and _may_be_imported_in_folder(module, project)
    return ImportRequest(f"{base}.{name}", name, base, scripts_only=is_beside, in_folder=in_folder)


def _imported_as(folder: Path, project: Project) -> tuple[str, ...] | None:
    """The parts of the name of a package; folders above it may be packages without being marked (`pkg/models/vit`)."""
    prefix = project.import_prefixes.of(folder)
    if prefix is not None or not _is_package(folder, project):
        return prefix
    inner = [folder.name]
    for above in folder.absolute().parents:
        if any((above / name).exists() for name in _ROOTS):
            break
        outer = project.import_prefixes.of(above)
        if outer is not None or _is_package(above, project):
            return (*(outer or (above.name,)), *reversed(inner))
        inner.append(above.name)
    return (folder.name,)


def _imports_neighbours_relatively(module: Module) -> bool:
    """Whether a file can't run as a script. One that only tries relative imports can."""
    return any(
        isinstance(node, ast.ImportFrom) and node.level and guard is Guard.NONE
        for node, _, guard in module.scopes.imports
    )


def _names_its_package(module: Module, package: str) -> bool:
    """Whether a file imports from its package by the package's name, or doesn't import from it at all."""
    roots = {name.partition(".")[0] for name in _imported_modules(module)}
    return package in roots or not _imports_neighbours_relatively(module)


def _searches(module: Module, folder: Path, package: str, project: Project) -> bool:
    """Whether a file imports what stands in a package's folder by bare names alone: it runs where these are found."""
    names = list(_imported_modules(module))
    if any(name.partition(".")[0] == package for name in names):
        return False
    for name in names:
        place, found = folder.joinpath(*name.split(".")), project.find_path(name, module)
        if found is not None and found in (place.with_suffix(".py"), place / "__init__.py"):
            return True
    return False


def _is_imported_by_both_names(module: Module, folder: Path, package: str, project: Project) -> bool:
    """Whether a file of a package's own folder is imported by its bare name, too, as tests beside it do that are run
    there; it must not import from the package by the package's name itself.
    """
    if module.path.parent != folder or any(
        name.partition(".")[0] == package for name in _imported_modules(module)
    ):
        return False
    return any(
        other is not module
        and module.path.stem in _imported_modules(other)
        and project.find_path(module.path.stem, other) == module.path
        for other in project.mentioning(module.path.stem)
    )


def _may_be_imported_in_folder(module: Module, project: Project) -> bool:
    """Whether a file that is no script may be imported by the names of its folders (`models.vit.blocks`).

    A file that imports its neighbours by their bare names can't.
    """
    folder = module.path.parent
    if module.path.suffix != ".py" or not (folder.name.isidentifier() and module.path.stem.isidentifier()):
        return False
    if all(path.absolute().is_relative_to(folder.absolute()) for path in project.paths):
        return False
    found = (project.find_path(name, module) for name in _imported_modules(module))
    return not any(path is not None and path.absolute().parent == folder.absolute() for path in found)


def helper_home(module: Module, defining: Module, project: Project) -> Module:
    """The file whose helpers a user of a class takes: a test or script shares those of the package it imports."""
    if helper_path(module, project) == helper_path(defining, project):
        return module
    package = helper_path(defining, project).parent
    if not _is_package(package, project) or _given_prefix(module, package, project) is None:
        return module
    return defining


def _given_prefix(module: Module, package: Path, project: Project) -> tuple[str, ...] | None:
    """The parts of the name by which a file outside of a package imports from it."""
    for name in _imported_modules(module):
        found = project.find_module(name, module)
        if found is not None and found.path.is_relative_to(package):
            inner = found.path.relative_to(package).with_suffix("").parts
            inner = inner[:-1] if inner[-1] == "__init__" else inner
            parts = tuple(name.split("."))
            prefix = parts[: len(parts) - len(inner)]
            if prefix and parts == (*prefix, *inner):
                return prefix
    return None


def _imported_modules(module: Module) -> Iterator[str]:
    """The absolute names of what a file imports, packages and their modules."""
    for node, _, _ in module.scopes.imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not node.level and node.module:
            yield node.module


def _imported_from_packages(module: Module) -> Iterator[str]:
    """What a file imports from something by absolute names: maybe modules of a package that isn't marked as one."""
    for node, _, _ in module.scopes.imports:
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_helpers(module: Module, project: Project) -> Iterator[tuple[Path, str]]:
    """The helpers that a file already imports, each with the file that holds it."""
    for node, _, _ in module.scopes.imports:
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == HELPER_MODULE:
            found = project.find_module(absolute_module(node, module.package), module)
            path = found.path if found is not None else helper_path(module, project)
            yield from ((path, alias.name) for alias in node.names if alias.name in helper_names())
