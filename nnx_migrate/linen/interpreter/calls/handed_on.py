"""`*args` of a method that all go to one submodule: `def __call__(self, *args): return self.net_cls()(*args)`.

The class is then followed as if it had the arguments that the submodule's own `__call__` needs. A path such as
`("args", 0)` stands for each of them, as where code reads `args[0]`; what may come behind them isn't known.
"""

from __future__ import annotations

import ast
from typing import Any

from nnx_migrate.linen.classes.model import Method
from nnx_migrate.linen.interpreter.calls.forwarded import only_spread
from nnx_migrate.linen.interpreter.calls.spread import HIDDEN, called
from nnx_migrate.linen.interpreter.frame import Frame, NeedArguments, Session
from nnx_migrate.linen.values import Input, Spread
from nnx_migrate.names.nodes import all_below

_CALL = "__call__"


def arguments_by_position(session: Session, method: str, name: str) -> Any:
    """What the `*args` of a method under analysis are."""
    names = session.handed_on.get(name) if method == _CALL else None
    paths: list[tuple[str | int, ...]] = [(name, i) for i in range(len(names))] if names else [(name,)]
    for path in paths:
        session.inputs_seen.setdefault(path)
    if names is None:
        return Input((name,))
    return (*map(Input, paths), Spread(HIDDEN))


def ask_for_arguments(frame: Frame, target: Any, node: ast.Call, visible: int) -> None:
    """Start again where a submodule needs more arguments than the `visible` ones, and only `*args` can give them.

    That is so where `__call__` does nothing else with its `*args` and `**kwargs`, once.
    """
    function = _entry(frame)
    starred = node.args[-1] if node.args else None
    if function is None or function.node.args.vararg is None or not isinstance(starred, ast.Starred):
        return
    names = [function.node.args.vararg.arg, *([k.arg] if (k := function.node.args.kwarg) is not None else [])]
    given = [starred.value, *(k.value for k in node.keywords if k.arg is None)]
    if [n.id if isinstance(n, ast.Name) else "" for n in given] != names[: len(given)]:
        return
    if len(given) < len(names) or any(isinstance(a, ast.Starred) for a in node.args[:-1]):
        return
    method = called(target)
    if method is None or (method.node.args.kwonlyargs and len(names) > 1):
        return
    required = _required(method)[visible:]
    named = {k.arg for k in node.keywords}
    if required and not named & set(required) and all(_is_read_once(function.node, n) for n in names):
        raise NeedArguments(names[0], tuple(required))


def _entry(frame: Frame) -> Method | None:
    """`__call__` of the class under analysis, where the code at hand is its own."""
    session = frame.session
    is_own = session.recording and session.caller is None and not frame.foreign and not frame.context
    return session.cls.method(_CALL) if is_own and frame.method == session.entry == _CALL else None


def _required(method: Method) -> list[str]:
    """The arguments by position that a method has to get, in their order."""
    spec = method.node.args
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    return names[1 : len(names) - len(spec.defaults)]


def _is_read_once(function: ast.AST, name: str) -> bool:
    reads = [n for n in all_below(function) if isinstance(n, ast.Name) and n.id == name]
    return len(reads) == 1 and only_spread(function, name)
