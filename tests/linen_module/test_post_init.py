"""`__post_init__`: run once by the constructor where Linen's many runs would leave the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_state import conversion

CODE = """
import flax.linen as nn
import jax


class Model(nn.Module):
    dim: int = 2
    width: int | None = None

    def __post_init__(self):
        {lines}
        super().__post_init__()

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.dim)(x)
{more}"""

REFUSED = {
    "changed in each copy": (
        "self.dim = 2 * self.dim",
        "changes the field `dim` again in every copy of the module",
    ),
    "changed under another condition": ("if self.dim > 3: self.width = 1", "changes the field `width` again"),
    "read before": (
        "self.double = 2 * (self.width or 1)\n        if self.width is None:\n            self.width = 3",
        "reads the field `width` before it changes it",
    ),
    "with a module": ("self.inner = nn.Dense(3)", "a module is created in `__post_init__`"),
    "with a loop that isn't followed": ("while self.dim < 0: pass", "does more than compute attributes"),
}


@pytest.mark.parametrize(("lines", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_stays(tmp_path: Path, lines: str, detail: str) -> None:
    found = conversion(tmp_path, CODE.format(lines=lines, more=""))
    assert found.startswith("unsupported-api: ") and detail in found


def test_a_changed_field_that_programs_read(tmp_path: Path) -> None:
    lines = "self.width = self.width or 4"
    assert "self.width = self.width or 4" in conversion(tmp_path, CODE.format(lines=lines, more=""))
    more = "\n\nmodel = Model()\nprint(model.width)\n"
    found = conversion(tmp_path, CODE.format(lines=lines, more=more))
    assert found == (
        "unsupported-api: `__post_init__` changes a field, and `model.width` may read it from outside"
    )


def test_a_local_that_hides_a_parameter(tmp_path: Path) -> None:
    lines = "dim = self.dim\n        self.half = dim // 2"
    found = conversion(tmp_path, CODE.format(lines=lines, more=""))
    assert found == "name-clash: `dim` is a local variable of `__post_init__`"
