"""Rule `flax-checkpoints`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from nnx_migrate.rules._sites import Site, module_sites

from nnx_migrate.engine.arguments import drop_argument
from nnx_migrate.engine.context import FileContext
from nnx_migrate.engine.findings import Finding, Fix, ImportRequest
from nnx_migrate.engine.rule import Rule
from nnx_migrate.names.modules import Module

_MODULE = "flax.training.checkpoints"
HELPER = "orbax_checkpoints"
_SAVE = ("ckpt_dir", "target", "step", "prefix", "keep", "overwrite", "keep_every_n_steps")
_SIGNATURES = {
    "save_checkpoint": _SAVE,
    "save_checkpoint_multiprocess": _SAVE,
    "restore_checkpoint": ("ckpt_dir", "target", "step", "prefix"),
    "latest_checkpoint": ("ckpt_dir", "prefix"),
    "available_steps": ("ckpt_dir", "prefix", "step_type"),
}
_INSTEAD = {
    "AsyncManager": "use an ocp.AsyncCheckpointer, and wait_until_finished() before the program ends",
    "convert_pre_linen": "has no counterpart in Orbax; convert old checkpoints once, then save them anew",
}


class FlaxCheckpoints(Rule):
    """Checkpoints through `flax.training.checkpoints`, which Flax keeps only for old code.

    What it finds
    -------------
    Calls of `save_checkpoint`, `save_checkpoint_multiprocess`, `restore_checkpoint`, `latest_checkpoint` and
    `available_steps` of `flax.training.checkpoints`.

    Why
    ---
    Flax points to Orbax for checkpoints. Orbax's own functions differ in ways that lose data unnoticed: they
    return before the files are complete, raise where nothing was saved yet, and keep everything by default.

    Example
    -------
        state = checkpoints.restore_checkpoint(workdir, state)
        ...
        checkpoints.save_checkpoint(workdir, state, step, keep=3)

    becomes

        state = orbax_checkpoints.restore_checkpoint(workdir, state)
        ...
        orbax_checkpoints.save_checkpoint(workdir, state, step, keep=3)

    with a module `orbax_checkpoints.py`, written once per package, that does the same with Orbax alone.

    Fix safety
    ----------
    Safe. The module keeps `keep`, `keep_every_n_steps`, `overwrite`, `prefix` and `step` as they were,
    saves before it returns, gives the target back where there is no checkpoint, makes relative paths
    absolute, and reads what `flax.training.checkpoints` wrote: Orbax folders and, from older releases,
    msgpack files. Left alone, with a reason: `AsyncManager`, `gda_manager`, `orbax_checkpointer`,
    `convert_pre_linen`, and calls whose arguments are hidden behind `**`.

    Since
    -----
    Flax 0.6.7 recommends Orbax; Flax 0.7.2 writes Orbax folders itself.

    References
    ----------
    Flax documentation, "Migrate checkpointing to Orbax"; flax/training/checkpoints.py of Flax 0.12.8.
    """

    id = "flax-checkpoints"
    group = "orbax"
    since = "flax>=0.7.2"
    triggers = frozenset({f"{_MODULE}.*"})

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per use; one fix for all uses of the file."""
        found = [s for s in module_sites(file.module, file.project, _MODULE) if s.qualified.count(".") == 3]
        refused = {s.node: why for s in found if (why := _refusal(s))}
        outcome: Fix | str = "another use in this file has to be rewritten by hand first"
        if _module_as_value(file):
            outcome = "the module itself is handed on, perhaps to replace its functions"
        elif not refused:
            outcome = _fix(file, found)
        for site in found:
            message = f"`{site.qualified}` is superseded by Orbax"
            if isinstance(outcome, Fix):
                yield self.finding(file, site.node, message, outcome, help=outcome.title)
            else:
                reason = "unsupported-use" if site.node in refused else "mixed-uses"
                yield self.finding(
                    file, site.node, message, reason=reason, help=refused.get(site.node, outcome)
                )


def _module_as_value(file: FileContext) -> bool:
    """True where the module is used other than by its attributes (`mock.patch.object(checkpoints, ...)`)."""
    for references in file.module.scopes.names.values():
        for reference in references:
            node: ast.expr = reference.node
            while file.resolve(node) not in (None, _MODULE) and isinstance(file.parent(node), ast.Attribute):
                node = file.parent(node)  # type: ignore[assignment]
            if file.resolve(node) == _MODULE and not isinstance(file.parent(node), ast.Attribute):
                return True
    return False


