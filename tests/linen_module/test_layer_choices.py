"""One of several of Linen's own layers: what can't be chosen with certainty is left alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert
from tests.rules.harness import fix_files, resolve_rules

HEADER = "from functools import partial\n\nimport flax.linen as nn\nimport jax\nimport jax.numpy as jnp\n\n\n"

REFUSED = {
    "layers that need different sizes": """
        class Model(nn.Module):
            wide: bool = False

            @nn.compact
            def __call__(self, x):
                layer = nn.Dense if self.wide else nn.LayerNorm
                return layer()(x)
    """,
    "a mode that changes before the call": """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                if self.norm == "batch":
                    norm = partial(nn.BatchNorm, use_running_average=not train)
                else:
                    norm = nn.LayerNorm
                layer = norm()
                train = not train
                return layer(x) * train
    """,
    "a table of the module to which code adds layers": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return NORMS[self.norm]()(x)


        NORMS["group"] = partial(nn.GroupNorm, num_groups=2)
    """,
    "a table of the module that holds more than layers": """
        NORMS = {"layer": nn.LayerNorm, "none": lambda: (lambda x: x)}


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return NORMS[self.norm]()(x)
    """,
    "a table of layers that need different sizes": """
        LAYERS = {"wide": nn.Dense, "norm": nn.LayerNorm}


        class Model(nn.Module):
            layer: str = "norm"

            @nn.compact
            def __call__(self, x):
                return LAYERS[self.layer]()(x)
    """,
    "what a table of the module has for a key that it may lack": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return NORMS.get(self.norm, nn.LayerNorm)()(x)
    """,
    "what a function finds in a table of layers": """
        NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


        def norm_of(kind):
            return NORMS[kind]


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return norm_of(self.norm)()(x)
    """,
    "a mode of which a sequence knows nothing": """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                norm = partial(nn.BatchNorm, use_running_average=not train) if self.norm == "batch" else nn.LayerNorm
                return nn.Sequential([nn.Dense(4), norm()])(x)
    """,
    "a lifted transform of one of several layers": """
        class Model(nn.Module):
            rms: bool = False

            @nn.compact
            def __call__(self, x):
                norm = nn.RMSNorm if self.rms else nn.LayerNorm
                return nn.remat(norm)()(x)
    """,
    "a choice that only a call can take": """
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x, train):
                norm = nn.LayerNorm if train else nn.RMSNorm
                return norm()(x)
    """,
    "a variable that is bound to another layer later": """
        class Model(nn.Module):
            rms: bool = False

            @nn.compact
            def __call__(self, x):
                norm = nn.RMSNorm if self.rms else nn.LayerNorm
                x = norm()(x)
                norm = partial(nn.GroupNorm, num_groups=2)
                return norm()(x)
    """,
    "partials of one of several layers": """
        class Model(nn.Module):
            rms: bool = False

            @nn.compact
            def __call__(self, x):
                norm = partial(nn.RMSNorm if self.rms else nn.LayerNorm, epsilon=1e-3)
                return norm()(x)
    """,
    "layers that give results of different shape": """
        class Model(nn.Module):
            wide: bool = False

            @nn.compact
            def __call__(self, x):
                layer = partial(nn.Dense, features=4) if self.wide else partial(nn.Dense, features=8)
                return nn.Dense(2)(layer()(x))
    """,
}


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED)
def test_what_is_not_certain_is_left_alone(tmp_path: Path, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    assert len(conversions.refused) == 1
    assert "class Model(nn.Module)" in text


FUNCTION = """
def norm_of(kind, train=False):
    if kind == "batch":
        return partial(nn.BatchNorm, use_running_average=not train)
    return nn.LayerNorm


"""

REFUSED_FUNCTIONS = {
    "a function that calls a layer, too": """
        def scaled(kind, x):
            if kind == "layer":
                return nn.LayerNorm
            nn.Dense(4)(x)
            return nn.RMSNorm


        class Model(nn.Module):
            norm: str = "layer"

            @nn.compact
            def __call__(self, x):
                return scaled(self.norm, x)()(x)
    """,
}


@pytest.mark.parametrize("code", REFUSED_FUNCTIONS.values(), ids=REFUSED_FUNCTIONS)
def test_functions_that_choose_in_other_ways_are_left_alone(tmp_path: Path, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + FUNCTION.lstrip("\n") + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    assert len(conversions.refused) == 1
    assert "class Model(nn.Module)" in text
    assert "partial(nn.BatchNorm" in text


MODEL = """
class Model(nn.Module):
    norm: str = "batch"
    train: bool = False

    @nn.compact
    def __call__(self, x):
        return norm_of(self.norm, self.train)()(x)
"""


def fixed(files: dict[str, str]) -> dict[str, str]:
    paths = {Path("/project") / name: text for name, text in files.items()}
    texts, _ = fix_files(paths, resolve_rules(["linen-module"]))
    return {path.relative_to("/project").as_posix(): text for path, text in texts.items()}


def test_a_function_that_others_call_keeps_linens_layers() -> None:
    before = HEADER + FUNCTION.lstrip("\n") + MODEL.lstrip("\n")
    assert (
        "self.layer = norm_of(self.norm, self.train)(in_features, rngs=rngs)"
        in fixed({"a.py": before})["a.py"]
    )
    other = "from a import norm_of\n\nlayer = norm_of('layer')()\n"
    assert fixed({"a.py": before, "b.py": other}) == {"a.py": before, "b.py": other}


TABLE = """
NORMS = {"layer": partial(nn.LayerNorm, dtype=jnp.float32), "rms": nn.RMSNorm}
"""

LOOKED_UP = """
class Model(nn.Module):
    norm: str = "layer"

    @nn.compact
    def __call__(self, x):
        return NORMS[self.norm]()(x)
