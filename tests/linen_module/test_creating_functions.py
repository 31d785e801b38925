"""Functions that create layers for the module that calls them: they get the layers as arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert
from tests.linen_module.test_layer_functions import converted
from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
BLOCK = "def block(x, n, train=False):\n    x = nn.Dense(n)(x)\n    return nn.relu(x)\n"

WRITTEN = {
    "what becomes of the result": (
        BLOCK,
        "x = block(x, self.n)\n        return block(x, n=2 * self.n, train=train)",
        [
            "def block(x, train=False, *, dense):\n    x = dense(x)\n    return nnx.relu(x)\n",
            "x = block(x, dense=self.dense_0)\n        return block(x, train=train, dense=self.dense_1)",
            "self.dense_1 = nnx.Linear(self.n, 2 * self.n, rngs=rngs)",
        ],
    ),
    "layers in layers": (
        "def block(x, n):\n    return nn.Dense(n)(nn.LayerNorm()(x))\n",
        "return block(x, self.n)",
        [
            "def block(x, *, dense, layer_norm):\n    return dense(layer_norm(x))",
            "return block(x, dense=self.dense, layer_norm=self.layer_norm)",
        ],
    ),
    "a layer that has a variable": (
        "def block(x, n):\n    inner = nn.Dense(n)\n    x = inner(x)\n    return x + 1\n",
        "return block(x, self.n)",
        ["def block(x, *, inner):\n    x = inner(x)\n    return x + 1", "block(x, inner=self.inner)"],
    ),
    "an input that the function changes": (
        "def block(x, n):\n    x = x * 2\n    return nn.Dense(n)(x)\n",
        "return block(x, self.n)",
        ["def block(x, *, dense):\n    x = x * 2\n    return dense(x)"],
    ),
    "a parameter that is used for something else, too": (
        "def block(x, n):\n    return nn.Dense(n)(x) / n\n",
        "return block(x, self.n)",
        ["def block(x, n, *, dense):\n    return dense(x) / n", "return block(x, self.n, dense=self.dense)"],
    ),
    "a function in a function": (
        "def dense(n):\n    return nn.Dense(n)\n\n\ndef block(x, n):\n    return dense(n)(x) + 1\n",
        "return block(x, self.n)",
        ["def dense(n):\n    return nn.Dense(n)\n", "def block(x, *, dense_0):\n    return dense_0(x) + 1"],
    ),
    "a layer that only some calls need": (
        "def block(x, n, project=True):\n    y = nn.Dense(n)(x)\n    if project:\n        y = nn.Dense(n, name='p')(y)\n"
        "    return y\n",
        "x = block(x, self.n, False)\n        return block(x, self.n)",
        [
            "def block(x, project=True, *, dense_0, dense_1=None):",
            "x = block(x, False, dense_0=self.dense_0)",
        ],
    ),
    "a layer that sizes decide about": (
        "def block(x, n):\n    y = nn.Dense(n)(x)\n    if x.shape[-1] != n:\n        x = nn.Dense(n, use_bias=False)(x)\n"
        "    return x + y\n",
        "x = block(x, self.n)\n        return block(x, self.n)",
        ["        else:\n            self.dense_1 = None\n", "def block(x, n, *, dense_0, dense_1=None):"],
    ),
    "a loop around the call": (
        BLOCK,
        "for i in range(3):\n            x = block(x, self.n + i)\n        return x",
        ["for dense in self.dense_layers:\n            x = block(x, dense=dense)"],
    ),
    "a default that the module's own names make": (
        "SCALE = 0.5\n\n\ndef block(x, n, init=nn.initializers.normal(SCALE)):\n"
        "    return nn.relu(nn.Dense(n, kernel_init=init)(x))\n",
        "return block(x, self.n)",
        ["kernel_init=nnx.initializers.normal(SCALE), rngs=rngs", "def block(x, *, dense):"],
    ),
    "an early return": (
        "def block(x, n, last=True):\n    x = nn.Dense(n)(x)\n    if not last:\n        return x\n    return nn.LayerNorm()(x)\n",
        "x = block(x, self.n, self.n > 2)\n        return nn.Dense(2)(x)",
        [
            "if not (self.n > 2):\n            self.layer_norm = None\n        else:\n            self.layer_norm = nnx.LayerNorm("
        ],
    ),
    "a parameter of the module": (
        "def scaled(module, x, name):\n    return x * module.param(name, nn.initializers.ones, (x.shape[-1],))\n",
        "x = scaled(self, x, 'a')\n        return scaled(self, nn.Dense(self.n)(x), 'b')",
        [
            "def scaled(x, *, a):\n    return x * a[...]\n",
            "x = scaled(x, a=self.a)\n        return scaled(self.dense(x), a=self.b)",
        ],
    ),
    "a parameter of some modules": (
        "def shifted(self, x, learned):\n    if learned:\n        x = x + self.param('b', nn.initializers.zeros, (1,))\n"
        "    return x * self.n\n",
        "return nn.Dense(3)(shifted(self, x, self.n > 2))",
        [
            "        else:\n            self.b = None\n",
            "def shifted(self, x, learned, *, b=None):",
            "x = x + b[...]",
        ],
    ),
    "arguments that it hands on": (
        "def norm(kind, *args, **kwargs):\n    if kind == 'rms':\n        return nn.RMSNorm(*args, **kwargs)\n"
        "    return nn.LayerNorm(*args, **kwargs)\n",
        "x = norm('rms' if self.n > 2 else 'layer', 1e-5, use_scale=False)(x)\n        return nn.Dense(2)(x)",
        [
            "def norm(kind, *, rms_norm=None, layer_norm=None):",
            "self.rms_norm = nnx.RMSNorm(\n                in_features, epsilon=1e-5, use_scale=False, rngs=rngs\n            )",
            "            'rms' if self.n > 2 else 'layer',\n            rms_norm=self.rms_norm,\n            layer_norm=self.layer_norm,",
        ],
    ),
    "a function of the method in another one": (
        "",
        "def layer(x, n):\n            return nn.relu(nn.Dense(n)(x))\n\n"
        "        def tower(x, n):\n            return layer(layer(x, n), 2 * n)\n\n"
        "        x = tower(x, self.n)\n        return tower(x, 3)",
        [
            "def layer(x, *, dense):\n            return nnx.relu(dense(x))",
            "def tower(x, *, dense_0, dense_1):\n            return layer(layer(x, dense=dense_0), dense=dense_1)",
            "return tower(x, dense_0=self.dense_2, dense_1=self.dense_3)",
        ],
    ),
}


@pytest.mark.parametrize(("functions", "body", "parts"), WRITTEN.values(), ids=WRITTEN)
def test_functions_get_the_layers(tmp_path: Path, functions: str, body: str, parts: list[str]) -> None:
    text, reason = converted(tmp_path, functions, body)
    assert reason == ""
    for part in parts:
        assert part in text


LEFT = {
    "a spread argument": (
        "unsupported-syntax",
        BLOCK,
        "args = (self.n, train)\n        return block(x, *args)",
    ),
    "a function that takes anything": (
        "unsupported-syntax",
        "def block(x, *sizes):\n    return nn.relu(nn.Dense(sizes[0])(x))\n",
        "return block(x, self.n)",
    ),
    "arguments that it counts": (
        "unsupported-syntax",
        "def block(x, n, **more):\n    return nn.Dense(n, **more)(x) * len(more)\n",
        "return block(x, self.n, use_bias=False)",
    ),
    "arguments that it hands on to others": (
        "unsupported-syntax",
        "def block(x, n, *args):\n    return nn.relu(nn.Dense(n, *args)(scaled(x, *args)))\n\n\n"
        "def scaled(x, use_bias):\n    return x * use_bias\n",
        "return block(x, self.n, True)",
    ),
    "arguments that draw numbers": (
        "unsupported-syntax",
        "def block(x, n, **more):\n    return nn.relu(nn.Dense(n, **more)(x))\n",
        "import jax\n        return block(x, self.n, name=str(self.make_rng('names')))",
    ),
    "a mode that the caller binds": (
        "mode-flag",
        "def block(x, norm):\n    return nn.relu(norm()(x))\n",
        "norm = lambda: nn.BatchNorm(use_running_average=not train)\n        return block(x, norm)",
    ),
    "a layer that only the call decides about": (
        "dynamic-construction",
        "def block(x, n, train):\n    if train:\n        x = nn.Dense(n)(x)\n    return nn.relu(x)\n",
        "return block(x, self.n, train)",
    ),
    "a function that another one calls for each leaf": (
        "dynamic-construction",
        "import jax\n\n\n" + BLOCK,
        "return jax.tree.map(lambda y: block(y, self.n), x)",
    ),
    "a function that another one calls for each of some arrays": (
        "dynamic-construction",
        "import jax\n\n\n" + BLOCK,
        "x = nn.relu(x) + 1.0\n        return jax.tree.map(lambda y: block(y, self.n), [x, x * 2])[0]",
    ),
    "a function that something unknown calls for us": (
        "unsupported-syntax",
        BLOCK,
        "return jax.tree.map(lambda y: block(y, self.n), [x, x])[0]",
    ),
    "a class that isn't known in one of the calls": (
        "unknown-module",
        "from layers import Other\n\n\ndef block(x, cls, n):\n    return nn.relu(cls(n)(x))\n",
        "x = block(x, nn.Dense, self.n)\n        return block(x, Other, self.n)",
    ),
    "comments between the parameters": (
        "unsupported-syntax",
        "def block(x,  # the input\n          n):\n    return nn.relu(nn.Dense(n)(x))\n",
        "return block(x, self.n)",
    ),
    "a variable of the module": (
        "unsupported-syntax",
        "def counted(module, x):\n    count = module.variable('stats', 'count', jnp.zeros, ())\n"
        "    count.value = count.value + 1\n    return x\n",
        "return nn.Dense(3)(counted(self, x))",
    ),
    "a parameter for each round": (
        "unsupported-syntax",
        "def scaled(self, x, i):\n    return x * self.param(f's{i}', nn.initializers.ones, (3,))\n",
        "for i in range(3):\n            x = scaled(self, x, i)\n        return x",
    ),
    "a random key of the module": (
        "unsupported-syntax",
        "import jax\n\n\ndef noisy(module, x):\n"
        "    return x + jax.random.normal(module.make_rng('noise'), x.shape)\n",
        "return nn.Dense(3)(noisy(self, x))",
    ),
    "something sown": (
        "unsupported-syntax",
        "def kept(module, x):\n    module.sow('intermediates', 'x', x)\n    return x\n",
        "return nn.Dense(3)(kept(self, x))",
    ),
    "a submodule that NNX calls in another way": (
        "unsupported-syntax",
        "def run(dropout, x):\n    return dropout(x * 2, False)\n",
        "return nn.Dense(3)(run(nn.Dropout(0.5), x))",
    ),
    "a perturbation": (
        "unsupported-api",
        "def kept(module, x):\n    return module.perturb('x', x)\n",
        "return nn.Dense(3)(kept(self, x))",
    ),
    "sizes that a second call computes anew": (
        "unknown-size",
        "def block(x, n):\n    width = WIDTHS[n]\n    return nn.relu(nn.Dense(width)(x))\n",
        "x = block(x, self.n)\n        return block(x, self.n * 2)",
    ),
}


@pytest.mark.parametrize(("expected", "functions", "body"), LEFT.values(), ids=LEFT)
def test_other_functions_keep_their_callers(tmp_path: Path, expected: str, functions: str, body: str) -> None:
    text, reason = converted(tmp_path, functions, body)
    assert reason == expected
    assert "nnx" not in text


LAYERS = "import flax.linen as nn\n\n\n" + BLOCK
MODEL = """

