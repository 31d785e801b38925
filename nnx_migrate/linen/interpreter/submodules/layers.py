"""Built-in Linen layers: what calling one returns."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nnx_migrate.linen.arrays.leads import as_many
from nnx_migrate.linen.arrays.shapes import Array, Shape, Unknown
from nnx_migrate.linen.effects.layers import layer
from nnx_migrate.linen.given.carries import CELLS, takes_carries
from nnx_migrate.linen.interpreter.convert import as_dim, effect_arguments, effect_value, input_array
from nnx_migrate.linen.interpreter.expressions.comparisons import same_shapes
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.interpreter.lists.sequences import sequence_output
from nnx_migrate.linen.interpreter.ranks.long_axes import remember_groups
from nnx_migrate.linen.interpreter.ranks.patterns import rank_needed
from nnx_migrate.linen.interpreter.records import is_tuple, part_of
from nnx_migrate.linen.interpreter.sizes.paddings import by_padding
from nnx_migrate.linen.interpreter.transforms.recurrent import PARTS, recurrent_output
from nnx_migrate.linen.mixed_lists import MixedList
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import Site
from nnx_migrate.linen.values import BuiltList, Expr, Input, Instance, ModuleList
from nnx_migrate.nnx.layers import LAYERS

_FROM_LEFT = re.compile(r"§a\d")  # a size of an input, by an axis counted from the left
_CELLS = frozenset({"GRUCell", "LSTMCell", "OptimizedLSTMCell", "SimpleCell", "MGUCell"})

# The first arguments of layers, each of which is one number.
_ONE_COUNT = {
    "Dense": ("features",),
    "Conv": ("features",),
    "ConvTranspose": ("features",),
    "Embed": ("num_embeddings", "features"),
}
_PAIRS = frozenset({"LSTMCell", "OptimizedLSTMCell"})  # those whose carry has two parts


def params_needed(name: str) -> bool:
    """Whether the NNX layer takes sizes of its inputs."""
    spec = LAYERS.get(f"flax.linen.{name}")
    return spec is None or bool(spec.sizes) or bool(spec.children)


def layer_output(
    frame: Frame,
    site: Site,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    node: ast.Call | None,
    method: str,
) -> Any:
    """What calling a layer returns."""
    name = site.layer_name
    if name == "Sequential":
        return sequential(frame, site, args, kwargs, node)
    if name in PARTS:
        return recurrent_output(frame, site, args, kwargs, node, method)
    if any(_holds_module(value) for value in (*site.args, *site.kwargs.values())):
        raise Refuse("unsupported-layer", f"`nn.{name}` around another module", node or site.call)
    model = layer(f"flax.linen.{name}")
    if model is None:
        return Unknown(f"`nn.{name}` isn't modelled")
    _infer_rank(frame, site, args)
    counts = _ONE_COUNT.get(name, ())
    own, given = effect_arguments(
        frame.session,
        (_as_count(v) if i < len(counts) else v for i, v in enumerate(site.args)),
        {k: _as_count(v) if k in counts else v for k, v in site.own_kwargs.items()},
        windows="Conv" in name,
    )
    if name in _PAIRS and args and isinstance(args[0], Input):
        # The cell itself unpacks a carry that is an argument of the method.
        is_tuple(frame, args[0])
        args = (tuple(part_of(frame, args[0], index) for index in (0, 1)), *args[1:])
    if name in CELLS and method == "__call__" and takes_carries(frame.session.cls):
        own, given = (None, *own[1:])[: len(own)], {k: v for k, v in given.items() if k != "features"}
    values, keywords = effect_arguments(frame.session, args, kwargs)

    remember_groups(frame, model.bind(*own, **given), values, node)

    def output(inputs: Sequence[Any], **chosen: str) -> Any:
        built = model.bind(*own, **{**given, **chosen})
        return built if isinstance(built, Unknown) else built.apply(method, *inputs, **keywords).output

    padding = site.kwargs.get("padding")
    if isinstance(padding, Expr) and padding.kind == "str":
        return by_padding(padding, values, lambda name, inputs: output(inputs, padding=name))
    return _of_same_rank(frame, site, values, output(values)) if "Conv" in name else output(values)


def _of_same_rank(frame: Frame, site: Site, inputs: Sequence[Any], output: Any) -> Any:
    """A convolution's result has as many axes as its input, whatever the length of its kernel."""
    given = inputs[0] if inputs else None
    if not (isinstance(given, Array) and isinstance(output, Array)):
        return output
    hidden = given.shape.lead if len(given.shape.dims) == len(output.shape.dims) == 1 else None
    if not hidden or output.shape.lead != "":
        return output
    nodes = (*frame.context, site.call)
    place = ".".join(f"{getattr(n, 'lineno', 0)}:{getattr(n, 'col_offset', 0)}" for n in nodes)
    return output.with_shape(Shape(output.shape.dims, as_many(hidden, place)))


