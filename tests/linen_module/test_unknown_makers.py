"""What code that isn't known has made may be a module: a class that calls it stays."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

HEADER = """\
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import tensorflow_probability.substrates.jax as tfp

import zoo
from zoo.blocks import TABLE, Encoder, find


class Model(nn.Module):
    kind: str
    size: int
    config: Any

"""
IN_SETUP = HEADER + "    def setup(self):\n        {}\n\n    def __call__(self, x):\n        return {}\n"
IN_CALL = HEADER + "    @nn.compact\n    def __call__(self, x):\n        {}\n        return {}\n"

# What makes `self.encoder`, which in the compact form is a local variable.
MADE = {
    "an element of a table": "self.encoder = TABLE[self.kind](self.size)",
    "an element of a table by a constant": "self.encoder = TABLE['small'](self.size)",
    "a table of tables": "self.encoder = TABLE[0]['small'](self.size)[1]",
    "a table in a configuration": "self.encoder = self.config.table[self.kind](self.size)",
    "a method of a configuration": "self.encoder = self.config.make(self.size)",
    "a class": "self.encoder = Encoder(self.size)",
    "a class of a module": "self.encoder = zoo.blocks.Encoder(self.size)",
    "a method of a class": "self.encoder = TABLE[0].create(self.size)",
    "a function": "self.encoder = find(self.kind)",
    "one of two": "self.encoder = (TABLE[0] or Encoder)(self.size)",
    "a list": "self.encoder = [TABLE[k](self.size) for k in range(3)][0]",
    "a dictionary": "self.encoder = {'a': TABLE[0](self.size)}['a']",
    "a dictionary of classes": "self.encoder = {'a': zoo.Encoder}.get(self.kind, Encoder)(self.size)",
    "a dictionary of functions": "self.encoder = {'a': zoo.find}.get(self.kind, find)(self.size)",
    "a tuple": "self.encoder, self.other = TABLE[0](self.size), 3",
    "a partial": "make = partial(TABLE[self.kind], 3)\n        self.encoder = make(self.size)",
    "a lambda": "self.encoder = (lambda size: TABLE[0](size))(self.size)",
    "a variable": "make = TABLE[self.kind]\n        self.encoder = make(self.size)",
    "an assignment within": "self.encoder = (make := TABLE[0])(self.size)",
}
USES = {"called": "self.encoder(x)", "by a method": "self.encoder.encode(x)"}


def _reasons(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "model.py"
    path.write_text(code)
    _, conversions = convert(path)
    return [refusal.reason for refusal in conversions.refused.values()]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("form", [IN_SETUP, IN_CALL], ids=["setup", "compact"])
def test_it_may_be_a_module(tmp_path: Path, form: str, made: str, use: str) -> None:
    code = form.format(MADE[made], USES[use])
    if form is IN_CALL:
        code = code.replace("self.encoder", "encoder").replace("self.other", "other")
    assert _reasons(tmp_path, code) == ["unknown-module"]


@pytest.mark.parametrize(
    "use",
    [
        "jax.vmap(encoder)(x)",
        "jax.checkpoint(encoder)(x)",
        "jax.grad(lambda x: encoder(x).sum())(x)",
        "jax.lax.cond(x.sum() > 0, encoder, lambda x: x, x)",
        "jax.tree.map(lambda e: e(x), [encoder])[0]",
        "partial(encoder, 3)(x)",
        "zoo.run(encoder, x)",
        "zoo.run(x, model=encoder)",
        "nn.Sequential([nn.relu, encoder])(x)",
    ],
)
@pytest.mark.parametrize("made", ["TABLE[self.kind](self.size)", "Encoder(self.size)"])
def test_nor_may_other_functions_get_it(tmp_path: Path, made: str, use: str) -> None:
    header = HEADER.replace("import jax.numpy", "import jax\nimport jax.numpy")
    code = IN_CALL.replace(HEADER, header).format(f"encoder = {made}", use)
    assert _reasons(tmp_path, code) == ["unknown-module"]
    code = IN_SETUP.replace(HEADER, header).format(
        f"self.encoder = {made}", use.replace("encoder", "self.encoder")
    )
    assert _reasons(tmp_path, code) == ["unknown-module"]
    if "lambda x: encoder" not in use:  # right where it is made
        code = IN_CALL.replace(HEADER, header).format("x = nn.Dense(3)(x)", use.replace("encoder", made))
        assert _reasons(tmp_path, code) == ["unknown-module"]


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("table = find(self.size)", "jnp.take(table, 3, axis=0) + nn.Dense(3)(x)"),
        ("table = TABLE[self.kind](self.size)", "table[0] * nn.Dense(3)(x)"),
        (
            "table = self.param('table', nn.initializers.normal(), (9, 4))\n        rows = table[(x,)]",
            "zoo.run(rows)",
        ),
        ("size = self.config.get('size')", "nn.Dense(size)(x)"),
        ("act = TABLE[self.config.activation]", "act(nn.Dense(3)(x))"),
        ("act = TABLE[self.config.get('activation', 'relu')]", "act(nn.Dense(3)(x))"),
        ("act = partial(zoo.activate, slope=0.1)", "act(nn.Dense(3)(x))"),
        ("act = {'relu': nn.relu, 'tanh': jnp.tanh}.get(self.kind, nn.gelu)", "act(nn.Dense(3)(x))"),
        ("mean = nn.Dense(3)(x)\n        dist = Encoder(mean, jnp.exp(mean))", "dist.log_prob(x)"),
        ("dist = tfp.distributions.Normal(0.0, 1.0)", "dist.log_prob(nn.Dense(3)(x))"),
        ("name = self.config.get('name').lower()", "nn.Dense(3)(x) * len(name)"),
        ("x = nn.Dense(3)(x)", "zoo.scale(x, find(self.kind), Encoder(x))"),
    ],
)
def test_functions_distributions_arrays_and_texts_are_no_modules(tmp_path: Path, made: str, use: str) -> None:
    assert _reasons(tmp_path, IN_CALL.format(made, use)) == []


# Functions and classes of the project: of their code nothing may be left open.
HELPERS = """
import importlib
import pickle
import pydoc

