"""Values in containers: what an expression around a container takes out of it, and what is put in.

`Within` says where a value sits in what an expression gives: () is the value itself, ("model",) the value under
that key, (ANY, 1) the second part of any element.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from nnx_migrate.names.modules import Module

ANY = None
Key = int | str | None
Within = tuple[Key, ...]

_SEQUENCES = frozenset({"list", "tuple", "set", "sorted", "reversed", "iter", "frozenset"})
_CHOOSING = frozenset({"max", "min"})
_ADDING = frozenset({"append", "add", "appendleft", "insert"})
_NOTHING_OUT = frozenset(
    {
        "keys", "append", "add", "appendleft", "insert", "extend", "update", "index", "count", "remove",
        "clear", "sort", "reverse", "discard", "join", "format",
    }
)  # fmt: skip


class Part(int):
    """The key of a named tuple's part: its position, which has a name, too."""

    name: str

    def __new__(cls, index: int, name: str) -> Part:
        """The part at a position."""
        part = super().__new__(cls, index)
        part.name = name
        return part


@dataclass
class Taken:
    """What becomes of a value: expressions that give it, and targets (or containers) that get it.

    `may_be_project`: the call may as well be one of a method of the project that has such a name.
    """

    expressions: list[tuple[ast.expr, Within]] = field(default_factory=list)
    targets: list[tuple[ast.expr, Within]] = field(default_factory=list)
    may_be_project: bool = False


def elements(module: Module, node: ast.expr, within: Within) -> Taken | None:
    """What the code around a container takes out of it; None where that isn't understood."""
    parent = module.parents[node]
    key, rest = within[0], within[1:]
    ordered = not isinstance(key, str)
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return _subscript(parent, within)
    if isinstance(parent, ast.Attribute):
        return _attribute(module, parent, within)
    if isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension) and parent.iter is node:
        return Taken(targets=[(parent.target, rest)] if ordered else [])
    if isinstance(parent, ast.Starred):
        display = module.parents[parent]
        return (
            Taken([(display, (ANY, *rest))]) if isinstance(display, ast.Tuple | ast.List | ast.Set) else None
        )
    if isinstance(parent, ast.BinOp):
        return Taken([(parent, (ANY, *rest) if ordered else within)])
    if isinstance(parent, ast.UnaryOp) or (isinstance(parent, ast.Call) and parent.func is node):
        return Taken()
    return None


def _subscript(parent: ast.Subscript, within: Within) -> Taken:
    key, rest = within[0], within[1:]
    if not isinstance(parent.ctx, ast.Load):
        return Taken()
    if isinstance(parent.slice, ast.Slice):
        return Taken([(parent, (ANY, *rest))])
    wanted = parent.slice.value if isinstance(parent.slice, ast.Constant) else ANY
    return Taken([(parent, rest)] if wanted is ANY or key in (ANY, wanted) else [])


def _attribute(module: Module, parent: ast.Attribute, within: Within) -> Taken:
    key, rest = within[0], within[1:]
    outer = module.parents[parent]
    if isinstance(key, Part):
        if parent.attr in ("_replace", "_asdict") and isinstance(outer, ast.Call):
            return Taken([(outer, within if parent.attr == "_replace" else (key.name, *rest))])
        return Taken([(parent, rest)] if parent.attr == key.name else [])
    if isinstance(outer, ast.Call) and outer.func is parent and parent.attr != key:
        if parent.attr == "values":
            return Taken([(outer, (ANY, *rest))])
        if parent.attr in ("items", "popitem"):
            return Taken([(outer, ((ANY, 1, *rest) if parent.attr == "items" else (1, *rest)))])
        if parent.attr in ("get", "pop", "setdefault", "popleft"):
            wanted = outer.args[0].value if outer.args and isinstance(outer.args[0], ast.Constant) else ANY
            is_other = isinstance(key, str) and isinstance(wanted, str) and key != wanted
            return Taken([(outer, rest)] if not is_other else [])
        if parent.attr in ("copy", "_replace", "_asdict", "unfreeze"):
            return Taken([(outer, within)])
        if parent.attr in _NOTHING_OUT:
            return Taken()
    return Taken([(parent, rest)] if key in (ANY, parent.attr) else [])


