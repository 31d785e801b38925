"""`_normalize(self, x, mean, var, ...)` of `flax.linen.normalization`, as norms of projects call it that are made after
Linen's: a function of Flax that makes parameters of the module that it gets.

The module makes them itself then, and NNX's function of the same name takes them:

    scale = self.param("scale", self.scale_init, feature_shape, self.param_dtype) if self.use_scale else None
    bias = self.param("bias", self.bias_init, feature_shape, self.param_dtype) if self.use_bias else None
    return nnx.nn.normalization._normalize(x, mean, var, scale, bias, reduction_axes, ...)

The two functions compute the same for statistics that have the sizes of the features, as those of this code have to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nnx_migrate.engine.context import PREFERRED_IMPORTS
from nnx_migrate.engine.findings import FileChange, Fix, Safety
from nnx_migrate.linen.classes.model import LinenClass, Method
from nnx_migrate.names.nodes import is_self
from nnx_migrate.nnx.groups import Group
from nnx_migrate.nnx.preparation.model import Preparation
from nnx_migrate.nnx.preparation.statistics import Statistics
from nnx_migrate.nnx.writer.text import indentation
from nnx_migrate.sources.text import Edit

_LINEN = "flax.linen.normalization"
_CALLED = "nnx.nn.normalization._normalize"
_PARAMETERS = (
    *("mdl", "x", "mean", "var", "reduction_axes", "feature_axes", "dtype", "param_dtype", "epsilon"),
    *("use_bias", "use_scale", "bias_init", "scale_init"),
)
_OWN = ("scale", "bias")  # Linen names the parameters so


def normalizations(groups: Iterable[Group]) -> Iterator[Preparation]:
    """The calls that can be written so, in classes that stay."""
    for cls in (cls for group in groups if not group.can_move for cls in group.classes):
        for method in cls.own_methods.values():
            calls = [n for n in ast.walk(method.node) if isinstance(n, ast.Call) and _is_meant(cls, n)]
            found = _Call.of(cls, method, calls[0]) if len(calls) == 1 else None
            if found is not None:
                message = f"`{cls.name}` has parameters that a function of `{_LINEN}` makes"
                yield Preparation(cls, calls[0], message, found.fix())


def _is_meant(cls: LinenClass, call: ast.Call) -> bool:
    return cls.resolve_in_class(call.func) == f"{_LINEN}._normalize"


@dataclass(frozen=True)
class _Call:
    cls: LinenClass
    method: Method
    call: ast.Call
    statement: ast.stmt
    given: dict[str, ast.expr]
    features: str  # the sizes of the parameters

    @classmethod
    def of(cls, owner: LinenClass, method: Method, call: ast.Call) -> _Call | None:
        """The call, if it is all that its statement does, and everything in it can be told."""
        statement = owner.module.parents.get(call)
        if not isinstance(statement, ast.Return | ast.Assign) or not isinstance(call.func, ast.Name):
            return None
        given = _given(call)
        if given is None or not is_self(given["mdl"]) or _binds(method, _OWN) or _takes(owner, _OWN):
            return None
        if owner.module.enclosing(call, ast.FunctionDef, ast.Lambda) is not method.node:
            return None
        if not _is_alone(owner, statement) or not _may_name_nnx(owner, call):
            return None
        statistics = Statistics(owner, method)
        features = statistics.feature_shape(given["x"], given["feature_axes"], statement.lineno)
        if features is None or not all(statistics.has_one(given[name]) for name in ("mean", "var")):
            return None
        return cls(owner, method, call, statement, given, features)

    def fix(self) -> Fix:
        module = self.cls.module
        start, _ = module.source.span(self.statement)
        margin = indentation(module.source, self.statement.lineno)
        made = "".join(f"{self._made(name)}\n{margin}" for name in _OWN)
        edits = (Edit(start, start, made), Edit(*module.source.span(self.call), self._called()))
        change = FileChange(edits, (PREFERRED_IMPORTS["flax.nnx"],))
        return Fix("make the parameters of a norm", Safety.SAFE, {module.path: change}, prepares=True)

    def _text(self, name: str) -> str:
        source = self.cls.module.source
        start, end = source.span(self.given[name])
        return source.text[start:end]

    def _made(self, name: str) -> str:
        """The statement that makes a parameter."""
        arguments = (f'"{name}"', self._text(f"{name}_init"), self.features, self._text("param_dtype"))
        made = f"self.param({', '.join(arguments)})"
        condition = self.given[f"use_{name}"]
        if isinstance(condition, ast.Constant):
            return f"{name} = {made if condition.value else None}"
        test = self._text(f"use_{name}")
        simple = isinstance(condition, ast.Name | ast.Attribute)
        return f"{name} = {made} if {test if simple else f'({test})'} else None"

    def _called(self) -> str:
        """The call of NNX's function."""
        given = ("x", "mean", "var", *_OWN, "reduction_axes", "feature_axes", "dtype", "epsilon")
        texts = [name if name in _OWN else self._text(name) for name in given]
        source = self.cls.module.source
        first = min(self.given.values(), key=source.span)
        if first.lineno == self.call.func.lineno:
            return f"{_CALLED}({', '.join(texts)})"
        inner, closing = (indentation(source, node.lineno) for node in (first, self.statement))
        return f"{_CALLED}(\n" + "".join(f"{inner}{text},\n" for text in texts) + f"{closing})"


def _given(call: ast.Call) -> dict[str, ast.expr] | None:
    """The arguments by name; None unless each is given, and nothing else is."""
    if any(isinstance(argument, ast.Starred) for argument in call.args) or len(call.args) > len(_PARAMETERS):
        return None
    given = dict(zip(_PARAMETERS, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in _PARAMETERS or keyword.arg in given:
            return None
        given[keyword.arg] = keyword.value
    return given if len(given) == len(_PARAMETERS) else None


def _is_alone(cls: LinenClass, statement: ast.stmt) -> bool:
    """Whether a statement stands at the start of its line."""
    start, _ = cls.module.source.span(statement)
    return not cls.module.source.text[:start].rpartition("\n")[2].strip()


def _may_name_nnx(cls: LinenClass, call: ast.Call) -> bool:
    """Whether `nnx` means Flax's NNX at a call, or nothing yet."""
    scope = cls.module.scope_at(call)
    known = scope.lookup("nnx")
    return not known or cls.program_project.resolve_name("nnx", scope, cls.module) == "flax.nnx"


def _binds(method: Method, names: tuple[str, ...]) -> bool:
    """Whether the method has variables or parameters of these names."""
    read = {n.id for n in ast.walk(method.node) if isinstance(n, ast.Name)}
    return bool({*read, *(n.arg for n in ast.walk(method.node) if isinstance(n, ast.arg))} & {*names})


def _takes(cls: LinenClass, names: tuple[str, ...]) -> bool:
    return any(cls.field(name) is not None or cls.method(name) is not None for name in names)
