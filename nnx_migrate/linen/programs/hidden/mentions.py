"""Names that texts of a project mean, and those that code reads where nothing shows what they are.

`getattr(importlib.import_module(place), name)`, both from a configuration, may give anything at all. But the two are
texts somewhere, and a name that stands in no text of a project is hardly chosen by one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property

from nnx_migrate.linen.programs.hidden.class_paths import PathTexts
from nnx_migrate.linen.programs.hidden.listings import Listings
from nnx_migrate.linen.programs.hidden.texts import ANYTHING, Texts
from nnx_migrate.linen.programs.index import ProjectIndex
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import absolute_module

_WORD = re.compile(r"[^\W\d]\w*")
#: Methods of texts and of tables of texts that change no name.
_PARTS = frozenset({"split", "rsplit", "partition", "rpartition", "strip", "get", "pop", "removeprefix"})


class Mentions:
    """What the texts and the names of a project speak of."""

    def __init__(self, index: ProjectIndex, texts: Texts) -> None:
        self.index, self.project, self.texts = index, index.project, texts
        self.listings = Listings(index, texts.origins)
        self._meant: dict[str, bool] = {}

    def choose(self, module: Module, name: ast.expr) -> bool:
        """Whether the value of an expression is a name as it stands in a text, as far as that can be seen."""
        if self.listings.may_serve(module):
            return False
        return all(o is None or _is_part(o[1]) for o in self.texts.origins.of(module, name))

    def may_mean(self, name: str) -> bool:
        """Whether a text, or an attribute or import of something that isn't known, may mean this name; code that
        nothing in the project names is there for somebody, too.
        """
        if name not in self._meant:
            self._meant[name] = (
                name in self._words
                or name in self.listings.names
                or any(re.fullmatch(pattern, name) for pattern in self._computed)
                or self.may_be_read(name)
                or not self._is_named(name)
            )
        return self._meant[name]

    def may_end_path(self, name: str) -> bool:
        """Whether a path of a text may end with this name, `"nets.CNN"`; what nothing names may be for one, too."""
        if self._paths.are_made:
            return self.may_mean(name)
        return name in self._paths.names or not self._is_named(name)

    def may_be_read(self, name: str) -> bool:
        """Whether code may read this name of something that isn't known."""
        return not all(self._is_known(qualified) for qualified in self._readings(name))

    def _is_named(self, name: str) -> bool:
        """Whether code reads the name."""
        return any(True for _ in self._readings(name)) or any(
            isinstance(reference.node, ast.Name)
            for module in self.project.mentioning(name)
            for reference in module.scopes.names.get(name, ())
        )

    def _readings(self, name: str) -> Iterator[str | None]:
        """What attributes and imports of this name mean."""
        for module, node in self.index.attribute_reads(name):
            yield self.project.resolve(node, module.scope_at(node), module)
        for module in self.project.mentioning(name):
            for statement, _, _ in module.scopes.imports:
                if isinstance(statement, ast.ImportFrom) and name in {a.name for a in statement.names}:
                    base = absolute_module(statement, module.package)
                    yield self.project.canonical(f"{base}.{name}", module)

    def _is_known(self, qualified: str | None) -> bool:
        """Whether a name is that of a definition of the project, or comes from outside of it."""
        if qualified is None:
            return False
        outside = not self.project.has_package(qualified.partition(".")[0])
        return outside or self.project.definition(qualified) is not None

    @cached_property
    def _words(self) -> set[str]:
        """The words of all texts but those for readers and lists of what a file exports."""
        return {word for text in self._texts() for word in _WORD.findall(text)}

    @cached_property
    def _paths(self) -> PathTexts:
        return PathTexts(self._texts(), list(self.project.modules()), self.texts)

    def _texts(self) -> Iterator[str]:
        for module in self.project.modules():
            for node in module.nodes(ast.Constant):
                if isinstance(node.value, str) and not _is_documentation(module, node):
                    yield node.value

    @cached_property
    def _computed(self) -> set[str]:
        """Patterns of the names that pieces of text make: `f"Flax{kind}Model"`."""
        found: set[str] = set()
        for module in self.project.modules():
            joined: list[ast.expr] = [*module.nodes(ast.JoinedStr), *module.nodes(ast.BinOp)]
            for node in joined:
                if isinstance(node, ast.BinOp) and not any(
                    isinstance(n, ast.Constant) and isinstance(n.value, str) for n in (node.left, node.right)
                ):
                    continue
                for pattern in self.texts.patterns(module, node):
                    pieces = pattern.replace("\\", "").split(ANYTHING)
                    if len(pieces) > 1 and re.fullmatch(r"\w*[^\W\d_]{2}\w*", "".join(pieces)):
                        found.add(pattern)
        return found


def _is_documentation(module: Module, node: ast.Constant) -> bool:
    """Whether a text is a docstring or the message of an error, or stands in `__all__`."""
    parent = module.parents[node]
    if isinstance(parent, ast.Expr) or isinstance(module.statement_of(node), ast.Raise | ast.Assert):
        return True
    above = module.parents.get(parent) if isinstance(parent, ast.List | ast.Tuple) else None
    targets = above.targets if isinstance(above, ast.Assign) else [getattr(above, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def _is_part(node: ast.expr) -> bool:
    """Whether an expression gives a text, a part of one or an entry of something, with nothing changed."""
    if isinstance(node, ast.Subscript):
        return _is_part(node.value)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in _PARTS
    return isinstance(node, ast.Constant | ast.Attribute | ast.Name)
