"""Runs a Linen layer and the NNX code that the tables make of its source, and compares them bit for bit.

A case is source text: a layer's construction and an expression that calls it. The construction and the calls
are rewritten as `fix` would do it, both sides run on JAX with the same random parameters, carried over by the
tables' own variable map, and with the same random keys.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from flax.core.scope import Scope

from nnx_migrate.nnx.helpers import bundle, helper_names
from nnx_migrate.nnx.layers import (
    LAYERS,
    BoundArgs,
    Judge,
    Leaf,
    Refusal,
    bind,
    canonical,
    function,
    needed_sizes,
    rewritten_arguments,
    variables,
    wrapper_variables,
    write_call,
    write_construction,
    write_initialize_carry,
)
from nnx_migrate.nnx.layers.functions import rewrite_function_call

MODULES = {
    "nn": "flax.linen",
    "nnx": "flax.nnx",
    "jnp": "jax.numpy",
    "np": "numpy",
    "jax": "jax",
    "functools": "functools",
}
NAMES = {"nn": nn, "nnx": nnx, "jnp": jnp, "np": np, "jax": jax, "functools": functools, "math": math}


def qualname(node: ast.AST) -> str | None:
    """The absolute dotted name of `nn.Dense` and the like."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in MODULES:
        return ".".join([MODULES[node.id], *reversed(parts)])
    return None


@functools.cache
def helpers() -> dict[str, Any]:
    """All helpers, from the module that a user would get."""
    module = types.ModuleType("nnx_migrate_test_helpers")
    sys.modules[module.__name__] = module
    exec(compile(bundle(helper_names()), module.__name__, "exec"), vars(module))
    return {name: vars(module)[name] for name in helper_names()}


def random_key(seed: int) -> jax.Array:
    """A key of the generator that compiles fastest."""
    return jax.random.key(seed, impl="unsafe_rbg")


def array(*shape: int, dtype: Any = np.float32, seed: int = 0) -> jax.Array:
    """Random numbers, small ones for integer dtypes (made by NumPy, which compiles nothing)."""
    generator = np.random.default_rng(seed + sum(shape))
    if jnp.issubdtype(dtype, jnp.integer):
        return jnp.asarray(generator.integers(0, 3, shape).astype(dtype))
    return jnp.asarray(generator.normal(size=shape).astype(np.float32).astype(dtype))


