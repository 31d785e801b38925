"""Code that depends on the order of parameters, where new names change it.

JAX lists the leaves of a dictionary in the order of its sorted keys. Most programs don't care, and most new
names keep the order of the old ones; where they don't, an index into a list of leaves would mean another
parameter.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from nnx_migrate.linen.programs.instance import Obstacle
from nnx_migrate.names.modules import Module
from nnx_migrate.names.nodes import last_name
from nnx_migrate.names.project import Project

_LISTS = frozenset(
    {
        "jax.tree.leaves", "jax.tree_leaves", "jax.tree_util.tree_leaves",
        "jax.tree_util.tree_leaves_with_path", "jax.tree.leaves_with_path",
    }
)  # fmt: skip
# These return a pair: the leaves and the structure.
_PAIRS = frozenset(
    {
        "jax.tree.flatten", "jax.tree_flatten", "jax.tree_util.tree_flatten",
        "jax.tree.flatten_with_path", "jax.tree_util.tree_flatten_with_path",
    }
)  # fmt: skip
# What code only asks any one leaf for where all leaves agree on it.
_COMMON = frozenset({"dtype", "sharding", "device", "devices", "addressable_shards", "weak_type"})
_SHAPES = frozenset({"shape", "ndim"})  # of data, which have their leading axes in common; not of parameters
_PARAMETERS = re.compile(r"param|variable|grad|state|weight|model|stats", re.IGNORECASE)
_SETTINGS = re.compile(r"hyper_?param(?:eter)?s?", re.IGNORECASE)  # what a program is started with
# Of these, what also names data: `env_state`, `initial_state_buffer`. Leaves of states of training that have no
# leading axis in common begin with a counter, which has no axis at all.
_OF_DATA = re.compile(r"state(?!_dict)", re.IGNORECASE)
#: What is surely none of parameters by its last name.
_DATA = re.compile(
    r"(?:\w*_)?(?:obs|observations?|(?:observation|action)_spaces?|batch(?:es)?|config|cfg|datasets?|logits|predictions)"
)
_OPTIMIZER = re.compile(r"opt\w*_?state", re.IGNORECASE)
_RENUMBERED = re.compile(r"\{[^{}]{2,}\}")
_VIEWS = frozenset({"keys", "values", "items"})
_READERS = frozenset({"len", "print", "sorted", "list", "tuple", "iter", "repr", "str"})
_DETAIL = "it depends on the order of parameters, which changes"


def changes_order(names: Iterable[tuple[str, str]]) -> bool:
    """Whether the names of one module sort differently after they change. Pairs of old and new path."""
    names = list(names)
    if any(old != new and _RENUMBERED.search(old) for old, new in names):
        return True  # `layer_10` comes before `layer_2`, but `layers/9` behind `layers/1`
    heads = dict.fromkeys((old.partition("/")[0], new.partition("/")[0]) for old, new in names)
    # Names that count alike (`Dense_{}`) keep the order in which the modules are made.
    new = list(dict.fromkeys(name for _, name in sorted(heads, key=lambda pair: pair[0])))
    return new != sorted(new)


def order_obstacles(project: Project, module: Module, sorted_alike: bool) -> Iterator[Obstacle]:
    """Places in a file that pick a leaf or an entry of a dictionary by its position, or draw a key for each leaf.

    `sorted_alike`: old and new names have the same order; then leaves do, but not the entries of a dictionary that
    no transform of JAX made: Linen has them in the order in which modules are called.
    """
    if not any(word in module.source.text for word in ("leaves", "flatten", "keys()", "values()", "items()")):
        return
    for node in module.nodes(ast.Subscript):
        if (
            isinstance(node.ctx, ast.Load)
            and _is_index(node.slice)
            and _Sequences(module, project, sorted_alike).is_leaves(node.value)
            and not _asks_what_all_share(module, node)
        ):
            yield Obstacle("parameter-names", _DETAIL, module, node)
    for call in module.nodes(ast.Call):
        depends = not sorted_alike and (
            _splits_for_leaves(module, project, call) or _numbers_leaves(module, project, call)
        )
        if depends or _Sequences(module, project, sorted_alike).is_first_entry(call):
            yield Obstacle("parameter-names", _DETAIL, module, call)


def _splits_for_leaves(module: Module, project: Project, call: ast.Call) -> bool:
    """`jax.random.split(key, len(leaves))`, `jax.random.split(key, structure.num_leaves)`: a key for each."""
    if project.resolve(call.func, module.scope_at(call), module) != "jax.random.split":
        return False
    numbers = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "num")]
    number = numbers[0] if numbers else None
    if isinstance(number, ast.Call) and isinstance(number.func, ast.Name) and number.func.id == "len":
        return len(number.args) == 1 and _Sequences(module, project, False).is_leaves(number.args[0])
    return isinstance(number, ast.Attribute) and number.attr == "num_leaves"


def _numbers_leaves(module: Module, project: Project, call: ast.Call) -> bool:
    """`enumerate(jax.tree.leaves(params))`."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "enumerate" and call.args):
        return False
    return _Sequences(module, project, False, of_trees=True).is_leaves(call.args[0])


