"""Jupyter notebooks as Python text.

All code cells together form one virtual module, each cell followed by an empty line, so that an offset at a
cell's end and one at the next cell's start differ. Magics and shell lines are masked by text of the same
length; edits found on the virtual text therefore apply to the real cells at the same offsets. In the JSON only
the `source` of edited cells is written anew: all other bytes stay.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field

from nnx_migrate.sources.text import Edit, SourceError, SourceText

_DECODER = json.JSONDecoder()
_WHITESPACE = re.compile(r"[ \t\n\r]*")
# Cell magics whose body is Python; the body of any other (%%bash, %%html, %%writefile) is masked whole.
_PYTHON_CELL_MAGICS = {"time", "timeit", "capture", "prun", "memit", "python", "python3"}
_LINE_MAGIC = re.compile(r"[ \t]*(?P<magic>[%!?].*|[\w.]+\?\??[ \t]*)$")
_ASSIGNED_MAGIC = re.compile(r"[ \t]*[\w., \t]+=[ \t]*(?P<magic>[!%](?!=).*)$")


@dataclass(frozen=True)
class Cell:
    """One code cell: where its `source` value stands in the JSON, and where its text is in the module."""

    number: int
    json_span: tuple[int, int]
    text: str
    start: int

    @property
    def end(self) -> int:
        """Offset behind the cell's last character."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class NotebookText(SourceText):
    """A notebook's virtual module. `raw` is the JSON text, `cells` the code cells in order."""

    raw: str = ""
    cells: tuple[Cell, ...] = field(default=())

    @classmethod
    def decode(cls, data: bytes) -> NotebookText:
        """Read a notebook. Raises SourceError where it isn't one."""
        try:
            raw = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SourceError(f"the notebook isn't UTF-8: {error.reason}") from None
        return cls.from_json(raw, bom=data.startswith(b"\xef\xbb\xbf"))

    @classmethod
    def from_json(cls, raw: str, bom: bool = False) -> NotebookText:
        """The virtual module of a notebook's JSON text."""
        cells: list[Cell] = []
        pieces: list[str] = []
        offset = 0
        for number, (span, text) in enumerate(_code_cells(raw), start=1):
            lead = "if 1:\n" if _is_indented(text) else ""  # IPython dedents a cell; a block does as well
            cells.append(Cell(number, span, text, offset + len(lead)))
            pieces.append(f"{lead}{_mask(text)}\n\n")
            offset += len(pieces[-1])
        return cls("".join(pieces), "utf-8", bom, raw, tuple(cells))

    def encode(self) -> bytes:
        """The notebook's bytes."""
        return (b"\xef\xbb\xbf" if self.bom else b"") + self.raw.encode()

    def cell_at(self, offset: int) -> Cell | None:
        """The cell that an offset lies in (the empty lines behind a cell belong to it)."""
        index = bisect_right([cell.start for cell in self.cells], offset) - 1
        return self.cells[index] if index >= 0 else None

    def describe_line(self, line: int) -> str:
        """Cell and line of a line of the virtual module."""
        cell = self.cell_of(line)
        return f" (cell {cell}, line {line - self.lines_before(cell)})" if cell else ""

    def cell_of(self, line: int) -> int | None:
        """The 1-based number of the cell that a line of the virtual module belongs to."""
        cell = self.cell_at(self.line_start(line))
        return cell.number if cell else None

    def lines_before(self, cell: int | None) -> int:
        """How many lines of the virtual module stand before a cell's first line."""
        return self.position(self.cells[cell - 1].start)[0] - 1 if cell else 0

    def with_edits(self, edits: list[Edit]) -> NotebookText:
        """Edit the cells. Raises ValueError where an edit spans cells or touches a magic."""
        by_cell: dict[int, list[Edit]] = {}
        for edit in edits:
            cell = self.cell_at(edit.start)
            if cell is None or edit.end > cell.end + 1:
                raise ValueError("an edit leaves its notebook cell")
            masked = self.text[cell.start : cell.end]
            touched = slice(edit.start - cell.start, edit.end - cell.start)
            if masked[touched] != cell.text[touched]:
                raise ValueError("an edit touches a notebook magic")
            by_cell.setdefault(cell.number, []).append(_within(cell, edit))
        raw, done, pieces = self.raw, 0, []
        for cell in self.cells:
            if cell.number not in by_cell:
                continue
            text = SourceText(cell.text + "\n").with_edits(by_cell[cell.number]).text
            start, end = cell.json_span
            pieces += [raw[done:start], _as_json(text.removesuffix("\n"), raw, start, end)]
            done = end
        return NotebookText.from_json("".join([*pieces, raw[done:]]), self.bom)


