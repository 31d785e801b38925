"""What holds for the repository as a whole."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from nnx_migrate.config import Config, ConfigError, load_config
from nnx_migrate.engine.registry import builtin_rules

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "nnx_migrate/config.schema.json").read_text())


def test_check_and_fix_import_neither_jax_nor_libcst(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import jax\njax.tree_map(f, x)\nimport flax.linen as nn\nclass M(nn.Module): pass\n"
    )
    program = (
        "import sys\nfrom nnx_migrate.cli import group\n"
        f"for command in ('check', 'fix'):\n    try: group([command, {str(tmp_path)!r}])\n    except SystemExit: pass\n"
        "heavy = {'jax', 'flax', 'numpy', 'libcst', 'rich', 'optax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


CONFIGS = [
    ('select = ["ALL"]', True),
    ('select = "ALL"', False),
    ("unknown = 1", False),
    ("bridge = false", True),
    ('bridge = "no"', False),
    ('convert = ["pkg.models:CNN", "*Block"]', True),
    ('convert = "*"', False),
    ('numerics = "native"', True),
    ('numerics = "fast"', False),
    ('programs = "functional"', True),
    ('programs = "pure"', False),
    ('[tool.nnx-migrate.per-file-ignores]\n"a/*" = ["jax"]', True),
    ('[tool.nnx-migrate.inputs]\n"m:C" = "f32[1]"', False),
    ('[tool.nnx-migrate.inputs]\n"m:C" = ["f32[1,8]", "i32[]"]', True),
    ('[tool.nnx-migrate.inputs]\n"m:C" = ["1,8"]', False),
    ('[[tool.nnx-migrate.verify]]\nmodel = "m:C"', True),
    ("verify = 3", False),
    ('baseline = "b.json"\ntarget-flax = "0.12"\nrules = []', True),
]


@pytest.mark.parametrize(("text", "valid"), CONFIGS)
def test_the_schema_accepts_what_the_program_accepts(tmp_path: Path, text: str, valid: bool) -> None:
    import tomllib

    (tmp_path / "pyproject.toml").write_text(f"[tool.nnx-migrate]\n{text}\n")
    table = tomllib.loads(f"[tool.nnx-migrate]\n{text}\n")["tool"]["nnx-migrate"]
    assert jsonschema.Draft7Validator(SCHEMA).is_valid(table) is valid
    if valid:
        load_config(tmp_path)
    else:
        with pytest.raises(ConfigError):
            load_config(tmp_path)


def test_the_schema_knows_every_setting() -> None:
    settings = {field.name.replace("_", "-") for field in dataclasses.fields(Config)} - {"root", "file"}
    assert set(SCHEMA["properties"]) == settings


def test_an_input_that_states_no_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.nnx-migrate.inputs]\n"m:B" = []\n"m:C" = ["f23[1]"]\n')
    with pytest.raises(ConfigError, match=r"pyproject.toml:3: inputs of m:C: 'f23\[1\]' .* write one of"):
        load_config(tmp_path)


def test_every_rule_in_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"--rule ([a-z0-9-]+)", readme))
    assert named
    assert named <= builtin_rules().keys()


def test_the_hooks_run_commands_that_exist() -> None:
    from click.testing import CliRunner

    from nnx_migrate.cli import group

    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    entries = re.findall(r"entry: nnx-migrate (.*)", text)
    assert len(entries) == 2
    for entry in entries:
        with CliRunner().isolated_filesystem():
            Path("a.py").write_text("x = 1\n")
            assert CliRunner().invoke(group, [*entry.split(), "a.py"]).exit_code == 0


def test_every_package_is_shipped() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {p.parent.relative_to(ROOT) for p in (ROOT / "nnx_migrate").rglob("__init__.py")}
    assert listed == {".".join(folder.parts) for folder in folders} | {"nnx_migrate.rules"}
