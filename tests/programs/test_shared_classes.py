"""Classes that move although classes that stay Linen use them, too: these keep a Linen copy."""

from pathlib import Path

import pytest

from tests.rules.harness import fix_files, resolve_rules

RULES = resolve_rules(["linen-module"])
BLOCK = """\
import flax.linen as nn


class Block(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)
"""
USERS = """

class Moves(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Block(4)(x))


class Stays(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Block(4)(x) * len(self.scope.path)
"""
LAYERS, NETS = Path("/project/layers.py"), Path("/project/nets.py")


MAIN = Path("/project/main.py")
PROGRAM = """\
import jax, jax.numpy as jnp
from nets import Moves

variables = Moves().init(jax.random.key(0), jnp.ones((1, 3)))
"""


def fixed(layers: str, nets: str) -> dict[Path, str]:
    """What becomes of both files, where a program uses the class that moves."""
    program = {MAIN: PROGRAM} if "class Moves" in nets else {}
    texts, _ = fix_files({LAYERS: layers, NETS: nets, **program}, RULES)
    return {path: text for path, text in texts.items() if path in (LAYERS, NETS)}


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("from layers import Block\n", ("from layers import Block, LinenBlock", "LinenBlock(4)(x) * len")),
        ("from layers import *\n", ("from layers import LinenBlock", "LinenBlock(4)(x) * len")),
        (
            "from layers import Block as B\n",
            ("from layers import Block as B, LinenBlock", "LinenBlock(4)(x) *"),
        ),
        ("import layers\n", ("import layers\n", "layers.LinenBlock(4)(x) * len")),
        (
            "try:\n    from .layers import (\n        Block,\n    )\nexcept ImportError:\n    from layers import Block\n",
            (
                "        Block, LinenBlock,\n    )\n",
                "    from layers import Block, LinenBlock\n",
                "LinenBlock(4)(x) * len",
            ),
        ),
    ],
)
def test_the_class_that_stays_imports_the_copy(imports: str, expected: tuple[str, ...]) -> None:
    name = {"import layers\n": "layers.Block", "from layers import Block as B\n": "B"}.get(imports, "Block")
    texts = fixed(BLOCK, f"import flax.linen as nn\n{imports}{USERS.replace('Block', name)}")
    assert "class Moves(nnx.Module)" in texts[NETS]
    assert "class Stays(nn.Module)" in texts[NETS]
    assert f"self.block = {name}(4, in_features=in_features, rngs=rngs)" in texts[NETS]
    for text in expected:
        assert text in texts[NETS]
    assert "class Block(nnx.Module)" in texts[LAYERS]
    assert "class LinenBlock(nn.Module)" in texts[LAYERS]
    assert 'LinenBlock.__name__ = "Block"' in texts[LAYERS]


def test_one_that_only_moving_classes_use_has_no_copy() -> None:
    texts = fixed(
        BLOCK, f"import flax.linen as nn\nfrom layers import Block{USERS.replace('Block(4)(x) * len', 'len')}"
    )
    assert "class Stays(nn.Module)" in texts[NETS]
    assert "Linen" not in texts[LAYERS]


def test_one_that_only_staying_classes_use_stays() -> None:
    nets = f"import flax.linen as nn\nfrom layers import Block\n\n\n{USERS[USERS.index('class Stays') :]}"
    assert fixed(BLOCK, nets) == {LAYERS: BLOCK, NETS: nets}


@pytest.mark.parametrize(
    "fallback", ["from others import Block\n", "Block = None\n", "from layers import Old as Block\n"]
)
def test_what_a_file_may_have_from_elsewhere_has_no_copy_there(fallback: str) -> None:
    imports = f"try:\n    from layers import Block\nexcept ImportError:\n    {fallback}"
    texts = fixed(BLOCK, f"import flax.linen as nn\n{imports}{USERS}")
    assert "Linen" not in texts[LAYERS] + texts[NETS]


CELL = """\
    features: int = 4

    @staticmethod
    def carry(batch):
        return jnp.zeros((batch, 4))
"""


