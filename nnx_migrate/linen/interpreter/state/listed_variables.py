"""Parameters that `setup` puts into lists and dicts: `self.weights = [self.param(f"w_{i}", ...) for i in range(n)]`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.names.nodes import is_of_self

#: What a list or dict may be written as; anything else around a parameter computes with it, or gets it.
_CONTAINERS = (
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Dict,
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_REFUSED = "`setup` puts a variable into a list or dict in a way that isn't followed"


@dataclass(frozen=True)
class Holder:
    """The attribute that holds a parameter in a list or dict, and the place there."""

    attribute: str
    place: tuple[str, ...]

    @property
    def is_counted(self) -> bool:
        """Whether a loop makes one for each of its rounds."""
        return self.place == ("{i}",)


def holder(frame: Frame, call: ast.Call, what: str) -> Holder | None:
    """What holds a variable that `setup` makes; None where no list or dict does.

    Raises Refuse for lists and dicts that hold more than parameters can be told by.
    """
    if frame.session.entry != "setup" or frame.foreign:
        return None
    around, added = frame.module.parents.get(call), _list_of(frame, call)
    if added is None and not isinstance(around, _CONTAINERS):
        return None
    setup = frame.module.enclosing(call, ast.FunctionDef)
    loops = [control for control in frame.controls if control.is_loop]
    found = None
    if isinstance(setup, ast.FunctionDef) and setup.name == "setup" and not frame.context and what == "param":
        if added is not None and len(loops) == 1 and frame.controls[-1].is_loop:
            found = _filled(frame, setup, added)
        elif added is None:
            found = _written(frame, call, len(loops))
    if found is None or not _is_given_once(frame, found.attribute):
        raise Refuse("unsupported-syntax", _REFUSED, call)
    return found


def _list_of(frame: Frame, call: ast.Call) -> ast.Name | None:
    """The `weights` of `weights.append(self.param(...))`."""
    around = frame.module.parents.get(call)
    function = around.func if isinstance(around, ast.Call) and around.args == [call] else None
    if not isinstance(function, ast.Attribute) or function.attr != "append":
        return None
    return function.value if isinstance(function.value, ast.Name) else None


def _filled(frame: Frame, setup: ast.FunctionDef, name: ast.Name) -> Holder | None:
    """A local list that one loop fills, and an attribute then gets."""
    parents = frame.module.parents
    added = parents.get(parents[parents[name]])
    if not isinstance(added, ast.Expr) or not isinstance(parents.get(added), ast.For):
        return None
    found: list[str] = []
    begun = False
    for node in ast.walk(setup):
        if not isinstance(node, ast.Name) or node.id != name.id or node is name:
            continue
        around = parents.get(node)
        if isinstance(around, ast.Assign) and around.targets == [node] and around in setup.body:
            if begun or not (isinstance(around.value, ast.List) and not around.value.elts):
                return None
            begun = True
        elif isinstance(around, ast.Assign) and around.value is node and around in setup.body:
            found += [target.attr if is_of_self(target) else "" for target in around.targets]
        elif not isinstance(around, ast.Delete):
            return None
    return Holder(found[0], ("{i}",)) if begun and len(found) == 1 and found[0] else None


def _written(frame: Frame, call: ast.Call, loops: int) -> Holder | None:
    """An attribute that gets a display or a comprehension."""
    parents = frame.module.parents
    around = parents[call]
    statement = parents.get(around)
    if not isinstance(statement, ast.Assign) or statement.value is not around or len(statement.targets) != 1:
        return None
    (target,) = statement.targets
    if not is_of_self(target):
        return None
    if isinstance(around, ast.ListComp):
        single = len(around.generators) == 1 and not around.generators[0].ifs and loops == 1
        return Holder(target.attr, ("{i}",)) if single and around.elt is call else None
    if loops:
        return None
    if isinstance(around, ast.List | ast.Tuple) and not any(isinstance(e, ast.Starred) for e in around.elts):
        return Holder(target.attr, (str(around.elts.index(call)),))
    if isinstance(around, ast.Dict) and call in around.values and None not in around.keys:
        key = around.keys[around.values.index(call)]
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            return Holder(target.attr, (key.value,))
    return None


def _is_given_once(frame: Frame, name: str) -> bool:
    """Whether one statement gives the attribute a value, and no method changes what it holds."""
    cls = frame.session.cls
    stores = list(_changes(frame, name))
    return len(stores) == 1 and cls.field(name) is None and cls.method(name) is None


def _changes(frame: Frame, name: str) -> Iterator[ast.AST]:
    family = [*frame.session.cls.mro, *(o for o in frame.session.program if frame.session.cls in o.mro)]
    for owner in dict.fromkeys(family):
        for node in ast.walk(owner.node):
            if not is_of_self(node, name):
                continue
            if not isinstance(node.ctx, ast.Load):
                yield node
            around = owner.module.parents.get(node)
            if isinstance(around, ast.Subscript) and not isinstance(around.ctx, ast.Load):
                yield around
