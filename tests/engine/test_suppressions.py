from __future__ import annotations

import pytest

from nnx_migrate.engine.suppressions import UNUSED
from tests.rules.harness import check_text, fix_text

CALL = "y = jax.tree_map(f, x)"


def rules_of(code: str) -> list[str]:
    return [f.rule for f in check_text(code, "ALL")]


@pytest.mark.parametrize(
    "code",
    [
        f"import jax\n{CALL}  # nnx-migrate: ignore[jax-tree] kept for old jax\n",
        f"import jax\n{CALL}  # nnx-migrate: ignore\n",
        f"import jax\n{CALL}  # nnx-migrate: ignore[jax] a whole group\n",
        f"import jax\n{CALL}  # noqa: jax-tree\n",
        f"import jax\n{CALL}  # noqa: E501, jax-tree\n",
        f"import jax\n{CALL}  # noqa\n",
        f"import jax\n# nnx-migrate: ignore[jax-tree]\n{CALL}\n",
        f"# nnx-migrate: ignore-file[jax-tree] vendored\nimport jax\n{CALL}\n",
    ],
)
def test_silenced(code: str) -> None:
    assert rules_of(code) == []
    assert fix_text(code, "ALL") == code


@pytest.mark.parametrize(
    "code",
    [
        f"import jax\n{CALL}  # noqa: E501\n",
        f"import jax\n{CALL}  # ignore me\n",
        f"import jax\n# nnx-migrate: ignore[jax-tree]\n\n{CALL}\n",
        f's = "# nnx-migrate: ignore-file[jax-tree]"\nimport jax\n{CALL}\n',
    ],
)
def test_not_silenced(code: str) -> None:
    assert "jax-tree" in rules_of(code)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import jax\nx = 1  # nnx-migrate: ignore[jax-tree]\n", "import jax\nx = 1\n"),
        ("import jax\nx = 1  # nnx-migrate: ignore\ny = 2\n", "import jax\nx = 1\ny = 2\n"),
        ("import jax\n# nnx-migrate: ignore[jax-tree]\nx = 1\n", "import jax\nx = 1\n"),
        (
            f"import jax\n{CALL}  # nnx-migrate: ignore[jax-tree, jax-config]\n",
            f"import jax\n{CALL}  # nnx-migrate: ignore[jax-tree]\n",
        ),
    ],
)
def test_unused_suppressions_are_found_and_removed(before: str, after: str) -> None:
    assert rules_of(before) == [UNUSED]
    assert fix_text(before, "ALL") == after


def test_others_noqas_are_none_of_our_business() -> None:
    assert rules_of("import jax\nx = 1  # noqa: E501\ny = 2  # noqa\n") == []
