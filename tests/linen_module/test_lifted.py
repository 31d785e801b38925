"""Lifted transforms: forms whose counterpart computes the same, and those that are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnx_migrate.names.project import Project
from nnx_migrate.nnx.conversion import convert_project
from nnx_migrate.sources.text import SourceText
from tests.linen_module.test_state import conversion

CODE = """
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp


class Block(nn.Module):
    dim: int = 4

    @nn.compact
    def __call__(self, x, y=None):
        return x + nn.Dense(self.dim)(x), None


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, carry, x):
        return carry, nn.Dropout(0.5, deterministic=False)(nn.Dense(4)(x))


class Model(nn.Module):
    depth: int = 2

    @nn.compact
    def __call__(self, x):
        {lines}
        return x
"""

CONVERTED = {
    "remat without the arguments that have defaults": (
        "x, _ = nn.remat(Block)()(x)",
        "x, _ = nnx.remat(lambda layer, x: layer(x))(self.block, x)",
    ),
    "remat with all arguments": (
        "x, _ = nn.checkpoint(Block, static_argnums=(2,))()(x, None)",
        "x, _ = nnx.remat(Block.__call__, static_argnums=(2,))(self.block, x, None)",
    ),
    "members of an ensemble": (
        "x = nn.vmap(Block, in_axes=None, variable_axes={'params': 0}, split_rngs={'params': True}, axis_size=3)()(x)",
        "x = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None))(self.block, x)",
    ),
    "one module for all members": (
        "x = nn.vmap(Block, variable_axes={'params': None}, split_rngs={'params': False})()(x)",
        "x = nnx.vmap(lambda layer, x: layer(x), in_axes=(None, 0))(self.block, x)",
    ),
    "layers in a scan": (
        "x, _ = nn.scan(Block, variable_axes={'params': 0}, split_rngs={'params': True}, length=self.depth)()(x, None)",
        "x, _ = nnx.scan(Block.__call__, in_axes=(0, nnx.Carry, 0), out_axes=(nnx.Carry, 0))(self.block, x, None)",
    ),
    "a flag that all layers share": (
        "x, _ = nn.scan(Block, variable_axes={'params': 0}, split_rngs={'params': True}, in_axes=nn.broadcast, "
        "length=2)()(x, True)",
        "nnx.scan(lambda layer, carry: Block.__call__(layer, carry, True), in_axes=(0, nnx.Carry), "
        "out_axes=(nnx.Carry, 0))(self.block, x)",
    ),
    "jit": ("x, _ = nn.jit(Block)()(x)", "x, _ = self.block(x)"),
}


@pytest.mark.parametrize(("line", "expected"), CONVERTED.values(), ids=CONVERTED)
def test_calls_go_through_the_transform_of_nnx(tmp_path: Path, line: str, expected: str) -> None:
    text = conversion(tmp_path, CODE.replace("{lines}", line))
    assert "".join(expected.split()) in "".join(text.split()).replace(",)", ")").replace("(2)", "(2,)")


def test_members_are_built_in_one_axis(tmp_path: Path) -> None:
    text = conversion(tmp_path, CODE.replace("{lines}", CONVERTED["layers in a scan"][0]))
    made = "self.block = nnx.vmap(lambda rngs: Block(in_features=in_features, rngs=rngs))(rngs.split(self.depth))"
    assert "".join(made.split()) in "".join(text.split())


_ENSEMBLE = "variable_axes={'params': 0}, split_rngs={'params': True}"
REFUSED = {
    "an option without a counterpart": (
        f"x = nn.vmap(Block, {_ENSEMBLE}, axis_size=2, spmd_axis_name='data')()(x)",
        "`nn.vmap` with `spmd_axis_name`",
    ),
    "another axis of variables": (
        "x = nn.vmap(Block, variable_axes={'params': 1}, split_rngs={'params': True}, axis_size=2)()(x)",
        "`nn.vmap` with `variable_axes` other than 0 for named collections",
    ),
    "members with the same parameters at first": (
        "x = nn.vmap(Block, variable_axes={'params': 0}, split_rngs={'params': False}, axis_size=2)()(x)",
        "`nn.vmap` whose members start with the same parameters",
    ),
    "members that draw the same numbers": (
        "x = nn.vmap(Block, variable_axes={'params': 0}, split_rngs={'params': True, 'dropout': False}, "
        "axis_size=2)()(x)",
        "`nn.vmap` whose members draw the same random numbers",
    ),
    "draws in a loop that shares its variables": (
        "c, x = nn.scan(Noisy, variable_broadcast='params', split_rngs={'params': False, 'dropout': True})()(x[0], x)",
        "`Dropout` changes state or draws in a scan that shares variables",
    ),
    "no number of members": (
        f"x = nn.vmap(Block, {_ENSEMBLE})()(x)",
        "the number of members isn't given where they are mapped",
    ),
    "a function": (
        f"x = nn.vmap(lambda module, x: module(x), {_ENSEMBLE})(Block(), x)",
        "the lifted transform `nn.vmap`",
    ),
    "arguments by name": (
        f"x = nn.vmap(Block, {_ENSEMBLE}, axis_size=2)()(x=x)",
        "a mapped module is called with keyword arguments",
    ),
    "another method": (
        "x = nn.remat(Block, methods=['__call__'])()(x)[0]",
        "`nn.remat` with `methods`",
    ),
    "partitioning's remat of computed arguments": (
        "x = nn.partitioning.remat(Block, static_argnums=tuple(range(1, 2)))()(x, None)[0]",
        "`nn.partitioning.remat` with `static_argnums` that aren't written out",
    ),
    "partitioning's remat with filters": (
        "x = nn.partitioning.remat(Block, variables='params')()(x, None)[0]",
        "`nn.partitioning.remat` with `variables`",
    ),
}


@pytest.mark.parametrize(("line", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_forms_are_refused(tmp_path: Path, line: str, reason: str) -> None:
    assert conversion(tmp_path, CODE.replace("{lines}", line)).partition(": ")[2] == reason


@pytest.mark.parametrize("declared", ["type[nn.Module]", "nn.Module", "Any"])
def test_refusals_name_the_field_whose_class_nothing_shows(tmp_path: Path, declared: str) -> None:
    line = f"x = nn.vmap(self.kind, {_ENSEMBLE}, in_axes=None, axis_size=2)()(x)"
    code = CODE.replace("{lines}", line).replace("depth: int = 2", f"kind: {declared}")
    assert conversion(tmp_path, code) == "unknown-module: the class behind `self.kind` isn't known"


METHOD = """
from functools import partial

