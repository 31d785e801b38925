"""One module with just the helpers that a project needs, made from the sources beside this file."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SOURCES = (
    "functions",
    "attention",
    "normalization",
    "recurrent",
    "linear",
    "functional",
    "fitting",
    "variables",
    "caching",
    "bridging",
    "renaming",
    "listing",
    "sharing",
    "counting",
    "vmapped",
)
_HEADER = '''"""Keeps what flax.linen computed where flax.nnx computes otherwise. Written by nnx-migrate."""

from __future__ import annotations
'''
_PACKAGE = __name__.rpartition(".")[0]
_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign


@dataclass(frozen=True)
class _Source:
    """A helper module: the text of its imports and definitions, and which names each definition refers to.

    What helper modules import from each other stands in the written module anyway: such names are `shared`.
    """

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    shared: frozenset[str]
    texts: dict[str, str]
    references: dict[str, frozenset[str]]


@cache
def _sources() -> tuple[_Source, ...]:
    return tuple(_read(Path(__file__).with_name(f"{name}.py").read_text("utf-8")) for name in _SOURCES)


def _read(text: str) -> _Source:
    tree = ast.parse(text)
    lines = text.splitlines()
    imports: list[ast.Import | ast.ImportFrom] = []
    shared: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
            shared.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
    texts, references = {}, {}
    for node in tree.body:
        if isinstance(node, _Definition):
            decorators = [] if isinstance(node, ast.Assign) else node.decorator_list
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else node.name
            texts[name] = "\n".join(lines[first - 1 : node.end_lineno])
            names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
            references[name] = frozenset(names)
    return _Source(tuple(imports), frozenset(shared), texts, references)


@cache
def helper_names() -> frozenset[str]:
    """The names that migrated code may refer to."""
    return frozenset(name for source in _sources() for name in source.texts if not name.startswith("_"))


def bundle(names: Iterable[str]) -> str:
    """The source of a module that defines these helpers and whatever they use.

    Raises ValueError for names that are no helpers.
    """
    wanted = set(names)
    if unknown := wanted - helper_names():
        raise ValueError(f"no such helpers: {sorted(unknown)}")
    pending = list(wanted)
    while pending:
        name = pending.pop()
        for source in _sources():
            used = source.references.get(name, frozenset()) & (source.texts.keys() | source.shared)
            pending.extend(used - wanted)
            wanted |= used
    constants: list[str] = []
    definitions: list[str] = []
    imports: dict[str, set[str]] = {}
    for source in _sources():
        kept = [name for name in source.texts if name in wanted]
        for name in kept:
            text = source.texts[name]
            (definitions if text.startswith(("def ", "class ", "@")) else constants).append(text)
        for module, imported in _imports(source, [source.references[name] for name in kept]):
            imports.setdefault(module, set()).add(imported)
    head = _HEADER + "".join(_import_block(imports, ours=ours) for ours in (False, True))
    if constants:
        head += "\n" + "\n".join(constants) + "\n"
    return head + "".join(f"\n\n{definition}\n" for definition in definitions)


def _imports(source: _Source, references: Iterable[Collection[str]]) -> Iterator[tuple[str, str]]:
    """(module, name) for each imported name that is referred to; the module is empty for `import x`."""
    referred = frozenset().union(*references)
    for node in source.imports:
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) in referred:
                yield module, f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _import_block(imports: Mapping[str, Collection[str]], *, ours: bool) -> str:
    """The sorted imports from the JAX ecosystem (`ours`) or the standard library, after an empty line."""
    lines = [f"import {name}" for name in sorted(imports.get("", ())) if _is_ours(name) == ours]
    for module in sorted(module for module in imports if module and _is_ours(module) == ours):
        lines.append(f"from {module} import {', '.join(sorted(imports[module]))}")
    return "".join(f"{line}\n" for line in ("", *lines)) if lines else ""


def _is_ours(module: str) -> bool:
    return module.split()[0].partition(".")[0] in ("jax", "flax")
