"""Lifted transforms (`nn.remat(Block)`, `nn.scan(Layer, ...)`): what they ask for, read from the call.

Only forms whose counterpart computes the same are read; everything else is refused with the option's name.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nnx_migrate.linen.reasons import Refuse
from nnx_migrate.linen.values import ClassRef, FieldModule, Instance, Layer, Lifted, Partial, SelfValue

_PREFIXES = {"remat": "Checkpoint", "checkpoint": "Checkpoint", "jit": "Jit", "vmap": "Vmap", "scan": "Scan"}
#: `flax.linen.partitioning.remat` had static_argnums before `nn.remat` did; and how Linen names its modules.
REMAT = "partitioning.remat"
_REMAT_PREFIX = "Core_remat_static"
_MAPPED = ("variable_axes", "split_rngs", "in_axes", "out_axes", "metadata_params")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "remat": ("static_argnums", "prevent_cse", "policy"),
    "checkpoint": ("static_argnums", "prevent_cse", "policy"),
    REMAT: ("static_argnums", "prevent_cse", "policy"),
    "jit": (),
    "vmap": (*_MAPPED, "axis_size", "axis_name"),
    "scan": (*_MAPPED, "variable_broadcast", "length", "reverse", "unroll"),
}
LIFTS = frozenset(_OPTIONS)
METHOD_LIFTS = LIFTS - {"vmap", REMAT}  # what may decorate a method
Axes = int | None | tuple[int | None, ...]


@dataclass(frozen=True)
class Lift:
    """One lifted transform. Two are the same if the same call in the code makes them.

    `in_axes` holds, for one argument or one for all, the axis that is mapped (None: every member gets all of
    it; a scan's carry doesn't count). `stacked` says that every member has variables of its own, on axis 0.
    """

    name: str
    call: ast.AST
    options: Mapping[str, ast.expr] = field(compare=False)
    stacked: bool = field(default=False, compare=False)
    in_axes: Axes = field(default=0, compare=False)
    out_axes: int = field(default=0, compare=False)
    condition: str = ""  # the expression over fields that decides whether the class is transformed at all
    count: str = field(
        default="", compare=False
    )  # the number of members, where a function got it as argument
    own_prefix: str = ""  # in place of the usual one

    @property
    def prefix(self) -> str:
        """What Linen puts before the class's name where it names the module itself."""
        return self.own_prefix or _PREFIXES[self.name]

    def axis(self, position: int) -> int | None:
        """The axis of an argument that is mapped; for scans the carry is argument 0."""
        if self.name == "scan" and position == 0:
            return None
        if not isinstance(self.in_axes, tuple):
            return self.in_axes
        index = position - (self.name == "scan")
        return self.in_axes[index] if index < len(self.in_axes) else None

    @property
    def axis_name(self) -> ast.expr | None:
        """What the axis of members is called in partition metadata."""
        node = self.options.get("metadata_params")
        return node.values[0] if isinstance(node, ast.Dict) and self.stacked else None

    @property
    def rematerialises(self) -> bool:
        """Whether it computes the same, with less memory."""
        return self.name in ("remat", "checkpoint")

    @property
    def maps(self) -> bool:
        """Whether it runs the module several times."""
        return self.name in ("vmap", "scan")


@dataclass(frozen=True)
class ScanOfFunction:
    """`nn.scan` around a function: the module with which it is called, and the axes of which each round gets a part."""

    lift: Lift
    module: Instance | FieldModule | SelfValue
    axes: tuple[int, ...]


def read_lift(name: str, call: ast.Call | ast.expr, keywords: Mapping[str, ast.expr]) -> Lift:
    """The transform with these keyword arguments (`target` apart). Raises Refuse."""
    for option, node in keywords.items():
        if option not in _OPTIONS[name]:
            raise Refuse("unsupported-layer", f"`nn.{name}` with `{option}`", node)
    if name == REMAT:
        return Lift("remat", call, _counted_with_self(keywords), own_prefix=_REMAT_PREFIX)
    if name not in ("vmap", "scan"):
        return Lift(name, call, keywords)
    axes = _variable_axes(name, keywords.get("variable_axes"))
    _check_metadata(name, keywords.get("metadata_params"))
    broadcast = _collections(name, keywords.get("variable_broadcast"))
    stacked = 0 in axes.values()
    if len(set(axes.values())) > 1 or (stacked and broadcast) or (None in axes.values() and name == "scan"):
        raise Refuse("unsupported-layer", f"`nn.{name}` with variables on several axes", call)
    if not axes and not broadcast:
        raise Refuse("unsupported-layer", f"`nn.{name}` of a module whose variables aren't lifted", call)
    _check_streams(name, keywords.get("split_rngs"), stacked, call)
    return Lift(
        name, call, keywords, stacked, _in_axes(name, keywords.get("in_axes")), _out_axes(name, keywords)
    )


def _counted_with_self(keywords: Mapping[str, ast.expr]) -> Mapping[str, ast.expr]:
    """The options with `static_argnums` as `nn.remat` counts them: there, `self` is argument 0."""
    node = keywords.get("static_argnums")
    if node is None:
        return keywords
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        found = None
    numbers = found if isinstance(found, tuple | list) else (found,)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise Refuse("unsupported-layer", f"`nn.{REMAT}` with `static_argnums` that aren't written out", node)
    shifted = ast.Tuple([ast.Constant(number + 1) for number in numbers], ast.Load())
    return {**keywords, "static_argnums": shifted}


