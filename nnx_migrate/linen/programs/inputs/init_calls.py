"""Which flags a project passes where it initialises its models: `model.init(rng, x, train=False)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from nnx_migrate.linen.programs.hidden.import_graph import ImportGraph
from nnx_migrate.linen.values import Input
from nnx_migrate.names.modules import Module
from nnx_migrate.names.project import Project
from nnx_migrate.names.scopes import BindingKind

_METHODS = frozenset({"init", "init_with_output", "lazy_init", "tabulate"})
_MENTION = re.compile(r"\.(?:init|init_with_output|lazy_init|tabulate)\b")
_GRAPHS: WeakKeyDictionary[Project, ImportGraph] = WeakKeyDictionary()
_KNOWN: WeakKeyDictionary[Project, InitCalls] = WeakKeyDictionary()
UNKNOWN = object()
_MAX_DEPTH = 4


@dataclass
class InitCalls:
    """`keywords`: the values that each keyword gets (UNKNOWN for what isn't a literal); `positional`: flags.

    Where an initialisation unpacks inputs, or hands some on to parts (`init(rng, actor=(observations, False))`), what
    any dictionary or tuple of a file that may make them holds may be among them.
    """

    keywords: dict[str, set[Any]] = field(default_factory=dict)
    positional: set[Any] = field(default_factory=set)

    @classmethod
    def of(cls, project: Project) -> InitCalls:
        """What a project passes (found once)."""
        if project not in _KNOWN:
            _KNOWN[project] = cls._find(project, project.matching(_MENTION))
        return _KNOWN[project]

    @classmethod
    def about(cls, project: Project, names: Collection[str]) -> InitCalls:
        """What it passes in the files that mention one of these names."""
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        modules = [m for m in project.matching(_MENTION) if word.search(m.source.text)]
        return cls._find(project, modules)

    @classmethod
    def _find(cls, project: Project, modules: Iterable[Module]) -> InitCalls:
        found = cls()
        held: set[Path] = set()  # the files that may make what is hidden
        for module in modules:
            for call in module.nodes(ast.Call):
                if any(isinstance(n, ast.Attribute) and n.attr in _METHODS for n in _callee(call)):
                    found._see(call)
                    hidden = list(_hidden_inputs(module, call))
                    if any(not _is_made_here(module, node) for node in hidden):
                        held.update(project.paths)
                    elif hidden:
                        held |= _graph(project).imported_by(module)
        for path in held:
            if (source := project.module(path)) is not None:
                found.see_held(source)
        return found

    def _see(self, call: ast.Call) -> None:
        """Calls of `init` and of transforms of it: `jax.jit(model.init)(rng, x, False)`, `partial(model.init, ...)`."""
        for argument in call.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, bool):
                self.positional.add(argument.value)
        for keyword in call.keywords:
            if keyword.arg is not None:
                self._keyword(keyword.arg, keyword.value)

    def _keyword(self, name: str, node: ast.expr) -> None:
        known = isinstance(node, ast.Constant) and isinstance(node.value, bool | None)
        value = node.value if known and isinstance(node, ast.Constant) else UNKNOWN
        self.keywords.setdefault(name, set()).add(value)

    def see_held(self, module: Module) -> None:
        """What the dictionaries, tuples and lists of a file hold."""
        items = [e for node in module.nodes(ast.Tuple) for e in node.elts]
        items += [e for node in module.nodes(ast.List) for e in node.elts]
        values = (e.value for e in items if isinstance(e, ast.Constant))
        self.positional.update(value for value in values if isinstance(value, bool))
        for call in module.nodes(ast.Call):
            if getattr(call.func, "id", getattr(call.func, "attr", "")) in ("dict", "update"):
                for keyword in call.keywords:
                    if keyword.arg is not None:
                        self._keyword(keyword.arg, keyword.value)
        for display in module.nodes(ast.Dict):
            for key, value in zip(display.keys, display.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    self._keyword(key.value, value)
        for assignment in module.nodes(ast.Assign):
            for target in assignment.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                    self._keyword(str(target.slice.value), assignment.value)

    def values(self, name: str, flag: Input) -> set[Any]:
        """The values that an argument of that name may have in an initialisation; empty where nothing tells."""
        found = self.keywords.get(name, set()) | self.positional
        if flag.has_default:
            found = found | {flag.default if isinstance(flag.default, bool | None) else UNKNOWN}
        return found


def _graph(project: Project) -> ImportGraph:
    if project not in _GRAPHS:
        _GRAPHS[project] = ImportGraph(project)
    return _GRAPHS[project]


def _hidden_inputs(module: Module, call: ast.Call) -> Iterator[ast.expr]:
    """Inputs that others hold: `model.init(rng, **inputs)`, `model.init(rng, actor=(observations, False))`."""
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(receiver, ast.Name):
        bindings = module.scope_at(receiver).lookup(receiver.id)
        if bindings and all(b.kind is BindingKind.IMPORT for b in bindings):
            return  # `wandb.init(**config)`
    for keyword in call.keywords:
        values = [keyword.value, *_values(module, keyword.value)]
        if keyword.arg is None or any(isinstance(v, ast.Tuple | ast.List | ast.Dict) for v in values):
            yield keyword.value


def _values(module: Module, node: ast.expr) -> list[ast.expr]:
    """What a name is bound to by assignments."""
    bindings = module.scope_at(node).lookup(node.id) if isinstance(node, ast.Name) else []
    return [b.value for b in bindings if b.kind is BindingKind.ASSIGNMENT and b.value is not None]


def _is_made_here(module: Module, node: ast.expr, depth: int = 0) -> bool:
    """Whether code of a file makes a value, or of files that it imports: it is no argument of a function."""
    if not isinstance(node, ast.Name):
        return not isinstance(node, ast.Attribute | ast.Subscript)
    values = _values(module, node)
    if depth > _MAX_DEPTH or len(values) < len(module.scope_at(node).lookup(node.id)):
        return False
    return bool(values) and all(_is_made_here(module, value, depth + 1) for value in values)


def _callee(call: ast.Call) -> list[ast.AST]:
    """The parts of what is called, for `model.init(...)` and `jit(model.init)(...)` and `partial(model.init, ...)`."""
    parts: list[ast.AST] = [call.func]
    if isinstance(call.func, ast.Call):
        parts += [call.func.func, *call.func.args]
    return [*parts, *call.args[:1]]
