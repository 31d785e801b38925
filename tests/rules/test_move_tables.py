"""Every row of every table, held against the installed releases."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import warnings

import pytest

from nnx_migrate.engine.context import LAZY_MODULES
from nnx_migrate.engine.moves import Move, MovesRule
from nnx_migrate.engine.reasons import MOVE_REASONS
from nnx_migrate.engine.registry import builtin_rules
from nnx_migrate.engine.rule import Rule
from tests.rules.harness import all_cases, check_files

ROWS = [
    (rule.id, move) for rule in builtin_rules().values() if isinstance(rule, MovesRule) for move in rule.moves
]
TABLE_RULES = {rule_id for rule_id, _ in ROWS}
START = {"pair": "before", "noop": "noop", "finding": "finding"}
# Old names that still work without a DeprecationWarning, and why they are reported all the same.
STILL_THERE = {
    "jax.host_id": "warns with UserWarning",
    "jax.host_count": "warns with UserWarning",
    "jax.host_ids": "warns with UserWarning",
    "optax.global_norm": "warns when it is called",
    "optax.inject_stateful_hyperparams": "warns when it is called",
    "optax.convex_kl_divergence": "warns when it is called",
    "optax.losses.convex_kl_divergence": "warns when it is called",
    "optax.optimistic_adam": "warns when it is called",
    "orbax.checkpoint.v1.save_pytree": "warns when it is called",
    "orbax.checkpoint.v1.load_pytree": "warns when it is called",
    "orbax.checkpoint.experimental.v1.save_pytree": "warns when it is called",
    "orbax.checkpoint.experimental.v1.load_pytree": "warns when it is called",
    "torch.utils.dlpack.to_dlpack": "a name of PyTorch's; JAX takes no capsules",
    "flax.nnx.State.merge": "warns when it is called",
    "flax.nnx.pure": "warns when it is called",
    "flax.nnx.abstract_with_sharding": "warns when it is called",
    "flax.nnx.vars_as": "warns when it is called",
    "flax.experimental.nnx": "an alias that Flax keeps for old code",
    "flax.jax_utils.pmean": "warns when it is called",
    "flax.training.prefetch_iterator": "warns when it is used",
    "flax.traverse_util.Traversal": "warns when it is used",
    "flax.traverse_util.ModelParamTraversal": "warns when it is used",
    "flax.traverse_util.TraverseTree": "warns when it is used",
}


def row_id(row: tuple[str, Move]) -> str:
    return f"{row[0]}:{row[1].old}"


def lookup(name: str) -> object:
    """The object with a qualified name; raises ImportError or AttributeError."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def names_written(move: Move) -> set[str]:
    names = {move.new, move.keep}
    for template in (move.call, move.value):
        names |= set(re.findall(r"<([A-Za-z_][\w.]*)>", template))
    return names - {""}


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_what_a_row_writes_is_there_and_current(row: tuple[str, Move]) -> None:
    for name in names_written(row[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            assert lookup(name) is not None


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row[1].new != row[1].old and row[1].old not in STILL_THERE], ids=row_id
)
def test_what_a_row_replaces_is_gone_or_warns(row: tuple[str, Move]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        with pytest.raises((ImportError, AttributeError, DeprecationWarning)):
            lookup(row[1].old)


@pytest.mark.parametrize("name", [n for n in STILL_THERE if not n.startswith("torch.")])
def test_the_exceptions_are_exceptions(name: str) -> None:
    assert lookup(name) is not None
    assert any(move.old == name for _, move in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_row_without_replacement_says_what_to_do(row: tuple[str, Move]) -> None:
    move = row[1]
    if move.is_manual:
        assert move.help
    assert move.message.startswith(("`", "these arguments"))


@pytest.mark.parametrize(
    "rule", [r for r in builtin_rules().values() if isinstance(r, MovesRule)], ids=lambda r: r.id
)
def test_rows_have_different_names(rule: Rule) -> None:
    assert isinstance(rule, MovesRule)
    olds = [move.old for move in rule.moves]
    assert len(olds) == len(set(olds))


def test_lazy_modules_need_an_import_of_their_own() -> None:
    for root in ("jax", "flax"):
        names = sorted(n for n in LAZY_MODULES if n.startswith(f"{root}."))
        loaded = "n in sys.modules and hasattr(sys.modules[n.rpartition('.')[0]], n.rpartition('.')[2])"
        script = f"import {root}, sys\nprint([n for n in {names!r} if {loaded}])"
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert out.stdout.strip() == "[]", root
        for name in names:
            importlib.import_module(name)


def test_findings_without_fix_carry_documented_reasons() -> None:
    for case in all_cases():
        if case.rule in TABLE_RULES:
            for finding in check_files(case.files(START[case.kind]), case.rules, case.targets).findings:
                assert finding.fix is not None or finding.reason in MOVE_REASONS, finding
