"""Classes that derive from built-in layers: what isn't a plain override of `param` stays, with its users."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from textwrap import dedent, indent

import jax
import pytest
from flax import linen

from nnx_migrate.linen.classes.layer_fields import layer_node
from nnx_migrate.nnx.conversion import Conversions
from tests.linen_module.fixture import convert

HEADER = "import flax.linen as nn\nimport jax.numpy as jnp\n\n\nclass MyDense(nn.Dense):\n"
USER = """

class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return MyDense(4)(x)
"""
PLAIN = """
def param(self, name, *args, **kwargs):
    w = super().param(name, *args, **kwargs)
    if name == "kernel":
        w = jnp.abs(w)
    return w
"""

CALL = """
def __call__(self, x):
    y = super().__call__(x)
    return y
"""

CASES = {
    "another parameter": PLAIN.replace('"kernel"', '"bias"'),
    "every parameter": PLAIN.replace(
        '    if name == "kernel":\n        w = jnp.abs(w)\n', "    w = jnp.abs(w)\n"
    ),
    "all but one": PLAIN.replace("==", "!="),
    "another name": PLAIN.replace("super().param(name,", 'super().param(name + "_raw",'),
    "fewer arguments": PLAIN.replace(", **kwargs)\n    if", ")\n    if"),
    "a parameter more": PLAIN.replace("jnp.abs(w)", 'w * self.param("gain", *args)'),
    "a field": PLAIN.replace("jnp.abs(w)", "w / self.features"),
    "a decorator": "@nn.nowrap" + PLAIN,
    "a field of its own": "scale: float = 2.0\n" + PLAIN,
    "another method": PLAIN + "\ndef norm(self):\n    return 1\n",
    "a path without the layer": CALL.replace("y =", "if x.ndim == 1:\n        return x\n    y ="),
    "a branch without the layer": CALL.replace("y =", "y = x\n    if x.ndim == 2:\n        y ="),
    "the layer twice": CALL.replace("return y", "return super().__call__(y)"),
    "the layer in a loop": CALL.replace("y =", "for _ in range(2):\n        y ="),
    "the layer in a conditional expression": CALL.replace("(x)", "(x) if x.ndim else x"),
    "the layer in a function": CALL.replace("y = super()", "y = (lambda: super())()"),
    "another argument": CALL.replace("(x)\n    return", "(x, 2)\n    return"),
    "a field before the call": CALL.replace("return y", "return y / self.features"),
    "a module before the call": CALL.replace("return y", "return nn.Dense(3)(y)"),
    "another transform": "@nn.jit\n" + CALL.strip("\n"),
    "another default": "use_bias: bool = False\n",
}


@pytest.mark.parametrize("case", CASES)
def test_what_stays(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(CASES[case]).strip("\n"), "    ") + "\n" + USER)
    text, conversions = convert(path, bridge=False)
    assert conversions.refused["model.MyDense"].reason == "unknown-base"
    assert conversions.converted == {}
    assert text == path.read_text()


PATHS = {
    "before and after": "def __call__(self, x):\n    return super().__call__(2 * x) + 1\n",
    "in both branches": """
        @nn.compact
        def __call__(self, x, twice: bool = False):
            if twice:
                return super().__call__(2 * x)
            elif x.ndim == 7:
                raise ValueError("an array of many axes")
            else:
                y = super().__call__(x)
            return nn.relu(y)
        """,
}


@pytest.mark.parametrize("case", PATHS)
def test_a_call_around_the_call_of_the_layer(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(PATHS[case]).strip("\n"), "    ") + "\n" + USER)
    text, conversions = convert(path)
    assert set(conversions.converted) == {"model.MyDense", "model.Model"}
    assert "class MyDense(nnx.Linear):" in text
    assert "self.my_dense = MyDense(in_features, 4, rngs=rngs)" in text
    assert "nn.compact" not in text


def test_what_is_done_before_the_layer_decides_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    body = "def __call__(self, x):\n    return super().__call__(jnp.concatenate([x, x], axis=-1))\n"
    path.write_text(HEADER + indent(body, "    ") + "\n" + USER)
    text, _ = convert(path)
    assert "self.my_dense = MyDense(in_features * 2, 4, rngs=rngs)" in text


USERS = {
    "a program": USER + "\n\nlayer = MyDense(4)\n",
    "a function outside": USER + "\n\ndef make():\n    return MyDense(4)\n",
    "a value": USER + "\n\nLAYERS = [MyDense]\n",
    "a subclass": USER + "\n\nclass Other(MyDense):\n    use_bias: bool = False\n",
}


@pytest.mark.parametrize("case", USERS)
def test_other_users_keep_it(tmp_path: Path, case: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(PLAIN.strip("\n"), "    ") + "\n" + USERS[case])
    _, conversions = convert(path)
    if case == "a subclass":  # the plan keeps a class and its subclasses together
        assert "model.Other" in conversions.refused
    else:
        assert "model.MyDense" in conversions.refused


def test_a_field_that_may_hold_it_is_not_written_as_the_layer(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    model = """

