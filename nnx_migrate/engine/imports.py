"""The import editor: adds what fixes need and removes what only the fixes made unused.

It works on the text after a fix's other edits, and leaves imports alone that somebody guards (`try`, version
checks): there somebody thought about it. Names that `__all__`, strings, doctests or other files mention count
as used; in `__init__.py` every import may be a re-export and stays.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.engine.import_places import insertions, insertions_into, script_block
from nnx_migrate.engine.import_text import add_names, close_up, drop_names, drop_statement, rename_module
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind, Guard, Scope, dotted
from nnx_migrate.sources.text import Edit, SourceText

_WORD = re.compile(r"[A-Za-z_]\w*")
_REMOVABLE = (Guard.NONE, Guard.TYPING)

ImportNode = ast.Import | ast.ImportFrom


def edit_imports(
    before: Module, after: Module, requests: Sequence[ImportRequest], exported: Callable[[str], bool]
) -> SourceText:
    """The text of `after` with `requests` importable and without imports that lost their last use.

    `exported(name)` tells whether other files import a name from this module: such an import stays.
    """
    unused = _newly_unused(before, after, exported)
    missing = [request for request in requests if not _is_bound(after, request)]
    first_use = _first_uses(after, {request.binding for request in missing})
    edits: list[Edit] = []
    left: list[ImportRequest] = []
    extended: dict[ast.ImportFrom, list[ImportRequest]] = {}
    for request in missing:
        statement = _statement_to_extend(after, request, first_use.get(request.binding), unused)
        if statement is None:
            left.append(request)
        else:
            extended.setdefault(statement, []).append(request)
    for node, scope, _ in after.scopes.imports:
        gone = [alias for alias in node.names if alias in unused]
        added = extended.get(node, []) if isinstance(node, ast.ImportFrom) else []
        if added and isinstance(node, ast.ImportFrom):
            edits += add_names(after, node, gone, [request.imported_name for request in added])
        elif gone:
            edits += _without(after, node, gone, scope)
    inside: list[ImportRequest] = []
    if any(r.scripts_only for r in left) and (block := script_block(after)) is not None:
        inside = [r for r in left if r.scripts_only and _is_read_only_in(after, r.binding, block)]
        edits += insertions_into(after, block, inside)
    edits += insertions(after, [request for request in left if request not in inside], first_use)
    return after.source.with_edits(close_up(after, edits))


def _without(module: Module, node: ImportNode, gone: list[ast.alias], scope: Scope) -> list[Edit]:
    """Drop names of an import. `import a.b` becomes `import a` where the code still needs `a` from it."""
    edits: list[Edit] = []
    for alias in list(gone):
        root = alias.name.partition(".")[0]
        if isinstance(node, ast.Import) and alias.asname is None and root != alias.name:
            others = [b for b in scope.bindings.get(root, ()) if b.alias is not None and b.alias not in gone]
            if not others and _reads(module)[(scope.qualname(), root)]:
                edits.append(rename_module(module, node, alias, root))
                gone.remove(alias)
    if len(gone) == len(node.names):
        return [*edits, drop_statement(module, node)]
    return edits + drop_names(module, node, gone)


# -- what is bound, read and unused -----------------------------------------------------------------------


def _is_bound(module: Module, request: ImportRequest) -> bool:
    """True where the request's name already means what it asks for, at module level and unguarded."""
    if request.in_folder and _is_tried(module, request):
        return True
    bindings = [b for b in module.scopes.module.bindings.get(request.binding, []) if b.guard is Guard.NONE]
    if request.is_submodule:  # `import a.b` binds `a`, but only that statement loads `a.b`
        names = [b.alias.name for b in bindings if b.alias is not None and isinstance(b.node, ast.Import)]
        return any(f"{name}.".startswith(f"{request.qualified}.") for name in names)
    return any(b.kind is BindingKind.IMPORT and b.target == request.qualified for b in bindings)


def _is_tried(module: Module, request: ImportRequest) -> bool:
    """Whether the file has both forms of a request for what lies in its folder."""
    bindings = module.scopes.module.bindings.get(request.binding, ())
    nodes = [b.node for b in bindings if isinstance(b.node, ast.ImportFrom)]
    return {n.level for n in nodes if n.module == request.from_module} == {0, 1}


