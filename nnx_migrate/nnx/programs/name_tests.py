"""Code that looks into the names of parameters: `"norm" in path.lower()`, `key.split("_")[-1]`, `regex="hyper_dense"`.

What it asks of a name is tried out: where a new name gives another answer than Linen's, the program would take other
parameters without a word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeGuard

from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import is_of_self

Question = Callable[[str], Hashable]

#: What code that goes through the names of parameters mentions.
_GOES_THROUGH = re.compile(
    r"\b(?:flatten_dict|path_aware_map|ModelParamTraversal|keystr|DictKey|\w+_with_(?:path|name)s?|named_tree_map)\b"
    r"|\bfor [\w, ()]+ in (?:sorted\(|list\()?[\w.\[\]'\"]*(?:param|variable|grad|weight)\w*"
)
_ITEMS = re.compile(r"\.(?:items|keys)\(")
_COUNT = re.compile(r"\{[^{}]*\}")
_OF_A_NAME = re.compile(r"[knp]|\w*(?:key|name|path|layer|module|param)\w*")
_SPLITTING = ("split", "rsplit", "partition", "rpartition")
_SEARCHING = frozenset({"search", "match", "fullmatch", "findall", "compile", "sub"})


def goes_through_names(module: Module) -> bool:
    """Whether code of a file seems to go through the names of parameters."""
    text = module.source.text
    return _GOES_THROUGH.search(text) is not None or (
        _ITEMS.search(text) is not None and any(map(_goes_down, module.nodes(ast.FunctionDef)))
    )


def _goes_down(function: ast.FunctionDef) -> bool:
    """Whether a function takes nested dictionaries, whatever it calls them: `{k: walk(v) for k, v in tree.items()}`."""
    nodes = list(ast.walk(function))
    methods = {
        node.func.attr
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if is_of_self(node)}
    return function.name in names and not methods.isdisjoint({"items", "keys"})


def name_test_obstacles(module: Module, names: Iterable[tuple[str, str]]) -> Iterator[Obstacle]:
    """Places in a file, which goes through names, where those in pairs (Linen's, NNX's) give different answers."""
    changed = [(_COUNT.sub("0", old), _COUNT.sub("0", new)) for old, new in names if old != new]
    old_names = {old for old, _ in changed}
    for node in module.nodes(ast.Constant):
        if not isinstance(node.value, str) or not node.value or node.value in old_names:
            continue  # whole names are rewritten
        question = _question(module, node, node.value)
        if question is not None and any(
            _answers(question, old) != _answers(question, new) for old, new in changed
        ):
            yield Obstacle("parameter-names", f"names are compared with {node.value!r}", module, node)


def _answers(question: Question, name: str) -> frozenset[Hashable]:
    """The answers for all parts of a path."""
    return frozenset(question(part) for part in name.split("/")) - {False}


def _question(module: Module, node: ast.Constant, text: str) -> Question | None:
    """What code asks of a text with the help of this one; None where it seems to ask nothing."""
    parent = module.parents[node]
    if isinstance(parent, ast.Compare) and len(parent.ops) == 1:
        other = parent.comparators[0] if parent.left is node else parent.left
        lowered = _is_lowered(other)
        if isinstance(parent.ops[0], ast.In | ast.NotIn) and parent.left is node:
            return lambda name: text in lowered(name)
        if isinstance(parent.ops[0], ast.Eq | ast.NotEq) and isinstance(other, ast.Subscript):
            return _of_slice(other.slice, text)
        return None
    called: ast.AST = node
    if isinstance(parent, ast.List | ast.Tuple | ast.Set) and _is_looped_over(module, parent):
        lowers, texts = ".lower()" in module.source.text, [str(e.value) for e in parent.elts if _is_text(e)]
        return lambda name: any(part in (name.lower() if lowers else name) for part in texts)
    if isinstance(parent, ast.Tuple):
        called, parent = parent, module.parents[parent]
    if not (
        isinstance(parent, ast.Call)
        and parent.args[:1] == [called]
        and isinstance(parent.func, ast.Attribute)
    ):
        return None
    receiver, method = parent.func.value, parent.func.attr
    lowered = _is_lowered(receiver)
    if method == "startswith":
        return lambda name: lowered(name).startswith(text)
    if method == "endswith":
        return lambda name: lowered(name).endswith(text)
    if method in ("find", "count", "index"):
        return lambda name: text in lowered(name)
    if method in _SPLITTING and text == "_" and _is_of_a_name(receiver):
        return lambda name: tuple(name.split("_"))
    if method in _SEARCHING and isinstance(receiver, ast.Name) and receiver.id in ("re", "regex"):
        try:
            pattern = re.compile(text)
        except re.error:
            return None
        return lambda name: pattern.search(name) is not None
    return None


def _is_looped_over(module: Module, node: ast.expr) -> bool:
    """`part in key for part in ["norm", "ln"]`, or over a variable that has such a list."""
    above, text = module.parents[node], module.source.text
    if isinstance(above, ast.comprehension | ast.For):
        each = [above.target.id] if above.iter is node and isinstance(above.target, ast.Name) else []
    else:
        loops = (re.findall(rf"\bfor (\w+) in (?:\w+\.)*{name}\b", text) for name in _called(above, node))
        each = [part for found in loops for part in found]
    return any(re.search(rf"(?<!\bfor )\b{part} (?:not )?in\b|\.\w+\({part}\b", text) for part in each)


def _called(above: ast.AST, node: ast.expr) -> Iterator[str]:
    """What code calls a list: the variable or field that it is stored in, the parameter that it is given for."""
    if isinstance(above, ast.Assign | ast.AnnAssign):
        for target in above.targets if isinstance(above, ast.Assign) else [above.target]:
            if isinstance(target, ast.Name | ast.Attribute):
                yield target.id if isinstance(target, ast.Name) else target.attr
    elif isinstance(above, ast.keyword) and above.arg is not None:
        yield above.arg
    elif isinstance(above, ast.arguments):
        listed = [*above.posonlyargs, *above.args]
        given = [*zip(listed[len(listed) - len(above.defaults) :], above.defaults, strict=True)]
        given += [(a, d) for a, d in zip(above.kwonlyargs, above.kw_defaults, strict=True) if d is not None]
        yield from (parameter.arg for parameter, default in given if default is node)


def _is_text(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _of_slice(index: ast.expr, text: str) -> Question | None:
    """`key[:5] == "Dense"`."""
    if not isinstance(index, ast.Slice):
        return None
    return lambda name: name.startswith(text) if index.lower is None else name.endswith(text)


def _is_lowered(node: ast.expr) -> Callable[[str], str]:
    """What is done to a name before it is looked into."""
    calls = {
        n.func.attr for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    return (
        str.lower if not calls.isdisjoint({"lower", "casefold"}) else str.upper if "upper" in calls else str
    )


def _is_of_a_name(node: ast.expr) -> bool:
    """`key`, `path[-2]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name) and _OF_A_NAME.fullmatch(node.id) is not None