def test_one_that_programs_only_ask_for_what_staying_classes_need_stays() -> None:
    """No copy beside an NNX form that nothing would construct."""
    layers = "import jax.numpy as jnp\n" + BLOCK.replace("    features: int\n", CELL)
    stays = USERS.partition("class Stays")[2]
    nets = f"import flax.linen as nn\nfrom layers import Block\n\n\nclass Stays{stays}\n\nstart = Block.carry(3)\n"
    texts = fixed(layers, nets)
    assert texts == {LAYERS: layers, NETS: nets}
    texts = fixed(layers, nets + "model = Block()\n")
    assert "class Block(nnx.Module)" in texts[LAYERS] and "class LinenBlock(nn.Module)" in texts[LAYERS]


@pytest.mark.parametrize(("body", "moves"), [("Block(4)(x)", False), ("Deep(4)(Block(4)(x))", True)])
def test_what_nothing_uses_moves_where_more_becomes_nnx_than_is_needed_twice(body: str, moves: bool) -> None:
    deep = BLOCK.partition("\n\n\n")[2].replace("Block", "Deep")
    users = USERS.replace("nn.Dense(2)(Block(4)(x))", body)
    nets = f"import flax.linen as nn\nfrom layers import Block\n\n\n{deep}{users}"
    texts, _ = fix_files({LAYERS: BLOCK, NETS: nets}, RULES)
    assert ("class Moves(nnx.Module)" in texts[NETS]) is moves


def test_one_that_besides_staying_classes_only_tests_use_stays() -> None:
    nets = f"import flax.linen as nn\nfrom layers import Block\n\n\n{USERS[USERS.index('class Stays') :]}"
    use = "import jax, jax.numpy as jnp\nfrom layers import Block\n\nv = Block(4).init(jax.random.key(0), jnp.ones((1, 3)))\n"
    tests = Path("/project/layers_test.py")
    files = {LAYERS: BLOCK, NETS: nets, tests: use}
    texts, result = fix_files(files, RULES)
    assert texts == files
    messages = [found.message for found in result.remaining.findings]
    assert any("`Block` is a Linen module: it moves with `Stays`" in message for message in messages)
    texts, _ = fix_files({LAYERS: BLOCK, NETS: nets, tests.with_name("train.py"): use}, RULES)
    assert "class Block(nnx.Module)" in texts[LAYERS] and "class LinenBlock(nn.Module)" in texts[LAYERS]


@pytest.mark.parametrize(
    "layers",
    [
        BLOCK.replace("\n\nclass", "\nfrom registry import register\n\n\n@register('block')\nclass"),
        BLOCK + "\n\nLinenBlock = None\n",
        "import flax.linen as nn\nimport jax\n\nif jax.__version__ > '0.1':\n    "
        + BLOCK.partition("\n\n\n")[2].replace("\n", "\n    ").rstrip()
        + "\n",
    ],
)
def test_what_can_not_be_copied_stays_with_all_its_users(layers: str) -> None:
    nets = f"import flax.linen as nn\nfrom layers import Block{USERS}"
    assert fixed(layers, nets) == {LAYERS: layers, NETS: nets}


def test_a_second_run_changes_nothing() -> None:
    texts = fixed(BLOCK, f"import flax.linen as nn\nfrom layers import Block{USERS}")
    assert fix_files(texts, RULES)[0] == texts


def test_copies_move_once_their_users_do_and_parameters_keep_their_place() -> None:
    texts = fixed(BLOCK, f"import flax.linen as nn\nfrom layers import Block{USERS}")
    texts[NETS] = texts[NETS].replace(" * len(self.scope.path)", "")
    again, _ = fix_files(texts, RULES)
    assert "class Stays(nnx.Module)" in again[NETS]
    assert "self.block = LinenBlock(4, in_features=in_features, rngs=rngs)" in again[NETS]


def test_copies_are_not_copied_once_more() -> None:
    texts = fixed(BLOCK, f"import flax.linen as nn\nfrom layers import Block{USERS}")
    texts[MAIN] = PROGRAM.replace("from nets import Moves", "from layers import LinenBlock")
    texts[MAIN] = texts[MAIN].replace("Moves()", "LinenBlock(4)")
    again, _ = fix_files(texts, RULES)
    assert again == texts


