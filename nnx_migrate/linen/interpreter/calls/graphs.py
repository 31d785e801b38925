"""jraph: functions that are made from functions (or submodules) for edges, nodes and globals, called on graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown, aligned
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects import registry
from nnx_migrate.linen.interpreter.branches.control import either_size
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.ranks.patterns import rank_needed
from nnx_migrate.linen.interpreter.records import changed, part
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import Either, GraphFunction, Input, Instance, Maybe, Record

# The arguments of the functions that make one, in order.
MAKERS = {
    "jraph.concatenated_args": ("update",),
    "jraph.GraphMapFeatures": ("embed_edge_fn", "embed_node_fn", "embed_global_fn"),
    "jraph.GraphConvolution": (
        "update_node_fn",
        "aggregate_nodes_fn",
        "add_self_edges",
        "symmetric_normalization",
    ),
    "jraph.GraphNetwork": (
        "update_edge_fn",
        "update_node_fn",
        "update_global_fn",
        "aggregate_edges_for_nodes_fn",
        "aggregate_nodes_for_globals_fn",
        "aggregate_edges_for_globals_fn",
        "attention_logit_fn",
        "attention_normalize_fn",
        "attention_reduce_fn",
    ),
}
# Which functions get each part of a graph.
_UPDATES = ("update_node_fn", "update_edge_fn", "update_global_fn")
_READERS = {
    "nodes": ("embed_node_fn", *_UPDATES),
    "edges": ("embed_edge_fn", *_UPDATES),
    "globals": ("embed_global_fn", *_UPDATES),
}
# Those that give each segment one row, as jraph's do without being told.
_AGGREGATIONS = frozenset(
    f"jraph.segment_{name}" for name in ("sum", "mean", "max", "min", "max_or_constant", "min_or_constant")
)


def made(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> GraphFunction | None:
    """What a function of jraph makes, None where it is called in a way that isn't known."""
    names = MAKERS[name]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if len(args) > len(names) or not given.keys() <= set(names):
        return None
    if any(key.startswith("attention") and value is not None for key, value in given.items()):
        return None
    return GraphFunction(name, tuple(given.items()))