"""


def test_a_table_that_others_read_keeps_linens_layers() -> None:
    before = HEADER + TABLE.lstrip("\n") + "\n" + LOOKED_UP
    found = fixed({"a.py": before})["a.py"]
    assert "self.layer = NORMS[self.norm](in_features, rngs=rngs)" in found
    assert '"rms": nnx.RMSNorm}' in found
    keys = "from a import NORMS\n\nassert 'layer' in NORMS\nprint(sorted(NORMS), NORMS.keys())\n"
    assert fixed({"a.py": before, "b.py": keys}) == {"a.py": found, "b.py": keys}
    for other in ("layer = NORMS['layer']()", "layers = NORMS.values()", "layer = NORMS.get('layer')"):
        others = f"from a import NORMS\n\n{other}\n"
        assert fixed({"a.py": before, "b.py": others}) == {"a.py": before, "b.py": others}


def test_a_table_of_another_file_gets_helpers_where_it_stands() -> None:
    table = HEADER + TABLE.replace("dtype=jnp.float32", "dtype=DTYPE").replace("NORMS", "DTYPE = None\nNORMS")
    model = "import flax.linen as nn\n\nfrom lib import layers\n\n" + LOOKED_UP.replace(
        "NORMS", "layers.NORMS"
    )
    texts = fixed({"lib/__init__.py": "", "lib/layers.py": table, "model.py": model})
    assert "partial(nnx.LayerNorm, dtype=DTYPE, promote_dtype=keep_dtypes)" in texts["lib/layers.py"]
    assert "nnx_compat import keep_dtypes" in texts["lib/layers.py"]
    assert "keep_dtypes" not in texts["model.py"]
    assert "self.layer = layers.NORMS[self.norm](in_features, rngs=rngs)" in texts["model.py"]


def test_a_function_of_another_file_gets_helpers_where_it_stands() -> None:
    """The file of the class needs none of them."""
    typed = FUNCTION.replace("nn.LayerNorm", "partial(nn.LayerNorm, dtype=kind)")
    model = "import flax.linen as nn\n\nfrom lib.layers import norm_of\n\n" + MODEL
    texts = fixed(
        {"lib/__init__.py": "", "lib/layers.py": HEADER + typed.strip("\n") + "\n", "model.py": model}
    )
    layers, model = texts["lib/layers.py"], texts["model.py"]
    assert "partial(nnx.LayerNorm, dtype=kind, promote_dtype=keep_dtypes)" in layers
    assert "from lib.nnx_compat import keep_dtypes" in layers
    assert "keep_dtypes" not in model
    assert "self.layer = norm_of(self.norm, self.train)(in_features, rngs=rngs)" in model


MODES = {
    "rounds of a loop that choose anew": """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                for i in range(2):
                    if i == 0 or self.norm == "batch":
                        norm = partial(nn.BatchNorm, use_running_average=not train)
                    else:
                        norm = nn.LayerNorm
                    x = norm()(jnp.tanh(norm()(x)))
                return x
    """,
    "a variable that takes another choice of the same layers": """
        class Model(nn.Module):
            first: bool = True
            second: bool = True

            @nn.compact
            def __call__(self, x, train):
                other = nn.LayerNorm
                if self.first:
                    other = partial(nn.BatchNorm, use_running_average=not train)
                norm = other
                x = norm()(x)
                if self.second:
                    norm = nn.LayerNorm
                return norm()(x)
    """,
    "one call": """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                norm = nn.LayerNorm
                if self.norm == "batch":
                    norm = partial(nn.BatchNorm, use_running_average=not train)
                return norm()(x)
    """,
}


@pytest.mark.parametrize("code", MODES.values(), ids=MODES)
def test_only_calls_of_one_choice_share_their_mode(tmp_path: Path, code: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    assert not conversions.refused
    assert text.count("isinstance(") == text.count("use_running_average=not train")


def test_calls_of_one_choice_share_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    code = """
        class Model(nn.Module):
            norm: str = "batch"

            @nn.compact
            def __call__(self, x, train):
                mode = nn.Dense(4)(x)
                if self.norm == "batch":
                    norm = partial(nn.BatchNorm, use_running_average=not train)
                else:
                    norm = nn.LayerNorm
                # Twice, as in the paper.
                return norm()(jnp.tanh(norm()(mode)))
    """
    path.write_text(HEADER + dedent(code).lstrip("\n"))
    text, conversions = convert(path)
    assert not conversions.refused
    body = text.partition("def __call__")[2]
    assert body.index("norm_mode = (") < body.index("# Twice") < body.index("**norm_mode")
    assert "self.norm_0(jnp.tanh(self.norm_1(mode, **norm_mode)), **norm_mode)" in body
