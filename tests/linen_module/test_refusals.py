"""What can't be converted with certainty is left alone, with a reason of the documented list."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from nnx_migrate.linen.reasons import REASONS
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.files import load_source
from tests.linen_module.fixture import convert

HEADER = "from typing import Sequence\n\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"

CASES = {
    "a static method that makes instances of its class": (
        "class-as-value",
        """
        class Model(nn.Module):
            width: int = 2

            @staticmethod
            def small(**options):
                return Model(width=1, **options)

            @nn.compact
            def __call__(self, x):
                return nn.Dense(self.width)(x)
        """,
    ),
    "an input that is an array or has parts, as a field says": (
        "unknown-size",
        """
        class Model(nn.Module):
            has_more: bool = False

            @nn.compact
            def __call__(self, observation):
                x = observation.image if self.has_more else observation
                return nn.Dense(3)(x)
        """,
    ),
    "modules of a comprehension that several attributes get": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            def setup(self):
                self.first = nn.Dense(3)
                self.left, self.right = [nn.Dense(3) for _ in range(2)]

            def __call__(self, x):
                return self.right(self.left(self.first(x)))
        """,
    ),
    "a parameter of setup that is None otherwise": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            bias: bool = True

            def setup(self):
                if self.bias:
                    self.b = self.param("b", nn.initializers.normal(), (4,))
                else:
                    self.b = None

            def __call__(self, x):
                return x if self.b is None else x + self.b
        """,
    ),
    "a parameter of setup that is None at first": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            bias: bool = True

            def setup(self):
                self.b = None
                if self.bias:
                    self.b = self.param("b", nn.initializers.normal(), (4,))

            def __call__(self, x):
                return x if self.b is None else x + self.b
        """,
    ),
    "a parameter of setup that is a number otherwise": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            bias: bool = True

            def setup(self):
                if self.bias:
                    self.b = self.param("b", nn.initializers.normal(), (4,))
                else:
                    self.b = 0.0

            def __call__(self, x):
                return x if self.b is None else x + self.b
        """,
    ),
    "a parameter of setup in a conditional expression": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            bias: bool = True

            def setup(self):
                self.b = self.param("b", nn.initializers.normal(), (4,)) if self.bias else None

            def __call__(self, x):
                return x if self.b is None else x + self.b
        """,
    ),
    "a class method that makes instances of its class": (
        "class-as-value",
        """
        class Model(nn.Module):
            width: int = 2

            @classmethod
            def small(cls, **options):
                return cls(width=1, **options)

            @nn.compact
            def __call__(self, x):
                return nn.Dense(self.width)(x)
        """,
    ),
    "a module of a field that is called as a class, in setup": (
        "unknown-module",
        """
        class Model(nn.Module):
            cell: nn.Module

            def setup(self):
                self.cells = [self.cell(features=3) for _ in range(2)]

            def __call__(self, state, x):
                for cell in self.cells:
                    state, x = cell(state, x)
                return x
        """,
    ),
    "a module of a field that is called as a class, in the call": (
        "unknown-module",
        """
        class Model(nn.Module):
            cell: nn.Module

            @nn.compact
            def __call__(self, state, x):
                cell = self.cell(features=3)
                return cell(state, x)
        """,
    ),
    "elements of a list that an unknown function or class made": (
        "unknown-module",
        """
        from typing import Any


        class Model(nn.Module):
            cell: Any

            @nn.compact
            def __call__(self, state, x):
                cells = [self.cell(features=3) for _ in range(2)]
                for cell in cells:
                    state, x = cell(state, x)
                return x
        """,
    ),
    "an order of axes that is computed from another one": (
        "unknown-size",
        """
        import numpy as np

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                assert x.ndim == 3
                order = np.delete((1, 0, 2), 0) - 1
                return nn.Dense(3)(x.transpose((1, *order)))
        """,
    ),
    "an order of axes that is changed in place": (
        "unknown-size",
        """
        import numpy as np

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                assert x.ndim == 3
                order = np.argsort((0, 1, 2))
                order[0] = 2
                order[2] = 0
                return nn.Dense(3)(x.transpose(order))
        """,
    ),
    "inputs that a loop exchanges": (
        "unknown-size",
        """
        class Model(nn.Module):
            n: int

            @nn.compact
            def __call__(self, x, y):
                out = 0.0
                for _ in range(self.n):
                    out = out + nn.Dense(3)(x)
                    x, y = y, x
                return out + nn.Dense(3)(y)
        """,
    ),
    "layers of one type on two paths that get different modes": (
        "unsupported-syntax",
        """
        class Model(nn.Module):
            batch: bool

            @nn.compact
            def __call__(self, x, train: bool):
                if self.batch:
                    norm = nn.BatchNorm(use_running_average=not train)
                else:
                    norm = nn.BatchNorm(use_running_average=True, momentum=0.9)
                return norm(x)
        """,
    ),
    "a flag of the call decides about parameters": (
        "dynamic-construction",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, wide):
                if wide:
                    x = nn.Dense(8)(x)
                return x
        """,
    ),
    "tokens of an input of any rank": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = x.reshape((x.shape[0], 4, -1))
                return nn.Dense(8)(x)
        """,
    ),
    "a layer shared by inputs of two sizes": (
        "sizes-differ",
        """
        class Model(nn.Module):
            def setup(self):
                self.stem = nn.Dense(6)
                self.dense = nn.Dense(8)

            def __call__(self, x):
                return self.dense(self.dense(self.stem(x))[..., :4])
        """,
    ),
    "a parameter that setup gets from a function": (
        "unsupported-syntax",
        """
        def scale(module, size):
            return module.param("scale", nn.initializers.ones, (size,))


        class Model(nn.Module):
            def setup(self):
                self.scale = scale(self, 3)

            def __call__(self, x):
                return x * self.scale
        """,
    ),
    "a shared norm without parameters": (
        "unknown-size",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, shape):
                norm = nn.GroupNorm(num_groups=None, group_size=2, use_scale=False, use_bias=False)
                return norm(nn.Dense(4)(x)), norm(x.reshape(shape))
        """,
    ),
    "windows of unknown length on inputs of unknown rank": (
        "unknown-size",
        """
        class Model(nn.Module):
            width: int
            window: Sequence[int] = (2, 2)

            @nn.compact
            def __call__(self, x):
                x = nn.Conv(self.width, self.window, strides=self.window)(x)
                x = x.reshape(x.shape[0], -1, self.width)
                return nn.Dense(2)(x.reshape(*x.shape[:1], -1))
        """,
    ),
    "a shared layer whose sure size is on one of two paths": (
        "unknown-size",
        """
        class Model(nn.Module):
            early: bool = False

            @nn.compact
            def __call__(self, x, shape):
                head = nn.Dense(3)
                if self.early:
                    return head(x.reshape(shape))
                return head(x)
        """,
    ),
    "a module that contains itself": (
        "recursive-module",
        """
        class Model(nn.Module):
            depth: int

            @nn.compact
            def __call__(self, x):
                if self.depth > 0:
                    x = Model(self.depth - 1)(x)
                return nn.Dense(4)(x)
        """,
    ),
    "a size that another library decides": (
        "unknown-size",
        """
        from elsewhere import embed

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dense(8)(embed(x))
        """,
    ),
    "an unknown base class": (
        "unknown-base",
        """
        from elsewhere import Mixin

        class Model(Mixin, nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dense(8)(x)
        """,
    ),
    "a base class of another library, with layers made in a call": (
        "unknown-base",
        """
        from elsewhere import Block

        class Model(Block):
            @nn.compact
            def __call__(self, x):
                return nn.Dense(self.width)(x)
        """,
    ),
    "a base class of another library, with layers made in setup": (
        "unknown-base",
        """
        from elsewhere import Block

        class Model(Block):
            def setup(self):
                self.dense = nn.Dense(self.width)

            def __call__(self, x):
                return self.dense(x)
        """,
    ),
    "a field with the name of a function that the constructor would call": (
        "name-clash",
        """
        def init_of(scale):
            return nn.initializers.orthogonal(scale)

        class Model(nn.Module):
            init_of: float = 2.0

            @nn.compact
            def __call__(self, x):
                return nn.Dense(8, kernel_init=init_of(self.init_of))(x)
        """,
    ),
    "a field with the name of the constructor's generator": (
        "name-clash",
        """
        class Model(nn.Module):
            rngs: int

            @nn.compact
            def __call__(self, x):
                return nn.Dense(8)(x)
        """,
    ),
    "a dropout layer whose mode nobody gives": (
        "mode-flag",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return nn.Dropout(0.5)(x)
        """,
    ),
    "a mode that changes after a factory got it": (
        "mode-flag",
        """
        from functools import partial

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, train):
                norm = partial(nn.BatchNorm, use_running_average=not train)
                x = norm()(x)
                train = False
                return norm()(x)
        """,
    ),
    "modules in a dict": (
        "unknown-module",
        """
        class Model(nn.Module):
            heads: dict[str, nn.Module]

            def __call__(self, x):
                return {name: head(x) for name, head in self.heads.items()}
        """,
    ),
    "modules in a list that goes on whole": (
        "unknown-module",
        """
        from collections.abc import Sequence

        class Model(nn.Module):
            blocks: Sequence[nn.Module]

            def __call__(self, x):
                for block in self.blocks[1:]:
                    x = block(x)
                return x
        """,
    ),
    "parameters that depend on initialisation": (
        "unsupported-api",
        """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                if self.is_initializing():
                    return x
                return nn.Dense(8)(x)
        """,
    ),
}


