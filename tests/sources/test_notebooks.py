from __future__ import annotations

import json

import pytest

from nnx_migrate.sources.notebooks import NotebookText
from nnx_migrate.sources.text import Edit, SourceError, parse


def notebook(*cells: str | list[str], **extra: object) -> str:
    rows = [{"cell_type": "markdown", "source": ["# Title\n"], "metadata": {}}]
    rows += [{"cell_type": "code", "source": c, "metadata": {}, "outputs": [], **extra} for c in cells]
    return json.dumps({"cells": rows, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def code(raw: str, index: int) -> str:
    return "".join(json.loads(raw)["cells"][index + 1]["source"])


MAGICS = [
    "%matplotlib inline\nimport jax",
    "!pip install flax\nx = 1",
    "files = !ls *.py\nx = 1",
    "t = %timeit -o f()\nx = 1",
    "if x:\n    !ls\ny = 1",
    "jax.jit?\nx = 1",
    "%%time\nx = 1\ny = 2",
    "%%bash\necho 'not python' (\n",
    "!python train.py \\\n    --config=a \\\n    --lr=1\nx = 1",
    "    x = 1\n    y = 2",
    "",
    "await f()",
]


@pytest.mark.parametrize("cell", MAGICS)
def test_magics_are_masked_by_as_many_characters(cell: str) -> None:
    source = NotebookText.from_json(notebook(cell))
    parse(source, "n.ipynb")
    (only,) = source.cells
    assert len(source.text[only.start : only.end]) == len(cell)


@pytest.mark.parametrize("cell", MAGICS)
def test_an_edit_of_one_cell_leaves_all_other_bytes(cell: str) -> None:
    raw = notebook(cell, ["import jax\n", "y = jax.tree_map(f, x)"])
    source = NotebookText.from_json(raw)
    start = source.text.index("jax.tree_map")
    after = source.with_edits([Edit(start, start + 12, "jax.tree.map")])
    assert after.raw == raw.replace("jax.tree_map", "jax.tree.map")
    assert after.encode() == after.raw.encode()


def test_lines_added_at_the_end_of_a_cell_stay_in_it() -> None:
    source = NotebookText.from_json(notebook(["import jax"], ["x = 1\n", "y = 2"]))
    first = source.cells[0]
    after = source.with_edits([Edit(first.end + 1, first.end + 1, "from flax import nnx\n")])
    assert code(after.raw, 0) == "import jax\nfrom flax import nnx"
    assert code(after.raw, 1) == "x = 1\ny = 2"


def test_a_source_given_as_one_string_stays_one() -> None:
    source = NotebookText.from_json(notebook("a = 'é'\nb = a"))
    after = source.with_edits([Edit(source.text.index("b ="), source.text.index("b =") + 1, "c")])
    assert json.loads(after.raw)["cells"][1]["source"] == "a = 'é'\nc = a"


@pytest.mark.parametrize("span", [("import", "x ="), ("!ls", "!ls")])
def test_edits_across_cells_and_into_magics_are_refused(span: tuple[str, str]) -> None:
    source = NotebookText.from_json(notebook("import jax\n!ls", "x = 1"))
    text = "".join(f"{cell.text}\n\n" for cell in source.cells)
    with pytest.raises(ValueError, match="edit"):
        source.with_edits([Edit(text.index(span[0]), text.index(span[1]) + 3, "z")])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a notebook"),
        (b'{"worksheets": []}', "not a notebook"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_broken_notebooks_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        NotebookText.decode(data)


def test_syntax_errors_name_cell_and_line() -> None:
    with pytest.raises(SourceError, match=r"\(cell 2, line 2\)"):
        parse(NotebookText.from_json(notebook("x = 1", "y = 2\nz = = 3")), "n.ipynb")
