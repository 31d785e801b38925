"""Source text with positions: how bytes become text and how AST positions become offsets.

Nothing here normalises anything: line endings, byte order mark, encoding and a missing final newline
come back exactly as they were read.
"""

from __future__ import annotations

import ast
import codecs
import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

# The line ends of Python's tokenizer. `str.splitlines` knows more (form feed, U+2028) and would shift lines.
_LINE_END = re.compile(r"\r\n|\r|\n")


class SourceError(Exception):
    """A file that can't be read as Python; `line` is 1-based, 0 where it has none."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


@dataclass(frozen=True)
class Edit:
    """Replace `text[start:end]` (character offsets) by `new`."""

    start: int
    end: int
    new: str

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"edit with bad span {self.start}..{self.end}")


@dataclass(frozen=True)
class SourceText:
    """Decoded source. `text` excludes the byte order mark; `bom` and `encoding` bring the bytes back."""

    text: str
    encoding: str = "utf-8"
    bom: bool = False

    @classmethod
    def decode(cls, data: bytes) -> SourceText:
        """Decode by PEP 263. Raises SourceError for NUL bytes, unknown encodings and undecodable bytes."""
        if b"\0" in data:
            line = data.count(b"\n", 0, data.index(b"\0")) + 1
            raise SourceError("the file contains NUL bytes, so it is not Python source", line)
        bom = data.startswith(codecs.BOM_UTF8)
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        except (SyntaxError, LookupError) as error:
            raise SourceError(f"{error}; fix the coding line or save the file as UTF-8", 1) from None
        if bom:
            encoding, data = "utf-8", data[len(codecs.BOM_UTF8) :]
        try:
            return cls(data.decode(encoding), encoding, bom)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SourceError(
                f"can't decode byte 0x{data[error.start]:02x} as {encoding}; "
                "save the file as UTF-8 or declare its encoding in the first line",
                line,
            ) from None

    def encode(self) -> bytes:
        """The bytes to write. Raises SourceError where the file's encoding lacks a new character."""
        try:
            data = self.text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise SourceError(
                f"the fix needs characters that {self.encoding} lacks ({error.reason})"
            ) from None
        return codecs.BOM_UTF8 + data if self.bom else data

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    @cached_property
    def newline(self) -> str:
        """The file's dominant line ending, "\\n" where it has none."""
        ends = _LINE_END.findall(self.text)
        return max(("\n", "\r\n", "\r"), key=ends.count) if ends else "\n"

    @cached_property
    def _is_ascii(self) -> bool:
        return self.text.isascii()

    def offset(self, line: int, column: int) -> int:
        """Character offset of an AST position: 1-based line, column in UTF-8 bytes."""
        start = self._line_starts[line - 1]
        if self._is_ascii:
            return start + column
        piece = self.text[start : start + column]
        if piece.isascii():
            return start + column
        end = self._line_starts[line] if line < len(self._line_starts) else len(self.text)
        return start + len(self.text[start:end].encode()[:column].decode(errors="ignore"))

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset, both 1-based, column in characters."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Start and end offset of a node that has a position (decorators are not part of a definition)."""
        return (
            self.offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def line_span(self, node: ast.AST) -> tuple[int, int]:
        """Start of a node's first line, and start of the line behind its last one."""
        return self.line_start(node.lineno), self.line_start(node.end_lineno + 1)  # type: ignore[attr-defined]

    def segment(self, node: ast.AST) -> str:
        """The source of a node, as written."""
        start, end = self.span(node)
        return self.text[start:end]

    def line_text(self, line: int) -> str:
        """One line without its line end; empty past the end of the file."""
        if line < 1 or line > len(self._line_starts):
            return ""
        start = self._line_starts[line - 1]
        end = self._line_starts[line] if line < len(self._line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def line_start(self, line: int) -> int:
        """Offset of the first character of a 1-based line."""
        return self._line_starts[min(line - 1, len(self._line_starts) - 1)]

    @property
    def line_count(self) -> int:
        """Number of lines, counting an empty one after a final line end."""
        return len(self._line_starts)

    def describe_line(self, line: int) -> str:
        """Where a line is, if its number alone doesn't say (notebooks)."""
        return ""

    def cell_of(self, line: int) -> int | None:
        """Number of the notebook cell that a line belongs to; None in plain files."""
        return None

    def lines_before(self, cell: int | None) -> int:
        """How many lines of this text stand before a notebook cell's first line."""
        return 0

    def with_edits(self, edits: list[Edit]) -> SourceText:
        """Apply edits that don't overlap; "\\n" in new text becomes the file's line ending.

        Insertions at the same offset are applied in the order given. Raises ValueError on overlap.
        """
        pieces: list[str] = []
        done = 0
        for edit in sorted(edits, key=lambda e: (e.start, e.end)):
            if edit.start < done or edit.end > len(self.text):
                raise ValueError(f"edits overlap or leave the text at offset {edit.start}")
            new = edit.new
            if self.newline != "\n":  # new text may quote old text, with its line ends
                new = new.replace(self.newline, "\n").replace("\n", self.newline)
            pieces += (self.text[done : edit.start], new)
            done = edit.end
        pieces.append(self.text[done:])
        return SourceText("".join(pieces), self.encoding, self.bom)


def parse(source: SourceText, path: str = "<source>") -> ast.Module:
    """`ast.parse` that turns each way to fail into SourceError (and never warns about the user's escapes)."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.endswith(".ipynb"):  # IPython allows `await` at top level
                flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                module = compile(source.text, path, "exec", flags, dont_inherit=True)
                assert isinstance(module, ast.Module)
                return module
            return ast.parse(source.text, filename=path)
    except SyntaxError as error:
        where = source.describe_line(error.lineno or 1)
        raise SourceError(f"syntax error: {error.msg}{where}", error.lineno or 0, error.offset or 0) from None
    except (RecursionError, MemoryError):
        raise SourceError("too deeply nested to be parsed") from None
    except ValueError as error:
        raise SourceError(str(error)) from None