import jax
from functools import lru_cache

ADDED = {}
FILLED = {"relu": nn.relu}
FILLED["mine"] = Encoder


def register(name):
    def keep(made):
        ADDED[name] = made
        return made

    return keep


def from_registry(kind):
    return ADDED[kind]


def from_filled(kind):
    return FILLED[kind]


def from_table(kind):
    return TABLE[kind](3)


def closure(kind):
    def run(x):
        return find(kind)(x)

    return run


def by_name(kind):
    return getattr(zoo, kind)


def by_import(kind):
    return importlib.import_module("zoo").Encoder


def from_file(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def called(make, size):
    return make(size)


def mapped(make, sizes):
    return list(map(make, sizes))[0]


def vectorized(make, sizes):
    return jax.vmap(in_axes=0, fun=make)(sizes)


def repeated(make, sizes):
    return jax.lax.fori_loop(0, 1, make, sizes)


def located(kind):
    return pydoc.locate(kind)


def same(value):
    return value


class Registry:
    def get(self, kind):
        return ADDED[kind]


def of_registry(kind):
    return Registry().get(kind)


class Patched:
    size = 3


class Overwritten:
    def make(self, size):
        return size


Patched.make = TABLE["table"]
setattr(Overwritten, "make", Encoder)


def of_patched(size):
    return Patched.make(size)


def of_overwritten(size):
    return Overwritten().make(size)


class Holder:
    def __init__(self, made):
        self.made = made


"""


MADE_BY_FUNCTIONS = [
    "from_registry(self.kind)(self.size)",
    "from_filled(self.kind)(self.size)",
    "from_table(self.kind)",
    "by_import(self.kind)(self.size)",
    "from_file(self.kind)",
    "called(TABLE[self.kind], self.size)",
    "called(make=Encoder, size=self.size)",
    "mapped(Encoder, [self.size])",
    "vectorized(Encoder, self.size)",
    "repeated(TABLE[self.kind], self.size)",
    "located(self.kind)(self.size)",
    "same(TABLE[self.kind](self.size))",
    "same(value=Encoder(self.size))",
    "of_registry(self.kind)(self.size)",
    "Registry().get(self.kind)(self.size)",
    "of_overwritten(self.size)",
    "Holder(TABLE[self.kind](self.size))",
    "self._find(self.size)",
]
GIVEN_FUNCTIONS = ["closure(self.kind)", "by_name(self.kind)", "of_patched(self.size)"]
USES_OF_MADE = ["{}(x)", "{}.encode(x)", "{}.made.encode(x)", "zoo.run({}, x)"]


@pytest.mark.parametrize(
    ("made", "use"),
    [*itertools.product(MADE_BY_FUNCTIONS, USES_OF_MADE), *((made, "{}(x)") for made in GIVEN_FUNCTIONS)],
)
def test_functions_of_the_project_may_give_modules(tmp_path: Path, made: str, use: str) -> None:
    header = HEADER.replace("\nclass Model", HELPERS + "class Model")
    method = "    def _find(self, size):\n        return TABLE[self.kind](size)\n"
    for form, name in ((IN_SETUP, "self.encoder"), (IN_CALL, "encoder")):
        code = form.format(f"{name} = {made}", use.format(name)).replace(HEADER, header)
        assert "unknown-module" in _reasons(tmp_path, f"{code}\n{method}"), form


PLAIN = '''
from functools import lru_cache, partial
import logging

import jax

LOGGER = logging.getLogger(__name__)
BASE = 10_000.0
KINDS = {"gelu": nn.gelu, "swish": jax.nn.swish}


@partial(jax.jit, static_argnums=(0, 1))
def frequencies(dim, length, base=BASE):
    """Complex numbers, which the analysis knows nothing of."""
    if dim % 2:
        raise ValueError(f"an odd number of features: {dim}")
    steps = jnp.arange(0, dim, 2, dtype=jnp.float32)
    angles = jnp.outer(jnp.arange(length), base ** (-steps / dim))
    LOGGER.info("made for %d features", dim)
    return zip_complex(jnp.cos(angles), jnp.sin(angles))


def zip_complex(real, imaginary):
    return jnp.complex64(jax.lax.complex(real, imaginary))


@lru_cache
def canonical(kind):
    return kind.lower().strip().replace("-", "_")


def first(key, holders, default=None):
    for holder in holders:
        if key in holder:
            return holder[key]
    return default


def activation(kind):
    return KINDS[canonical(kind)]


class Schedule:
    """Plain code of the project."""

    def __init__(self, steps):
        self.steps = steps
        self.betas = self._betas()

    def _betas(self):
        return jnp.linspace(1e-4, 0.02, self.steps)

    @classmethod
    def create(cls, steps):
        return cls(steps)

    def alphas(self):
        return 1.0 - self.betas


'''


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("frequencies(self.size, 32)", "zoo.rotate(nn.Dense(3)(x), {})"),
        ("canonical(self.kind)", "zoo.activate(nn.Dense(3)(x), {})"),
        ("first(self.kind, [{'a': 3}, self.config])", "zoo.run(nn.Dense(3)(x), {})"),
        ("activation(self.kind)", "{}(nn.Dense(3)(x))"),
        ("Schedule.create(self.size).alphas()", "zoo.run({}, nn.Dense(3)(x))"),
        ("self._kind(self.size)", "zoo.run({}, nn.Dense(3)(x))"),
        ("tfp.distributions.Normal(0.0, 1.0).mean()", "zoo.run({}, nn.Dense(3)(x))"),
    ],
)
def test_plain_code_of_the_project_makes_none(tmp_path: Path, made: str, use: str) -> None:
    header = HEADER.replace("\nclass Model", PLAIN + "class Model")
    method = "\n    def _kind(self, size):\n        return canonical(self.kind)\n"
    code = IN_CALL.format(f"kept = {made}", use.format("kept")).replace(HEADER, header)
    assert _reasons(tmp_path, code + method) == []


def test_dicts_of_arrays_that_functions_give_are_not_kept(tmp_path: Path) -> None:
    """NNX refuses arrays within what it takes for a constant."""
    function = (
        "def tables(size):\n    found = {str(i): jnp.ones(i + 1) for i in range(size)}\n    return found\n\n"
    )
    header = HEADER.replace("\nclass Model", f"\n{function}\nclass Model")
    code = IN_SETUP.format("self.tables = tables(self.size)", "self.tables['0'] * x").replace(HEADER, header)
    assert _reasons(tmp_path, code) == ["unknown-module"]


@pytest.mark.parametrize(("key", "reasons"), [("f'level_{i}'", []), ("i", ["unsupported-syntax"])])
def test_dicts_of_arrays_need_texts_as_keys(tmp_path: Path, key: str, reasons: list[str]) -> None:
    made = f"self.tables = {{{key}: jnp.ones(i + 1) for i in range(3)}}"
    assert _reasons(tmp_path, IN_SETUP.format(made, "self.tables['level_0'] * x")) == reasons
