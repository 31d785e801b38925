"""Parameters that get the dtype of an array: it has to be known for the moment when the model is initialised."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.files import load_source
from tests.linen_module.fixture import convert

HEADER = """\
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    width: int = 4
    dtype: Any = jnp.float32
    maybe_dtype: Any = None

    @nn.compact
    def __call__(self, x):
"""
PARAM = "\nreturn x + self.param('w', nn.initializers.ones, (x.shape[-1],), x.dtype)\n"

KNOWN = {
    "an input's": ("pass", "in_dtype)"),
    "an input's, moved around": ("x = x.reshape(-1, x.shape[-1])", "in_dtype)"),
    "a layer's": ("x = nn.Dense(self.width)(x)", "jnp.float32)"),
    "a layer's behind much that isn't followed": (
        "x = nn.LayerNorm()(jnp.exp(x) * x.mean())",
        "jnp.float32)",
    ),
    "a layer's with a dtype": ("x = nn.Dense(self.width, dtype=self.dtype)(x)", "self.dtype)"),
    "one that an array is given": ("x = x.astype(self.dtype)", "self.dtype)"),
}


def model(tmp_path: Path, body: str, more: str = "") -> Path:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body), " " * 8) + more)
    return path


@pytest.mark.parametrize("case", KNOWN)
def test_dtypes_that_are_known(tmp_path: Path, case: str) -> None:
    before, expected = KNOWN[case]
    text, conversions = convert(model(tmp_path, before + PARAM))
    assert conversions.refused == {}
    parameter = text.partition("nnx.Param(")[2].partition("def __call__")[0]
    assert expected in parameter


UNKNOWN = {
    "numbers may make it another one": "x = x * 0.5",
    "a field that may be None": "x = nn.Dense(self.width, dtype=self.maybe_dtype)(x)",
    "parameters of another dtype": "x = nn.Dense(self.width, param_dtype=self.maybe_dtype)(x)",
    "a norm without parameters": "x = nn.LayerNorm(use_bias=False, use_scale=False)(x * 2.0)",
    "a function that can't be followed": "x = jax.lax.while_loop(lambda v: False, lambda v: v, x)",
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_dtypes_that_are_not_known(tmp_path: Path, case: str) -> None:
    _, conversions = convert(model(tmp_path, UNKNOWN[case] + PARAM))
    assert conversions.refused["model.Model"].reason == "dynamic-construction"


@pytest.mark.parametrize(
    "more",
    [
        'jax.config.update("jax_enable_x64", True)\n',
        "def spectrum(x):\n    return jnp.fft.rfft(x)\n",
        "def rotated(x):\n    return x * 1j\n",
        "model = Model(dtype=None)\n",
        "def mixed(x, layer):\n    return layer(jnp.fft.fft2(x)).real\n",
        "def mixed(x, layer):\n    return jax.vmap(layer)(jnp.fft.fft2(x)).real\n",
        "def kept(self, x):\n    self.spectrum = jnp.fft.rfft(x)\n    return jnp.abs(x)\n",
        "def turned(x):\n    y = jnp.exp(2j * x)\n    return y\n\n\ndef both(x):\n    y = turned(x)\n    return y\n",
        "def turned(x):\n    return jnp.exp(2j * x)\n\n\ndef both(x):\n    return jnp.abs(x).map(turned)\n",
        "def last(xs):\n    z = 0.0\n    for x in xs:\n        model(z)\n        z = jnp.fft.fft(x)\n        z = z.imag\n",
        "def keep(x, found):\n    z = jnp.fft.fft(x)\n    found.append(z)\n    return z.real\n",
        "def later(x):\n    z = jnp.fft.fft(x)\n    use = lambda: z\n    z = z.real\n    return use\n",
        "def maybe(x, found):\n    found += jnp.fft.rfft(x)\n    if x.ndim:\n        return found\n    return x.real\n",
    ],
)
def test_projects_in_which_a_layer_may_return_something_else(tmp_path: Path, more: str) -> None:
    body = "x = nn.Dense(self.width, dtype=self.dtype)(x)" + PARAM
    _, conversions = convert(model(tmp_path, body, "\n\n" + more))
    assert conversions.refused["model.Model"].reason == "dynamic-construction"


@pytest.mark.parametrize(
    "more",
    [
        'jax.config.update("jax_enable_x64", False)\n',
        'HELP = """Set jax_enable_x64 for more digits; jnp.fft is not used, nor 2j."""\n',
        "# jnp.fft would give other numbers\n",
        "def mixed(x):\n    return jnp.fft.fft2(x, axes=(-2, -1)).real\n",
        "def mixed(x):\n    return jax.vmap(jnp.fft.fft)(x).real\n",
        "def power(x):\n    found = jnp.fft.rfft(x)\n    return jnp.abs(found * jnp.exp(2j))\n",
        "def low_pass(x, keep):\n    return jnp.fft.irfft(jnp.fft.rfft(x)[..., :keep])\n",
        "def power(x):\n    found = jnp.fft.rfft(x)\n    found = jnp.abs(found)\n    return found**2.0\n",
        "def turned(x):\n    y = jnp.exp(2j * x)\n    return (1.0 / x) * y\n\n\n"
        "def both(x):\n    y = turned(x)\n    return jnp.concatenate([jnp.real(y), x * jnp.imag(y)])\n",
        "class Spectrum:\n    def power(self, x):\n        z = jnp.fft.fft(x)\n        self.p = z.real\n        return self.p\n",
    ],
)
def test_projects_that_only_speak_of_other_numbers(tmp_path: Path, more: str) -> None:
    body = "x = nn.Dense(self.width, dtype=self.dtype)(x)" + PARAM
    _, conversions = convert(model(tmp_path, body, "\n\n" + more))
    assert conversions.refused == {}


def test_a_layer_does_not_get_the_dtype_of_the_first_call(tmp_path: Path) -> None:
    _, conversions = convert(model(tmp_path, "return nn.Dense(self.width, dtype=x.dtype)(x)\n"))
    assert conversions.refused["model.Model"].reason == "dynamic-construction"


def test_a_module_hands_on_what_its_callers_know(tmp_path: Path) -> None:
    more = dedent("""

        class Outer(nn.Module):
            @nn.compact
            def __call__(self, tokens):
                return Model()(tokens) + Model()(nn.Dense(4)(tokens))


        class Lost(nn.Module):
            @nn.compact
            def __call__(self, tokens):
                return Model()(tokens * 0.5)
        """)
    text, conversions = convert(model(tmp_path, PARAM.strip() + "\n", more))
    assert "Model(in_features=in_features, in_dtype=in_dtype)" in text.replace(", rngs=rngs", "")
    assert "Model(in_features=4, in_dtype=jnp.float32" in text
    assert list(conversions.refused) == ["model.Lost"]


MAIN = """\
from model import Model