class {name}(nn.Module):
    @nn.compact
    def __call__(self, x):
        {body}
        return block(x, 4)
"""


def fixed(**files: str) -> dict[str, str]:
    texts, _ = fix_files({Path(f"/project/{name}.py"): text for name, text in files.items()}, RULES)
    return {path.stem: text for path, text in texts.items()}


def test_classes_that_share_a_function_move_together() -> None:
    models = MODEL.format(name="A", body="x = x * 2") + MODEL.format(name="B", body="x = block(x, 3)")
    text = fixed(layers=LAYERS + models)["layers"]
    assert text.count("def block(x, train=False, *, dense):") == 1
    assert text.count("(nnx.Module)") == 2


@pytest.mark.parametrize(
    "other",
    [
        "from layers import block\n\nfunctions = [block]\n",
        "import layers\n\nfunction = layers.block\n",
        "import flax.linen as nn\nfrom layers import block as inner\n\n\nclass Other(nn.Module):\n    @nn.compact\n"
        "    def __call__(self, x):\n        return inner(x, 2) * len(self.scope.path)\n",
    ],
    ids=["as a value", "as an attribute", "in a class that stays"],
)
def test_a_function_with_other_users_keeps_its_classes(other: str) -> None:
    before = LAYERS + MODEL.format(name="A", body="x = x * 2")
    texts = fixed(layers=before, other=other)
    assert texts["layers"] == before
    assert texts["other"] == other


FUNCTIONS = """
import flax.linen as nn
import jax.numpy as jn

