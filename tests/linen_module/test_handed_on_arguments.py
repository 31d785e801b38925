"""Methods that hand all of their `*args` on to one submodule: `self.net_cls()(*args)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linen_module.fixture import convert

TEXT = """
from functools import partial
from typing import Type

import flax.linen as nn
import jax.numpy as jnp


class Critic(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, observations, actions, {more}):
        x = nn.Dense(self.width)(jnp.concatenate([observations, actions], axis=-1))
        return {result}


class Ensemble(nn.Module):
    net_cls: Type[nn.Module]

    @nn.compact
    def __call__(self, {parameters}):
        {body}


class Agent(nn.Module):
    ensemble: Type[nn.Module]

    @nn.compact
    def __call__(self, x, y):
        return self.ensemble()({given})


Members = partial(Ensemble, net_cls=Critic)
Model = partial(Agent, ensemble=Members)
"""
MAPPED = (
    'nn.vmap(self.net_cls, variable_axes={{"params": 0}}, split_rngs={{"params": True}}, '
    "in_axes={axes}, axis_size=3{more})()"
)


def converted(
    tmp_path: Path,
    body: str,
    parameters: str = "*args",
    more: str = "training=False",
    result: str = "x",
    given: str = "x, y",
) -> tuple[str, dict[str, str]]:
    """The new text of the file, and why classes stay."""
    path = tmp_path / "model.py"
    text = TEXT.replace("{more}", more).replace("{result}", result).replace("{given}", given)
    path.write_text(text.replace("{parameters}", parameters).replace("{body}", body))
    text, conversions = convert(path, bridge=False)
    text = " ".join(text.split())
    return text, {name.rpartition(".")[2]: r.detail for name, r in conversions.refused.items()}


def test_sizes_have_the_names_that_the_submodule_gives_its_arguments(tmp_path: Path) -> None:
    text, refused = converted(tmp_path, "return self.net_cls()(*args)")
    assert not refused
    assert "net_cls( actions_features=actions_features, observations_features=observations_features" in text
    assert "return self.critic(*args)" in text


def test_keywords_go_on_where_the_submodule_is_called_itself(tmp_path: Path) -> None:
    text, refused = converted(tmp_path, "return self.net_cls()(*args, **kwargs)", "*args, **kwargs")
    assert not refused
    assert "return self.critic(*args, **kwargs)" in text


def test_what_stands_before_them_counts(tmp_path: Path) -> None:
    text, refused = converted(tmp_path, "return self.net_cls()(x / 2, *args)", "x, *args")
    assert not refused
    assert "self.critic(x / 2, *args)" in text
    assert "net_cls( actions_features=actions_features, observations_features=x_features" in text


def test_members_get_all_of_them_and_no_keywords(tmp_path: Path) -> None:
    """Linen's `nn.vmap` ignores keyword arguments."""
    mapped = MAPPED.format(axes="None", more=", out_axes=1")
    text, refused = converted(tmp_path, f"return {mapped}(*args, **kwargs)", "*args, **kwargs")
    assert not refused
    assert "nnx.vmap(lambda member: member(*args), out_axes=1)(self.critic)" in text


def test_the_variable_of_members_is_no_argument(tmp_path: Path) -> None:
    text, refused = converted(tmp_path, f"return {MAPPED.format(axes='None', more='')}(*members)", "*members")
    assert not refused
    assert "nnx.vmap(lambda member_: member_(*members))(self.critic)" in text


@pytest.mark.parametrize(
    ("body", "parameters", "detail"),
    [
        (f"return {MAPPED.format(axes='0', more='')}(*args)", "*args", "is called with `*args`"),
        (f"return {MAPPED.format(axes='None', more='')}(args[0] * 2, *args[1:])", "*args", "`*args`"),
        (f"return {MAPPED.format(axes='None', more='')}(x + 1, *args)", "x, *args", "what isn't a variable"),
        (f"return {MAPPED.format(axes='None', more=', axis_name=None')}(*args)", "*args", "named axis"),
        ("return self.net_cls()(*args) * len(args)", "*args", "`*args` or `**kwargs`"),
        ("return self.net_cls()(*args) + self.net_cls()(*args)", "*args", "`*args` or `**kwargs`"),
        ("return self.net_cls()(*args, **kwargs), kwargs", "*args, **kwargs", "`*args` or `**kwargs`"),
        ("return self.net_cls()(*args, actions=x)", "x, *args", "`*args` or `**kwargs`"),
        ("return self.net_cls()(*args, *others)", "others, *args", "`*args` or `**kwargs`"),
    ],
)
def test_other_uses_of_them_are_refused(tmp_path: Path, body: str, parameters: str, detail: str) -> None:
    _, refused = converted(tmp_path, body, parameters)
    assert detail in refused["Ensemble"]


@pytest.mark.parametrize("body", ["self.net_cls()(*args)", MAPPED.format(axes="None", more="") + "(*args)"])
def test_layers_that_arguments_behind_them_decide_about_are_refused(tmp_path: Path, body: str) -> None:
    result = "x if mask is None else x * nn.Dense(4)(mask)"
    _, refused = converted(tmp_path, f"return {body}", more="mask=None", result=result)
    assert "Ensemble" in refused


def test_keyword_only_arguments_behind_keywords_are_refused(tmp_path: Path) -> None:
    _, refused = converted(
        tmp_path, "return self.net_cls()(*args, **kwargs)", "*args, **kwargs", "*, scale=1.0", "x * scale"
    )
    assert "`*args` or `**kwargs`" in refused["Ensemble"]


def test_a_caller_that_names_them_is_refused(tmp_path: Path) -> None:
    _, refused = converted(
        tmp_path, "return self.net_cls()(*args, **kwargs)", "*args, **kwargs", given="x, actions=y"
    )
    assert set(refused) == {"Agent"}