def call_graph_function(
    frame: Frame, function: GraphFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call what jraph made."""
    given = dict(function.given)
    if function.name == "jraph.concatenated_args":
        return _concatenated(frame, given.get("update"), [*args, *(kwargs[key] for key in sorted(kwargs))])
    if len(args) != 1 or kwargs or not isinstance(args[0], Input | Record):
        return Unknown("a graph that can't be followed")
    graph = args[0]
    for name in ("nodes",) if function.name == "jraph.GraphConvolution" else tuple(_READERS):
        _learn_rank(frame, graph, name, given)
    if function.name == "jraph.GraphMapFeatures":
        return _embedded(frame, graph, given)
    if function.name == "jraph.GraphConvolution":
        nodes = _call(frame, given.get("update_node_fn"), [part(frame, graph, "nodes")])
        return changed(graph, {"nodes": _gathered(frame, nodes, given.get("aggregate_nodes_fn"))})
    return _network(frame, graph, given)


def _learn_rank(frame: Frame, graph: Input | Record, name: str, given: dict[str, Any]) -> None:
    """Nodes, edges and globals have one axis for their number and one for their features, as a rule."""
    keys = _READERS.get(name, ())
    if any(given.get(key) is not None for key in keys):
        array = effect_value(frame.session, part(frame, graph, name))
        if isinstance(array, Array) and not array.shape.exact:
            rank_needed(frame, array.shape, 2, usual=True)


def _call(frame: Frame, function: Any, args: list[Any]) -> Any:
    """What a function returns that jraph calls."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    if isinstance(function, Either):
        raise Refuse("unknown-call", "jraph calls what is a submodule on one path only")
    result = apply(frame, function, tuple(args), {}, None)
    if isinstance(function, Instance):
        function.site.called_by_others = True
    return effect_value(frame.session, result)


def _maybe_called(frame: Frame, function: Any, before: Any, args: Callable[[], list[Any]]) -> Any:
    """What a function returns that may be missing: then everything stays as it was `before`."""
    if function is None:
        return before
    result = _call(frame, function.value if isinstance(function, Maybe) else function, args())
    if not isinstance(function, Maybe):
        return result
    without = effect_value(frame.session, before)
    if without == result:
        return result
    first, second = (result, without) if function.holds else (without, result)
    joined = None
    if isinstance(first, Array) and isinstance(second, Array):
        first, second = (
            one.with_shape(shape)
            for one, shape in zip((first, second), aligned(first.shape, second.shape), strict=True)
        )
        joined = first.or_else(second, lambda a, b: either_size(frame, function.branch, a, b))
    return Unknown("a graph whose parts only some configurations update") if joined is None else joined


def _concatenated(frame: Frame, function: Any, parts: list[Any]) -> Any:
    concatenate = registry.effect("jax.numpy.concatenate")
    if function is None or concatenate is None:
        return Unknown("`jraph.concatenated_args` as a decorator")
    arrays = [effect_value(frame.session, one) for one in parts]
    if not all(isinstance(array, Array) for array in arrays):
        return _call(frame, function, [Unknown("features that can't be followed")])
    return _call(frame, function, [concatenate(arrays, axis=-1)])


def _embedded(frame: Frame, graph: Input | Record, given: dict[str, Any]) -> Record:
    """Each part by itself: jraph begins with the nodes."""
    found: dict[str, Any] = {}
    for name, key in (("nodes", "embed_node_fn"), ("edges", "embed_edge_fn"), ("globals", "embed_global_fn")):
        before = part(frame, graph, name)
        if given.get(key) is not None:
            found[name] = _maybe_called(frame, given[key], before, lambda before=before: [before])  # type: ignore[misc]
    return changed(graph, found)


def _network(frame: Frame, graph: Input | Record, given: dict[str, Any]) -> Record:
    """Edges get what their nodes have, nodes get what their edges have, and globals get both."""
    nodes, edges, globals_ = (part(frame, graph, name) for name in ("nodes", "edges", "globals"))

    def spread(value: Any) -> Any:
        return _gathered(frame, value, None)

    new_edges = _maybe_called(
        frame,
        given.get("update_edge_fn"),
        edges,
        lambda: [edges, spread(nodes), spread(nodes), spread(globals_)],
    )
    to_nodes = _gathered(frame, new_edges, given.get("aggregate_edges_for_nodes_fn"))
    new_nodes = _maybe_called(
        frame, given.get("update_node_fn"), nodes, lambda: [nodes, to_nodes, to_nodes, spread(globals_)]
    )
    pooled = [
        _gathered(frame, new_nodes, given.get("aggregate_nodes_for_globals_fn")),
        _gathered(frame, new_edges, given.get("aggregate_edges_for_globals_fn")),
    ]
    new_globals = _maybe_called(frame, given.get("update_global_fn"), globals_, lambda: [*pooled, globals_])
    return changed(graph, {"nodes": new_nodes, "edges": new_edges, "globals": new_globals})


def _gathered(frame: Frame, value: Any, aggregation: Any) -> Any:
    """Rows of an array for other rows: the first axis has another size, the rest stays."""
    array = effect_value(frame.session, value)
    name = getattr(aggregation, "name", "") if aggregation is not None else "jraph.segment_sum"
    if not isinstance(array, Array) or name not in _AGGREGATIONS:
        return Unknown("rows that are put together in a way that isn't known")
    shape = array.shape
    if shape.exact and not shape.dims:
        return Unknown("rows of a number")
    if shape.exact:
        return Array(Shape((Dim.unknown("a number of rows"), *shape.dims[1:])), array.dtype)
    return Array(Shape(shape.dims[1:], ""), array.dtype)