def _refusal(site: Site) -> str:
    """Why a use can't go through the helper module; "" if it can."""
    name = site.qualified.rpartition(".")[2]
    if name not in _SIGNATURES:
        return _INSTEAD.get(name, f"`{name}` has no counterpart")
    call = site.module.parents.get(site.node)
    if not (isinstance(call, ast.Call) and call.func is site.node):
        return "the function is handed on: which arguments it will get isn't in sight"
    signature = _SIGNATURES[name]
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return "`*args` or `**kwargs` hide which arguments are passed"
    for keyword in call.keywords:
        if keyword.arg not in signature and not (name == "restore_checkpoint" and keyword.arg == "parallel"):
            return f"`{keyword.arg}=` has no counterpart: write this call with orbax.checkpoint"
    return "" if len(call.args) <= len(signature) else "more positional arguments than have a counterpart"


def _fix(file: FileContext, found: list[Site]) -> Fix | str:
    source = file.source
    fix = file.fix()
    helper, request = _place(file)
    text = Path(__file__).with_name(f"_{HELPER}.py").read_text(encoding="utf-8")
    existing = next((p for p in file.project.paths if p == helper), None)
    if existing is not None:
        module = file.project.module(existing)
        if module is None or module.source.text != text:
            return f"{helper.name} exists already and is something else"
    else:
        fix.create(helper, text)
    if any(s.binder(HELPER) is not None for s in file.module.scopes.all_scopes()):
        return f"`{HELPER}` already means something else"
    if request is None:
        return f"by which package name {HELPER}.py beside this file would be imported isn't clear"
    fix.require(request)
    for site in found:
        fix.replace(site.node, f"{HELPER}.{site.qualified.rpartition('.')[2]}")
        call = file.parent(site.node)
        assert isinstance(call, ast.Call)
        for keyword in call.keywords:
            if keyword.arg == "parallel":
                edit = drop_argument(call, keyword, source)
                fix.delete(edit.start, edit.end)
    return fix.build(f"save and restore with Orbax, through {HELPER}.py")


def _place(file: FileContext) -> tuple[Path, ImportRequest | None]:
    """The helper's file and its import: once in the topmost package, where its name is clear, else beside the file."""
    folder = file.path.parent
    while (folder / "__init__.py") in file.project and (folder.parent / "__init__.py") in file.project:
        folder = folder.parent
    prefix = file.project.import_prefixes.of(folder) if folder != file.path.parent else None
    if prefix:
        return folder / f"{HELPER}.py", _request(".".join(prefix))
    return file.path.parent / f"{HELPER}.py", _import_of(file.module, file)


def _import_of(module: Module, file: FileContext) -> ImportRequest | None:
    """How the file imports what stands beside it: as it imports its neighbours. None where that is open."""
    beside = module.path.parent
    names: list[str] = []
    for node, _, _ in module.scopes.imports:
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            return ImportRequest(f"..{HELPER}", HELPER, ".")
        if isinstance(node, ast.ImportFrom) and not node.level:
            names += [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names += [a.name for a in node.names]
    for name in names:
        path = file.project.find_path(name, module)
        if path is not None and path.parent == beside and path.name != "__init__.py":
            return _request(name.rpartition(".")[0])
    if not module.package:
        return _request(".".join(file.project.import_prefixes.of(beside) or ()))
    top, _, rest = module.package.partition(".")
    for name in names:  # the package's folder may have another name than the package
        if name.count(".") > 1 and _is_below(name.split(".")[1:], module, file):
            return _request(".".join([name.partition(".")[0], *([rest] if rest else [])]))
    imported = any(
        f"from {top}" in m.source.text or f"import {top}" in m.source.text for m in file.project.modules()
    )
    return _request(module.package) if imported else None


def _request(package: str) -> ImportRequest:
    return ImportRequest(f"{package}.{HELPER}", HELPER, package) if package else ImportRequest(HELPER, HELPER)


def _is_below(parts: list[str], module: Module, file: FileContext) -> bool:
    """True where a dotted path leads to a file below the topmost package that the module is in."""
    folder = module.path.parent
    for _ in range(module.package.count(".")):
        folder = folder.parent
    places = (
        {folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")}
        if parts
        else set()
    )
    return not places.isdisjoint(file.project.paths)