WIDTH = 4
RATE = 0.25


def scaled(scale):
    return nn.initializers.variance_scaling(scale, "fan_in", "normal")


def dense(x, n, scale=1.0):
    return nn.Dense(n, kernel_init=scaled(scale), dtype=jn.float32)(x)


def head(x, train):
    x = nn.Dropout(RATE, deterministic=not train)(x)
    return dense(x, WIDTH) * jn.log(2.0)


def width_of(n):
    return n * WIDTH
"""
USER = """
import flax.linen as nn
{imports}


class Model(nn.Module):
    n: int = 3

    @nn.compact
    def __call__(self, x, train=False):
        {body}
"""

IN_OTHER_FILES = {
    "one layer, whose parts are imported": (
        "from functions import dense",
        "return dense(x, self.n)",
        [
            "from functions import scaled",
            "import jax.numpy as jn",
            "kernel_init=scaled(1.0), dtype=jn.float32",
            "return self.dense(x)",
        ],
    ),
    "one layer, whose parts the file knows": (
        "import jax.numpy as np\nimport functions as f",
        "return f.dense(x, self.n, 2.0)",
        ["kernel_init=f.scaled(2.0), dtype=np.float32"],
    ),
    "several layers": (
        "from functions import head",
        "return head(nn.relu(x), train)",
        [
            "from functions import head, RATE, scaled",
            "nnx.Dropout(RATE, rngs=rngs)",
            "head(nnx.relu(x), train",
        ],
    ),
    "a size that a function computes": (
        "from functions import dense, width_of",
        "return dense(x, width_of(self.n))",
        ["in_features, self.n * 4, kernel_init=scaled(1.0)"],
    ),
}


@pytest.mark.parametrize(("imports", "body", "parts"), IN_OTHER_FILES.values(), ids=IN_OTHER_FILES)
def test_functions_of_other_files(imports: str, body: str, parts: list[str]) -> None:
    texts = fixed(functions=FUNCTIONS, model=USER.format(imports=imports, body=body))
    model = " ".join(texts["model"].split())
    for part in parts:
        assert part in model
    if "head(" in model:
        assert "def head(x, train, *, dropout, dense_0):" in texts["functions"]
        assert "return dense_0(x) * jn.log(2.0)" in texts["functions"]


@pytest.mark.parametrize(
    ("imports", "body", "functions"),
    [
        ("from functions import dense\n\nscaled = 3", "return dense(x, self.n)", FUNCTIONS),
        ("from functions import dense", "scaled = 2\n        return dense(x, self.n) * scaled", FUNCTIONS),
        (
            "import functions\nfrom functions import dense\n\nfunctions.scaled = None",
            "return dense(x, self.n)",
            FUNCTIONS,
        ),
        ("from functions import head", "return head(x, train)", FUNCTIONS + "\n\nhead(1, True)\n"),
        (
            "import functions\n\nmake = getattr(functions, 'he' + 'ad')",
            "return functions.head(x, train)",
            FUNCTIONS,
        ),
    ],
    ids=[
        "a global of the same name",
        "a local of the same name",
        "changed from outside",
        "called elsewhere",
        "asked for by name",
    ],
)
def test_functions_of_other_files_that_keep_their_users(imports: str, body: str, functions: str) -> None:
    files = {"functions": functions, "model": USER.format(imports=imports, body=body)}
    assert fixed(**files) == files


MADE = """
import flax.linen as nn


