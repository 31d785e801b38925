"""Which flags a project passes where it initialises its models: `model.init(rng, x, train=False)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from nnx_migrate.linen.values import Input
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project

_METHODS = frozenset({"init", "init_with_output", "lazy_init", "tabulate"})
_MENTION = re.compile(r"\.(?:init|init_with_output|lazy_init|tabulate)\b")
_KNOWN: WeakKeyDictionary[Project, InitCalls] = WeakKeyDictionary()
UNKNOWN = object()


@dataclass
class InitCalls:
    """`keywords`: the values that each keyword gets (UNKNOWN for what isn't a literal); `positional`: flags."""

    keywords: dict[str, set[Any]] = field(default_factory=dict)
    positional: set[Any] = field(default_factory=set)

    @classmethod
    def of(cls, project: Project) -> InitCalls:
        """What a project passes (found once)."""
        if project not in _KNOWN:
            _KNOWN[project] = cls._find(project.matching(_MENTION))
        return _KNOWN[project]

    @classmethod
    def about(cls, project: Project, names: Collection[str]) -> InitCalls:
        """What it passes in the files that mention one of these names."""
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        return cls._find(m for m in project.matching(_MENTION) if word.search(m.source.text))

    @classmethod
    def _find(cls, modules: Iterable[Module]) -> InitCalls:
        found = cls()
        for module in modules:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call):
                    found._see(node)
        return found

    def _see(self, call: ast.Call) -> None:
        """Calls of `init` and of transforms of it: `jax.jit(model.init)(rng, x, False)`, `partial(model.init, ...)`."""
        if not any(isinstance(n, ast.Attribute) and n.attr in _METHODS for n in _callee(call)):
            return
        for argument in call.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, bool):
                self.positional.add(argument.value)
        for keyword in call.keywords:
            if keyword.arg is None:
                continue
            known = isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool | None)
            value = keyword.value.value if known and isinstance(keyword.value, ast.Constant) else UNKNOWN
            self.keywords.setdefault(keyword.arg, set()).add(value)

    def values(self, name: str, flag: Input) -> set[Any]:
        """The values that an argument of that name may have in an initialisation; empty where nothing tells."""
        found = self.keywords.get(name, set()) | self.positional
        if flag.has_default:
            found = found | {flag.default if isinstance(flag.default, bool | None) else UNKNOWN}
        return found


def _callee(call: ast.Call) -> list[ast.AST]:
    """The parts of what is called, for `model.init(...)` and `jit(model.init)(...)` and `partial(model.init, ...)`."""
    parts: list[ast.AST] = [call.func]
    if isinstance(call.func, ast.Call):
        parts += [call.func.func, *call.func.args]
    return [*parts, *call.args[:1]]
