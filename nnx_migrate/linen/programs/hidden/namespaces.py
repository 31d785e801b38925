"""Namespaces as values: `globals()[name]`, `vars(models)`, `eval(text)`, a module in a variable.

What code reads out of them no import shows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from nnx_migrate.linen.programs.dataflow.flow import FlowFinder
from nnx_migrate.linen.programs.hidden.texts import ANYTHING, Texts
from nnx_migrate.linen.programs.uses import End, Use
from nnx_migrate.names.modules import Module
from nnx_migrate.names.scopes import BindingKind

_LOOKING_UP = frozenset({"getattr", "hasattr", "vars", "dir"})
_OWN = frozenset({"globals", "locals", "vars"})
#: Methods of a namespace's dictionary that give no value.
_NO_VALUES = frozenset({"keys", "update", "setdefault", "clear"})
_PLAIN = frozenset({"int", "float", "bool", "str", "bytes", "list", "tuple", "dict", "set"})
_MAX_DEPTH = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Read:
    """`node` gives what the namespace of a module in `places` (regular expressions) calls by one of `names`.

    `is_lookup` where the value of `node` is that itself, `is_written` where code sets what is called so.
    """

    places: frozenset[str]
    names: frozenset[str]
    module: Module
    node: ast.expr
    is_lookup: bool
    is_written: bool = False


class Namespaces:
    """Finds such reads."""

    def __init__(self, finder: FlowFinder, texts: Texts) -> None:
        self.finder, self.project, self.texts = finder, finder.project, texts

    def reads(self, module: Module) -> Iterator[Read]:
        """All of a file."""
        for call in module.nodes(ast.Call):
            yield from self._of_call(module, call)
        for subscript in module.nodes(ast.Subscript):
            yield from self._of_loaded(module, subscript)
        for attribute in module.nodes(ast.Attribute):
            if attribute.attr == "__dict__":
                target = self._module_named(module, attribute.value)
                if target is not None:
                    yield from self._of_dictionary(module, attribute, target)
        yield from self._of_names(module)
        yield from self._of_dotted_names(module)

    def _of_call(self, module: Module, call: ast.Call) -> Iterator[Read]:
        name = self._builtin(module, call.func)
        if name in _OWN and not call.args and (name == "globals" or self._holds_classes(module, call)):
            yield from self._of_dictionary(module, call, module.name)
        elif (
            name == "vars" and call.args and (target := self._module_named(module, call.args[0])) is not None
        ):
            yield from self._of_dictionary(module, call, target)
        elif name in ("eval", "exec") and call.args:
            if len(call.args) > 1 and self._builtin_called(module, call.args[1]) not in _OWN:
                return  # in a namespace of its own
            names = self._words(module, call.args[0])
            if names:
                yield Read(frozenset({re.escape(module.name)}), names, module, call, False)

    @staticmethod
    def _holds_classes(module: Module, call: ast.Call) -> bool:
        """Whether the names around a call of `locals` may be classes or modules: not the variables of a function."""
        scope = module.scope_at(call)
        kinds = {b.kind for bindings in scope.bindings.values() for b in bindings}
        return scope.is_module or bool(kinds & {BindingKind.IMPORT, BindingKind.CLASS})

    def _of_loaded(self, module: Module, subscript: ast.Subscript) -> Iterator[Read]:
        """`sys.modules[name]`."""
        scope = module.scope_at(subscript)
        if self.project.resolve(subscript.value, scope, module) != "sys.modules":
            return
        if not isinstance(subscript.ctx, ast.Load):
            return
        if isinstance(subscript.slice, ast.Name) and subscript.slice.id == "__name__":
            places = frozenset({re.escape(module.name)})
        else:
            places = frozenset(self.texts.patterns(module, subscript.slice))
        yield from self._followed(module, subscript, places)

    def _of_names(self, module: Module) -> Iterator[Read]:
        """Names of the project's modules where they are more than the start of a dotted name."""
        for scope in module.scopes.all_scopes():
            for local, bindings in scope.bindings.items():
                targets = {b.target for b in bindings if b.kind is BindingKind.IMPORT}
                if not any(t in self._folders or self.project.find_path(t, module) for t in targets):
                    continue
                for reference in module.scopes.names.get(local, ()):
                    node = reference.node
                    parent = module.parents[node]
                    if (
                        isinstance(node, ast.Name)
                        and not isinstance(parent, ast.Attribute)
                        and not self._looks_up(module, parent)
                        and reference.scope.binder(local) is scope
                        and (target := self._module_named(module, node)) is not None
                    ):
                        yield from self._followed(module, node, frozenset({re.escape(target)}))

    def _of_dotted_names(self, module: Module) -> Iterator[Read]:
        """`zoo = package.models`, `find(package.models, name)`."""
        for node in module.nodes(ast.Attribute):
            if (
                (node.attr in self._last_names or node.attr in self._folders)
                and isinstance(node.ctx, ast.Load)
                and not isinstance(parent := module.parents[node], ast.Attribute)
                and not self._looks_up(module, parent)
                and (target := self._module_named(module, node)) is not None
            ):
                yield from self._followed(module, node, frozenset({re.escape(target)}))

    def _looks_up(self, module: Module, parent: ast.AST) -> bool:
        """`getattr(models, name)`, which is seen there."""
        return isinstance(parent, ast.Call) and self._builtin(module, parent.func) in _LOOKING_UP

    @cached_property
    def _last_names(self) -> set[str]:
        return {module.name.rpartition(".")[2] for module in self.project.modules()}

    def _followed(self, module: Module, node: ast.expr, places: frozenset[str]) -> Iterator[Read]:
        """What is read of a module that an expression gives."""
        for use in self.finder.follow(module, node).uses:
            yield from self._read(use, places, 0)

    def _read(self, use: Use, places: frozenset[str], depth: int) -> Iterator[Read]:
        names = self._names(use)
        if names:
            is_lookup = use.end in (End.ATTRIBUTE, End.LOOKED_UP)
            yield Read(places, names, use.module, use.node, is_lookup, _sets_in(use))
            if is_lookup:
                yield from self.of_submodules(use.module, use.node, places, names, depth)

    def of_submodules(
        self,
        module: Module,
        node: ast.expr,
        places: frozenset[str],
        names: frozenset[str],
        depth: int = 0,
    ) -> Iterator[Read]:
        """What is read of a module that `node` may read of a package: `zoo.nets.Net` of a value `zoo`.

        What is called is none. What goes elsewhere is taken for one only where its name says so.
        """
        if depth >= _MAX_DEPTH or (ANYTHING in places and ANYTHING in names):
            return
        found = {
            re.escape(name)
            for package, inside, name in self._inner_modules
            if any(re.fullmatch(pattern, inside) for pattern in names)
            and any(re.fullmatch(rf"(?:.*\.)?{pattern}", package) for pattern in places)
        }
        for use in self.finder.follow(module, node).uses if found else ():
            is_read = use.end in (End.ATTRIBUTE, End.LOOKED_UP)
            if is_read or (use.end is End.ESCAPE and ANYTHING not in names):
                yield from self._read(use, frozenset(found), depth + 1)

    @cached_property
    def _inner_modules(self) -> list[tuple[str, str, str]]:
        """The modules of packages: the package, what it calls the module, and the name of that."""
        found: list[tuple[str, str, str]] = []
        for module in self.project.modules():
            package, _, name = module.name.rpartition(".")
            folder = ".".join(module.path.absolute().parent.parts[-3:])
            found.append((package or folder, name, module.name))
            for local, bindings in module.scopes.module.bindings.items() if module.is_package else ():
                targets = {b.target for b in bindings if b.kind is BindingKind.IMPORT}
                inner = [m for t in targets if (m := self.project.find_module(t, module)) is not None]
                found += [(module.name, local, m.name) for m in inner]
        return found

    def _names(self, use: Use) -> frozenset[str]:
        if use.end is End.ATTRIBUTE and isinstance(use.node, ast.Attribute) and use.node.attr != "__dict__":
            return frozenset({re.escape(use.node.attr)})
        if use.end is End.LOOKED_UP and isinstance(use.node, ast.Call):
            return frozenset(self.texts.patterns(use.module, use.node.args[1]))
        call = use.module.parents.get(use.node)
        if use.end is End.ESCAPE and isinstance(call, ast.Call) and call.args[:1] == [use.node]:
            replaces = isinstance(call.func, ast.Attribute) and call.func.attr in (
                "object",
                "setattr",
                "delattr",
            )
            replaces |= _sets_in(use)
            if replaces and len(call.args) > 1:  # `mock.patch.object(models, "build", ...)`
                return frozenset(self.texts.patterns(use.module, call.args[1]))
        return frozenset({ANYTHING})

    def _of_dictionary(self, module: Module, node: ast.expr, place: str) -> Iterator[Read]:
        """What is read of the dictionary of a namespace."""
        places, parent = frozenset({re.escape(place)}), module.parents[node]
        if isinstance(parent, ast.Subscript) and parent.value is node:
            if isinstance(parent.ctx, ast.Load) and not self._names_plain_values(module, parent.slice):
                names = frozenset(self.texts.patterns(module, parent.slice))
                yield Read(places, names, module, parent, True)
            return
        if isinstance(parent, ast.Compare | ast.For | ast.Expr):
            return
        call = module.parents[parent]
        if isinstance(parent, ast.Attribute) and isinstance(call, ast.Call) and call.func is parent:
            if parent.attr in _NO_VALUES or self._takes_plain_values(module, call):
                return
            if parent.attr in ("get", "pop") and call.args:
                yield Read(places, frozenset(self.texts.patterns(module, call.args[0])), module, call, True)
                return
        if isinstance(parent, ast.Call) and self._builtin(module, parent.func) in (
            "eval",
            "exec",
            "len",
            "print",
        ):
            return  # seen there
        yield Read(places, frozenset({ANYTHING}), module, node, False)

    def _takes_plain_values(self, module: Module, items: ast.Call) -> bool:
        """`[k for k, v in globals().items() if isinstance(v, (int, str))]`."""
        loop = module.parents[items]
        if not (isinstance(loop, ast.comprehension) and loop.iter is items):
            return False
        tests = [t for test in loop.ifs for t in (test.values if _is_and(test) else [test])]  # type: ignore[attr-defined]
        for test in tests:
            if (
                isinstance(test, ast.Call)
                and self._builtin(module, test.func) == "isinstance"
                and len(test.args) == 2
            ):
                kinds = test.args[1].elts if isinstance(test.args[1], ast.Tuple) else [test.args[1]]
                if all(self._builtin(module, kind) in _PLAIN for kind in kinds):
                    return True
        return False

    def _names_plain_values(self, module: Module, key: ast.expr) -> bool:
        """Whether a key runs over such a list: `{k: globals()[k] for k in config_keys}`."""
        target = module.scope_at(key).lookup(key.id) if isinstance(key, ast.Name) else []
        loop = module.parents.get(target[0].node) if len(target) == 1 else None
        if not isinstance(loop, ast.comprehension | ast.For) or not isinstance(loop.iter, ast.Name):
            return False
        values = [binding.value for binding in module.scope_at(loop.iter).lookup(loop.iter.id)]
        return bool(values) and all(
            isinstance(value, ast.ListComp)
            and isinstance(items := value.generators[0].iter, ast.Call)
            and self._takes_plain_values(module, items)
            for value in values
        )

    def _words(self, module: Module, text: ast.expr) -> frozenset[str]:
        """The names that code in a text may mean: those of a constant, of a file, of what a name starts with."""
        path = _opened(text)
        if path is not None:
            files = [p for p in self.project.paths if p.name == path.rpartition("/")[2]]
            if len(files) == 1:
                return frozenset(map(re.escape, _WORD.findall(self.project.text(files[0]))))
            return frozenset({ANYTHING})
        patterns = self.texts.patterns(module, text)
        found: set[str] = set()
        for pattern in patterns:
            plain = pattern.replace("\\", "")
            if ANYTHING not in pattern:
                found.update(map(re.escape, _WORD.findall(plain)))
            elif (start := re.match(r"(\w+)\.", plain)) is not None and self._is_outside(module, start[1]):
                continue  # `nn.{activation}`
            else:
                found.add(ANYTHING)
        return frozenset(found)

    def _is_outside(self, module: Module, name: str) -> bool:
        bindings = module.scopes.module.bindings.get(name, [])
        return bool(bindings) and all(
            b.kind is BindingKind.IMPORT and not self.project.has_package(b.target.partition(".")[0])
            for b in bindings
        )

    def _module_named(self, module: Module, node: ast.expr) -> str | None:
        """The module of the project that an expression names, or the folder of some."""
        found = self.project.module_named(node, module)
        if found is not None:
            return found.name
        qualified = self.project.resolve(node, module.scope_at(node), module)
        is_folder = qualified in self._folders and self.project.definition(qualified) is None
        return qualified if is_folder else None

    @cached_property
    def _folders(self) -> frozenset[str]:
        """Folders as code may name them that imports what is in them: those that aren't marked as packages, too."""
        parts = {path.absolute().parent.parts for path in self.project.paths}
        return frozenset(".".join(found[-count:]) for found in parts for count in (1, 2, 3))

    def _builtin_called(self, module: Module, node: ast.expr) -> str:
        return self._builtin(module, node.func) if isinstance(node, ast.Call) else ""

    @staticmethod
    def _builtin(module: Module, node: ast.expr) -> str:
        """The name of a builtin, "" for everything else."""
        if isinstance(node, ast.Name) and module.scope_at(node).binder(node.id) is None:
            return node.id
        return ""


def setattr_with(use: Use) -> ast.Call | None:
    """The call of `setattr` that gets a value as the object or as what it sets."""
    call = use.module.parents.get(use.node)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "setattr":
        return call if len(call.args) == 3 and use.node in (call.args[0], call.args[2]) else None
    return None


def _sets_in(use: Use) -> bool:
    """`setattr(models, name, value)`."""
    call = setattr_with(use)
    return call is not None and call.args[0] is use.node


def _is_and(node: ast.expr) -> bool:
    return isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)


def _opened(text: ast.expr) -> str | None:
    """The path of `open("settings.py").read()`."""
    if not (isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute) and text.func.attr == "read"):
        return None
    call = text.func.value
    path = call.args[0] if isinstance(call, ast.Call) and call.args else None
    return path.value if isinstance(path, ast.Constant) and isinstance(path.value, str) else None