class Inner(nn.Module):
    n: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n)(x){end}


def block(x, n):
    x = Inner(n)(x)
    return nn.relu(x)


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return block(x, 3){outer_end}
{more}
"""


def test_modules_that_functions_make_move_with_their_callers() -> None:
    text = fixed(model=MADE.format(end="", outer_end="", more=""))["model"]
    assert text.count("(nnx.Module)") == 2
    assert "def block(x, *, inner):\n    x = inner(x)\n    return nnx.relu(x)" in text
    assert "self.inner = Inner(3, in_features=in_features, rngs=rngs)" in text


@pytest.mark.parametrize(
    ("end", "outer_end", "more"),
    [
        (" * len(self.scope.path)", "", ""),
        ("", " * len(self.scope.path)", ""),
        ("", "", "\n\nfunctions = [block]"),
    ],
    ids=["what it makes stays", "its caller stays", "another use of it"],
)
def test_modules_that_functions_make_stay_with_their_callers(end: str, outer_end: str, more: str) -> None:
    before = MADE.format(end=end, outer_end=outer_end, more=more)
    assert fixed(model=before)["model"] == before


def test_a_function_that_only_calls_what_it_makes_gets_it() -> None:
    before = MADE.format(end="", outer_end="", more="").replace(
        "x = Inner(n)(x)\n    return nn.relu(x)", "return Inner(n)(x)"
    )
    text = fixed(model=before)["model"]
    assert "def block(x, *, inner):\n    return inner(x)" in text
    assert "return block(x, inner=self.inner)" in text


CARRIES = """
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp


