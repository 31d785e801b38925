"""Partition metadata: `nn.with_partitioning(init, names)` becomes `nnx.with_partitioning(..., eager_sharding=False)`.

Linen puts the arrays into boxes that name their axes, NNX keeps the names with the Variable. For programs that look
into the boxes, or read specs from them, the Variable says which box the trees of `Functional` have.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nnx_migrate.linen.programs.dataflow.library_only import is_for_libraries
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project
from nnx_migrate.nnx.layers import Refusal, rewritten_arguments
from nnx_migrate.nnx.layers.functions import function, rewrite_function_call

if TYPE_CHECKING:
    from nnx_migrate.nnx.writer.names import FileNames

_READERS = re.compile(
    r"\b(?:get_partition_spec|get_sharding|logical_to_mesh(?:_axes|_sharding)?|unbox|replace_boxed"
    r"|Partitioned|LogicallyPartitioned|AxisMetadata)\b"
)
#: What reads the collection in which `param_with_axes` names axes.
AXES_READERS = re.compile(r"\b(?:params_axes|get_axis_names|AxisMetadata)\b")
WITH_AXES = re.compile(r"\bparam_with_axes\b")
ANNOTATING = re.compile(r"\bwith_(?:logical_)?partitioning\b")
_READ: WeakKeyDictionary[Project, dict[re.Pattern[str], bool]] = WeakKeyDictionary()
_OUTSIDE: WeakKeyDictionary[Project, str] = WeakKeyDictionary()


def annotated(names: FileNames, node: ast.Call, text: Callable[[ast.AST], str]) -> str | None:
    """The NNX text of a call that annotates an initializer, None for other calls."""
    name = names.qualified(node.func)
    row = function(name) if name is not None else None
    if row is None or row.nnx is None or row.same_call:
        return None
    given = [*row.params[: len(node.args)], *(k.arg for k in node.keywords)]
    for option in ("mesh", "rules"):
        if option in given:
            raise Refuse("unsupported-layer", f"`{ast.unparse(node.func)}` with `{option}`", node)
    rewrite = rewrite_function_call(row, node, text)
    if isinstance(rewrite, Refusal):
        raise Refuse("unsupported-layer", rewrite.reason, node)
    inner = row.nnx.removeprefix("flax.nnx.")
    arguments = rewritten_arguments(node, rewrite, text)
    if has_readers(names.project, _READERS):
        box = "LogicallyPartitioned" if row.linen.endswith("with_logical_partitioning") else "Partitioned"
        arguments.append(f'linen_box="{box}"')
    return f"{names.nnx()}.{inner}({', '.join(arguments)})"


def has_readers(project: Project, readers: re.Pattern[str]) -> bool:
    """Whether something in the project may read what Linen keeps beside arrays, by the names in a pattern."""
    known = _READ.setdefault(project, {})
    if readers not in known:
        known[readers] = any(readers.search(m.source.text) for m in project.matching(readers))
    return known[readers]


def reads_axes(project: Project) -> bool:
    """Whether something in the project may read the names that `param_with_axes` gives."""
    return has_readers(project, AXES_READERS) and has_readers(project, WITH_AXES)


def check_initializers(project: Project) -> None:
    """Raises Refuse where code outside of classes annotates initializers: they may be any module's, unless nothing but
    classes of other libraries get them.
    """
    if project not in _OUTSIDE:
        _OUTSIDE[project] = next(
            (
                module.name
                for module in project.matching(ANNOTATING)
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Name | ast.Attribute)
                and ANNOTATING.fullmatch(last_name(node))
                and module.enclosing(node, ast.ClassDef) is None
                and not _is_of_nnx(project, module, node)
                and not isinstance(module.parents.get(node), ast.Assign)  # another name for the function
                and not is_for_libraries(project, module, node)
            ),
            "",
        )
    if _OUTSIDE[project]:
        detail = f"initializers with partition metadata, made outside of classes in `{_OUTSIDE[project]}`"
        raise Refuse("unsupported-layer", detail)


def _is_of_nnx(project: Project, module: Module, node: ast.expr) -> bool:
    """Whether this is NNX's own function: no Linen module could use what it gives."""
    name = project.resolve(node, module.scope_at(node), module)
    return name is not None and name.startswith("flax.nnx.")
