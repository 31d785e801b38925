"""Variables, initialisation flags and sown values: converted where NNX's state is what Linen's would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEAD = """
import flax.linen as nn
import jax
import jax.numpy as jnp


class Model(nn.Module):
    decode: bool = False

"""
COUNTER = (
    HEAD
    + """    @nn.compact
    def __call__(self, x, train: bool = False):
        n = self.variable("counts", "n", lambda: jnp.zeros(()))
        if train:
            n.value += 1
        return x * n.value
"""
)


def conversion(tmp_path: Path, code: str) -> str:
    """The converted file, or the reason and detail of the refusal."""
    path = tmp_path / "model.py"
    path.write_text(code)
    text, conversions = convert(path)
    refused = [f"{r.reason}: {r.detail}" for r in conversions.refused.values()]
    return refused[0] if refused else text


WRITTEN_AT_INIT = {
    "unguarded": ("        if train:\n            n.value += 1", "        n.value += 1", ""),
    "by default": ("train: bool = False", "train: bool = True", ""),
    "by a flag without a default": ("train: bool = False", "train: bool", ""),
    "by a keyword of init": ("", "", "\n\nvariables = Model().init(jax.random.key(0), 1.0, train=True)\n"),
    "by an argument of init": (
        "",
        "",
        "\n\nvariables = jax.jit(Model().init)(jax.random.key(0), 1.0, True)\n",
    ),
    "by what a variable says": ("", "", "\n\nvariables = Model().init(jax.random.key(0), 1.0, train=mode)\n"),
    "in the other branch": ("        if train:\n", "        if not train:\n", ""),
}


@pytest.mark.parametrize(("old", "new", "more"), WRITTEN_AT_INIT.values(), ids=WRITTEN_AT_INIT)
def test_what_an_initialisation_would_write_is_refused(tmp_path: Path, old: str, new: str, more: str) -> None:
    found = conversion(tmp_path, COUNTER.replace(old, new, 1) + more)
    assert found == "unsupported-api: `n` is written when the model is initialised, too"


@pytest.mark.parametrize(
    "more",
    ["", "\n\nvariables = Model().init(jax.random.key(0), 1.0, train=False)\n"],
    ids=["default", "init"],
)
def test_what_no_initialisation_writes_is_converted(tmp_path: Path, more: str) -> None:
    text = conversion(tmp_path, COUNTER + more)
    made = 'self.n=nnx.variable_type_from_name("counts",allow_register=True)(jnp.zeros(()))'
    assert made in "".join(text.split())
    assert "self.n.set_value(self.n[...] + 1)" in text
    assert "return x * self.n[...]" in text


def test_a_flag_without_a_default_that_init_gives(tmp_path: Path) -> None:
    more = "\n\nvariables = Model().init(jax.random.key(0), 1.0, False)\n"
    code = COUNTER.replace("train: bool = False", "train: bool") + more
    assert "self.n.set_value(" in conversion(tmp_path, code)


INDEX = (
    HEAD
    + """    @nn.compact
    def __call__(self, x):
        if self.decode:
            is_initialized = self.has_variable("steps", "index")
            index = self.variable("steps", "index", lambda: jnp.array(0, dtype=jnp.uint32))
            if is_initialized:
                # one position further
                i = index.value
                index.value = i + 1
                x = x + jax.lax.dynamic_slice_in_dim(x, i, 1)
        return x
"""
)


def test_a_variable_looked_up_beside_its_creation_is_there(tmp_path: Path) -> None:
    text = conversion(tmp_path, INDEX)
    assert 'self.index = nnx.variable_type_from_name("steps", allow_register=True)(' in text
    body = """        if self.decode:
            # one position further
            i = self.index[...]
            self.index.set_value(i + 1)
            x = x + jax.lax.dynamic_slice_in_dim(x, i, 1)
        return x