class Scanned(nn.Module):
    @functools.partial(
        nn.scan, variable_broadcast="params", in_axes=0, out_axes=0, split_rngs={"params": False}
    )
    @nn.compact
    def __call__(self, carry, x):
        return nn.GRUCell(carry.shape[-1])(carry, x)

    @staticmethod
    def initialize_carry(width, *batch):
        return nn.GRUCell(width, parent=None).initialize_carry(jax.random.key(0), (*batch, width))


class Network(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, carry, x):
        carry, x = Scanned()(carry, nn.Dense(self.width)(x))
        return carry, nn.Dense(2)(x)

    def initialize_carry(self, *batch):
        return Scanned.initialize_carry(self.width, *batch)
"""


def test_first_carries_that_static_methods_of_other_classes_make(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CARRIES)
    _, conversions = convert(path)
    assert not conversions.refused


def test_a_place_in_another_file_is_named_with_it() -> None:
    files = {
        "layers": "import flax.linen as nn\n\n\ndef block(x, *sizes):\n    return nn.relu(nn.Dense(sizes[0])(x))\n",
        "net": "import flax.linen as nn\nfrom layers import block\n"
        + MODEL.format(name="A", body="x = x * 2"),
    }
    _, result = fix_files({Path(f"/project/{name}.py"): text for name, text in files.items()}, RULES)
    (message,) = (f.message for f in result.remaining.findings if f.path.name == "net.py")
    assert "(layers.py:4)" in message
    assert "net.py:4)" not in message