def items_of_call(
    module: Module, call: ast.Call, passed: ast.expr | ast.keyword, within: Within
) -> Taken | None:
    """What a builtin, or a method that adds to a container, makes of its argument; None for other calls."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(passed, ast.expr):
        if function.attr in _ADDING:
            return Taken(targets=[(function.value, (ANY, *within))], may_be_project=True)
        if function.attr == "setdefault" and call.args[1:] == [passed]:
            return Taken([(call, within)], [(function.value, (ANY, *within))], may_be_project=True)
        if function.attr in ("get", "pop") and call.args[1:] == [passed]:
            return Taken([(call, within)], may_be_project=True)
        if function.attr in ("extend", "update") and within:
            inner = within if isinstance(within[0], str) else (ANY, *within[1:])
            return Taken(targets=[(function.value, inner)], may_be_project=True)
    if isinstance(function, ast.Attribute) and isinstance(passed, ast.keyword) and function.attr == "update":
        if passed.arg is not None:
            return Taken(targets=[(function.value, (passed.arg, *within))], may_be_project=True)
    if not isinstance(function, ast.Name) or module.scope_at(function).binder(function.id) is not None:
        return None
    if function.id == "dict":
        if isinstance(passed, ast.keyword):
            return Taken([(call, (passed.arg, *within))])
        return Taken([(call, within if within and isinstance(within[0], str) else (ANY, *within[2:]))])
    if function.id in _CHOOSING and isinstance(passed, ast.expr) and len(call.args) > 1:
        return Taken([(call, within)])
    if not within or isinstance(passed, ast.keyword):
        return None
    rest = within[1:]
    if isinstance(within[0], str) and function.id in (
        _SEQUENCES | _CHOOSING | {"enumerate", "zip", "next", "filter"}
    ):
        return Taken()  # these see the keys of a dict
    if function.id in _SEQUENCES:
        return Taken([(call, (ANY, *rest))])
    if function.id == "enumerate":
        return Taken([(call, (ANY, 1, *rest))])
    if function.id == "zip":
        return Taken([(call, (ANY, call.args.index(passed), *rest))])
    if function.id == "next" or function.id in _CHOOSING:
        return Taken([(call, rest)])
    if function.id == "filter" and call.args[1:] == [passed]:
        return Taken([(call, (ANY, *rest))])
    return None


def items_of_iterator(function: str, place: int, within: Within) -> Within | None:
    """Where a value is in what a function of `itertools` gives, by its place among the arguments; None for others."""
    rest = within[1:]
    if function == "itertools.repeat" and place == 0:
        return (ANY, *within)
    if not within or isinstance(within[0], str):
        return None
    if function in ("itertools.chain", "itertools.cycle", "itertools.islice"):
        return (ANY, *rest)
    if function == "itertools.chain.from_iterable" and rest and not isinstance(rest[0], str):
        return (ANY, *rest[1:])
    if function in ("itertools.product", "itertools.zip_longest"):
        return (ANY, place, *rest)
    if function in ("itertools.combinations", "itertools.permutations"):
        return (ANY, ANY, *rest)
    return None


def judging_functions(call: ast.Call) -> list[ast.expr]:
    """The functions that a builtin calls with each element to sort or choose: `max(models, key=width)`."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name == "filter":
        return call.args[:1]
    return [k.value for k in call.keywords if k.arg == "key" and name in (_CHOOSING | {"sorted"})]


def stored_under(display: ast.expr, node: ast.expr) -> Within | None:
    """The key of an element in a display or comprehension; () for `**other`, None for what is no element."""
    if isinstance(display, ast.Tuple):
        return (display.elts.index(node),)
    if isinstance(display, ast.Dict):
        for key, value in zip(display.keys, display.values, strict=True):
            if value is node:
                if key is None:
                    return ()
                name = key.value if isinstance(key, ast.Constant) else ANY
                return (name if isinstance(name, int | str) else ANY,)
        return None
    if isinstance(display, ast.DictComp):
        return (ANY,) if display.value is node else None
    if isinstance(display, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        return (ANY,) if display.elt is node else None
    return (ANY,)
