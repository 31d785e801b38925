from __future__ import annotations

import ast
import codecs

import pytest

from nnx_migrate.sources.text import Edit, SourceError, SourceText, parse

SAMPLES = {
    "lf": b"import jax\nx = 1\n",
    "crlf": b"import jax\r\nx = 1\r\n",
    "cr": b"import jax\rx = 1\r",
    "mixed": b"a = 1\r\nb = 2\nc = 3\r",
    "no final newline": b"x = 1",
    "empty": b"",
    "bom": codecs.BOM_UTF8 + b"x = 1\n",
    "latin-1": "# -*- coding: latin-1 -*-\ns = 'é'\n".encode("latin-1"),
    "form feed": b"x = 1\n\x0c\ny = 2\n",
    "unicode": "s = 'αβγ'; y = s\n".encode(),
    "tabs": b"if x:\n\ty = 1\n",
}


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_bytes_come_back_as_they_were(data: bytes) -> None:
    assert SourceText.decode(data).encode() == data
    assert SourceText.decode(data).with_edits([]).encode() == data


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_every_node_is_found_at_its_offsets(data: bytes) -> None:
    source = SourceText.decode(data)
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.expr):
            found = ast.parse(source.segment(node), mode="eval").body
            assert ast.dump(found).replace("Store", "Load") == ast.dump(node).replace("Store", "Load")


@pytest.mark.parametrize("data", SAMPLES.values(), ids=SAMPLES)
def test_positions_and_offsets_are_inverse(data: bytes) -> None:
    source = SourceText.decode(data)
    for offset in range(len(source.text)):
        line, column = source.position(offset)
        assert source.line_start(line) + column - 1 == offset


def test_new_lines_take_the_files_line_ending() -> None:
    source = SourceText.decode(b"import a\r\nimport b\r\n")
    assert source.with_edits([Edit(10, 10, "import c\n")]).encode() == b"import a\r\nimport c\r\nimport b\r\n"


def test_old_text_in_new_text_keeps_its_line_endings() -> None:
    source = SourceText.decode(b"f(\r\n    a,\r\n)\r\n")
    moved = Edit(0, 0, f"def g():\n    return {source.text[:-2]}\n")
    assert source.with_edits([moved]).encode().startswith(b"def g():\r\n    return f(\r\n    a,\r\n)\r\nf(")


def test_edits_count_characters_not_bytes() -> None:
    source = SourceText.decode("s = 'α'; jax.tree_map(f, s)\n".encode())
    call = parse(source).body[1].value
    assert (
        source.with_edits([Edit(*source.span(call.func), "jax.tree.map")]).text
        == "s = 'α'; jax.tree.map(f, s)\n"
    )


@pytest.mark.parametrize("edits", [[Edit(0, 3, "a"), Edit(2, 4, "b")], [Edit(0, 99, "")]])
def test_overlapping_and_stray_edits_are_refused(edits: list[Edit]) -> None:
    with pytest.raises(ValueError, match="overlap or leave"):
        SourceText("abcdef").with_edits(edits)


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"x = 1\ny = '\0'\n", "NUL", 2),
        (b"x = 1\ns = '\xff'\n", "0xff", 2),
        (b"# coding: klingon\nx = 1\n", "klingon", 1),
    ],
)
def test_undecodable_files_say_where_and_what(data: bytes, message: str, line: int) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        SourceText.decode(data)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("code", "message"),
    [("def f(:\n", "syntax error"), ("x = (\n", "syntax error"), ("(" * 3000, "syntax error|nested")],
)
def test_unparsable_files_are_source_errors(code: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse(SourceText(code))