@pytest.mark.parametrize(("reason", "code"), CASES.values(), ids=CASES)
def test_what_is_not_certain_is_refused_with_its_reason(tmp_path: Path, reason: str, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip())
    text, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == reason
    assert text == path.read_text()


def test_a_class_stays_as_it_is_when_a_submodule_does_that_no_bridge_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        HEADER
        + dedent(
            """
            class Part(nn.Module):
                @nn.compact
                def __call__(self, x):
                    return nn.Dense(8)(x) if self.is_mutable_collection("cache") else x

            class Model(nn.Module):
                @nn.compact
                def __call__(self, x):
                    return nn.Dense(8)(Part()(x))
            """
        ).lstrip()
    )
    text, conversions = convert(path)
    assert conversions.converted == {}
    assert text == path.read_text()


def test_sizes_are_named_as_code_names_them(tmp_path: Path) -> None:
    code = """
        class Gate(nn.Module):
            @nn.compact
            def __call__(self, x):
                obs, dones = x
                keep = jnp.where(dones[:, None], jnp.zeros(obs.shape), obs)
                return nn.Dense(4)(jnp.concatenate([obs, keep], axis=-1))
    """
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code))
    assert convert(path)[1].refused["model.Gate"].detail == "an input of `dense`: either x[1].shape[-1] or 1"