class Block(nn.Module):
    layer: type[nn.Module] = MyDense

    @nn.compact
    def __call__(self, x):
        return self.layer(4)(x)
"""
    path.write_text(HEADER + indent(PLAIN.strip("\n"), "    ") + "\n" + model)
    text, conversions = convert(path)
    assert not conversions.refused
    assert "layer: type[nnx.Module] = MyDense, *, in_features: int" in text
    assert "self.my_dense = layer(in_features, 4, rngs=rngs)" in text


OWN = """
@nn.compact
def __call__(self, x):
    kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
    return x @ jnp.exp(kernel)
"""


def _own(tmp_path: Path, body: str, more: str = USER) -> tuple[str, Conversions]:
    path = tmp_path / "model.py"
    path.write_text(HEADER + indent(dedent(body).strip("\n"), "    ") + "\n" + more)
    return convert(path)


def test_a_class_with_all_code_of_its_own_has_the_fields_of_the_layer(tmp_path: Path) -> None:
    text, conversions = _own(tmp_path, OWN)
    assert set(conversions.converted) == {"model.MyDense", "model.Model"}
    names = ["features", "use_bias", "dtype", "param_dtype", "precision", "kernel_init", "bias_init"]
    assert conversions.converted["model.MyDense"].parameters == names
    assert "class MyDense(nnx.Module):" in text


def test_lists_become_tuples_as_in_linen(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    body = OWN.replace("return x @", "return nn.Conv(self.features, self.kernel_size)(x) @")
    source = HEADER.replace("nn.Dense", "nn.Conv") + indent(body.strip("\n"), "    ")
    path.write_text(source + "\n" + USER.replace("MyDense(4)", "MyDense(4, [3])"))
    text, conversions = convert(path)
    assert "model.Model" in conversions.converted
    assert "tuple(kernel_size) if isinstance(kernel_size, list) else kernel_size\n" in text


def test_fields_that_a_project_names_are_kept(tmp_path: Path) -> None:
    user = USER.replace("MyDense(4)", "MyDense(4, dot_general=None)")
    _, conversions = _own(tmp_path, OWN, user)
    assert conversions.converted["model.MyDense"].parameters[-2:] == ["promote_dtype", "dot_general"]


RUNS_CODE_OF_THE_LAYER = {
    "super": OWN + "\ndef plain(self, x):\n    return super().__call__(x)\n",
    "by the name of the class": OWN.replace("x @ jnp.exp(kernel)", "nn.Dense.__call__(self, x)"),
    "no call of its own": "def twice(self, x):\n    return 2 * x\n",
    "another default without an annotation": "use_bias = False\n" + OWN,
    "what the layer shares": OWN.replace("x @ jnp.exp(kernel)", "x if self.shared_weights else x @ kernel"),
}


@pytest.mark.parametrize("case", RUNS_CODE_OF_THE_LAYER)
def test_code_of_the_layer_keeps_it(tmp_path: Path, case: str) -> None:
    _, conversions = _own(tmp_path, RUNS_CODE_OF_THE_LAYER[case])
    assert conversions.refused["model.MyDense"].reason == "unknown-base"


def test_a_question_for_the_layer_keeps_it(tmp_path: Path) -> None:
    question = "\n\ndef is_dense(module):\n    return isinstance(module, (nn.Conv, nn.Dense))\n"
    _, conversions = _own(tmp_path, OWN, USER + question)
    assert conversions.refused["model.MyDense"].reason == "unknown-base"


@pytest.mark.parametrize("layer", ["Dense", "Conv", "ConvTranspose"])
def test_the_fields_are_those_of_flax(layer: str) -> None:
    node = layer_node(layer)
    assert node is not None
    fields = [f for f in dataclasses.fields(getattr(linen, layer)) if f.name not in ("name", "parent")]
    statements = [s for s in node.body if isinstance(s, ast.AnnAssign)]
    assert [ast.unparse(s.target) for s in statements] == [f.name for f in fields]
    names = {"nn": linen, "jnp": jax.numpy}
    for statement, field in zip(statements, fields, strict=True):
        if statement.value is None:
            assert field.default is dataclasses.MISSING
            continue
        value = eval(ast.unparse(statement.value), names)
        if field.name.endswith("_init"):  # initializers are closures: compare what they make
            key, shape = jax.random.key(0), (3, 4)
            assert (value(key, shape) == field.default(key, shape)).all()
        else:
            assert value == field.default
