import json
import subprocess
import sys
from pathlib import Path

import pytest

from nnx_migrate.numerics.leaf_transforms import Transform
from nnx_migrate.numerics.parameter_map import (
    ClassMap,
    MapFormatError,
    ParameterMap,
    leaf,
    load,
    module,
    save,
)

MAP = ParameterMap(
    {
        "pkg.models:CNN": ClassMap(
            (
                leaf(["params", "Dense_0", "kernel"], ["dense", "kernel"]),
                leaf([["params", "a", "w"], ["params", "b", "w"]], ["ab"], Transform("concat", axis=-1)),
                module(["encoder"], ["encoder"], "pkg.models:Encoder"),
                module(["Conv_{i + 1}"], ["convs", "{i}"], None, where="i % 2 == 0"),
                module(["layers_{i}"], ["layers"], "*", Transform("stack", inner=Transform("reshape"))),
            )
        ),
        "pkg.models:Encoder": ClassMap(),
    }
)


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / ".nnx-migrate" / "parameters.json"
    save(MAP, file)
    assert load(file) == MAP


def test_the_documented_file_format(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text(
        """{"version": 1, "modules": {"m:A": {"entries": [
            {"linen": ["params", "Dense_0", "kernel"], "nnx": ["dense", "kernel"]},
            {"linen": [["params", "ii", "kernel"], ["params", "if", "kernel"]], "nnx": ["dense_i", "kernel"],
             "transform": {"kind": "concat", "axis": -1}},
            {"linen": ["Conv_{i}"], "nnx": ["convs", "{i}"], "module": "flax.linen:Conv"},
            {"linen": ["s"], "nnx": ["s"], "module": null, "transform": "stack", "where": "i > 0"}]}}}"""
    )
    (class_map,) = load(file).modules.values()
    assert class_map.entries == (
        leaf(["params", "Dense_0", "kernel"], ["dense", "kernel"]),
        leaf(
            [["params", "ii", "kernel"], ["params", "if", "kernel"]],
            ["dense_i", "kernel"],
            Transform("concat", axis=-1),
        ),
        module(["Conv_{i}"], ["convs", "{i}"], "flax.linen:Conv"),
        module(["s"], ["s"], None, Transform("stack"), where="i > 0"),
    )


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    save(ParameterMap(), file)
    save(MAP, file)
    assert load(file) == MAP
    assert [p.name for p in tmp_path.iterdir()] == ["parameters.json"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no version"),
        ({"version": 2, "modules": {}}, "version 2"),
        ({"version": 1, "modules": {"m:A": {"entries": [{"linen": ["params", "x"]}]}}}, "m:A, entry 0.*nnx"),
        ({"version": 1, "modules": {"m:A": {"entries": [{"linen": ["x"], "nnx": ["x"]}]}}}, "collection"),
        (
            {"version": 1, "modules": {"m:A": {"entries": [{"linen": ["params", "{i"], "nnx": ["x"]}]}}},
            "unbalanced",
        ),
        (
            {
                "version": 1,
                "modules": {"m:A": {"entries": [{"linen": ["c", "x"], "nnx": ["x"], "transform": "y"}]}},
            },
            "unknown transform 'y'",
        ),
    ],
)
def test_unreadable_files_say_where(tmp_path: Path, document: object, message: str) -> None:
    file = tmp_path / "parameters.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(MapFormatError, match=message) as caught:
        load(file)
    assert "parameters.json" in str(caught.value)


def test_what_fix_uses_needs_no_jax() -> None:
    names = ["map_expansion", "parameter_map", "processes", "shapes_trace", "source"]
    code = f"import sys\nfor n in {names}: __import__('nnx_migrate.numerics.' + n)\n"
    code += "assert not {'jax', 'flax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