import flax.linen as nn
import jax


class Model(nn.Module):
    {decorator}
    @nn.compact
    def __call__(self, {arguments}):
        return {result}
"""
SCAN = 'partial(nn.scan, variable_broadcast="params", split_rngs={"params": False}, AXES)'
DECORATED = {
    "remat": ("@nn.remat", "x", "nn.Dense(4)(x)", "@nnx.remat\n    def"),
    "remat of a static argument": (
        "@partial(nn.remat, static_argnums=(2,))",
        "x, flag=True",
        "nn.Dense(4)(x)",
        "@partial(nnx.remat, static_argnums=(2,))\n    def",
    ),
    "scan": (
        "@" + SCAN.replace("AXES", "in_axes=(0, 1), out_axes=1"),
        "c, x, y",
        "c, nn.Dense(4)(x)",
        "@partial(nnx.scan, in_axes=(None, nnx.Carry, 0, 1), out_axes=(nnx.Carry, 1))\n    def",
    ),
    "remat of a flag with a default": (
        "@nn.remat",
        "x, flag=True",
        "nn.Dense(4)(x)",
        "a lifted transform over a method whose arguments have defaults",
    ),
    "remat of a keyword": (
        "@nn.remat",
        "x, *, mask",
        "nn.Dense(4)(x)",
        "`nn.remat` over a method with keyword-only arguments",
    ),
    "scan that draws": (
        "@" + SCAN.replace("AXES", "in_axes=0"),
        "c, x",
        "c, nn.Dropout(0.5, deterministic=False)(nn.Dense(4)(x))",
        "`Dropout` changes state or draws in a scan that shares variables",
    ),
}


@pytest.mark.parametrize(("decorator", "arguments", "result", "expected"), DECORATED.values(), ids=DECORATED)
def test_decorators(tmp_path: Path, decorator: str, arguments: str, result: str, expected: str) -> None:
    code = (
        METHOD.replace("{decorator}", decorator).replace("{arguments}", arguments).replace("{result}", result)
    )
    assert expected in conversion(tmp_path, code)


def test_a_loop_over_modules_of_setup_calls_each_of_them(tmp_path: Path) -> None:
    before, _, _ = CODE.partition("\n\nclass Model")
    code = (
        before
        + """

class Model(nn.Module):
    def setup(self):
        self.blocks = [nn.remat(Block)(4) for _ in range(3)]

    def __call__(self, x):
        for block in self.blocks:
            x, _ = block(x, None)
        return x
"""
    )
    text = conversion(tmp_path, code)
    assert "x, _ = nnx.remat(Block.__call__)(block, x, None)" in text
    assert "self.blocks.append(Block(4, in_features=" in text or "[Block(4, in_features=" in text


BRANCHES = """