def _reads(module: Module) -> Counter[tuple[str, str]]:
    """How often each name of each scope is read: (qualified name of the scope, name) → count."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, references in module.scopes.names.items():
        for reference in references:
            binder = reference.scope.binder(name)
            if binder is not None:
                counts[binder.qualname(), name] += 1
    return counts


def _mentioned(module: Module) -> set[str]:
    """Words in strings that may be names: `__all__`, string annotations, getattr, doctests, type comments."""
    words: set[str] = set()
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        parent = module.parents.get(node)
        if isinstance(parent, ast.Expr):
            lines = [line for line in node.value.splitlines() if line.lstrip().startswith((">>>", "..."))]
            words.update(word for line in lines for word in _WORD.findall(line))
        elif not isinstance(parent, ast.JoinedStr) and len(node.value) < 200:
            words.update(_WORD.findall(node.value))
    if "# type:" in module.source.text:
        for line in module.source.text.splitlines():
            words.update(_WORD.findall(line.partition("# type:")[2]))
    return words


def _dotted_paths(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and not isinstance(module.parents.get(node), ast.Attribute):
            path = dotted(node)
            if path:
                yield path
            else:  # `jax.lax.scan(...).x`: the chain below the call is visited by itself
                continue


def _newly_unused(before: Module, after: Module, exported: Callable[[str], bool]) -> set[ast.alias]:
    """Imports whose last use went away between `before` and `after`."""
    unused: set[ast.alias] = set()
    if after.is_package:
        return unused
    was, now = _reads(before), _reads(after)
    mentioned: set[str] | None = None
    for node, scope, guard in after.scopes.imports:
        if guard not in _REMOVABLE or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            continue
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if alias.name == "*" or alias.asname == alias.name or _is_kept_by_comment(after, node):
                continue
            key = (scope.qualname(), name)
            if isinstance(node, ast.Import) and alias.asname is None and "." in alias.name:
                gone = _spells(before, alias.name) and not _spells(after, alias.name)
            else:
                gone = was[key] > 0 and now[key] == 0
            if not gone:
                continue
            if scope.is_module:
                mentioned = _mentioned(after) if mentioned is None else mentioned
                last = alias.name.rpartition(".")[2] if alias.asname is None else name
                if last in mentioned or exported(name):
                    continue
            unused.add(alias)
    return unused


def _spells(module: Module, path: str) -> bool:
    """True where the code outside of imports says `path` or a name below it."""
    return any(f"{found}.".startswith(f"{path}.") for found in _dotted_paths(module))


def _is_kept_by_comment(module: Module, node: ImportNode) -> bool:
    """`# noqa: F401` says that an import is meant to be there though nothing in the file uses it."""
    start = module.source.line_start(node.lineno)
    text = module.source.text[start : module.source.span(node)[1]]
    tail = module.source.line_text(node.end_lineno or node.lineno)
    return re.search(r"#\s*noqa\b(?!:)|#\s*noqa:[^#]*F401", text + tail, re.IGNORECASE) is not None


# -- where a requested name can go ------------------------------------------------------------------------


def _is_read_only_in(module: Module, name: str, block: ast.stmt) -> bool:
    """Whether a name is read in a block and nowhere else."""
    lines = [reference.node.lineno for reference in module.scopes.names.get(name, ())]
    return all(block.lineno < line <= (block.end_lineno or 0) for line in lines)


def _first_uses(module: Module, names: set[str]) -> dict[str, int]:
    """The line where each name is first read by code that runs while the module is imported."""
    lines: dict[str, int] = {}
    for name in names:
        for reference in module.scopes.names.get(name, ()):
            if reference.scope.is_module or reference.scope.is_class:
                line = reference.node.lineno
                lines[name] = min(line, lines.get(name, line))
    return lines


def _statement_to_extend(
    module: Module, request: ImportRequest, first_use: int | None, unused: set[ast.alias]
) -> ast.ImportFrom | None:
    """A `from X import ...` of the same module at module level, ahead of the first use.

    One that loses its names gives way; where each name has a statement of its own, so has the new one.
    """
    found = [
        node
        for node, scope, guard in module.scopes.imports
        if isinstance(node, ast.ImportFrom)
        and not request.in_folder
        and scope.is_module
        and guard is Guard.NONE
        and "." * node.level + (node.module or "") == request.from_module
        and (first_use is None or (node.end_lineno or node.lineno) < first_use)
        and all(alias.name != "*" for alias in node.names)
        and isinstance(module.parents.get(node), ast.Module)
    ]
    emptied = [node for node in found if all(alias in unused for alias in node.names)]
    if not emptied and len(found) > 1 and all(len(node.names) == 1 for node in found):
        return None
    return next(iter(emptied or found), None)