def _within(cell: Cell, edit: Edit) -> Edit:
    return Edit(edit.start - cell.start, min(edit.end, cell.end + 1) - cell.start, edit.new)


# -- JSON with positions ----------------------------------------------------------------------------------


def _code_cells(raw: str) -> list[tuple[tuple[int, int], str]]:
    """(span of the `source` value, its text) of each code cell, in order."""
    try:
        notebook = json.loads(raw)
    except json.JSONDecodeError as error:
        raise SourceError(f"the notebook is not valid JSON: {error.msg}", error.lineno, error.colno) from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise SourceError("not a notebook of format 4 (no list of cells); open and save it in Jupyter")
    found = []
    top = dict(_members(raw, _skip(raw, 0)))
    for start in _elements(raw, top["cells"]):
        members = dict(_members(raw, start))
        kind = _DECODER.raw_decode(raw, members["cell_type"])[0] if "cell_type" in members else ""
        if kind != "code" or "source" not in members:
            continue
        value, end = _DECODER.raw_decode(raw, members["source"])
        text = "".join(value) if isinstance(value, list) else str(value)
        found.append(((members["source"], end), text))
    return found


def _skip(raw: str, position: int) -> int:
    match = _WHITESPACE.match(raw, position)
    return match.end() if match else position


def _members(raw: str, position: int) -> list[tuple[str, int]]:
    """(key, offset of value) of the object that starts at `position`."""
    members: list[tuple[str, int]] = []
    position = _skip(raw, position + 1)
    while raw[position] != "}":
        key, position = _DECODER.raw_decode(raw, position)
        position = _skip(raw, _skip(raw, position) + 1)
        members.append((key, position))
        position = _skip(raw, _DECODER.raw_decode(raw, position)[1])
        if raw[position] == ",":
            position = _skip(raw, position + 1)
    return members


def _elements(raw: str, position: int) -> list[int]:
    """Offsets of the elements of the array that starts at `position`."""
    elements: list[int] = []
    position = _skip(raw, position + 1)
    while raw[position] != "]":
        elements.append(position)
        position = _skip(raw, _DECODER.raw_decode(raw, position)[1])
        if raw[position] == ",":
            position = _skip(raw, position + 1)
    return elements


def _as_json(text: str, raw: str, start: int, end: int) -> str:
    """A cell's new text as JSON in the style of the value that it replaces."""
    old = raw[start:end]
    ascii_only = "\\u" in raw and raw.isascii()
    if old.startswith('"'):
        return json.dumps(text, ensure_ascii=ascii_only)
    lines = [json.dumps(line, ensure_ascii=ascii_only) for line in text.splitlines(keepends=True)]
    if not lines:
        return "[]"
    layout = re.match(r"\[(\s*)", old)
    gap = layout.group(1) if layout else ""
    closing = re.search(r"(\s*)\]$", old)
    between = "," + (gap if "\n" in gap else " ")
    return "[" + gap + between.join(lines) + (closing.group(1) if closing else "") + "]"


# -- magics -----------------------------------------------------------------------------------------------


def _mask(text: str) -> str:
    """The cell's text with what only IPython understands replaced by as many harmless characters."""
    stripped = text.lstrip()
    if stripped.startswith("%%"):
        name = re.match(r"%%(\w+)", stripped)
        if name is None or name.group(1) not in _PYTHON_CELL_MAGICS:
            return "".join(_masked_line(line) for line in text.splitlines(keepends=True))
    lines: list[str] = []
    continued = False  # a magic that ends in a backslash goes on
    for line in text.splitlines(keepends=True):
        masked = _masked_line(line) if continued else _mask_line(line)
        continued = masked != line and line.rstrip("\r\n").endswith("\\")
        lines.append(masked)
    return "".join(lines)


def _is_indented(text: str) -> bool:
    first = next(
        (line for line in _mask(text).splitlines() if line.strip() and not line.lstrip().startswith("#")), ""
    )
    return first[:1] in (" ", "\t")


def _mask_line(line: str) -> str:
    body = line.rstrip("\r\n")
    match = _LINE_MAGIC.match(body) or _ASSIGNED_MAGIC.match(body)
    if match is None:
        return line
    start = match.start("magic")
    return line[:start] + _masked(body[start:]) + line[len(body) :]


def _masked_line(line: str) -> str:
    body = line.rstrip("\r\n")
    return "#" * len(body) + line[len(body) :]


def _masked(magic: str) -> str:
    # A constant is a statement even as the only line of a block; what follows is a comment.
    return "0" if len(magic) == 1 else "0" + "#" * (len(magic) - 1)
