"""What unknown code has made, among the layers of a sequence, behind a property, and in a transform."""

import pytest

from tests.rules.harness import fix_text

HEAD = """\
from typing import Any

import flax.linen as nn
import jax
import zoo
from zoo import TABLE


class Net(nn.Module):
    kind: str
    config: Any

"""
FORMS = {
    "sequence": """\
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3)(x)
        return nn.Sequential([nn.Dense(3), {made}])(x)
""",
    "sequence in setup": """\
    def setup(self):
        made = {made}
        self.net = nn.Sequential(layers=[nn.Dense(3), made])

    def __call__(self, x):
        return self.net(x)
""",
    "property": """\
    @property
    def encoder(self):
        return {made}

    @nn.compact
    def __call__(self, x):
        return self.encoder(nn.Dense(3)(x))
""",
    "transform": """\
    def setup(self):
        self.encoder = {made}
        self.dense = nn.Dense(3)

    def __call__(self, x):
        return jax.vmap(self.encoder)(self.dense(x))
""",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("made", ["TABLE[self.kind](3)", "zoo.find(self.kind)", "zoo.make(size=3)"])
def test_it_may_be_a_module(form: str, made: str) -> None:
    """The class stays as it is."""
    text = HEAD + FORMS[form].format(made=made)
    assert fix_text(text, "linen-module") == text


def test_so_may_what_a_configuration_makes_for_a_transform() -> None:
    """Elsewhere a configuration gives numbers and texts."""
    text = HEAD + FORMS["transform"].format(made="self.config.make(3)")
    assert fix_text(text, "linen-module") == text


@pytest.mark.parametrize("form", ["sequence"])
@pytest.mark.parametrize(
    "made", ["nn.relu", "jax.nn.relu", "nn.Dropout(0.1, deterministic=True)", "lambda x: x + 1"]
)
def test_what_is_known_is_converted(form: str, made: str) -> None:
    """Layers and functions of Linen, of JAX and of the class's own."""
    assert "nnx.Linear" in fix_text(HEAD + FORMS[form].format(made=made), "linen-module")
