"""Functions and methods that choose a module for `setup`: the constructor takes the choice itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])

FUNCTION = """\
def make_norm(kind, eps=1e-5):
    if kind == "rms":
        return nn.RMSNorm(epsilon=eps)
    elif kind == "layer":
        return nn.LayerNorm(epsilon=eps)
    raise ValueError(f"no norm is called {kind}")
"""
MODEL = """

class Model(nn.Module):
    width: int
    kind: str = "rms"
    names: dict = None

    def setup(self):
        self.dense = nn.Dense(self.width)
        self.norm = make_norm(self.kind)

    def __call__(self, x):
        return self.norm(self.dense(x))
"""
CODE = f"import flax.linen as nn\n\n\n{FUNCTION}{MODEL}"


def _convert(tmp_path: Path, code: str) -> tuple[str, str]:
    path = tmp_path / "model.py"
    path.write_text(code)
    text, conversions = convert(path)
    refusal = conversions.refused.get("model.Model")
    return text, refusal.reason if refusal is not None else ""


def test_the_choice_and_its_error_stand_in_the_constructor(tmp_path: Path) -> None:
    text, reason = _convert(tmp_path, CODE)
    assert reason == ""
    assert (
        '        if self.kind == "rms":\n'
        "            self.norm = nnx.RMSNorm(self.width, epsilon=1e-5, rngs=rngs)\n"
        '        elif self.kind == "layer":\n'
        "            self.norm = nnx.LayerNorm(self.width, epsilon=1e-5, rngs=rngs)\n"
        "        else:\n"
        '            raise ValueError(f"no norm is called {self.kind}")\n'
    ) in text


def test_what_the_call_decides_is_left_out(tmp_path: Path) -> None:
    first = '    if groups:\n        return nn.GroupNorm(groups)\n    if kind == "rms"'
    function = FUNCTION.replace("eps=1e-5", "eps=1e-5, groups=0").replace('    if kind == "rms"', first)
    text, reason = _convert(tmp_path, CODE.replace(FUNCTION, function))
    assert reason == "" and "nnx.GroupNorm" not in text
    assert '        if self.kind == "rms":\n            self.norm = nnx.RMSNorm(' in text


def test_a_method_that_chooses_goes(tmp_path: Path) -> None:
    method = "    " + FUNCTION.replace("(kind, eps=1e-5)", "(self)").replace("kind", "self.kind").replace(
        "epsilon=eps", ""
    ).replace("\n    ", "\n        ")
    code = MODEL.replace("make_norm(self.kind)", "self.make_norm()") + f"\n{method}"
    text, reason = _convert(tmp_path, f"import flax.linen as nn\n{code}")
    assert reason == "" and "make_norm" not in text
    assert 'raise ValueError(f"no norm is called {self.kind}")' in text


CHANGES = {
    "a call within an expression": ("= make_norm(self.kind)", "= nn.Sequential([make_norm(self.kind)])"),
    "a function that may make nothing": ("    raise ValueError", "    if eps > 1:\n        raise ValueError"),
    "a function with a variable": ('    if kind == "rms"', '    eps = 2 * eps\n    if kind == "rms"'),
    "an error whose text has quotes in quotes": ("make_norm(self.kind)", "make_norm(self.names['norm'])"),
    "a loop around the layer": (
        "        return nn.LayerNorm(epsilon=eps)",
        "        for _ in range(2):\n            return nn.LayerNorm(epsilon=eps)",
    ),
    "a function that something decorates": ("def make_norm", "@cached\ndef make_norm"),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_functions_that_do_more_keep_the_class(tmp_path: Path, old: str, new: str) -> None:
    assert old in CODE
    assert _convert(tmp_path, CODE.replace(old, new))[1] != ""


def test_names_of_another_file_are_imported() -> None:
    function = FUNCTION.replace('kind == "rms"', "kind == RMS").replace("ValueError", "NormError")
    head = 'import flax.linen as nn\n\nRMS = "rms"\n\n\nclass NormError(ValueError):\n    pass\n\n\n'
    path = Path("/project/model.py")
    model = f"import flax.linen as nn\n\nfrom layers import make_norm\n{MODEL}"
    texts, _ = fix_files({Path("/project/layers.py"): head + function, path: model}, RULES)
    assert "from layers import NormError, RMS\n" in texts[path]
    assert "        if self.kind == RMS:\n" in texts[path]
    assert '            raise NormError(f"no norm is called {self.kind}")\n' in texts[path]