def _is_index(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _asks_what_all_share(module: Module, leaf: ast.Subscript) -> bool:
    """`jax.tree.leaves(batch)[0].shape`, `jax.tree.leaves(params)[0].dtype`: any leaf gives the same."""
    read = module.parents[leaf]
    if not isinstance(read, ast.Attribute):
        return False
    return read.attr in _COMMON or (read.attr in _SHAPES and _is_data(module, leaf.value))


def _is_data(module: Module, tree: ast.expr) -> bool:
    """Whether a tree, and what its names were assigned, is called as data are, which have axes in common."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assigned = [value for name in names for value, _ in values_of(module, name)]
    texts = [module.source.segment(node) for node in (tree, *assigned)]
    return not any(_OPTIMIZER.search(text) or _PARAMETERS.search(_OF_DATA.sub("", text)) for text in texts)


def _is_named_as_data(node: ast.expr) -> bool:
    """`batch`, `self.observation_space`."""
    name = last_name(node)
    return _DATA.fullmatch(name) is not None


def _is_of_data(call: ast.Call) -> bool:
    """`jax.tree.leaves(batch)`."""
    return bool(call.args) and _is_named_as_data(call.args[0])


def _knows_jax(module: Module) -> bool:
    """Whether a file imports what makes parameters: others may still get them."""
    return re.search(r"\b(?:jax|flax|optax|orbax)\b", module.source.text) is not None


def _is_display(node: ast.expr | None) -> bool:
    """A dictionary that is written out."""
    if isinstance(node, ast.Call):
        return ast.unparse(node) in ("dict()", "OrderedDict()", "collections.OrderedDict()")
    return isinstance(node, ast.Dict) and None not in node.keys


def _is_written_out(node: ast.expr) -> bool:
    """`[2, 3, 5]`, `range(n)`."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "range"
    return isinstance(node, ast.List | ast.Tuple) and not any(isinstance(e, ast.Starred) for e in node.elts)


def _asks_only(test: ast.expr, name: ast.AST) -> bool:
    """`while len(states) > 0`."""
    names = {n.id for n in ast.walk(test) if isinstance(n, ast.Name)} - {"len"}
    return isinstance(name, ast.Name) and names == {name.id}


class _Sequences:
    """What an expression of a module may give. Every assigned value is looked at once: `x = x[0]` says nothing
    more of `x`."""

    def __init__(self, module: Module, project: Project, entries_alone: bool, of_trees: bool = False) -> None:
        """`entries_alone`: not leaves, but the entries of what is called as parameters are; `of_trees`: just leaves."""
        self.module, self.project, self.entries_alone = module, project, entries_alone
        self.of_trees = of_trees
        self._seen: set[tuple[str, ast.expr]] = set()

    def is_leaves(self, node: ast.expr) -> bool:
        """`jax.tree.leaves(x)`, `jax.tree.flatten(x)[0]`, `list(x.keys())`, and names for these."""
        if isinstance(node, ast.Name):
            return any(
                self.is_leaves(value) or (unpacked and self.is_pair(value))
                for value, unpacked in self._new_values("leaves", node)
            )
        if isinstance(node, ast.Subscript):
            return self.is_leaves(node.value) or self.is_pair(node.value)
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple") and len(node.args) == 1:
            return not self.of_trees and self._is_view(node.args[0])
        return not self.entries_alone and self._calls(node, _LISTS) and not _is_of_data(node)

    def is_first_entry(self, call: ast.Call) -> bool:
        """`next(iter(params.values()))`."""
        if not (isinstance(call.func, ast.Name) and call.func.id == "next" and call.args):
            return False
        inner = call.args[0]
        return (
            isinstance(inner, ast.Call)
            and isinstance(inner.func, ast.Name)
            and inner.func.id == "iter"
            and len(inner.args) == 1
            and self._is_view(inner.args[0], of_parameters=True)
        )

    def _is_view(self, node: ast.expr, of_parameters: bool = False) -> bool:
        """`params.values()`; of any dictionary unless `of_parameters`, only entries count, or the file has no JAX."""
        only_named = self.entries_alone or of_parameters or not _knows_jax(self.module)
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _VIEWS
            and not node.args
            and (not only_named or self._is_named_as_parameters(node.func.value))
            and not self._is_known(node.func.value)
        )

    def _is_named_as_parameters(self, node: ast.expr) -> bool:
        return _PARAMETERS.search(_SETTINGS.sub("", self.module.source.segment(node))) is not None

    def _is_known(self, node: ast.expr) -> bool:
        """Whether a name is a dictionary of something else than parameters."""
        if _is_named_as_data(node):
            return True
        return self._is_of_signature(node) or (isinstance(node, ast.Name) and self._is_filled_here(node))

    def _is_of_signature(self, node: ast.expr) -> bool:
        """Whether it is `inspect.signature(f).parameters`, or a name of nothing else."""
        if isinstance(node, ast.Name):
            values = [value for value, unpacked in values_of(self.module, node) if not unpacked]
            return bool(values) and all(
                isinstance(value, ast.Attribute) and self._is_of_signature(value) for value in values
            )
        return (
            isinstance(node, ast.Attribute) and node.attr == "parameters" and self._is_signature(node.value)
        )

    def _is_signature(self, node: ast.expr) -> bool:
        """Whether it is `inspect.signature(f)`, or a name of nothing else."""
        if isinstance(node, ast.Name):
            values = [None if unpacked else value for value, unpacked in values_of(self.module, node)]
            return bool(values) and all(
                isinstance(value, ast.Call) and self._is_signature(value) for value in values
            )
        return isinstance(node, ast.Call) and self._calls(node, frozenset({"inspect.signature"}))

    def _is_filled_here(self, name: ast.Name) -> bool:
        """Whether nothing but displays is bound to a name, and nothing put in for each entry of another container."""
        scope = self.module.scope_at(name).binder(name.id)
        bindings = scope.lookup(name.id) if scope is not None else []
        if scope is None or not bindings or not all(_is_display(b.value) for b in bindings):
            return False
        for reference in self.module.scopes.names.get(name.id, ()):
            if reference.scope.binder(name.id) is scope and not self._keeps_order(reference.node, scope.node):
                return False
        return True

    def _keeps_order(self, read: ast.AST, around: ast.AST) -> bool:
        """Whether a mention of a dictionary puts nothing in, or what no order of other entries decides."""
        parent = self.module.parents[read]
        if isinstance(parent, ast.Attribute):
            return parent.attr in _VIEWS or parent.attr in ("get", "pop", "copy")
        if isinstance(parent, ast.Subscript) and parent.value is read:
            return not isinstance(parent.ctx, ast.Store) or not self._is_in_loop(read, around)
        return isinstance(parent, ast.Compare | ast.For | ast.comprehension | ast.Assign | ast.AnnAssign) or (
            isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in _READERS
        )

    def _is_in_loop(self, read: ast.AST, around: ast.AST) -> bool:
        """Whether a loop stands around a place, but one that is written out or runs until the dictionary is empty."""
        node = read
        while (node := self.module.parents[node]) is not around:
            if isinstance(node, ast.For) and not _is_written_out(node.iter):
                return True
            if isinstance(node, ast.While) and not _asks_only(node.test, read):
                return True
            if isinstance(node, ast.AsyncFor | ast.FunctionDef | ast.Lambda):
                return True
        return False

    def is_pair(self, node: ast.expr) -> bool:
        """`jax.tree.flatten(x)`, and names for it."""
        if isinstance(node, ast.Name):
            values = self._new_values("pair", node)
            return any(not unpacked and self.is_pair(value) for value, unpacked in values)
        if self.entries_alone or not isinstance(node, ast.Call):
            return False
        return self._calls(node, _PAIRS) and not _is_of_data(node)

    def _calls(self, call: ast.Call, functions: frozenset[str]) -> bool:
        return self.project.resolve(call.func, self.module.scope_at(call), self.module) in functions

    def _new_values(self, question: str, name: ast.Name) -> Iterator[tuple[ast.expr, bool]]:
        for value, unpacked in values_of(self.module, name):
            if (question, value) not in self._seen:
                self._seen.add((question, value))
                yield value, unpacked


def values_of(module: Module, name: ast.Name) -> Iterator[tuple[ast.expr, bool]]:
    """What is assigned to a name, and whether that is unpacked: `leaves, structure = jax.tree.flatten(x)`."""
    for binding in module.scope_at(name).lookup(name.id):
        value = _assigned(module, binding.node, binding.value)
        if value is not None:
            yield value, binding.value is None


def _assigned(module: Module, target: ast.AST, value: ast.expr | None) -> ast.expr | None:
    """The right-hand side for a name, in `leaves, structure = jax.tree.flatten(x)` too."""
    if value is not None:
        return value
    parent = module.parents.get(target)
    if isinstance(parent, ast.Tuple):
        parent = module.parents.get(parent)
    return parent.value if isinstance(parent, ast.Assign) else None
