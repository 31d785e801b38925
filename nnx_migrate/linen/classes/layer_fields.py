"""Classes that derive from a built-in layer for its fields alone: what they compute is all their own.

class MaskedDense(nn.Dense):
    mask: Any = None

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), self.param_dtype)
        return x @ (kernel * self.mask)

Cells that derive from `nn.RNNCellBase` have no fields of it, either.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nnx_migrate.linen.symbols import LINEN
from nnx_migrate.names.modules import Module
from nnx_migrate.sources.text import SourceText

if TYPE_CHECKING:
    from nnx_migrate.linen.classes.model import Field, LinenClass
    from nnx_migrate.names.project import Project

CELL = f"{LINEN}.RNNCellBase"

# The fields of Linen's layers with their defaults, in order. The functions that come last are only kept where a
# project names them (`_RARE`).
_SOURCE = """\
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Dense:
    features: int
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Any = nn.initializers.lecun_normal()
    bias_init: Any = nn.initializers.zeros_init()
    promote_dtype: Any = nn.dtypes.promote_dtype
    dot_general: Any = None
    dot_general_cls: Any = None


class Conv:
    features: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "SAME"
    input_dilation: Any = 1
    kernel_dilation: Any = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: Any = None
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Any = nn.initializers.lecun_normal()
    bias_init: Any = nn.initializers.zeros_init()
    promote_dtype: Any = nn.dtypes.promote_dtype
    conv_general_dilated: Any = None
    conv_general_dilated_cls: Any = None


class ConvTranspose:
    features: int
    kernel_size: Any
    strides: Any = None
    padding: Any = "SAME"
    kernel_dilation: Any = None
    use_bias: bool = True
    mask: Any = None
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Any = nn.initializers.lecun_normal()
    bias_init: Any = nn.initializers.zeros_init()
    transpose_kernel: bool = False
    promote_dtype: Any = nn.dtypes.promote_dtype
    preferred_element_type: Any = None
"""
_RARE = (
    "promote_dtype", "dot_general", "dot_general_cls", "conv_general_dilated", "conv_general_dilated_cls",
    "preferred_element_type",
)  # fmt: skip
# Those for which lists may be given, one number as well.
_SEQUENCES = frozenset({"kernel_size", "strides", "padding", "input_dilation", "kernel_dilation"})
_CODE_OF_LAYERS = frozenset({"shared_weights"})


@cache
def layers() -> Module:
    """The layers' fields as the source of classes."""
    return Module(Path("flax/linen/layers.py"), "flax.linen.layers", SourceText(_SOURCE))


def layer_node(layer: str | None) -> ast.ClassDef | None:
    """The class statement with the fields of a layer."""
    found = (node for node in layers().tree.body if isinstance(node, ast.ClassDef) and node.name == layer)
    return next(found, None)


def may_get_list(item: Field) -> bool:
    """Whether a field that comes from a layer may be given a list, which Linen makes a tuple."""
    return item.owner.module is layers() and item.name in _SEQUENCES


def kept_fields(node: ast.ClassDef, project: Project) -> list[tuple[str, ast.AnnAssign]]:
    """The fields of a layer by name, without those at the end that nothing in the project names."""
    fields = [(ast.unparse(s.target), s) for s in node.body if isinstance(s, ast.AnnAssign)]
    while fields[-1][0] in _RARE and not _is_named(fields[-1][0], project):
        fields.pop()
    return fields


def _is_named(field: str, project: Project) -> bool:
    return _says(rf"\b{field}\s*=(?!=)|\bself\.{field}\b", field, project)


def _says(pattern: str, word: str, project: Project) -> bool:
    return any(True for _ in project.matching_files(re.compile(pattern), word))


def has_own_code(cls: LinenClass) -> bool:
    """Whether a class that derives from a layer neither runs nor reads any of the layer's code.

    Nor may anybody ask whether it is such a layer.
    """
    node = layer_node(cls.layer_base)
    if node is None or len(cls.node.bases) != 1 or cls.node.keywords:
        return False
    if "__call__" not in cls.own_methods or {"param", "__init__"} & cls.own_methods.keys():
        return False
    if any(isinstance(s, ast.AnnAssign) and ast.unparse(s.target) in cls.class_attributes for s in node.body):
        return False
    base = ast.unparse(cls.node.bases[0])
    for part in ast.walk(cls.node):
        if isinstance(part, ast.Name) and part.id == "super":
            return False
        if isinstance(part, ast.Attribute) and (
            part.attr in _CODE_OF_LAYERS or ast.unparse(part.value) == base
        ):
            return False
    return not _says(rf"\bis(?:instance|subclass)\(.*\b{node.name}\b", node.name, cls.program_project)