def test_reasons_say_what_why_and_what_to_do() -> None:
    for reason in REASONS.values():
        assert reason.what and reason.why and reason.advice


FACTORIES = (
    "self.norm_fn()(x)",
    "self.norm_fn(dtype=x.dtype)(x)",
    "(lambda f: f(x))(self.norm_fn())",
)


@pytest.mark.parametrize("expression", FACTORIES)
def test_modules_that_an_unknown_field_makes_are_not_left_in_the_call(
    tmp_path: Path, expression: str
) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "from typing import Any\n"
        + HEADER
        + dedent(
            f"""
            class Model(nn.Module):
                norm_fn: Any

                @nn.compact
                def __call__(self, x):
                    x = nn.relu(x)
                    return {expression}
            """
        ).lstrip()
    )
    text, conversions = convert(path)
    assert conversions.refused["model.Model"].reason == "unknown-module"
    assert text == path.read_text()


@pytest.mark.parametrize("name", ["scan(step, x, None, length=3)[0]", "fori_loop(0, 3, body, x)"])
def test_modules_that_functions_of_jax_would_create_in_their_rounds(tmp_path: Path, name: str) -> None:
    code = (
        "import flax.linen as nn\nimport jax\n\n\nclass Model(nn.Module):\n    @nn.compact\n"
        "    def __call__(self, x):\n        body = lambda i, x: nn.Dense(3)(x)\n"
        "        step = lambda x, _: (body(0, x), None)\n"
        f"        return jax.lax.{name}\n"
    )
    path = tmp_path / "model.py"
    path.write_text(code)
    _, conversions = convert(path)
    (refusal,) = conversions.refused.values()
    assert refusal.reason == "unsupported-syntax"
    assert refusal.detail.startswith("a module is created within `jax.lax.")