"""
    assert body in text
    assert "is_initialized" not in text


REFUSED = {
    "looked up elsewhere": (
        INDEX.replace('            is_initialized = self.has_variable("steps", "index")\n', "").replace(
            "        if self.decode:",
            '        is_initialized = self.has_variable("steps", "index")\n        if self.decode:',
        ),
        "unsupported-api: `self.has_variable` for `index`, which isn't created beside it",
    ),
    "a module that only an initialisation makes": (
        HEAD + "    @nn.compact\n    def __call__(self, x):\n        if self.is_initializing():\n"
        "            x = nn.Dense(3)(x)\n        return x\n",
        "unsupported-api: code that only an initialisation reaches may create variables",
    ),
    "a variable set by the first batch": (
        COUNTER.replace("if train:", "if self.is_initializing():"),
        "unsupported-api: code that only an initialisation reaches changes variables",
    ),
    "a mutable collection": (
        COUNTER.replace("if train:", 'if self.is_mutable_collection("counts"):'),
        "unsupported-api: `self.is_mutable_collection`: NNX variables always are",
    ),
    "a variable handed on": (
        COUNTER.replace("return x * n.value", "return update(x, n)"),
        "unsupported-syntax: a variable is handed on as a whole",
    ),
    "sown beside a field of that name": (
        HEAD
        + "    @nn.compact\n    def __call__(self, x):\n        self.sow('intermediates', 'decode', x)\n        return x\n",
        "name-clash: `decode` is sown, and an attribute has that name",
    ),
    "sown under names of which a field may have one": (
        HEAD + "    @nn.compact\n    def __call__(self, x):\n        for i in 'ab':\n"
        "            self.sow('intermediates', f'dec{i}de', x)\n        return x\n",
        "name-clash: `decode` is sown, and an attribute has that name",
    ),
    "sown under a name that isn't known": (
        HEAD
        + "    @nn.compact\n    def __call__(self, x, name):\n        self.sow('intermediates', name, x)\n        return x\n",
        "unsupported-api: `self.sow` with a name of which nothing is written out",
    ),
    "sown into what init returns": (
        HEAD
        + "    @nn.compact\n    def __call__(self, x):\n        self.sow('losses', 'aux', x)\n        return x\n",
        "unsupported-api: `self.sow` into another collection than `intermediates`",
    ),
}


@pytest.mark.parametrize(("code", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_uses_are_refused(tmp_path: Path, code: str, reason: str) -> None:
    assert conversion(tmp_path, code) == reason


FOLDED = {
    "kept": ("if not init:\n            x = f(x)", "x = f(x)"),
    "dropped": ("if init:\n            x = 2 * x\n        x = f(x)", "x = f(x)"),
    "else": (
        "if init:\n            x = 2 * x\n        else:\n            # later\n            x = f(x)",
        "# later\n        x = f(x)",
    ),
    "elif": (
        "if init:\n            x = 2 * x\n        elif train:\n            x = f(x)",
        "if train:\n            x = f(x)",
    ),
    "last elif": (
        "if train:\n            x = f(x)\n        elif init:\n            x = 2 * x",
        "if train:\n            x = f(x)",
    ),
    "and": ("if train and not init:\n            x = f(x)", "if train:\n            x = f(x)"),
    "or": ("y = f(x, init or train)", "y = f(x, train)"),
    "choice": ("x = x if init else f(x)", "x = f(x)"),
    "argument": ("x = f(x, init)", "x = f(x, False)"),
    "string": (
        'if not init:\n            x = f("""\n            a""", x)',
        'x = f("""\n            a""", x)',
    ),
}


@pytest.mark.parametrize(("body", "expected"), FOLDED.values(), ids=FOLDED)
def test_conditions_on_the_initialisation_go(tmp_path: Path, body: str, expected: str) -> None:
    code = (
        HEAD
        + f"""    @nn.compact
    def __call__(self, x, train):
        init = self.is_mutable_collection("params")
        {body}
        return nn.relu(x)
"""
    )
    code = code.replace("class Model", "def f(*x):\n    return x\n\n\nclass Model")
    text = conversion(tmp_path, code)
    assert f"    def __call__(self, x, train):\n        {expected}\n        return nnx.relu(x)\n" in text


CACHED = (
    HEAD
    + """    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3)(x)
        found = self.has_variable("cache", "total")
        total = self.variable("cache", "total", jnp.zeros, x.shape)
        if not found or not self.has_variable("cache", "total"):
            return x
        total.value = total.value + x
        return total.value
"""
)


def test_what_calls_cache_is_made_by_the_first_of_them(tmp_path: Path) -> None:
    text = conversion(tmp_path, CACHED)
    assert "self.total: nnx.Cache | None = nnx.data(None)" in text
    assert "found = self.total is not None\n" in text
    assert "        if self.total is None:\n            self.total = nnx.Cache(jnp.zeros(x.shape))\n" in text
    assert "if not found or self.total is None:" in text
    assert "self.total.set_value(self.total[...] + x)" in text


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    {
        "another name": (
            '("cache", "total")\n',
            '("cache", "sum")\n',
            "unsupported-api: `self.has_variable` for `sum`, which the class doesn't create once",
        ),
        "without a name": (
            "total = self.variable(",
            "total, other = 1, self.variable(",
            "unsupported-syntax: a cache that isn't given a name where it is made",
        ),
        "another collection": (
            "return total.value",
            'return self.variables["params"]["kernel"]',
            "unsupported-api: `self.variables['params']['kernel']`: no parameter that is always there has that name",
        ),
        "in a scan": (
            "return total.value\n",
            "return total.value\n\n\nclass Layers(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n"
            "        scanned = nn.vmap(Model, variable_axes={'params': 0, 'cache': 0}, "
            "split_rngs={'params': True}, axis_size=2)\n        return scanned()(x)\n",
            "unsupported-layer: `nn.vmap` of a module that makes caches",
        ),
    }.values(),
)
def test_caches_that_stay(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert conversion(tmp_path, CACHED.replace(old, new, 1)) == reason
