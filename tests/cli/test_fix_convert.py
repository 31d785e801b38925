"""`fix --convert`: classes that move although code that uses them stays Linen, which goes on with copies."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import importlib
import sys
from pathlib import Path
from textwrap import dedent

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from tests.cli.conftest import Run

MODELS = """
    import flax.linen as nn
    from jax import numpy as jnp


    class Block(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            return nn.relu(nn.Dense(self.width)(x))


    class Net(nn.Module):
        width: int = 4

        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(Block(self.width)(x))


    class Halving(nn.Module):
        @nn.compact
        def __call__(self, x):
            while x.shape[-1] > 3:
                x = Block(x.shape[-1] // 2)(x)
            return x
"""
PROGRAM = """
    import jax
    import keeper
    from nets.models import Halving, Net


    def run(x):
        net: Net = Net(width=6)
        keeper.keep(net)
        variables = net.init(jax.random.key(0), x)
        return variables, net.apply(variables, x), Halving().init(jax.random.key(1), x)


    if __name__ == "__main__":
        run(jax.numpy.ones((1, 8)))
"""


@pytest.fixture
def files(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """A package whose program hands a model to code that nothing is known of."""
    (project / "nets").mkdir()
    paths = {name: project / "nets" / f"{name}.py" for name in ("__init__", "models", "program")}
    paths["__init__"].write_text("")
    paths["models"].write_text(dedent(MODELS).lstrip())
    paths["program"].write_text(dedent(PROGRAM).lstrip())
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "keeper.py").write_text("def keep(model):\n    assert model.apply\n")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.syspath_prepend(project)
    return paths


def imported(name: str) -> object:
    """A module of the project as it is now."""
    for known in [known for known in sys.modules if known.partition(".")[0] in ("nets", "nnx_compat")]:
        del sys.modules[known]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def test_programs_compute_the_same_with_the_copies(files: dict[str, Path], run: Run) -> None:
    x = jax.random.normal(jax.random.key(2), (3, 8))
    before = imported("nets.program").run(x)  # type: ignore[attr-defined]
    assert "Fixed" in run("fix", "--convert", "nets.models:Net", "--exit-zero").output
    after = imported("nets.program").run(x)  # type: ignore[attr-defined]
    jax.tree.map(np.testing.assert_array_equal, after, before)
    models = sys.modules["nets.models"]
    assert issubclass(models.LinenNet, linen.Module)
    assert issubclass(models.Halving, linen.Module)
    net = models.Net(6, in_features=8, rngs=nnx.Rngs(0))
    params = before[0]["params"]
    for layer, old in ((net.block.dense, params["Block_0"]["Dense_0"]), (net.dense, params["Dense_0"])):
        layer.kernel[...], layer.bias[...] = old["kernel"], old["bias"]
    np.testing.assert_array_equal(net(x), before[1])
    assert "import Halving, LinenNet\n" in files["program"].read_text()


def test_without_being_asked_for_they_stay(files: dict[str, Path], run: Run) -> None:
    result = run("fix", "--output-format", "full")
    assert files["models"].read_text() == dedent(MODELS).lstrip()
    assert "`fix --convert Net`" in result.output
    assert "`fix --convert Halving`" not in result.output  # which can't be converted at all


@pytest.mark.parametrize("pattern", ["*", "Net,Block", "models.Net"])
def test_patterns(files: dict[str, Path], run: Run, pattern: str) -> None:
    run("fix", "--convert", pattern)
    assert "class Net(nnx.Module)" in files["models"].read_text()


def test_the_configuration_may_ask(files: dict[str, Path], project: Path, run: Run) -> None:
    (project / "pyproject.toml").write_text('[tool.nnx-migrate]\nconvert = ["Net"]\n')
    run("fix")
    assert "class Net(nnx.Module)" in files["models"].read_text()


def test_what_another_asked_class_does_not_need_stays(files: dict[str, Path], run: Run) -> None:
    run("fix", "--convert", "Block")
    text = files["models"].read_text()
    assert "class Block(nnx.Module)" in text
    assert "class Net(nn.Module)" in text
    assert "LinenBlock(self.width)(x)" in text


def test_unknown_names_are_errors(files: dict[str, Path], run: Run) -> None:
    result = run("fix", "--convert", "Nets")
    assert result.exit_code == 2
    assert "--convert Nets: no Linen class of that name in the given files" in result.output


SHARED = [
    # modules read the table, and a program that stays does
    (
        "BLOCKS = {'plain': Block}\n\n\nclass Chosen(nn.Module):\n    kind: str = 'plain'\n\n    @nn.compact\n"
        "    def __call__(self, x):\n        return BLOCKS[self.kind](4)(x)\n",
        "import keeper\nfrom nets.models import BLOCKS\n\nkeeper.keep(BLOCKS['plain'](3))\n",
    ),
    # a function that both call
    (
        "def make(width):\n    return Block(width)\n\n\nclass Made(nn.Module):\n    @nn.compact\n"
        "    def __call__(self, x):\n        return make(4)(x)\n",
        "import keeper\nfrom nets.models import make\n\nkeeper.keep(make(3))\n",
    ),
    # a method of an object that modules hold
    (
        "class Maker:\n    def block(self):\n        return Block(4)\n\n\nclass Made(nn.Module):\n    maker: Maker\n\n"
        "    @nn.compact\n    def __call__(self, x):\n        return self.maker.block()(x)\n",
        "import keeper\nfrom nets.models import Maker\n\nkeeper.keep(Maker().block())\n",
    ),
    # what a configuration has by default
    (
        "class Settings:\n    block = Block\n\n\nclass Made(nn.Module):\n    settings: object\n\n    @nn.compact\n"
        "    def __call__(self, x):\n        return self.settings.block(4)(x)\n",
        "import keeper\nfrom nets.models import Made, Settings\n\nkeeper.keep(Made(Settings()))\n",
    ),
    (
        "class Settings:\n    def __init__(self):\n        self.block = Block\n\n\nclass Made(nn.Module):\n"
        "    settings: object\n\n    @nn.compact\n    def __call__(self, x):\n"
        "        return self.settings.block(4)(x)\n",
        "import keeper\nfrom nets.models import Made, Settings\n\nkeeper.keep(Made(Settings()))\n",
    ),
    # a registry, which is filled when the file is read
    ("import keeper\n\nkeeper.keep(Block(3))\n", ""),
]


@pytest.mark.parametrize(("definitions", "program"), SHARED)
def test_code_that_modules_and_programs_share(
    files: dict[str, Path], run: Run, definitions: str, program: str
) -> None:
    text = dedent(MODELS).lstrip() + "\n\n" + definitions
    files["models"].write_text(text)
    files["program"].write_text(program)
    run("fix", "--convert", "*")
    after = files["models"].read_text()
    assert "class Block(nn.Module)" in after
    assert "LinenBlock" not in after


def test_hidden_uses_hold_it(files: dict[str, Path], run: Run) -> None:
    files["program"].write_text(
        "import sys\nfrom nets import models\n\nprint(getattr(models, sys.argv[1])(width=3))\n"
    )
    run("fix", "--convert", "*")
    assert files["models"].read_text() == dedent(MODELS).lstrip()


def test_a_program_that_migrates_goes_on_without_copies(files: dict[str, Path], run: Run) -> None:
    """What nothing stands in the way of moves with its programs, also where it is asked for."""
    files["program"].write_text(files["program"].read_text().replace("    keeper.keep(net)\n", ""))
    run("fix", "--convert", "Net")
    text = files["program"].read_text()
    assert "LinenNet" not in text
    assert "Functional(Net, width=6" in text


def test_names_of_parameters_in_programs_that_stay(files: dict[str, Path], run: Run) -> None:
    program = files["program"].read_text().replace(
        "    return variables", '    print(variables["params"]["Block_0"]["Dense_0"])\n    return variables'
    )  # fmt: skip
    files["program"].write_text(program)
    run("fix", "--convert", "Net")
    assert '["Block_0"]["Dense_0"]' in files["program"].read_text()


def test_the_copies_do_not_show_in_other_numbers(files: dict[str, Path], run: Run) -> None:
    """A second run leaves the copies alone."""
    run("fix", "--convert", "*")
    texts = {path: path.read_text() for path in files.values()}
    run("fix", "--convert", "*")
    assert {path: path.read_text() for path in files.values()} == texts
    assert jnp.all(imported("nets.program").run(jnp.ones((2, 8)))[1] < jnp.inf)  # type: ignore[attr-defined]
