"""`*args` and `**kwargs` that functions hand on to the layers that they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.test_layer_functions import converted

WRITTEN = {
    "one after another": (
        "def inner(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n\n\n"
        "def outer(*args, **kwargs):\n    return inner(*args, use_bias=False, **kwargs)\n",
        "return outer(self.n, name='head')(x)",
        ["self.head = nnx.Linear(in_features, self.n, use_bias=False, rngs=rngs)"],
    ),
    "what the caller computes": (
        "def dense(scale, **kwargs):\n    n = 2 * scale\n    return nn.Dense(n, **kwargs)\n",
        "bias = self.n > 2\n        return dense(self.n, use_bias=bias)(x)",
        ["bias = self.n > 2", "n = 2 * self.n\n", "nnx.Linear(in_features, n, use_bias=bias, rngs=rngs)"],
    ),
    "what a loop counts": (
        "def dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n",
        "for i in range(self.n):\n            x = dense(4, use_bias=i > 1)(x)\n        return x",
        ["for i in range(self.n):", "nnx.Linear(in_features, 4, use_bias=i > 1, rngs=rngs)"],
    ),
    "a function that gets the function": (
        "def dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n\n\n"
        "def made(function, *args, **kwargs):\n    return function(*args, **kwargs)\n",
        "return made(dense, self.n, use_bias=False)(x)",
        ["nnx.Linear(in_features, self.n, use_bias=False, rngs=rngs)"],
    ),
    "nothing": (
        "def dense(*args, **kwargs):\n    return nn.Dense(3, *args, **kwargs)\n",
        "return dense()(x)",
        ["nnx.Linear(in_features, 3, rngs=rngs)"],
    ),
    "a function that calls the layer, too": (
        "def dense(x, *args, **kwargs):\n    return nn.Dense(*args, **kwargs)(x)\n",
        "return dense(nn.relu(x), self.n, use_bias=False)",
        ["nnx.Linear(in_features, self.n, use_bias=False, rngs=rngs)", "self.dense(nnx.relu(x))"],
    ),
}


@pytest.mark.parametrize(("functions", "body", "parts"), WRITTEN.values(), ids=WRITTEN)
def test_layers_get_what_the_callers_say(tmp_path: Path, functions: str, body: str, parts: list[str]) -> None:
    text, reason = converted(tmp_path, functions, body)
    assert reason == ""
    for part in parts:
        assert part in text


INNER = "\n\nclass Inner(nn.Module):\n    n: int\n    layer: nn.Module = None\n\n    @nn.compact\n    def __call__(self, x):\n"
FACTORY = INNER.replace("layer: nn.Module = None", "layer: type = nn.Dense")
USER = "\n\ndef inner(**kwargs):\n    return Inner(**kwargs)\n"
LEFT = {
    "a dict that the function changes": (
        "def dense(n, **kwargs):\n    kwargs.setdefault('use_bias', False)\n    return nn.Dense(n, **kwargs)\n",
        "return dense(self.n, dtype=jnp.float32)(x)",
    ),
    "a dict that the function reads": (
        "def dense(n, **kwargs):\n    n = kwargs.pop('wide') or n\n    return nn.Dense(n, **kwargs)\n",
        "return dense(self.n, wide=4)(x)",
    ),
    "a name that is counted": (
        "def dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n",
        "for i in range(self.n):\n            x = dense(4, name=f'layer_{i}')(x)\n        return x",
    ),
    "arguments that nobody shows": (
        "import options\n\n\ndef dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n",
        "return dense(self.n, **options.of(self.n))(x)",
    ),
    "a partial of the function, which has bound more": (
        "from functools import partial\n\n\ndef dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n",
        "layer = partial(dense, use_bias=False)\n        return layer(self.n)(x)",
    ),
    "a partial that has bound arguments by position": (
        "from functools import partial\n\n\ndef dense(*args, **kwargs):\n    return nn.Dense(*args, **kwargs)\n",
        "layer = partial(dense, self.n)\n        return layer(False)(x)",
    ),
    "what only a call knows": (
        "def dense(n, **kwargs):\n    return nn.Dense(n, **kwargs)\n",
        "return dense(self.n, use_bias=train)(x)",
    ),
    "a module": (
        INNER.lstrip() + "        return self.layer(x)\n" + USER,
        "return inner(n=3, layer=nn.Dense(3))(x)",
    ),
    "a factory": (
        FACTORY.lstrip() + "        return self.layer(self.n)(x)\n" + USER,
        "return inner(n=3, layer=nn.Dense)(x)",
    ),
}


@pytest.mark.parametrize(("functions", "body"), LEFT.values(), ids=LEFT)
def test_what_stays(tmp_path: Path, functions: str, body: str) -> None:
    _, reason = converted(tmp_path, functions, body)
    assert reason