FUNCTION = BLOCK + "\n\ndef block(x, features):\n    return Block(features)(x)\n"
CALLERS = USERS.replace("Block(4)(x)", "block(x, 4)")


MADE_BY_A_FUNCTION = """\
import flax.linen as nn
import jax.numpy as jnp


def head(x, classes, rate=0.1, deterministic=True):
    return Head(classes, rate)(x, deterministic=deterministic)


class Head(nn.Module):
    classes: int
    rate: float

    @nn.compact
    def __call__(self, x, deterministic):
        y = nn.Dropout(self.rate)(x, deterministic=deterministic)


class Encoder(nn.Module):
    classes: int = 3

    @nn.compact
    def __call__(self, x, train: bool = False):
        return head(nn.Dense(5)(x), self.classes, deterministic=not train)


def run(key):
    return Encoder().init(key, jnp.ones((2, 6)), train=False)
"""


def test_what_a_function_makes_for_a_class_is_needed_by_it() -> None:
    """The reference stands in no class: it is the analysis that knows whose constructor would make the module."""
    text = fixed(MADE_BY_A_FUNCTION, "")[LAYERS]
    assert text.count("(nnx.Module)") == 2
    assert (
        "def head(x, deterministic=True, *, head_0):\n    return head_0(x, deterministic=deterministic)"
        in text
    )
    assert "return head(self.dense(x), deterministic=not train, head_0=self.head)" in text


def test_what_a_function_makes_stays_where_something_else_may_call_the_function() -> None:
    before = MADE_BY_A_FUNCTION + "\n\nfunctions = [head]\n"
    assert fixed(before, "")[LAYERS] == before


def test_a_function_whose_other_callers_stay_keeps_what_it_makes() -> None:
    nets = "import flax.linen as nn\nfrom layers import block" + CALLERS
    assert fixed(FUNCTION, nets) == {LAYERS: FUNCTION, NETS: nets}


@pytest.mark.parametrize(("annotation", "moves"), [("nn.Module", False), ("float", True)])
def test_what_nothing_uses_stays_where_its_users_may_give_it_a_module_that_stays(
    annotation: str, moves: bool
) -> None:
    call = "self.base(x)" if annotation == "nn.Module" else "x * self.base"
    nets = f"""\
import flax.linen as nn


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x) * len(self.scope.path)


class Pooling(nn.Module):
    base: {annotation}

    @nn.compact
    def __call__(self, x):
        seeds = self.param("seeds", nn.initializers.ones, (2, x.shape[-1]))
        return {call} + seeds.sum()
"""
    texts, result = fix_files({NETS: nets}, RULES)
    assert ("class Pooling(nnx.Module)" in texts[NETS]) is moves
    messages = [found.message for found in result.remaining.findings]
    assert any("nothing in the project uses it" in message for message in messages) is not moves


@pytest.mark.parametrize("parameter", ["make=Block", "make=None"])
def test_what_a_function_makes_has_no_copy_for_classes_that_stay(parameter: str) -> None:
    """`block()` makes one form for all who call it, whether it names the class or gets it by default."""
    function = f"\n\ndef block({parameter}):\n    return {'make' if 'Block' in parameter else 'Block'}(4)\n"
    users = USERS.replace("return Block(4)(x) *", "return block()(x) *")
    nets = f"import flax.linen as nn\n\nfrom layers import Block, block\n{users}"
    assert fixed(BLOCK + function, nets) == {LAYERS: BLOCK + function, NETS: nets}


def test_what_a_function_makes_for_a_class_that_has_a_copy_stays_with_it() -> None:
    middle = """

def block():
    return Block(4)


class Middle(nn.Module):
    @nn.compact
    def __call__(self, x):
        return block()(x)
"""
    users = USERS.replace("Block(4)(x)", "Middle()(x)")
    nets = f"import flax.linen as nn\n\nfrom layers import Middle\n{users}"
    assert fixed(BLOCK + middle, nets) == {LAYERS: BLOCK + middle, NETS: nets}
