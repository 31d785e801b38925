"""Running fixtures on JAX and comparing what their `main()` returns."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fixtures.eras.record import source_digest
from tests.rules.harness import Case
from tests.rules.keys import plain_keys

# Since JAX 0.5 random streams differ unless this is off (facts: threefry_partitionable).
_OLD_STREAMS = ("flax-0.3", "flax-0.5", "jax-0.4.13")


def run_main(case: Case, side: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """`main()` of one side as numpy arrays, and the deprecation warnings that its own lines caused."""
    entry = case.entry(side)
    root = entry.parent
    with (
        _config(case, side),
        _modules_below(root),
        plain_keys() if case.rule.startswith("linen-") else nullcontext(),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        if entry.name == "main.py":
            sys.path.insert(0, str(root))
        try:
            name = f"fixture_{case.rule}_{case.folder.name}_{side}".replace("-", "_")
            spec = importlib.util.spec_from_file_location(name, entry)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # dataclasses and pickling look modules up
            spec.loader.exec_module(module)
            result = {key: to_numpy(value) for key, value in module.main().items()}
        finally:
            sys.modules.pop(name, None)
            if entry.name == "main.py":
                sys.path.remove(str(root))
    ours = [
        str(w.message)
        for w in caught
        if issubclass(w.category, DeprecationWarning | FutureWarning) and str(root) in w.filename
    ]
    return result, ours


def recorded(case: Case) -> dict[str, np.ndarray]:
    """What before.py returned in its era. Fails where before.py has changed since."""
    provenance = json.loads((case.folder / "recorded.json").read_text())
    digest = source_digest(case.folder)
    assert provenance["sha256"] == digest, f"{case.id}: before changed; run fixtures/eras/record.py"
    with np.load(case.folder / "recorded.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


def to_numpy(value: Any) -> np.ndarray:
    """A leaf as numpy; typed keys as their data."""
    import jax

    if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    return np.asarray(value)


def assert_equal(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], tolerance: float | None
) -> None:
    """Same names, shapes, dtypes and bits; with `tolerance`, close in its sense (relative and absolute)."""
    assert before, "main() returned nothing to compare"
    assert before.keys() == after.keys()
    for key, old in before.items():
        new = after[key]
        assert old.shape == new.shape, f"{key}: shape {old.shape} became {new.shape}"
        assert old.dtype == new.dtype, f"{key}: dtype {old.dtype} became {new.dtype}"
        if tolerance is None:
            np.testing.assert_array_equal(old, new, err_msg=key)
        else:
            np.testing.assert_allclose(old, new, rtol=tolerance, atol=tolerance, err_msg=key)


@contextmanager
def _config(case: Case, side: str) -> Iterator[None]:
    """JAX's configuration as it was afterwards; on the after side the random streams of the recorded era."""
    import jax

    saved = dict(jax.config.values)
    if case.settings.get("era") in _OLD_STREAMS and side == "after":
        jax.config.update("jax_threefry_partitionable", False)
    try:
        yield
    finally:
        for key, value in saved.items():
            if jax.config.values[key] != value:
                jax.config.update(key, value)


@contextmanager
def _modules_below(root: Path) -> Iterator[None]:
    """Forget the modules that a multi-file fixture imports, so that the other side gets its own."""
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{root}/"):
                del sys.modules[name]