def _as_count(value: Any) -> Any:
    """An argument that only an integer can be, whatever the annotation of a field says: `action_dim: Sequence[int]`.

    Nor can it be a float, with which a layer fails: `embed_dim: float`.
    """
    wrong = isinstance(value, Expr) and value.kind in ("sequence", "float") and value.length is None
    return Expr(value.text, "int") if wrong else value


def sequential(
    frame: Frame, site: Site, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """`nn.Sequential(layers)(x)`: each layer on what the one before returned."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    layers = site.kwargs.get("layers", site.args[0] if site.args else ())
    if isinstance(layers, BuiltList) and not kwargs:
        return sequence_output(frame, site, layers, args, node or site.call)
    if isinstance(layers, ModuleList) and len(args) == 1 and not kwargs:
        repeated = _repeated(frame, site, layers, args[0])
        if repeated is not None:
            return repeated
    if isinstance(layers, MixedList):
        layers = layers.items
    if isinstance(layers, ModuleList) or not isinstance(layers, tuple | list):
        raise Refuse(
            "unsupported-layer", "`nn.Sequential` of a list that isn't written out", node or site.call
        )
    result: Any = args[0] if args else None
    for index, item in enumerate(layers):
        if isinstance(item, ModuleList):
            result = _repeated(frame, site, item, result) if not kwargs and len(args) == 1 else None
            if result is None:
                detail = "`nn.Sequential` of a list that isn't written out"
                raise Refuse("unsupported-layer", detail, node or site.call)
        elif index == 0:
            result = apply(frame, item, args, kwargs, None)
        elif isinstance(result, tuple):
            result = apply(frame, item, result, {}, None)
        elif isinstance(result, dict):
            result = apply(frame, item, (), result, None)
        else:
            result = apply(frame, item, (result,), {}, None)
    return result


def _repeated(frame: Frame, site: Site, layers: ModuleList, value: Any) -> Any:
    """What layers of one kind return that keep the shape of what they get, if that is known; None for others."""
    from nnx_migrate.linen.interpreter.calls.apply import apply

    element = layers.element
    if not (isinstance(element, Instance) and (frame.foreign or _keeps(site, element.site))):
        return None
    result = apply(frame, element, (value,), {}, None)
    if isinstance(value, Unknown):
        return value
    arrays = [effect_value(frame.session, given) for given in (value, result)]
    shapes = [array.shape for array in arrays if isinstance(array, Array)]
    if len(shapes) == 2 and all(shape.lead == "" for shape in shapes):
        shapes = [
            replace(shape, lead="batch") for shape in shapes
        ]  # axes of which nothing is known, nor asked
    return result if len(shapes) == 2 and same_shapes(*shapes) is True else None


def _keeps(sequence: Site, member: Site) -> bool:
    """Whether a sequence holds a layer where the constructor makes it: in its own arguments, or both in setup."""
    return member.parent_site is sequence or (sequence.method == member.method == "setup")


def _infer_rank(frame: Frame, site: Site, args: tuple[Any, ...]) -> None:
    """A convolution over an input whose rank isn't known: one batch axis, as the layer's own documentation
    has it. So has a recurrent cell whose `features` are an axis counted from the left.
    """
    if site.layer_name in _CELLS and len(args) > 1:
        features = as_dim(site.kwargs.get("features", site.args[0] if site.args else None))
        if features is None and not (site.args or "features" in site.kwargs):  # of older releases
            carry = effect_value(frame.session, args[0])
            hidden = carry[-1] if isinstance(carry, tuple) and carry else carry
            features = hidden.shape.dim(-1) if isinstance(hidden, Array) else None
        step = effect_value(frame.session, args[1])
        from_left = features is not None and (not features.known or _FROM_LEFT.search(features.text()))
        if from_left and isinstance(step, Array):
            rank_needed(frame, step.shape, 2, usual=True)
    if site.layer_name not in ("Conv", "ConvTranspose", "ConvLocal") or not args:
        return
    kernel = site.kwargs.get("kernel_size", site.args[1] if len(site.args) > 1 else None)
    first = effect_value(frame.session, args[0])
    if isinstance(kernel, tuple | list) and isinstance(first, Array) and first.shape.exact:
        if len(first.shape.dims) == len(kernel) + 1:
            root = frame.session.root
            same = (p for p in root.inputs_seen if input_array(root, Input(p)).shape == first.shape)
            root.unbatched.update(same)
    elif isinstance(kernel, tuple | list) and isinstance(first, Array):
        rank_needed(frame, first.shape, len(kernel) + 2, usual=True)


def _holds_module(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_holds_module(item) for item in value)
    return isinstance(value, Instance | ModuleList)
