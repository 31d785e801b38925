"""Code that takes parameters from one tree for another by their names: `if key in pretrained: params[key] = ...`.

Two models call their first layers `Dense_0`, and may call them `dense` and `dense_0` when they are NNX's; what was
saved before has Linen's names for good. Nothing would be taken then, without a word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module

_PARAMETERS = re.compile(
    r"param|variable|weight|pretrain|restor|loaded|checkpoint|ckpt|state_?dict|backbone", re.IGNORECASE
)
#: What surely has no parameters by its name.
_OTHER = re.compile(
    r"conf|cfg|arg|hparam|setting|option|metric|loss|batch(?!_stat)|space|info|mask|label|axis|type",
    re.IGNORECASE,
)
_LITERALS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Constant)
_VIEWS = frozenset({"keys", "items"})
_COPIES = frozenset({"sorted", "list", "tuple", "set", "iter", "dict", "flatten_dict", "unfreeze", "freeze"})


def matched_name_obstacles(module: Module) -> Iterator[Obstacle]:
    """Places in a file that look up the keys of one tree of parameters in another one."""
    if _PARAMETERS.search(module.source.text) is None:
        return
    nodes: list[ast.Compare | ast.Call] = [*module.nodes(ast.Compare), *module.nodes(ast.Call)]
    for node in nodes:
        looked_up = _looked_up(node)
        if looked_up is None:
            continue
        key, place = looked_up
        gone_through = list(_gone_through(module, node, key))
        trees, other = [_text(tree) for tree in gone_through], _text(place)
        if all(_are_of_one_model(module, node, tree, _tree(place)) for tree in gone_through):
            continue
        if other in trees or any(_OTHER.search(text) for text in (*trees, other)):
            continue
        if any(_PARAMETERS.search(text) for text in (*trees, other)) and (
            isinstance(node, ast.Call) or _takes(module, node, key, {*trees, other})
        ):
            detail = f"parameters are matched by their names: `{ast.unparse(node)}`"
            yield Obstacle("parameter-names", detail, module, node)


def _looked_up(node: ast.Compare | ast.Call) -> tuple[str, ast.expr] | None:
    """A name and the tree in which it is a key: `key in tree`, `tree.get(key)`, `tree.pop(key)`."""
    if isinstance(node, ast.Compare):
        found, place = node.left, node.comparators[0]
        if len(node.ops) != 1 or not isinstance(node.ops[0], ast.In | ast.NotIn):
            return None
    else:
        method = node.func
        if not (isinstance(method, ast.Attribute) and method.attr in ("get", "pop") and node.args):
            return None
        found, place = node.args[0], method.value
    return (found.id, place) if isinstance(found, ast.Name) and not isinstance(place, _LITERALS) else None


def _gone_through(module: Module, node: ast.AST, key: str) -> Iterator[ast.expr]:
    """The trees whose keys `key` takes on around a node: `for key, value in flatten_dict(params).items()`."""
    around: ast.AST | None = node
    while around is not None:
        loops = [around] if isinstance(around, ast.For) else list(getattr(around, "generators", ()))
        for loop in loops:
            target = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) else loop.target
            tree = _tree(loop.iter)
            if isinstance(target, ast.Name) and target.id == key and not isinstance(tree, _LITERALS):
                yield tree
        around = module.parents.get(around)


def _tree(node: ast.expr) -> ast.expr:
    """`params` of `sorted(flatten_dict(params).items())`."""
    while isinstance(node, ast.Call):
        method = node.func
        if isinstance(method, ast.Attribute) and method.attr in _VIEWS and not node.args:
            node = method.value
        elif node.args and ast.unparse(method).rpartition(".")[2] in _COPIES:
            node = node.args[0]
        else:
            break
    return node


def _are_of_one_model(module: Module, node: ast.AST, one: ast.expr, other: ast.expr) -> bool:
    """`old.params` and `new.params`, or parameters of a function that its file calls with such alone."""
    if _are_alike(one, other):
        return True
    function = module.enclosing(node, ast.FunctionDef)
    if not (
        isinstance(function, ast.FunctionDef) and isinstance(one, ast.Name) and isinstance(other, ast.Name)
    ):
        return False
    names = [arg.arg for arg in function.args.args]
    calls = [
        call
        for call in module.nodes(ast.Call)
        if isinstance(call.func, ast.Name)
        and call.func.id == function.name
        and module.enclosing(call, ast.FunctionDef) is not function
    ]
    if one.id not in names or other.id not in names or not calls:
        return False
    first, second = names.index(one.id), names.index(other.id)
    return all(
        max(first, second) < len(call.args) and _are_alike(call.args[first], call.args[second])
        for call in calls
    )


def _are_alike(one: ast.expr, other: ast.expr) -> bool:
    """`old.params` and `new.params`."""
    return isinstance(one, ast.Attribute) and isinstance(other, ast.Attribute) and one.attr == other.attr


def _takes(module: Module, node: ast.AST, key: str, trees: Collection[str]) -> bool:
    """Whether code around a question reads or writes what one of the trees has by that key."""
    function = module.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef) or module.tree
    return any(
        isinstance(part, ast.Subscript)
        and isinstance(part.slice, ast.Name)
        and part.slice.id == key
        and _text(part.value) in trees
        for part in ast.walk(function)
    )


def _text(node: ast.expr) -> str:
    return ast.unparse(_tree(node))
