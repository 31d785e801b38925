"""Graphs and other objects with named parts: which sizes follow through them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.linen_module.fixture import convert

IMPORTS = """\
from typing import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import jraph


"""


def model(tmp_path: Path, body: str, fields: str = "", after: str = "") -> tuple[dict[str, str], str]:
    """Reasons by class and the file, for a model with this code in its `__call__`."""
    lines = ["class Model(nn.Module):", *fields.splitlines(), "@nn.compact", "def __call__(self, graph):"]
    code = lines[0] + "\n" + "".join(f"    {line}\n" for line in lines[1:])
    code += "".join(f"        {line}\n" for line in dedent(body).strip().splitlines())
    path = tmp_path / "model.py"
    path.write_text(IMPORTS + code + "\n\n" + dedent(after))
    text, conversions = convert(path)
    return {name.rpartition(".")[2]: r.reason for name, r in conversions.refused.items()}, text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "return jraph.GraphMapFeatures(embed_node_fn=nn.Dropout(0.5, deterministic=False))(graph)",
            "unknown-call",
        ),
        (
            "return jraph.GraphNetwork(None, nn.Dense(3), attention_logit_fn=nn.Dense(1),"
            " attention_reduce_fn=jnp.multiply)(graph)",
            "unknown-call",
        ),
        (
            "net = jraph.GraphNetwork(None, jraph.concatenated_args(nn.Dense(3)),"
            " aggregate_edges_for_nodes_fn=pool)\nreturn net(graph)",
            "unknown-size",
        ),
        ("return jax.vmap(jraph.GraphMapFeatures(embed_node_fn=nn.Dense(3)))(graph)", "unknown-call"),
        ("return jraph.GraphMapFeatures(embed_node_fn=nn.Dense(3))", "unknown-size"),
        (
            "return nn.Dense(3)(jax.tree.map(jnp.tanh, graph._replace(nodes=graph.nodes + 1)).nodes)",
            "unknown-size",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    refused, _ = model(tmp_path, body, after="def pool(*args):\n    return args[0]\n")

    assert refused == {"Model": reason}


def test_a_graph_that_two_branches_change_is_one_graph(tmp_path: Path) -> None:
    refused, after = model(
        tmp_path,
        """
        embed = jraph.GraphMapFeatures(embed_node_fn=nn.Dense(9))
        if self.skip:
            graph = graph._replace(nodes=embed(graph).nodes + 1)
        else:
            graph = embed(graph)
        return nn.Dense(3)(graph.nodes)
        """,
        fields="skip: bool = True",
    )

    assert not refused
    assert "nnx.Linear(9, 3" in after


def test_parts_that_some_configurations_replace_have_sizes_by_condition(tmp_path: Path) -> None:
    refused, after = model(
        tmp_path,
        """
        if self.wide:
            graph = graph._replace(nodes=nn.Dense(9)(graph.nodes))
        return nn.Dense(3)(graph.nodes)
        """,
        fields="wide: bool = True",
    )

    assert not refused
    assert "in_features = 9" in after or "graph_nodes_features = 9" in after


def test_a_function_that_the_project_replaces_is_not_known(tmp_path: Path) -> None:
    body = """
    nodes = nn.Dense(4)(graph.nodes)[:, :]
    return nn.Dense(3)(self.pool(nodes, jnp.zeros((5,), int), 2))
    """
    field = "pool: Callable = jraph.segment_sum"

    as_it_is, _ = model(tmp_path, body, field, "Model()\n")
    replaced, _ = model(tmp_path, body, field, "Model(pool=lambda x, i, n: x.T)\n")
    unseen, _ = model(tmp_path, body, field)

    assert not as_it_is
    assert replaced == unseen == {"Model": "unknown-size"}


def test_a_list_that_repeats_a_width_keeps_that_width_however_long_it_is(tmp_path: Path) -> None:
    refused, after = model(
        tmp_path,
        """
        widths = [self.width] * self.depth
        return nn.Dense(3)(Stack(widths)(nn.Dense(self.width)(graph)))
        """,
        fields="depth: int\nwidth: int",
        after="""
        class Stack(nn.Module):
            widths: list[int]

            @nn.compact
            def __call__(self, x):
                for width in self.widths:
                    x = nn.Dense(width)(x)
                return x
        """,
    )

    assert not refused
    assert "nnx.Linear(self.width, 3, rngs=rngs)" in after
