"""Comments inside of constructions: they are the user's words, and go where the construction goes."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.rules.harness import fix_text

HEADER = """\
import flax.linen as nn
import jax.numpy as jnp


class Model(nn.Module):
    width: int

"""
COMPACT = "    @nn.compact\n    def __call__(self, x):\n"


def fixed(body: str, head: str = COMPACT) -> str:
    """The file after `fix`, without unsafe fixes."""
    return fix_text(HEADER + head + indent(dedent(body).strip(), " " * 8) + "\n", "linen-module")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            """
            return nn.Dense(
                # one comment
                features=self.width,
                use_bias=False,  # and another
            )(x)
            """,
            "        # one comment\n        # and another\n        self.dense = nnx.Linear(",
        ),
        (
            """
            scale = self.param(
                "scale",
                nn.initializers.ones,  # nothing is scaled at first
                (self.width,),
            )
            return x * scale
            """,
            "        # nothing is scaled at first\n        self.scale = nnx.Param(",
        ),
        (
            """
            for i in range(3):
                x = nn.Dense(
                    self.width,  # the same in each round
                )(x)
            return x
            """,
            "            # the same in each round\n            self.dense_layers.append(nnx.Linear(",
        ),
        (
            """
            if self.width > 3:
                x = nn.Dense(
                    self.width,  # wide
                )(x)
            return nn.Dense(
                1,  # narrow
            )(x)
            """,
            "            # wide\n            self.dense_0 = nnx.Linear(",
        ),
        (
            """
            return nn.Dense(
                self.width,  # noqa: E501
                use_bias=False,  # nothing is shifted
            )(x)
            """,
            "        # nothing is shifted\n"
            "        self.dense = nnx.Linear(in_features, self.width, use_bias=False, rngs=rngs)  # noqa: E501\n",
        ),
    ],
)
def test_comments_stand_above_what_they_are_about(body: str, expected: str) -> None:
    assert expected in fixed(body)


def test_comments_in_setup() -> None:
    body = """
    self.head = nn.Dense(
        self.width,  # classes
    )
    """
    call = "\n    def __call__(self, x):\n        return self.head(x)\n"
    code = HEADER + "    def setup(self):\n" + indent(dedent(body).strip(), " " * 8) + "\n" + call
    assert "        # classes\n        self.head = nnx.Linear(" in fix_text(code, "linen-module")


def test_comments_that_stay_in_place_are_not_repeated() -> None:
    text = fixed(
        """
        x = nn.Dense(self.width)(  # of the call
            x
        )
        # of the method
        return nn.relu(x)  # of the result
        """
    )
    assert [text.count(c) for c in ("# of the call", "# of the method", "# of the result")] == [1, 1, 1]


def test_equal_comments_are_all_kept() -> None:
    text = fixed(
        """
        x = nn.Dense(
            self.width,  # size
        )(x)
        return nn.Dense(
            self.width,  # size
        )(x)
        """
    )
    assert text.count("# size") == 2


def test_nested_constructions_have_the_comments_of_their_own(tmp_path: Path) -> None:
    text = fixed(
        """
        return nn.Sequential([
            nn.Dense(8),  # first
            nn.Dense(
                4,  # inner
            ),
        ])(x)
        """
    )
    assert "nnx.Module" in text
    assert text.count("# first") == text.count("# inner") == 1


def test_blanks_behind_a_comment_are_no_part_of_it() -> None:
    body = "return nn.Dense(\n    self.width,  # classes  \n)(x)\n"
    text = HEADER.replace("width: int", "width: int  # of layers   ") + COMPACT + indent(body, " " * 8)
    after = fix_text(text, "linen-module")
    assert "nnx.Module" in after
    assert "# of layers" in after
    assert "        # classes\n        self.dense" in after


CRITICS = """\
import flax.linen as nn
import jax.numpy as jnp


class Critic(nn.Module):
    @nn.compact
    def __call__(self, obs, action):
        x = jnp.concatenate([obs, action], axis=-1)
        return nn.Dense(1)(nn.relu(nn.Dense(8)(x)))


class Critics(nn.Module):
    number: int = 2

    @nn.compact
    def __call__(self, obs, action):
        ensemble = nn.vmap(
            Critic,
            variable_axes={"params": 0},  # one set of parameters each
            split_rngs={"params": True},  # other draws for each
            in_axes=None,
            out_axes=-1,
            # all get the same inputs
            axis_size=self.number,
        )
        return ensemble()(obs, action)
"""


def test_comments_of_lifted_transforms() -> None:
    text = fix_text(CRITICS, "linen-module")
    assert (
        """\
        # one set of parameters each
        # other draws for each
        # all get the same inputs
        self.critic = nnx.vmap("""
        in text
    )


FIELDS = '''\
import flax.linen as nn


class Model(nn.Module):
    """A model."""

    width: int = 2
    """How wide it is:

    # never less than 1
    """
    # with a bias, too
    use_bias: bool = True
    """Whether there is a bias."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width, use_bias=self.use_bias)(x)
'''


def test_texts_below_fields_go_below_their_assignments() -> None:
    text = fix_text(FIELDS, "linen-module")
    assert (
        '''\
        self.width = width
        """How wide it is:

        # never less than 1
        """
        self.use_bias = use_bias
        """Whether there is a bias."""
        self.dense = nnx.Linear('''
        in text
    )
    assert "        # with a bias, too\n        use_bias: bool = True,\n" in text
    assert text.count("never less") == text.count("Whether there is") == 1


def test_a_text_about_the_class_below_its_last_field_goes_to_the_top() -> None:
    about = '    """A block.\n\n    :param width: how wide it is\n    """\n'
    code = FIELDS.replace('    """Whether there is a bias."""\n', about)
    for text in ('    """A model."""\n\n', '    """How wide it is:\n\n    # never less than 1\n    """\n'):
        code = code.replace(text, "")
    text = fix_text(code, "linen-module")
    assert f"(nnx.Module):\n{about}\n    def __init__(" in text
    assert text.count("A block.") == 1


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("(\n        0  # none at all\n    )", "depth: int = 0,  # none at all\n"),
        (
            "(\n        0  # none at all\n    )  # layers",
            "# none at all\n        depth: int = 0,  # layers\n",
        ),
        (
            "(\n        # none\n        # at all\n        0\n    )",
            "# none\n        # at all\n        depth: int = 0,\n",
        ),
    ],
)
def test_comments_inside_of_a_default(default: str, expected: str) -> None:
    code = (
        HEADER.rstrip()
        + f"\n    depth: int = {default}\n\n"
        + COMPACT
        + "        return nn.Dense(self.width)(x)\n"
    )
    assert expected in fix_text(code, "linen-module")