@dataclass
class Converter:
    """Rewrites source text through the tables; input shapes come from a recorded Linen run."""

    records: list[tuple[str, dict[str, Any]]]
    judge: Judge = field(default_factory=lambda: Judge(qualname=qualname))
    numerics: Any = "exact"
    leaves: list[Leaf] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    sources: dict[int, str] = field(default_factory=dict)
    trees: list[ast.AST] = field(default_factory=list)  # keeps ids alive
    bound: BoundArgs | None = None
    keep_flag: bool = False

    def parse(self, source: str) -> ast.expr:
        """Parse an expression and remember where its nodes come from."""
        tree = ast.parse(source, mode="eval").body
        self.trees.append(tree)
        self.sources |= {id(node): source for node in ast.walk(tree)}
        return tree

    def segment(self, node: ast.AST) -> str:
        """The NNX source of a Linen expression: layers and functions in it are rewritten."""
        if isinstance(node, ast.Call) and self.layer_name(node) in LAYERS:
            return self.construction(node)[0]
        if isinstance(node, ast.Call) and (row := function(qualname(node.func) or "")) and not row.same_call:
            assert row.nnx is not None
            rewrite = rewrite_function_call(row, node, self.segment)
            assert not isinstance(rewrite, Refusal)
            arguments = rewritten_arguments(node, rewrite, self.segment)
            return f"{row.nnx.replace('flax.nnx', 'nnx')}({', '.join(arguments)})"
        row = function(qualname(node) or "")
        if row is not None:
            return self.function_text(row, node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("layer", "layer.initialize_carry"):
            return self.layer_call(node)
        text = ast.get_source_segment(self.sources[id(node)], node) or ast.unparse(node)
        for child in sorted(self.children(node), key=lambda n: -n.col_offset):
            start, end = child.col_offset - node.col_offset, child.end_col_offset - node.col_offset
            text = text[:start] + self.segment(child) + text[end:]
        return text

    def layer_call(self, node: ast.Call) -> str:
        """A call of the converted layer, or of its `initialize_carry`."""
        assert self.bound is not None
        if isinstance(node.func, ast.Attribute):
            rewrite = write_initialize_carry(node, self.segment)
        else:
            rewrite = write_call(
                self.bound.spec, self.bound, node, self.segment, judge=self.judge, keep_flag=self.keep_flag
            )
        if isinstance(rewrite, Refusal):
            raise RefusedError(rewrite)
        self.helpers |= rewrite.helpers
        return f"{ast.unparse(node.func)}({', '.join(rewritten_arguments(node, rewrite, self.segment))})"

    def children(self, node: ast.AST) -> Iterator[Any]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield child
            elif isinstance(child, ast.keyword):
                yield child.value

    def function_text(self, row: Any, node: ast.AST) -> str:
        if row.helper is not None:
            self.helpers.add(row.helper)
            return row.helper
        if row.nnx is None:
            return ast.unparse(node)
        return row.nnx.replace("flax.nnx", "nnx")

    def layer_name(self, node: ast.Call) -> str:
        return canonical(qualname(node.func) or "")

    def construction(
        self, node: ast.Call, call: ast.Call | None = None, **options: Any
    ) -> tuple[str, BoundArgs]:
        """The NNX construction; sizes are taken from the first recorded call of such a layer."""
        spec = LAYERS[self.layer_name(node)]
        bound = bind(spec, node)
        assert not isinstance(bound, Refusal), bound
        needed = needed_sizes(spec, bound, self.judge, call)
        assert not isinstance(needed, Refusal), needed
        sizes = {}
        if needed:
            shapes = self.shapes_of(spec.name)
            for size in needed:
                value = shapes.get(spec.call.params[size.call_arg])
                if value is not None:
                    sizes[size.param] = size.text([str(np.shape(value)[axis]) for axis in size.axes])
        written = write_construction(
            spec,
            bound,
            sizes,
            nnx="nnx",
            rngs="rngs",
            segment=self.segment,
            judge=self.judge,
            numerics=self.numerics,
            call=call,
            **options,
        )
        if isinstance(written, Refusal):
            raise RefusedError(written)
        self.helpers |= written.helpers
        return written.text, bound

    def shapes_of(self, class_name: str) -> dict[str, Any]:
        for index, (name, arguments) in enumerate(self.records):
            if name == class_name and index not in self.taken:
                self.taken.add(index)
                return arguments
        raise AssertionError(f"no call of {class_name} was recorded")


class RefusedError(Exception):
    """A construction or call that the tables refuse."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def tree_leaves(bound: BoundArgs, converter: Converter, params: dict[tuple[str, ...], Any]) -> list[Leaf]:
    """The variable map of a layer and of the layers in its arguments."""
    found = list(variables(bound.spec, bound, converter.judge, converter.numerics))
    for child in bound.spec.children:
        node = bound.values[child.field]
        nodes = node.elts if child.many and isinstance(node, ast.List | ast.Tuple) else [node]
        for index, item in enumerate(nodes):
            if not isinstance(item, ast.Call) or converter.layer_name(item) not in LAYERS:
                continue
            name = f"{child.field}_{index}" if child.many else child.field
            path = (*child.nnx, index) if child.many else child.nnx
            inner = bind(LAYERS[converter.layer_name(item)], item)
            assert not isinstance(inner, Refusal)
            below = tree_leaves(inner, converter, {k[1:]: v for k, v in params.items() if k[0] == name})
            if bound.spec.name in ("SpectralNorm", "WeightNorm"):
                wrapped = [
                    (leaf.linen[0], leaf.nnx, params[name, *leaf.linen[0]].ndim)
                    for leaf in below
                    if leaf.collection == "params" and leaf.nnx
                ]
                extra = wrapper_variables(bound.spec, bound, name, wrapped, converter.judge)
                assert not isinstance(extra, Refusal), extra
                found += extra
            for leaf in below:
                linen = tuple((name, *source) for source in leaf.linen)
                nnx_path = None if leaf.nnx is None else (*path, *leaf.nnx)
                found.append(Leaf(leaf.collection, linen, nnx_path, leaf.transform, leaf.optional))
    return found


def carried(leaf: Leaf, flat: dict[tuple[str, ...], Any]) -> Any:
    """The NNX value that a leaf makes of Linen values, or None for an optional leaf that isn't there."""
    sources = [flat.get((leaf.collection, *path)) for path in leaf.linen]
    if any(source is None for source in sources):
        assert leaf.optional, f"{leaf} is not among {sorted(flat)}"
        return None
    if leaf.transform == "concat":
        return jnp.asarray(np.concatenate([np.asarray(source) for source in sources], axis=-1))
    return sources[0].reshape(-1) if leaf.transform == "flatten" else sources[0]


def variable_at(model: Any, path: tuple[str | int, ...]) -> nnx.Variable[Any] | None:
    for part in path:
        model = model[part] if isinstance(part, int) or isinstance(model, nnx.Dict) else getattr(model, part)
    return model


def transplant(model: nnx.Module, leaves: list[Leaf], flat: dict[tuple[str, ...], Any]) -> None:
    """Carry Linen variables over; every variable of both sides must take part, with equal shape and dtype."""
    missing = {path for leaf in leaves for source in leaf.linen for path in [(leaf.collection, *source)]}
    assert set(flat) <= missing, f"not in the map: {set(flat) - missing}"
    unset = {
        id(variable)
        for _, variable in nnx.to_flat_state(nnx.state(model, nnx.Not(nnx.RngState)))
        if isinstance(variable, nnx.Variable)
    }
    for leaf in leaves:
        value = carried(leaf, flat)
        if leaf.nnx is None or value is None:
            continue
        variable = variable_at(model, leaf.nnx)
        assert isinstance(variable, nnx.Variable), leaf
        assert (variable.shape, variable.dtype) == (value.shape, value.dtype), leaf
        variable.set_value(value)
        unset.discard(id(variable))
    assert not unset, "variables of the NNX model that the map does not mention"


@contextlib.contextmanager
def same_keys() -> Iterator[None]:
    """Both sides draw their random keys from one sequence, in the order of use."""
    root = random_key(42)

    def ordered() -> Callable[..., jax.Array]:
        count = itertools.count()
        return lambda *_, **__: jax.random.fold_in(root, next(count))

    with (
        mock.patch.object(Scope, "make_rng", ordered()),
        mock.patch.object(nnx.RngStream, "__call__", ordered()),
    ):
        yield


def filled(tree: Any) -> Any:
    """Random values for every variable: zeros would hide a missing bias. Variances are positive."""
    seeds = itertools.count(7)

    def values(path: Any, variable: jax.ShapeDtypeStruct) -> jax.Array:
        if not jnp.issubdtype(variable.dtype, jnp.floating):
            return jnp.zeros(variable.shape, variable.dtype)
        drawn = np.random.default_rng(next(seeds)).normal(size=variable.shape, scale=0.5)
        positive = any(name in jax.tree_util.keystr(path) for name in ("var", "sigma"))
        return jnp.asarray((np.abs(drawn) + 0.1 if positive else drawn).astype(variable.dtype))

    return jax.tree_util.tree_map_with_path(values, tree)


def recorded(
    layer: nn.Module, run: Callable[[nn.Module], Any]
) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    """Linen's abstract variables, and (class name, call arguments) of every layer call."""
    records: list[tuple[str, dict[str, Any]]] = []

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.method_name == "__call__":
            signature = inspect.signature(type(context.module).__call__)
            arguments = signature.bind(context.module, *args, **kwargs).arguments
            records.append((type(context.module).__name__, dict(arguments)))
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        keys = {"params": random_key(1), "dropout": random_key(2)}
        return jax.eval_shape(nn.init(run, layer), keys), records


def constructed(text: str, space: dict[str, Any]) -> nnx.Module:
    """The NNX layer, with abstract variables where nothing else than variables would be lost by that."""
    model = nnx.eval_shape(lambda: eval(text, {**space, "rngs": nnx.Rngs(0)}))
    values = [value for _, value in nnx.to_flat_state(nnx.state(model))]
    if not all(isinstance(value, nnx.Variable) for value in values):  # an array as argument
        return eval(text, {**space, "rngs": nnx.Rngs(0)})
    for value in values:
        if isinstance(value, nnx.RngKey):
            value.set_value(jax.random.key(0))
        elif isinstance(value, nnx.RngState):
            value.set_value(jnp.zeros((), jnp.uint32))
    return model


def same(a: Any, b: Any, tolerance: float, what: str) -> None:
    """Equal structure, dtype and shape; equal bits, or closer than the tolerance."""
    a_leaves, b_leaves = jax.tree.leaves(a), jax.tree.leaves(b)
    assert len(a_leaves) == len(b_leaves), what
    for x, y in zip(a_leaves, b_leaves, strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape), f"{what}: {x.dtype}{x.shape} and {y.dtype}{y.shape}"
        wide_x, wide_y = (np.asarray(value).astype(np.float64) for value in (x, y))  # NumPy compiles nothing
        if not np.array_equal(wide_x, wide_y, equal_nan=True):
            difference = float(np.abs(wide_x - wide_y).max())
            assert difference <= tolerance, f"{what}: differs by {difference}"


def check(
    layer: str,
    call: str = "layer(x)",
    *,
    grads: bool = True,
    grad_tolerance: float = 0.0,
    keep_flag: bool = False,
    numerics: Any = "exact",
    steps: int = 1,
    expect: str | None = None,
    **inputs: Any,
) -> str:
    """Convert, run both sides, compare outputs, gradients, and the state after `steps` calls.

    Keyword arguments are the names that the two expressions may use. `expect` is the construction to be
    written. Returns the construction's source.
    """
    space = {**NAMES, **inputs}
    linen = eval(layer, space)

    def run(module: nn.Module) -> Any:
        return eval(call, {**space, "layer": module})

    abstract, records = recorded(linen, run)
    state = filled(abstract)
    flat = traverse_util.flatten_dict(nn.meta.unbox(state))

    converter = Converter(records, numerics=numerics)
    tree = converter.parse(layer)
    assert isinstance(tree, ast.Call)
    call_tree = converter.parse(call)
    calls = [node for node in ast.walk(call_tree) if isinstance(node, ast.Call)]
    callees = [node.func for node in calls]
    calls = [node for node in calls if ast.unparse(node.func) == "layer"]
    methods = frozenset(
        node.attr
        for node in callees
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "layer"
    )
    text, bound = converter.construction(
        tree, calls[0] if len(calls) == 1 else None, keep_flag=keep_flag, methods=methods
    )
    if expect is not None:
        assert text == expect, text
    converter.bound, converter.keep_flag = bound, keep_flag
    nnx_call = converter.segment(call_tree)
    nnx_space = {**space, **helpers()}
    model = constructed(text, nnx_space)
    params = {path[1:]: value for path, value in flat.items() if path[0] == "params"}
    leaves = tree_leaves(bound, converter, params)
    transplant(model, leaves, flat)

    def nnx_run(module: Any) -> Any:
        return eval(nnx_call, {**nnx_space, "layer": module})

    compare(linen, run, state, model, nnx_run, leaves, steps, grads, grad_tolerance)
    return text


def compare(
    linen: nn.Module,
    run: Callable[[nn.Module], Any],
    state: Any,
    model: nnx.Module,
    nnx_run: Callable[[Any], Any],
    leaves: list[Leaf],
    steps: int,
    grads: bool,
    grad_tolerance: float,
) -> None:
    """Outputs and gradients of `steps` calls, each with the state that the last one left; then that state."""
    mutable = [name for name in state if name != "params"]
    apply = nn.apply(run, linen, mutable=mutable) if mutable else nn.apply(run, linen)
    rngs = {"dropout": random_key(3)}

    def linen_side(params: Any, others: Any) -> Any:
        output = apply({"params": params, **others}, rngs=rngs)
        return output if mutable else (output, {})

    graphdef, nnx_params, rest = nnx.split(model, nnx.Param, ...)
    hash(graphdef)  # as jax.jit(..., static_argnums=0) needs it

    def nnx_side(params: Any, rest: Any) -> Any:
        layer = nnx.merge(graphdef, params, rest, copy=True)
        output = nnx_run(layer)
        return output, nnx.state(layer, nnx.Not(nnx.Param))

    params = state.get("params", {})
    others = {name: state[name] for name in mutable}
    for _ in range(steps):
        with same_keys():
            expected, linen_vjp, changed = jax.vjp(
                functools.partial(linen_side, others=others), params, has_aux=True
            )
            output, nnx_vjp, rest = jax.vjp(functools.partial(nnx_side, rest=rest), nnx_params, has_aux=True)
        same(expected, output, 0.0, "output")
        others = {**others, **changed}
        if not grads:
            continue
        direction = jax.tree.map(lambda leaf: array(*leaf.shape, dtype=leaf.dtype, seed=5), expected)
        flat = traverse_util.flatten_dict({"params": nn.meta.unbox(linen_vjp(direction)[0])})
        nnx_grads = nnx_vjp(direction)[0]
        for leaf in leaves:
            grad = carried(leaf, flat) if leaf.collection == "params" else None
            if grad is not None and leaf.nnx is not None:
                same(grad, grad_at(nnx_grads, leaf.nnx), grad_tolerance, f"gradient of {leaf.nnx}")
    nnx.update(model, rest)
    flat = traverse_util.flatten_dict(nn.meta.unbox(others))
    for leaf in leaves:
        value = carried(leaf, flat) if leaf.collection != "params" else None
        if value is not None and leaf.nnx is not None:
            variable = variable_at(model, leaf.nnx)
            assert variable is not None
            same(value, variable.get_value(), 0.0, f"state {leaf.nnx}")


def grad_at(grads: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        grads = grads[part]
    return grads.get_value()