def _variable_axes(name: str, node: ast.expr | None) -> dict[str, int | None]:
    if node is None:
        return {}
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        found = None
    if not isinstance(found, dict) or any(axis not in (0, None) or axis is False for axis in found.values()):
        raise Refuse(
            "unsupported-layer", f"`nn.{name}` with `variable_axes` other than 0 for named collections", node
        )
    if not all(isinstance(collection, str) for collection in found):
        raise Refuse("unsupported-layer", f"`nn.{name}` with `variable_axes` by filters", node)
    return found


def _check_metadata(name: str, node: ast.expr | None) -> None:
    """The name of the axis of members is the one thing that NNX takes for partition metadata."""
    key = (
        ast.unparse(node.keys[0])
        if isinstance(node, ast.Dict) and len(node.keys) == 1 and node.keys[0]
        else ""
    )
    plain = isinstance(node, ast.Dict) and bool(key) and isinstance(node.values[0], ast.Constant)
    if node is not None and not (plain and key.rpartition(".")[2] in ("PARTITION_NAME", "'partition_name'")):
        raise Refuse(
            "unsupported-layer", f"`nn.{name}` with other `metadata_params` than a partition name", node
        )


def _collections(name: str, node: ast.expr | None) -> bool:
    """Whether parameters are shared by all members; other shared collections are refused."""
    if node is None or (isinstance(node, ast.Constant) and node.value is False):
        return False
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        found = None
    if found == "params" or (isinstance(found, list | tuple) and list(found) == ["params"]):
        return True
    raise Refuse("unsupported-layer", f"`nn.{name}` that shares other variables than parameters", node)


def _check_streams(name: str, node: ast.expr | None, stacked: bool, call: ast.AST) -> None:
    """Members that draw get streams of their own; parameters are drawn once for each member."""
    try:
        found = ast.literal_eval(node) if node is not None else {}
    except (ValueError, TypeError, SyntaxError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(s, str) for s in found):
        raise Refuse(
            "unsupported-layer", f"`nn.{name}` with `split_rngs` that isn't written out", node or call
        )
    if bool(found.get("params")) != stacked:
        raise Refuse(
            "unsupported-layer", f"`nn.{name}` whose members start with the same parameters", node or call
        )
    if stacked and not all(found.values()):
        raise Refuse(
            "unsupported-layer", f"`nn.{name}` whose members draw the same random numbers", node or call
        )


def _in_axes(name: str, node: ast.expr | None) -> Axes:
    if node is None:
        return 0
    if isinstance(node, ast.Tuple):
        return tuple(_axis(name, element) for element in node.elts)
    return _axis(name, node)


def _axis(name: str, node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant) and (node.value is None or type(node.value) is int):
        if node.value is None and name == "scan":
            raise Refuse("unsupported-layer", "`nn.scan` with `in_axes=None`", node)
        return node.value
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and isinstance(node.operand.value, int)
    ):
        return -node.operand.value
    if (
        name == "scan"
        and isinstance(node, ast.Attribute | ast.Name)
        and ast.unparse(node).endswith("broadcast")
    ):
        return None
    raise Refuse("unsupported-layer", f"`nn.{name}` with `in_axes` that aren't numbers", node)


def _out_axes(name: str, keywords: Mapping[str, ast.expr]) -> int:
    node = keywords.get("out_axes")
    axis = 0 if node is None else _axis(name, node)
    if axis is None:
        raise Refuse("unsupported-layer", f"`nn.{name}` with outputs that aren't mapped", node)
    return axis


def chosen(a: object, b: object, condition: str) -> Lifted | None:
    """A class that is rematerialised where `condition` holds (`a`) and plain elsewhere (`b`), or the other way round;
    or one of several members of which each gets the whole input.

    None for everything else. Other transforms change what the class takes, and which axes it returns.
    """
    for lifted, plain, text in ((a, b, condition), (b, a, f"not ({condition})")):
        if isinstance(lifted, Lifted) and lifted.target == plain and is_class(plain):
            if _may_be_chosen(lifted.lift) and not lifted_parts(plain)[0]:
                return Lifted(replace(lifted.lift, condition=text), plain)
    return None


def either_lifts(
    first: tuple[Lift, ...], second: tuple[Lift, ...], condition: str
) -> tuple[Lift, ...] | None:
    """The transforms of modules that are rematerialised where `condition` holds (`first`) and plain elsewhere
    (`second`), or the other way round; None for other differences.
    """
    if first == second:
        return first
    for lifts, other, text in ((first, second, condition), (second, first, f"not ({condition})")):
        if not other and len(lifts) == 1 and lifts[0].rematerialises and not lifts[0].condition:
            return (replace(lifts[0], condition=text),)
    return None


def _may_be_chosen(lift: Lift) -> bool:
    if lift.condition:
        return False
    ensemble = lift.name == "vmap" and lift.stacked and lift.out_axes == 0 and lift.in_axes is None
    return ensemble or lift.rematerialises


def lifted_parts(value: object) -> tuple[tuple[Lift, ...], object]:
    """The transforms around a class, outermost first, and the class (or whatever else it is)."""
    lifts: list[Lift] = []
    while isinstance(value, Lifted):
        lifts.append(value.lift)
        value = value.target
    return tuple(lifts), value


def is_class(value: object) -> bool:
    """Whether a value is a module class or a partial of one, lifted or not."""
    _, target = lifted_parts(value)
    if isinstance(target, Partial):
        return isinstance(target.func, ClassRef)
    return isinstance(target, ClassRef) or (isinstance(target, Layer) and target.is_class)
