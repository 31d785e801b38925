"""The import editor: adds what fixes need and removes what only the fixes made unused.

Works on the text after a fix's other edits, and on imports that nobody guards: `try`/`if` around an import
means that somebody thought about it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind, Guard
from nnx_migrate.sources.text import Edit, SourceText

_WORD = re.compile(r"[A-Za-z_]\w*")


def edit_imports(
    before: Module, after: Module, requests: Sequence[ImportRequest], exported: Callable[[str], bool]
) -> SourceText:
    """The text of `after` with `requests` importable and without imports that lost their last use.

    `exported(name)` tells whether other files import a name from this module: such an import stays.
    """
    unused = _newly_unused(before, after, exported)
    missing = [r for r in requests if not _is_bound(after, r)]
    edits, leftover = _extend_statements(after, missing, unused)
    edits += _insert_statements(after, leftover, unused)
    return after.source.with_edits(edits)


# -- which ------------------------------------------------------------------------------------------------


def _is_bound(module: Module, request: ImportRequest) -> bool:
    bindings = module.scopes.module.bindings.get(request.binding, [])
    if not any(b.target == request.qualified and b.guard is Guard.NONE for b in bindings):
        # `import a.b` binds `a`: asking for `a` is served, asking for the submodule is not
        return False
    if request.from_module is None and "." in request.qualified and request.binding == request.qualified:
        return any(b.alias is not None and b.alias.name == request.qualified for b in bindings)
    return True


def _use_counts(module: Module) -> dict[str, int]:
    """How often each name occurs outside of its bindings: reads, `__all__`, string annotations."""
    counts = {name: len(found) for name, found in module.scopes.names.items()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            parent = module.parents.get(node)
            if not isinstance(parent, ast.Expr | ast.JoinedStr):
                for word in set(_WORD.findall(node.value)):
                    if word in module.scopes.module.bindings:
                        counts[word] = counts.get(word, 0) + 1
    return counts


def _dotted_uses(module: Module, path: str) -> bool:
    """True where `path` ("jax.experimental.maps"), bound by a plain `import`, is spelled in the code."""
    return re.search(rf"(?<![\w.]){re.escape(path)}\b", _without_imports(module)) is not None


def _without_imports(module: Module) -> str:
    edits = [Edit(*module.source.span(node), "") for node, _, _ in module.scopes.imports]
    return module.source.with_edits(edits).text


def _newly_unused(before: Module, after: Module, exported: Callable[[str], bool]) -> set[ast.alias]:
    was, now = _use_counts(before), _use_counts(after)
    unused: set[ast.alias] = set()
    if after.is_package:
        return unused
    for node, scope, guard in after.scopes.imports:
        if guard is not Guard.NONE or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            continue
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if alias.name == "*" or alias.asname == alias.name:  # `import x as x` marks a re-export
                continue
            if alias.asname is None and "." in alias.name and isinstance(node, ast.Import):
                gone = _dotted_uses(before, alias.name) and not _dotted_uses(after, alias.name)
            else:
                gone = bool(was.get(name)) and not now.get(name)
            if gone and not (scope.is_module and exported(name)):
                unused.add(alias)
    return unused


# -- how --------------------------------------------------------------------------------------------------


@dataclass
class _Statement:
    """An unguarded module-level `from X import ...` that can take further names."""

    node: ast.ImportFrom
    names: list[ast.alias]


def _extend_statements(
    module: Module, requests: list[ImportRequest], unused: set[ast.alias]
) -> tuple[list[Edit], list[ImportRequest]]:
    """Edit existing statements: drop unused names, add requested ones to a `from X import` that is there."""
    edits: list[Edit] = []
    leftover = list(requests)
    block_end = _leading_block_end(module)
    for node, scope, guard in module.scopes.imports:
        added: list[str] = []
        # only statements of the leading block run before every use
        if isinstance(node, ast.ImportFrom) and scope.is_module and guard is Guard.NONE and node.lineno <= block_end:
            for request in list(leftover):
                if request.from_module is not None and request.from_module == node.module and not node.level:
                    if any(alias.name == "*" for alias in node.names):
                        continue
                    added.append(request.statement.partition(" import ")[2])
                    leftover.remove(request)
        gone = [alias for alias in node.names if alias in unused]
        if not gone and not added:
            continue
        if len(gone) == len(node.names) and not added:
            edits.append(_drop_statement(module, node))
        else:
            edits += _rewrite_names(module, node, gone, added)
    return edits, leftover


def _rewrite_names(
    module: Module, node: ast.Import | ast.ImportFrom, gone: list[ast.alias], added: list[str]
) -> list[Edit]:
    source = module.source
    kept = [alias for alias in node.names if alias not in gone]
    single_line = node.lineno == node.end_lineno
    if single_line or not kept:
        texts = [source.segment(alias) for alias in kept]
        was_sorted = [a.name.lower() for a in node.names] == sorted(a.name.lower() for a in node.names)
        texts += added
        if was_sorted:
            texts.sort(key=str.lower)
        start, end = source.span(node.names[0])[0], source.span(node.names[-1])[1]
        return [Edit(start, end, ", ".join(texts))]
    edits = [_drop_alias(source, node, alias) for alias in gone]
    if added:
        last = source.span(kept[-1])
        line_start = source.line_start(kept[-1].lineno)
        indent = source.text[line_start : last[0]]
        separator = f",\n{indent}" if indent.strip() == "" and kept[-1].lineno != node.lineno else ", "
        edits.append(Edit(last[1], last[1], "".join(f"{separator}{text}" for text in added)))
    return edits


def _drop_alias(source: SourceText, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Edit:
    """Remove one name of a multi-line import with its comma, and its line where it stood alone."""
    start, end = source.span(alias)
    text = source.text
    following = re.compile(r"[ \t]*,[ \t]*").match(text, end)
    if following:
        end = following.end()
        rest = re.compile(r"(?:\r\n|\r|\n)").match(text, end)
        line_start = source.line_start(alias.lineno)
        if rest and not text[line_start:start].strip():
            return Edit(line_start, rest.end(), "")
        return Edit(start, end, "")
    previous = text.rfind(",", 0, start)
    return Edit(previous, end, "")


def _drop_statement(module: Module, node: ast.stmt) -> Edit:
    source, text = module.source, module.source.text
    start, end = source.span(node)
    parent = module.parents[node]
    for field in ("body", "orelse", "finalbody"):
        body = getattr(parent, field, None)
        if isinstance(body, list) and node in body and len(body) == 1 and not isinstance(parent, ast.Module):
            return Edit(start, end, "pass")
    line_start = source.line_start(node.lineno)
    tail = re.compile(r"[ \t]*;[ \t]*").match(text, end)
    if tail and not text[line_start:start].strip():
        return Edit(start, tail.end(), "")
    if text[line_start:start].strip():  # `x = 1; import y`
        return Edit(text.rfind(";", 0, start), end, "")
    rest = re.compile(r"[ \t]*(#[^\r\n]*)?(\r\n|\r|\n|$)").match(text, end)
    if rest is None:
        return Edit(start, end, "")
    return Edit(line_start, rest.start() if rest.group(1) else rest.end(), "")


def _leading_block_end(module: Module) -> int:
    """Last line of the imports that open the file (docstring and assignments to dunders may stand between)."""
    line = 0
    for statement in module.tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            line = statement.end_lineno or statement.lineno
        elif not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            or isinstance(statement, ast.Try | ast.If)
            or isinstance(statement, ast.Assign)
            and all(isinstance(t, ast.Name) and t.id.startswith("__") for t in statement.targets)
        ):
            break
    return line


def _insert_statements(module: Module, requests: list[ImportRequest], unused: set[ast.alias]) -> list[Edit]:
    if not requests:
        return []
    source = module.source
    leading = [
        s
        for s in module.tree.body
        if isinstance(s, ast.Import | ast.ImportFrom) and s.lineno <= _leading_block_end(module)
    ]
    by_place: dict[int, list[str]] = {}
    for request in requests:
        place = _place(module, leading, request, unused)
        by_place.setdefault(place, []).append(request.statement)
    edits = []
    for offset, statements in by_place.items():
        text = "".join(f"{s}\n" for s in statements)
        if offset == len(source.text) and source.text and not source.text.endswith(("\n", "\r")):
            text = "\n" + text.rstrip("\n")
        elif not leading and offset < len(source.text) and source.line_text(source.position(offset)[0]).strip():
            text += "\n"
        edits.append(Edit(offset, offset, text))
    return edits


def _place(
    module: Module, leading: list[ast.Import | ast.ImportFrom], request: ImportRequest, unused: set[ast.alias]
) -> int:
    """Offset of the line where a new import goes: beside its own package's imports, else in sorted order
    among the third-party imports, else behind the last; with no imports, behind docstring and comments."""
    source = module.source
    root = request.qualified.partition(".")[0]

    def root_of(node: ast.Import | ast.ImportFrom) -> str:
        name = node.names[0].name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
        return name if name.startswith(".") else name.partition(".")[0]

    usable = [s for s in leading if not (isinstance(s, ast.ImportFrom) and s.module == "__future__")]
    same = [s for s in usable if root_of(s) == root]
    if same:
        return _after(module, same[-1])
    absolute = [s for s in usable if not root_of(s).startswith(".")]
    before = [s for s in absolute if root_of(s) < root and (root_of(s) not in _STANDARD_LIBRARY or root in _STANDARD_LIBRARY)]
    if before:
        return _after(module, before[-1])
    if absolute and not any(root_of(s) in _STANDARD_LIBRARY for s in absolute):
        return source.line_start(absolute[0].lineno)
    if usable:
        return _after(module, (absolute or usable)[-1])
    if leading:
        return _after(module, leading[-1])
    body = module.tree.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        if isinstance(body[0].value.value, str):
            return _after(module, body[0])
    line = 1
    while line <= source.line_count and source.line_text(line).startswith("#"):
        line += 1
    return source.line_start(line) if line <= source.line_count else len(source.text)


def _after(module: Module, node: ast.stmt) -> int:
    """Start of the line behind a statement (behind its whole line where statements share one)."""
    line = node.end_lineno or node.lineno
    for other in module.tree.body:
        if other.lineno == line and (other.end_lineno or line) > line:
            line = other.end_lineno or line
    source = module.source
    return source.line_start(line + 1) if line < source.line_count else len(source.text)


def _standard_library() -> frozenset[str]:
    import sys

    return frozenset(sys.stdlib_module_names)


_STANDARD_LIBRARY = _standard_library()
