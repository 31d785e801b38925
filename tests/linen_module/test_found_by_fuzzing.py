"""Classes that random programs have shown to be converted wrongly once: now equal, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.linen_fuzz.grammar.classes import HEADER
from benchmarks.linen_fuzz.judging import judge
from benchmarks.linen_fuzz.program import Model, Program
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.files import load_source

# id: (expected, construction, input shape, class); a refusal is told by a part of its reason
CASES: dict[str, tuple[str, str, str, str]] = {
    "layer factories that programs give": (
        "equal",
        "Net(dense=partial(nn.Dense, use_bias=False))",
        "(2, 5)",
        """
        class Net(nn.Module):
            dense: Any = nn.Dense

            @nn.compact
            def __call__(self, x):
                return self.dense(3)(x)
        """,
    ),
    "a loop whose target has one name twice": (
        "a loop that gives `size` two values in a round",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            sizes: Sequence[int] = (1, 1)
            width: int = 4

            @nn.compact
            def __call__(self, x):
                for size, size in enumerate(self.sizes):
                    for _ in range(size):
                        x = nn.Dense(self.width * 2**size)(x)
                return nn.Dense(3)(x)
        """,
    ),
    "a width renewed in setup": (
        "`width` has got another value meanwhile",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            widths: Any = (4, 4)

            def setup(self):
                *_, width = self.widths
                self.first = nn.Dense(width)
                width = width * 2
                self.second = nn.Dense(width)

            def __call__(self, x):
                return self.second(self.first(x))
        """,
    ),
    "the ends of a sequence": (
        "equal",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            widths: tuple[int, ...] = (4, 6)

            def setup(self):
                first, *_, width = self.widths
                self.first = nn.Dense(width)
                width = width * 2
                self.second = nn.Dense(width + first)

            def __call__(self, x):
                return self.second(self.first(x))
        """,
    ),
    "a rank that the callers contradict": (
        "known only when the module is called",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            width: int = 6

            @nn.compact
            def __call__(self, x):
                if x.ndim > 2:
                    x = nn.Dense(self.width)(x)
                return nn.Dense(3)(x)
        """,
    ),
    "a list of layers behind an early return": (
        "equal",
        "Net(False)",
        "(2, 5)",
        """
        class Net(nn.Module):
            skip: bool = True
            depth: int = 2

            @nn.compact
            def __call__(self, x):
                if self.skip:
                    return x
                blocks = [nn.Dense(x.shape[-1]) for _ in range(self.depth)]
                for block in blocks:
                    x = block(x)
                return x
        """,
    ),
    "widths assigned together in a loop": (
        "equal",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            widths: tuple[int, ...] = (4, 4)

            @nn.compact
            def __call__(self, x):
                hidden = max(4, 8)
                for f in self.widths:
                    hidden, f = hidden * 2, hidden
                    x = nn.Dense(f)(x)
                return x
        """,
    ),
    "a layer that may be missing": (
        "equal",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            project: bool = False

            def setup(self):
                self.shortcut = nn.Dense(7) if self.project else None
                self.last = nn.Dense(3)

            def __call__(self, x):
                if self.shortcut is not None:
                    x = self.shortcut(x)
                return self.last(x)
        """,
    ),
    "nested loops with one counter": (
        "equal",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            @nn.compact
            def __call__(self, x):
                for _ in range(2):
                    for _ in range(3):
                        x = nn.Dense(4)(x)
                        x = nn.Dense(6)(x)
                    x = nn.Dense(5)(x)
                return x
        """,
    ),
    "branches of elif in a loop": (
        "equal",
        "Net(depth=1)",
        "(2, 5)",
        """
        class Net(nn.Module):
            depth: int = 2
            wide: bool = True

            @nn.compact
            def __call__(self, x):
                for i in range(1, self.depth + 1):
                    if i % 2:
                        x = nn.Dense(6)(x)
                    elif self.wide:
                        x = nn.Dense(7)(x)
                    else:
                        x = nn.Dense(8)(x)
                    x = nn.Dense(3)(x)
                return x
        """,
    ),
    "a variable that a construction binds": (
        "within the construction of a module",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            features: int = 4

            @nn.compact
            def __call__(self, x):
                x = nn.Dense(width := self.features * 2)(x)
                width = width * 2
                return nn.Dense(width)(x)
        """,
    ),
    "a partial made with the old value of a width": (
        "`linen.Dense` is used in an unusual way",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            widths: tuple[int, ...] = (4, 6)

            @nn.compact
            def __call__(self, x):
                for w in self.widths:
                    make = partial(nn.Dense, w)
                    w = w * 2
                    x = make()(x)
                return x
        """,
    ),
    "a default made with the old value of a width": (
        "`linen.Dense` is used in an unusual way",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            features: int = 4

            @nn.compact
            def __call__(self, x):
                w = self.features

                def block(v, f=w):
                    return nn.Dense(f)(v)

                w = 7
                return block(x) + nn.Dense(4)(x)
        """,
    ),
    "a lambda in a loop that makes layers": (
        "equal",
        "Net()",
        "(2, 5)",
        """
        class Net(nn.Module):
            widths: tuple[int, ...] = (4, 6)

            @nn.compact
            def __call__(self, x):
                for w in self.widths:
                    make = lambda: nn.Dense(w)
                    x = make()(x)
                return x
        """,
    ),
}


@pytest.mark.parametrize(("expected", "construction", "shape", "code"), CASES.values(), ids=CASES)
def test_what_was_converted_wrongly_once(expected: str, construction: str, shape: str, code: str) -> None:
    model = Model(construction, (f"jnp.ones({shape})",))
    verdict = judge(Program(HEADER + dedent(code), (model,)))
    assert not verdict.failed, verdict
    if expected == "equal":
        assert verdict.kind == "equal", verdict.reasons
    else:
        assert verdict.kind == "refused"
        assert any(expected in reason for reason in verdict.reasons), verdict.reasons


BRANCHES = """
import flax.linen as nn


class Net(nn.Module):
    width: int = 6

    def _branch(self, x):
        return nn.relu(nn.Dense(self.width)(x))

    @nn.compact
    def __call__(self, x):
        return self._branch(x) + self._branch(x)


class Sub(Net):
    depth: int = 2
"""


def test_a_subclass_has_the_names_of_each_call_of_its_bases_helper(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(BRANCHES)
    converted = convert_project(Project([path], load_source)).converted
    assert converted["model.Sub"].entries == converted["model.Net"].entries


def test_a_subclass_that_calls_its_bases_helper_another_number_of_times(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    own = "\n    @nn.compact\n    def __call__(self, x):\n        return self._branch(x)\n"
    path.write_text(BRANCHES + own)
    assert "model.Sub" in convert_project(Project([path], load_source)).refused