class Model(nn.Module):
    checkpoints: bool = False

    def setup(self):
        if self.checkpoints:
            Layer = nn.remat(Block, static_argnums=(2,))
            self.blocks = [Layer({arguments}) for _ in range(3)]
        else:
            self.blocks = [Block(4) for _ in range({number})]

    def __call__(self, x):
        for block in self.blocks:
            x, _ = block(x, None)
        return x
"""


@pytest.mark.parametrize(
    ("arguments", "number", "converts"),
    [("4", "3", True), ("dim=4", "3", False), ("5", "3", False), ("4", "2", False)],
)
def test_lists_that_two_branches_make_alike(
    tmp_path: Path, arguments: str, number: str, converts: bool
) -> None:
    before, _, _ = CODE.partition("\n\nclass Model")
    text = conversion(tmp_path, before + BRANCHES.format(arguments=arguments, number=number))
    assert ("nnx.remat(Block.__call__, static_argnums=(2,))" in text) == converts, text
    assert text.count("self.blocks = ") == 1 or not converts


def test_a_class_that_is_mapped_by_its_decorator_stays(tmp_path: Path) -> None:
    code = CODE.format(lines="x, _ = Block()(x)").replace(
        "class Block",
        "@partial(nn.vmap, variable_axes={'params': 0}, split_rngs={'params': True})\nclass Block",
    )
    assert conversion(tmp_path, code).startswith("unsupported-syntax: the class decorator `partial(nn.vmap")


def test_a_class_that_only_a_call_decides_to_rematerialise_stays(tmp_path: Path) -> None:
    lines = "block = nn.remat(Block) if x.mean() > 0 else Block\n        x, _ = block()(x)"
    found = conversion(tmp_path, CODE.format(lines=lines))
    assert found.startswith("unknown-module: what is called is a class of modules on one path")


REASONS = {"unsupported-layer", "unknown-module", "unknown-size", "unsupported-syntax"}
FUNCTION = """
import flax.linen as nn
import jax.numpy as jnp


def ensemblize(cls, num, out_axes=0, **kwargs):
    return nn.vmap(
        cls,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        out_axes=out_axes,
        axis_size=num,
        **kwargs,
    )


class Block(nn.Module):
    dim: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.dim)(x)


class Model(nn.Module):
    ensemble: bool = True
    num: int = 2

    @nn.compact
    def __call__(self, x):
        block = Block
        if self.ensemble:
            block = ensemblize(block, self.num)
        return block(3)(x)
"""


def test_a_function_lifts_a_class_in_some_configurations(tmp_path: Path) -> None:
    text = conversion(tmp_path, FUNCTION)

    made = "nnx.vmap(lambda rngs: Block(3, in_features=in_features, rngs=rngs))(rngs.split(self.num))"
    assert made in " ".join(text.split()).replace("( ", "(").replace(" )", ")")
    assert "ensemblize(block" not in text


@pytest.mark.parametrize(
    ("old", "new"),
    {
        "mapped inputs under a condition": ("in_axes=None", "in_axes=0"),
        "results on another axis under a condition": ("self.num)\n", "self.num, out_axes=1)\n"),
        "other options": ("self.num)\n", 'self.num, axis_name="members")\n'),
        "a number that only a call knows": ("self.num)\n", "x.sum())\n"),
        "a function that does more": ("    return nn.vmap(", "    print(cls)\n    return nn.vmap("),
        "a class that is looked at": (
            "        return block(3)(x)",
            "        print(block)\n        return block(3)(x)",
        ),
        "another class in its place": ("block = ensemblize(block,", "block = ensemblize(nn.Dense,"),
    }.values(),
)
def test_functions_that_lift_in_other_ways_keep_the_class(tmp_path: Path, old: str, new: str) -> None:
    assert old in FUNCTION
    assert conversion(tmp_path, FUNCTION.replace(old, new)).split(":")[0] in REASONS


def test_the_function_may_stand_in_another_file(tmp_path: Path) -> None:
    head, _, model = FUNCTION.partition("\n\nclass Block")
    files = {
        "shared": head,
        "model": f"from shared import *\nimport flax.linen as nn\n\n\nclass Block{model}",
    }
    paths = [tmp_path / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    conversions = convert_project(Project(paths, lambda p: SourceText.decode(p.read_bytes())))
    (found,) = [c for name, c in conversions.converted.items() if name.endswith("Model")]
    written = "".join(edit.new for edit in found.edits)

    assert "nnx.vmap(Block.__call__, in_axes=(0, None))" in written
    assert "ensemblize(" not in written
