"""A NamedTuple class rewritten as a frozen dataclass, whose fields JAX takes as static."""

from __future__ import annotations

import ast

from nnx_migrate.rules._namedtuple_uses import CONFIG, Uses
from nnx_migrate.rules._sites import Patches, RefusalError
from nnx_migrate.rules._static_arguments import edits_without

from nnx_migrate.engine.findings import Fix
from nnx_migrate.names.modules import Module

_PLAIN = {"int", "float", "bool", "str", "bytes", "complex", "None"}
_UNHASHABLE = {"list", "dict", "set", "List", "Dict", "Set", "MutableMapping", "FrozenDict"}
_ARRAYS = {
    "ndarray",
    "Array",
    "ArrayLike",
    "PRNGKey",
    "PRNGKeyArray",
    "KeyArray",
    "Tensor",
    "DeviceArray",
    "PyTree",
    "Params",
}


def dataclass_fix(uses: Uses) -> Fix:
    """The fix. Raises RefusalError, CannotName."""
    _check(uses)
    patches = Patches(uses.project)
    builder = uses.project.file(uses.module).fix()
    source = uses.module.source
    node = uses.node
    base = node.bases[0]
    start = name_span(uses.module, node)[1]
    end = source.text.index(":", source.span(base)[1])
    if "#" in source.text[start:end]:
        raise RefusalError("comment", "a comment stands between the class's bases")
    patches.replace(uses.module, (start, end), "")
    names = ", ".join(f'"{name}"' for name in uses.fields)
    register = builder.name("jax.tree_util.register_dataclass", at=node)
    partial, frozen = (
        builder.name("functools.partial", at=node),
        builder.name("dataclasses.dataclass", at=node),
    )
    margin = source.text[source.line_start(node.lineno) : source.span(node)[0]]
    decorators = [
        f"@{partial}({register}, data_fields=[], meta_fields=[{names}])",
        f"@{frozen}(frozen=True)",
    ]
    text = "".join(f"{decorator}\n{margin}" for decorator in decorators)
    place = source.span(node)[0]
    patches.replace(uses.module, (place, place), text)
    for call, module in uses.semantics.replaced.items():
        assert isinstance(call.func, ast.Attribute)
        owner = call.func.value
        name = builder.other_file(module).name("dataclasses.replace", at=call)
        first, opened = module.source.span(owner), module.source.span(call.func)[1] + 1
        patches.replace(module, (first[0], first[0]), f"{name}(")
        patches.replace(module, (first[1], opened), ", " if call.keywords else "")
    for call, module in uses.semantics.as_dicts.items():
        assert isinstance(call.func, ast.Attribute)
        name = builder.other_file(module).name("dataclasses.asdict", at=call)
        first = module.source.span(call.func.value)
        patches.replace(module, (first[0], first[0]), f"{name}(")
        patches.replace(module, (first[1], module.source.span(call)[1]), ")")
    for jit, function, parameter in uses.static:
        for span, new in edits_without(jit, function, parameter):
            patches.replace(jit.module, span, new)
    patches.into(builder)
    return builder.build("make it a frozen dataclass whose fields are static")


def _check(uses: Uses) -> None:
    if uses.problems:
        raise uses.problems[0]
    if uses.follower.escapes:
        escape = uses.follower.escapes[0]
        line = getattr(escape.node, "lineno", 0)
        raise RefusalError("not-followed", f"{escape.module.path.name}:{line}: {escape.why}")
    node = uses.node
    if len(node.bases) != 1 or node.keywords or node.decorator_list or not uses.fields:
        raise RefusalError("class-form", "it has other bases or decorators as well")
    if "__new__" in uses.methods or "__init__" in uses.methods:
        raise RefusalError("class-form", "it has a constructor of its own")
    for name, statement in uses.fields.items():
        words = {n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(statement.annotation)
                 if isinstance(n, ast.Name | ast.Attribute)}  # fmt: skip
        if words & _ARRAYS:
            raise RefusalError("array-field", f"field `{name}` holds arrays, which can't be static")
        if words & _UNHASHABLE or isinstance(statement.value, ast.List | ast.Dict | ast.Set):
            raise RefusalError("unhashable-field", f"field `{name}` can't be hashed")
        if uses.semantics.as_dicts and not words <= {*_PLAIN, "Optional", "typing", "Literal"}:
            raise RefusalError("asdict", f"dataclasses.asdict may treat field `{name}` differently")
    if any(kind != CONFIG for kind in uses.follower.parameters.values()):
        raise RefusalError("not-followed", "it is passed inside of a tuple")
    if uses.follower.fields.followed:
        raise RefusalError("not-followed", "another dataclass holds it, which may be traced")
    for (function, parameter), jit in uses.jits:
        if not jit.readable:
            raise RefusalError(
                "static-arguments", "the static arguments aren't literal, or shardings depend on them"
            )
        if not jit.is_static(function, parameter):
            line = getattr(jit.node, "lineno", 0)
            raise RefusalError("traced", f"{jit.module.path.name}:{line}: it is traced there, not static")


def name_span(module: Module, node: ast.ClassDef) -> tuple[int, int]:
    """Where a class statement names its class."""
    text = module.source.text
    start = text.index(node.name, module.source.span(node)[0] + len("class"))
    return start, start + len(node.name)