LIBRARIES = {
    "from tensorflow_probability.substrates.jax import bijectors as lib": True,
    "import distrax as lib": True,
    "import jax.tree_util as lib": True,
    "import tensorflow_probability as tfp\ntfp = tfp.experimental.substrates.jax\nlib = tfp.bijectors": True,
    "import tensorflow_probability as tfp\ntfp = somebodys_layers.tfp\nlib = tfp.bijectors": False,
    "import e3x\nlib = e3x.nn\nlib = lib.experimental": False,
    "import e3x.nn as lib": False,
    "import einops.layers.flax as lib": False,
    "import somebodys_layers as lib": False,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_class_of_a_library_makes_may_be_a_module_unless_the_library_knows_no_flax(
    tmp_path: Path, library: str
) -> None:
    path = tmp_path / "model.py"
    model = """
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return lib.Shift(nn.Dense(3)(x))(x)
    """
    path.write_text(f"{library}\n{HEADER}{dedent(model).lstrip()}")
    _, conversions = convert(path)
    assert ("model.Model" in conversions.converted) is LIBRARIES[library]
    if not LIBRARIES[library]:
        assert conversions.refused["model.Model"].reason == "unknown-module"


def test_modules_of_the_project_are_not_left_in_functions_that_a_library_calls(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    models = """
    class Update(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(x)


    class Model(nn.Module):
        @nn.compact
        def __call__(self, graph, x):
            def update(nodes, *rest):
                return Update()(nodes)

            return jraph.GraphNetwork(None, update)(graph), nn.Dense(3)(x)
    """
    path.write_text(f"import jraph\n{HEADER}{dedent(models).lstrip()}")
    _, conversions = convert(path)
    assert list(conversions.converted) == ["model.Update"]
    assert conversions.refused["model.Model"].reason == "unsupported-syntax"


def test_modules_that_a_base_of_another_file_creates_for_super(tmp_path: Path) -> None:
    base = """
import flax.linen as nn

class Router(nn.Module):
    experts: int

    @nn.compact
    def __call__(self, x):
        return self.gate()(x)

    def gate(self):
        return nn.Dense(self.experts, name="gate")
"""
    derived = """
import flax.linen as nn
from base import Router

class Noisy(Router):
    @nn.compact
    def __call__(self, x):
        return super().__call__(x)

    def gate(self):
        return nn.Dense(self.experts + 1, name="gate")
"""
    (tmp_path / "base.py").write_text(base)
    (tmp_path / "derived.py").write_text(derived)
    found = convert_project(Project([tmp_path / "base.py", tmp_path / "derived.py"], load_source))
    assert found.refused["derived.Noisy"].reason in ("unsupported-syntax", "unknown-base")
