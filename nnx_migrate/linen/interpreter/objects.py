"""Objects of plain classes that models return: named tuples, dataclasses, the outputs of `transformers`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from nnx_migrate.linen.arrays.shapes import Unknown
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.records import REPLACING
from nnx_migrate.linen.symbols import canonical
from nnx_migrate.linen.values import Record
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Definition

OUTPUTS_OF_TRANSFORMERS = "transformers.modeling_flax_outputs.Flax"
_TUPLES = frozenset({"typing.NamedTuple", "typing_extensions.NamedTuple"})
_DATACLASSES = frozenset({"dataclasses.dataclass", "flax.struct.dataclass", "chex.dataclass"})
_NODES = frozenset({"flax.struct.PyTreeNode"})
_OUTPUTS = ("ModelOutput", "BaseOutput")  # of transformers and diffusers: tuples of what isn't None
# The parts of the outputs of transformers, in their order.
_PARTS = (
    "last_hidden_state", "logits", "start_logits", "end_logits", "pooler_output", "past_key_values",
    "decoder_hidden_states", "hidden_states", "decoder_attentions", "attentions", "cross_attentions",
    "encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions",
)  # fmt: skip


def made(
    frame: Frame, definition: Definition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Record | None:
    """The object that a class of the project makes of these arguments; None where that takes more than to hold them."""
    node, module = definition.node, definition.module
    if not isinstance(node, ast.ClassDef):
        return None
    fields = _fields(node)
    kind = _kind(frame, module, node)
    if fields is None or not kind or len(args) > len(fields):
        return None
    given = {**dict(zip(fields, args, strict=False)), **kwargs}
    if given.keys() - fields.keys():
        return None
    values = {name: given[name] if name in given else _default(value) for name, value in fields.items()}
    order = tuple(values) if kind != "object" else ()
    return Record(None, tuple(values.items()), order, kind == "tuple")


def output_of_transformers(kwargs: Mapping[str, Any]) -> Record:
    """An output of `transformers`, whose classes stand in another package."""
    order = [name for name in _PARTS if name in kwargs] if kwargs.keys() <= set(_PARTS) else []
    if "pooler_output" in order:
        order = order[: order.index("pooler_output") + 1]  # the hidden states come before the cache there
    return Record(None, tuple(kwargs.items()), tuple(order))


def _kind(frame: Frame, module: Module, node: ast.ClassDef) -> str:
    """What kind of class this is: "tuple", "object", "output", or "" for any other."""
    project = frame.session.program.project

    def name_of(expression: ast.expr) -> str:
        expression = expression.func if isinstance(expression, ast.Call) else expression
        return canonical(project.resolve(expression, module.scope_at(node), module)) or ""

    bases = [name_of(base) for base in node.bases]
    decorators = [name_of(decorator) for decorator in node.decorator_list]
    if len(bases) > 1 or node.keywords or not _DATACLASSES.issuperset(decorators):
        return ""
    if not bases or bases[0] == "builtins.object":
        return "object" if decorators else ""
    if bases[0] in _TUPLES:
        return "" if decorators else "tuple"
    if bases[0] in _NODES:
        return "object"
    return "output" if bases[0].rpartition(".")[2] in _OUTPUTS and decorators else ""


def _fields(node: ast.ClassDef) -> dict[str, ast.expr | None] | None:
    """The fields of a class with their defaults; None for one that does more than to hold them."""
    fields: dict[str, ast.expr | None] = {}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            if statement.name.startswith("__") or statement.name in REPLACING:
                return None
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" in ast.unparse(statement.annotation) or _has_options(statement.value):
                return None
            fields[statement.target.id] = statement.value
        elif not isinstance(statement, ast.Expr | ast.Pass):
            return None
    return fields or None


def _has_options(default: ast.expr | None) -> bool:
    """`field(init=False)`: whether a field may be no argument of the constructor."""
    return isinstance(default, ast.Call) and any(k.arg in ("init", "kw_only", None) for k in default.keywords)


def _default(node: ast.expr | None) -> Any:
    if isinstance(node, ast.Constant) and (
        node.value is None or isinstance(node.value, bool | int | float | str)
    ):
        return node.value
    return Unknown("a part of an object that isn't given")