def size(n):
    return 2 * n


def train(n):
    return step(Model(), n)


def step(model, n):
    return model.init(key, jnp.zeros((n, 2)))
"""
SWITCH = 'import jax\n\njax.config.update("jax_enable_x64", True)\n'


@pytest.mark.parametrize(
    ("files", "known"),
    [
        ({"other.py": SWITCH}, True),
        ({"other.py": SWITCH, "main.py": "import other\nimport model\n"}, False),
        ({"other.py": SWITCH + "import model\n"}, False),
        ({"other.py": "import model\n" + SWITCH + "model.Model().init(key, x)\n"}, False),
        ({"other.py": "from model import jax as j\n" + SWITCH + "j.grad(f)(x)\n"}, True),
        ({"other.py": "from main import size\n" + SWITCH + "print(size(3))\n", "main.py": MAIN}, True),
        ({"other.py": "from main import train\n" + SWITCH + "train(3)\n", "main.py": MAIN}, False),
        ({"other.py": "import main\n" + SWITCH + "main.train(3)\n", "main.py": MAIN}, False),
        ({"other.py": "import main\n" + SWITCH + "run(main)\n", "main.py": MAIN}, False),
        ({"other.py": "import main\n" + SWITCH + "getattr(main, name)(3)\n", "main.py": MAIN}, False),
        ({"conftest.py": SWITCH}, False),
        ({"other.py": SWITCH, "main.py": "import hydra\nimport model\n"}, False),
        (
            {
                "other.py": SWITCH,
                "main.py": "import importlib\nimport model\nimportlib.import_module(name)\n",
            },
            False,
        ),
        (
            {
                "other.py": SWITCH,
                "main.py": "import importlib\nimport model\nimportlib.import_module('os')\n",
            },
            True,
        ),
    ],
)
def test_other_numbers_in_files_that_this_one_never_meets(
    tmp_path: Path, files: dict[str, str], known: bool
) -> None:
    path = model(tmp_path, "x = nn.Dense(self.width, dtype=self.dtype)(x)" + PARAM)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    project = Project([path, *(tmp_path / name for name in files)], load_source)
    assert (convert_project(project).refused == {}) is known
