import io

from rich.console import Console

from nnx_migrate.report.proof.text import show


def shown(result, verbose=False) -> str:
    stream = io.StringIO()
    show(result, Console(file=stream, width=200, soft_wrap=True), verbose)
    return stream.getvalue()


def test_a_row_per_model_and_what_differs(result):
    text = shown(result)
    rows = [" ".join(line.split()) for line in text.splitlines()[1:4]]
    assert rows == [
        "models:Net equal 16 1 1 2",
        "models:Net (bfloat16) error 0 2 0",
        "models:Gone not compared 0",
    ]
    assert "train/jit/gradients: different (" in text
    assert "train/jit/state: skipped: raises on both sides: ValueError: <i>no</i>" in text
    assert "ImportError: <b>nothing</b>" in text
    assert "models:Never" in text
    assert "Computed on cpu, gpu (NVIDIA A100)." in text
    assert "eval/jit/output: equal" not in text
    assert "Traceback" not in text


def test_verbose_shows_what_is_equal_and_tracebacks(result):
    text = shown(result, verbose=True)
    assert "eval/jit/output: equal" in text
    assert "Traceback\n  line" in text
