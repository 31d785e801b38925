from pathlib import Path

import pytest

from nnx_migrate.engine import catalog
from nnx_migrate.engine.catalog import Card, all_cards
from nnx_migrate.engine.registry import builtin_rules


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def forbid_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "builtin_rules", lambda: pytest.fail("the rules were imported"))


def test_cards_say_what_the_rules_say(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = all_cards()
    forbid_imports(monkeypatch)
    kept = all_cards()
    assert list(kept) == list(fresh) == list(builtin_rules())
    for name, rule in builtin_rules().items():
        assert kept[name] == Card.of(rule)
        assert type(kept[name].rule) is type(rule)


def test_a_damaged_or_old_cache_is_made_anew(cache_home: Path) -> None:
    expected = all_cards()
    (stored,) = (cache_home / "nnx-migrate").iterdir()
    good = stored.read_bytes()
    for bad in (b"", b"nonsense", good[:100]):
        stored.write_bytes(bad)
        assert all_cards() == expected
        assert stored.read_bytes() == good


def test_without_cache_nothing_is_written(cache_home: Path) -> None:
    all_cards(use_cache=False)
    assert list(cache_home.iterdir()) == []
