"""Where a new import statement goes.

Beside what is there, in the order that isort and ruff keep: standard library, third party, the project's own;
within a group either `import x` before `from x import y`, or everything by module name, as the file does it.
Never ahead of code that stands before the file's JAX imports on purpose (`os.environ["XLA_FLAGS"] = ...`),
and never behind the first code that needs the name.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from nnx_migrate.engine.findings import ImportRequest
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import Edit

ImportNode = ast.Import | ast.ImportFrom
_ECOSYSTEM = frozenset({"jax", "flax", "optax", "orbax", "chex", "haiku", "numpyro", "distrax", "jraph"})
_STANDARD, _THIRD_PARTY, _LOCAL = range(3)


def insertions(module: Module, requests: Sequence[ImportRequest], first_use: Mapping[str, int]) -> list[Edit]:
    """Edits that add a statement for each request (one for several names of one module)."""
    edits: dict[tuple[int, str, str], list[str]] = {}
    for statement, group in _statements(requests):
        lines = [first_use[request.binding] for request in group if request.binding in first_use]
        offset, before, after = _place(module, _Import.parse(statement), min(lines) if lines else None)
        edits.setdefault((offset, before, after), []).append(statement)
    return [
        Edit(offset, offset, before + "\n".join(statements) + after)
        for (offset, before, after), statements in edits.items()
    ]


def script_block(module: Module) -> ast.If | None:
    """The last `if __name__ == "__main__":` of a file that has lines of its own below it."""
    for statement in reversed(module.tree.body):
        if (
            isinstance(statement, ast.If)
            and not statement.orelse
            and statement.body[0].lineno > statement.lineno
        ):
            names = {n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name)}
            values = {n.value for n in ast.walk(statement.test) if isinstance(n, ast.Constant)}
            if names == {"__name__"} and values == {"__main__"}:
                return statement
    return None


def insertions_into(module: Module, block: ast.If, requests: Sequence[ImportRequest]) -> list[Edit]:
    """Edits that add statements at the head of a block."""
    if not requests:
        return []
    first, source = block.body[0], module.source
    indentation = source.text[source.line_start(first.lineno) : source.span(first)[0]]
    start = source.line_start((block.test.end_lineno or block.lineno) + 1)
    plain = [replace(request, in_folder=False) for request in requests]
    text = "".join(f"{indentation}{statement}\n" for statement, _ in _statements(plain))
    return [Edit(start, start, f"{text}\n")]


def _statements(requests: Sequence[ImportRequest]) -> list[tuple[str, list[ImportRequest]]]:
    plain = [r for r in requests if r.from_module is None]
    found = [(r.statement, [r]) for r in sorted(plain, key=lambda r: r.qualified)]
    others = [r for r in requests if r.from_module is not None]
    for (base, in_folder), grouped in groupby(sorted(others, key=_origin), key=_origin):
        group = list(grouped)
        names = ", ".join(sorted({r.imported_name for r in group}, key=str.lower))
        statement = f"from {base} import {names}"
        if in_folder:
            tried = f"from .{base} import {names}"
            statement = f"try:\n    {tried}\nexcept ImportError:  # beside a script\n    {statement}"
        found.append((statement, group))
    return found


def _origin(request: ImportRequest) -> tuple[str, bool]:
    return str(request.from_module), request.in_folder


class _Import:
    """An import reduced to what its place depends on."""

    def __init__(self, node: ImportNode) -> None:
        self.node = node
        self.is_from = isinstance(node, ast.ImportFrom)
        self.relative = node.level if isinstance(node, ast.ImportFrom) else 0
        self.module = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        self.root = self.module.partition(".")[0]

    @classmethod
    def parse(cls, statement: str) -> _Import:
        node = ast.parse(statement).body[0]
        if isinstance(node, ast.Try):
            node = node.body[0]
        assert isinstance(node, ast.Import | ast.ImportFrom)
        return cls(node)

    def section(self, module: Module) -> int:
        own = "." in module.name and self.root == module.name.partition(".")[0]
        if self.relative or own:
            return _LOCAL
        return _STANDARD if self.root in sys.stdlib_module_names else _THIRD_PARTY

    def key(self, straight_first: bool) -> tuple[bool, str, bool]:
        return (straight_first and self.is_from, self.module.lower(), self.is_from)


def _place(module: Module, new: _Import, first_use: int | None) -> tuple[int, str, str]:
    """Offset of a new statement, and the text in front of and behind it."""
    block = _choose_block(_blocks(module, first_use), new)
    if block is None:
        return _below_header(module)
    section = new.section(module)
    group = [s for s in block if s.section(module) == section]
    if not group:
        lower = [s for s in block if s.section(module) < section]
        if lower:
            return _after(module, lower[-1].node, "\n")
        return module.source.line_start(block[0].node.lineno), "", "\n\n"
    straight_first = not any(a.is_from and not b.is_from for a, b in pairwise(group))
    keys = [s.key(straight_first) for s in group]
    if keys != sorted(keys):  # an order of the user's own: stay with the same package
        related = [s for s in group if s.root == new.root]
        if not related and new.root in _ECOSYSTEM:
            related = [s for s in group if s.root in _ECOSYSTEM][-1:]
            if related:
                return _after(module, related[-1].node)
        group = related or group[-1:]
        if not related:
            return _after(module, group[-1].node)
    earlier = [s for s in group if s.key(straight_first) <= new.key(straight_first)]
    if earlier:
        return _after(module, earlier[-1].node)
    return module.source.line_start(group[0].node.lineno), "", "\n"


def _blocks(module: Module, first_use: int | None) -> list[list[_Import]]:
    """Runs of import statements at the top level, those ahead of the first use."""
    blocks: list[list[_Import]] = []
    running = False
    for statement in module.tree.body:
        is_import = isinstance(statement, ast.Import | ast.ImportFrom) and not _is_future(statement)
        if is_import and (first_use is None or (statement.end_lineno or statement.lineno) < first_use):
            if not running:
                blocks.append([])
            blocks[-1].append(_Import(statement))  # type: ignore[arg-type]
        running = is_import
    return blocks


def _choose_block(blocks: list[list[_Import]], new: _Import) -> list[_Import] | None:
    """The run with the same package, else (but for the standard library) with Flax or JAX packages, else a fitting
    one.
    """
    if not blocks:
        return None
    for block in blocks:
        if any(s.root == new.root for s in block):
            return block
    if new.root not in sys.stdlib_module_names:  # a module of the project may well import JAX
        for roots in (frozenset({"flax"}), _ECOSYSTEM):
            for block in blocks:
                if any(s.root in roots for s in block):
                    return block
    return blocks[-1] if new.root in _ECOSYSTEM else blocks[0]


def _below_header(module: Module) -> tuple[int, str, str]:
    """Behind the docstring and `__future__` imports, or behind the comments that open the file."""
    source = module.source
    header = [s for i, s in enumerate(module.tree.body) if _is_future(s) or (i == 0 and _is_string(s))]
    if header:
        offset, before, after = _after(module, header[-1], "\n")
        line = source.position(offset)[0]
        follows = offset < len(source.text) and bool(source.line_text(line).strip())
        return offset, before, after + ("\n" if follows else "")
    line = 1
    while line <= source.line_count and source.line_text(line).startswith("#"):
        line += 1
    if line > source.line_count or not source.text.strip():
        return _at_end(module, "")
    blank = not source.line_text(line).strip()
    if line > 1 and blank:
        return source.line_start(line), "\n", "\n"
    return source.line_start(line), "", "\n\n"


def _after(module: Module, node: ast.stmt, gap: str = "") -> tuple[int, str, str]:
    """Behind a statement's line, and behind those that share that line."""
    line = node.end_lineno or node.lineno
    for other in module.tree.body:
        if other.lineno == line:
            line = max(line, other.end_lineno or line)
    source = module.source
    if line >= source.line_count:
        return _at_end(module, gap)
    return source.line_start(line + 1), gap, "\n"


def _at_end(module: Module, gap: str) -> tuple[int, str, str]:
    text = module.source.text
    if text and not text.endswith(("\n", "\r")):
        return len(text), f"\n{gap}", ""
    return len(text), gap, "\n"


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
