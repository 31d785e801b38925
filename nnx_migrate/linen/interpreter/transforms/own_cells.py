"""`nn.RNN` around a cell of the project: `nn.RNN(DecoderCell(8))(tokens, initial_carry=state)`.

What NNX's layer asks of a cell is what Linen's asks, but for `initialize_carry`, whose arguments it gives in another
order: the first carry has to come from the call.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Any

from nnx_migrate.linen.arrays.shapes import Array, Unknown, Unmodelled
from nnx_migrate.linen.classes.model import LinenClass
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.given.carries import CELLS, takes_carries
from nnx_migrate.linen.interpreter.convert import effect_value
from nnx_migrate.linen.interpreter.frame import Frame
from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.sites import LayerCall, Site
from nnx_migrate.linen.symbols import linen_name
from nnx_migrate.linen.values import ClassRef, Instance

_ARGUMENTS = frozenset({"initial_carry", "seq_lengths", "return_carry"})
_OPTIONS = frozenset({"cell", "split_rngs", "time_major", "return_carry", "unroll"})
# What would change other variables than parameters, or is only there while a model is initialised.
_STATE = frozenset(
    {"has_variable", "is_initializing", "is_mutable_collection", "perturb", "put_variable", "sow", "variable"}
)
_WITH_STATE = frozenset({"BatchNorm", "SpectralNorm", "WeightNorm"})


def own_cell(site: Site) -> Site | None:
    """The cell of an `nn.RNN` if it is a module of the project, made for it alone."""
    value = site.kwargs.get("cell", site.args[0] if site.args else None)
    if site.layer_name != "RNN" or not isinstance(value, Instance):
        return None
    inner = value.site
    return inner if isinstance(inner.target, ClassRef) and not inner.lifts and not inner.partials else None


def own_cell_output(
    frame: Frame, site: Site, cell: Site, args: tuple[Any, ...], kwargs: dict[str, Any], node: ast.Call | None
) -> Any:
    """What a layer returns that runs such a cell over a sequence. Raises Refuse."""
    from nnx_migrate.linen.interpreter.submodules.modules import call_project_class

    assert isinstance(cell.target, ClassRef)
    where = node or site.call
    _check(site, cell, cell.target.cls, kwargs, where)
    if len(args) != 1 or "initial_carry" not in kwargs or kwargs["initial_carry"] is None:
        raise Refuse(
            "unsupported-layer", f"`nn.RNN` around `{cell.target_name}`, without a first carry", where
        )
    flags = [kwargs.get(name, site.kwargs.get(name, False)) for name in ("return_carry", "time_major")]
    returns_carry, time_major = (False if flag is None else flag for flag in flags)
    if not isinstance(returns_carry, bool) or not isinstance(time_major, bool):
        raise Refuse("unsupported-layer", "`nn.RNN` with flags that aren't known", where)
    inputs = effect_value(frame.session, args[0])
    step: Any = Unknown("a step of a sequence that isn't known to be an array")
    time: Dim = Dim.unknown("the length of a sequence")
    if isinstance(inputs, Array):
        try:
            step, time = _step(inputs, time_major)
        except Unmodelled as unmodelled:
            step = Unknown(str(unmodelled))
    given = (kwargs["initial_carry"], step)
    if frame.session.recording:
        within = frame.method, frame.context, frame.session.entry
        cell.calls = [c for c in cell.calls if c.context != (*frame.context, where)]
        cell.calls.append(
            LayerCall(None, given, {}, within=within[0], context=(*within[1], where), entry=within[2])
        )
    result = call_project_class(frame, cell, cell.target.cls, given, {}, "__call__")
    if not isinstance(result, tuple) or len(result) != 2:
        return Unknown("a cell whose result isn't a pair")
    carry, made = result
    outputs = _all_steps(made, time, time_major)
    return (carry, outputs) if returns_carry else outputs


def _step(inputs: Array, time_major: bool) -> tuple[Array, Dim]:
    """One step of a sequence, and the sequence's length. Raises Unmodelled."""
    shape = inputs.shape
    if not time_major:
        return inputs.with_shape(shape.without([-2])), shape.dim(-2)
    place = shape.axis(0)
    return inputs.with_shape(shape.without([place])), shape.dim(place)


def _all_steps(made: Any, time: Dim, time_major: bool) -> Any:
    """What all steps return, from what one does."""
    if isinstance(made, tuple | list):
        return type(made)(_all_steps(part, time, time_major) for part in made)
    if isinstance(made, dict):
        return {name: _all_steps(part, time, time_major) for name, part in made.items()}
    if made is None or not isinstance(made, Array):
        return made if made is None else Unknown("what the steps of a sequence return")
    try:
        if time_major:
            return made.with_shape(type(made.shape)((time, *made.shape.dims), made.shape.lead))
        return made.with_shape(made.shape.before(1).then(time, *made.shape.last(1)))
    except Unmodelled as unmodelled:
        return Unknown(str(unmodelled))


def _check(site: Site, cell: Site, cls: LinenClass, kwargs: dict[str, Any], where: ast.AST) -> None:
    name = cell.target_name
    if len(site.args) > 1 or not site.own_kwargs.keys() <= _OPTIONS or not kwargs.keys() <= _ARGUMENTS:
        raise Refuse("unsupported-layer", f"`nn.RNN` around `{name}`, with other options than usual", where)
    if not _has_one_feature_axis(cls):
        raise Refuse(
            "unsupported-layer", f"`nn.RNN` around `{name}`, whose `num_feature_axes` isn't just 1", where
        )
    if not takes_carries(cls) and any(_names(owner, CELLS) for owner in cls.mro):
        raise Refuse(
            "unsupported-layer", f"`nn.RNN` around `{name}`, whose cells may get other carries", where
        )
    for attribute in _state(cls, set()):
        raise Refuse("unsupported-layer", f"`nn.RNN` around `{name}`, which has state (`{attribute}`)", where)


def _has_one_feature_axis(cls: LinenClass) -> bool:
    """Whether `num_feature_axes` is 1, as the class says it."""
    found = next((m for o in cls.mro for m in o.own_methods.values() if m.name == "num_feature_axes"), None)
    if found is None:
        return False
    body = [s for s in found.node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Return):
        return False
    return isinstance(body[0].value, ast.Constant) and body[0].value.value == 1


def _names(cls: LinenClass, layers: Collection[str]) -> bool:
    """Whether code of a class names one of these layers of Linen."""
    found = (cls.resolve_in_class(n) for n in ast.walk(cls.node) if isinstance(n, ast.Name | ast.Attribute))
    return any(linen_name(qualified) in layers for qualified in found)


def _state(cls: LinenClass, seen: set[LinenClass]) -> Iterator[str]:
    """What the code of a class, and of classes of the project that it names, does with variables."""
    if cls in seen:
        return
    seen.add(cls)
    for owner in cls.mro:
        for node in ast.walk(owner.node):
            if isinstance(node, ast.Attribute) and node.attr in _STATE:
                yield node.attr
            if not isinstance(node, ast.Name | ast.Attribute):
                continue
            qualified = cls.program_project.resolve(node, owner.module.scope_at(node), owner.module)
            if linen_name(qualified) in _WITH_STATE:
                yield str(linen_name(qualified))
            if qualified in cls.known_classes:
                yield from _state(cls.known_classes[qualified], seen)
