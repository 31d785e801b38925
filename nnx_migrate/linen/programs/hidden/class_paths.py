"""Paths of classes, as configurations write them: `"models.nets.CNN"`, which code takes apart and imports.

Where the module and the name in it are parts of one text, that text is a path: a name alone chooses nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from nnx_migrate.linen.programs.dataflow.origins import Origins
from nnx_migrate.linen.programs.hidden.texts import ANYTHING, Texts
from nnx_migrate.names.modules import Module
from nnx_migrate.names.reaching import reaching

#: Methods that take a text apart, with the places of a module and a name among their results.
_SPLITS = {"split": (0, 1), "rsplit": (0, 1), "partition": (0, 2), "rpartition": (0, 2)}
_SEPARATORS = (".", ":")
_NAME = re.compile(r"[.:]([^\W\d]\w*)")


def is_taken_apart(origins: Origins, module: Module, place: ast.expr, name: ast.expr) -> bool:
    """Whether two expressions are a module and a name that one text gives: `place, name = path.rsplit(".", 1)`."""
    if isinstance(name, ast.Subscript):
        return _is_last(origins, module, place, name)
    first, second = _target(module, place), _target(module, name)
    if first is None or second is None:
        return False
    above = module.parents[first]
    statement = module.parents[above]
    if not (isinstance(above, ast.Tuple) and above is module.parents[second]):
        return False
    if not (isinstance(statement, ast.Assign) and statement.targets == [above]):
        return False
    method = _split(origins, module, statement.value)
    found = (above.elts.index(first), above.elts.index(second))
    return method in _SPLITS and found == _SPLITS[method] and len(above.elts) == _SPLITS[method][1] + 1


def _is_last(origins: Origins, module: Module, place: ast.expr, name: ast.Subscript) -> bool:
    """`".".join(parts[:-1])` and `parts[-1]` with `parts = path.split(".")`."""
    if not (isinstance(place, ast.Call) and isinstance(place.func, ast.Attribute) and len(place.args) == 1):
        return False
    joined = place.args[0]
    if place.func.attr != "join" or not isinstance(joined, ast.Subscript):
        return False
    if ast.unparse(name.slice) != "-1" or ast.unparse(joined.slice) != ":-1":
        return False
    values = [_value(module, part.value) for part in (joined, name)]
    return (
        ast.unparse(joined.value) == ast.unparse(name.value)
        and ast.dump(values[0]) == ast.dump(values[1])
        and _split(origins, module, values[0]) == "split"
    )


def _target(module: Module, node: ast.expr) -> ast.Name | None:
    """What gives a name its value, where that is one target of an assignment."""
    if not isinstance(node, ast.Name):
        return None
    scope = module.scope_at(node)
    binder = scope.binder(node.id)
    if binder is None:
        return None
    bindings = reaching(module, binder, node.id, scope.lookup(node.id), node)
    target = bindings[0].node if len(bindings) == 1 else None
    return target if isinstance(target, ast.Name) else None


def _value(module: Module, node: ast.expr) -> ast.expr:
    """What a name stands for, where that is the value of its one assignment."""
    if not isinstance(node, ast.Name):
        return node
    bindings = module.scope_at(node).lookup(node.id)
    return bindings[0].value or node if len(bindings) == 1 else node


def _split(origins: Origins, module: Module, call: ast.expr) -> str:
    """The method by which a call takes a text apart at dots or colons; one of the project's own is none."""
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
        return ""
    separator = call.args[0]
    known = isinstance(separator, ast.Constant) and separator.value in _SEPARATORS
    ends = [origin[1] if origin is not None else None for origin in origins.of(module, call)]
    return call.func.attr if known and ends == [call] else ""


class PathTexts:
    """The names that texts of a project write at the end of paths.

    `are_made`: whether code puts paths to modules of the project together with names that may be any text:
    `f"zoo.{name}"`.
    """

    def __init__(self, written: Iterable[str], modules: Sequence[Module], texts: Texts) -> None:
        self.names = {name for text in written for name in _NAME.findall(text)}
        self._places = "\n".join(module.name for module in modules)
        self._texts = texts
        self.are_made = any(self._makes_paths(module) for module in modules)

    def _makes_paths(self, module: Module) -> bool:
        sums = (node for node in module.nodes(ast.BinOp) if _is_text(node.left) or _is_text(node.right))
        calls = [(c, c.func) for c in module.nodes(ast.Call) if isinstance(c.func, ast.Attribute)]
        templates = (call for call, method in calls if method.attr == "format")
        pieces: Iterator[ast.expr] = chain(module.nodes(ast.JoinedStr), sums, templates)
        return any(self._is_path(p) for node in pieces for p in self._texts.patterns(module, node)) or any(
            self._joins(module, call, method) for call, method in calls
        )

    def _is_path(self, pattern: str) -> bool:
        """Whether texts of a pattern may end with any name, after a module of the project."""
        place, separator, name = pattern.replace(":", r"\.").rpartition(r"\.")
        is_open = not name or ANYTHING in name
        if not (separator and is_open and re.fullmatch(r"\w*", name.replace(ANYTHING, ""))):
            return False
        last = place.rpartition(r"\.")[2]
        return re.search(rf"^(?:.*\.)?{last}$", self._places, re.MULTILINE) is not None

    def _joins(self, module: Module, call: ast.Call, function: ast.Attribute) -> bool:
        """`".".join(pieces)`, `"zoo/nets/CNN".replace("/", ".")`."""
        if function.attr == "join" and len(call.args) == 1:
            if ast.unparse(call.args[0]).endswith("[:-1]"):
                return False  # what is left of a path without its name
            separator = function.value
        elif function.attr == "replace" and len(call.args) == 2:
            separator = call.args[1]
        else:
            return False
        if (
            self._texts.origins.finder.project.resolve(function.value, module.scope_at(call), module)
            is not None
        ):
            return False  # `os.path.join`
        origins = self._texts.origins.of(module, separator)
        values = [o[1].value if o is not None and isinstance(o[1], ast.Constant) else None for o in origins]
        return any(value in _SEPARATORS for value in values) or (function.attr == "join" and None in values)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
