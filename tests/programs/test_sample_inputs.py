import ast
from pathlib import Path

import pytest

from nnx_migrate.linen.programs.inputs.sample_inputs import SampleInputs, visible_at
from nnx_migrate.names.project import Project
from nnx_migrate.sources.text import SourceText

PRELUDE = "import jax\nimport jax.numpy as jnp\nimport numpy as np\n"


def call_in(code: str):
    path = Path("/p/main.py")
    project = Project([path], lambda _: SourceText.decode((PRELUDE + code).encode()))
    module = project.module(path)
    calls = [n for n in ast.walk(module.tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "init"]
    return project, module, calls[0]


@pytest.mark.parametrize(
    ("code", "axis", "text"),
    [
        ("init(jnp.ones((1, 28, 28, 3)))", -1, "3"),
        ("init(jnp.ones((1, 28, 28, 3)))", 1, "28"),
        ("init(np.zeros([1, 4], np.float32))", -1, "4"),
        ("init(jax.random.normal(key, (2, dim)))", -1, "dim"),
        ("init(jax.random.normal(key, shape=(2, 2 * dim)))", -1, "2 * dim"),
        ("init(jax.ShapeDtypeStruct((1, 5), jnp.float32))", -1, "5"),
        ("init(jnp.array([[1., 2.]]))", -1, "2"),
        ("init(jnp.ones((1,) + shape))", -1, "shape[-1]"),
        ("init(jnp.ones((1, *shape)))", -2, "shape[-2]"),
        ("init(jnp.ones((1,) + shape))", 1, None),
        ("x = jnp.ones((8, 7))\ninit(x)", -1, "7"),
        ("x = jnp.ones((8, 7))\ninit(x[None])", -2, "8"),
        ("x = jnp.ones((8, 7))\ninit(x[:1])", -1, "7"),
        ("x = jnp.ones((8, 7))\ninit(x[0])", 0, "7"),
        ("SIZE = 16\nshape = (1, SIZE)\ninit(jnp.zeros(shape))", -1, "16"),
        ("x = load()\ninit(x)", -1, "x.shape[-1]"),
        ("init(load())", -1, None),
        ("x = load()\nx = crop(x)\ninit(x)", -1, "x.shape[-1]"),
        ("init(batch['image'])", -1, "batch['image'].shape[-1]"),
        ("init(jnp.ones((1, env.observation_space(p).shape[0])))", -1, None),
        ("init(jnp.ones(env.shape))", -1, "env.shape[-1]"),
    ],
)
def test_size_of_an_axis(code: str, axis: int, text: str | None) -> None:
    project, module, call = call_in(code)
    size = SampleInputs(project).size(module, call.args[0], (), axis)
    assert (size.text if size else None) == text


def test_parts_of_containers() -> None:
    project, module, call = call_in(
        "batch = {'x': jnp.ones((1, 3)), 'y': (a, jnp.ones((1, 9)))}\ninit(batch)"
    )
    inputs = SampleInputs(project)
    assert inputs.size(module, call.args[0], ("x",), -1).text == "3"
    assert inputs.size(module, call.args[0], ("y", 1), -1).text == "9"


@pytest.mark.parametrize(
    ("code", "visible"),
    [
        ("def f(dim):\n    model = CNN()\n    init(jnp.ones((1, dim)))", True),
        ("def f():\n    model = CNN()\n    dim = g()\n    init(jnp.ones((1, dim)))", False),
        ("def f():\n    dim = g()\n    model = CNN()\n    init(jnp.ones((1, dim)))", True),
        ("model = CNN()\ndef f(dim):\n    init(jnp.ones((1, dim)))", False),
        ("def f():\n    model = CNN()\n    dim = 3\n    init(jnp.ones((1, dim)))", True),
    ],
)
def test_visibility_at_the_construction(code: str, visible: bool) -> None:
    project, module, call = call_in(code)
    size = SampleInputs(project).size(module, call.args[0], (), -1)
    place = next(n for n in ast.walk(module.tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "CNN")
    assert visible_at(size, module, place) is visible
