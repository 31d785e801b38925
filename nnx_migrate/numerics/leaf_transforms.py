"""What happens to arrays on their way from a Linen leaf to an NNX leaf.

Nearly always nothing (``identity``). The others, each a permutation of elements, hence also right for
gradients and optimizer moments:

- ``concat``: several Linen leaves become one along `axis` (nnx.OptimizedLSTMCell, nnx.GRUCell fuse their
  gates);
- ``split``: one Linen leaf becomes several along `axis`, in the sizes that the NNX leaves have;
- ``stack``: the layers of a Python loop become one stacked leaf (a loop that is now nnx.scan over a vmapped
  module);
- ``unstack``: the leaves that nn.scan or nn.vmap stacked become one leaf per layer;
- ``reshape``: same elements in row-major order (nnx norms over several axes store flat parameters);
- ``transpose``: the axes permuted by `axes`.

`stack` and `unstack` carry an `inner` transform that holds for each layer. Shapes are worked out in pure
Python, so that a map can be checked without NumPy; `apply` imports NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, ...]

KINDS = ("identity", "concat", "split", "stack", "unstack", "reshape", "transpose")


class TransformError(ValueError):
    """Leaves whose number or shapes do not suit the transform."""


@dataclass(frozen=True)
class Transform:
    """One transform from a list of Linen arrays to a list of NNX arrays."""

    kind: str = "identity"
    axis: int = 0
    axes: tuple[int, ...] = ()
    inner: Transform | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TransformError(f"unknown transform {self.kind!r}; known: {', '.join(KINDS)}")

    def shapes(self, sources: Sequence[Shape], targets: Sequence[Shape]) -> list[Shape]:
        """The shapes that `sources` get, in the order of `targets` (which steer `split` and `reshape`)."""
        if self.kind == "concat":
            self._expect(len(targets) == 1 and len(sources) >= 1, sources, targets)
            return [_concatenated(sources, self.axis)]
        if self.kind == "stack":
            groups = self._groups(sources, targets)
            inner = [self._inner.shapes(group, [_without(targets[0], self.axis)])[0] for group in groups]
            self._expect(len(set(inner)) == 1, sources, targets)
            return [_with(inner[0], self.axis, len(inner))]
        if self.kind == "unstack":
            self._expect(all(s and s[self.axis] == len(targets) for s in sources), sources, targets)
            layer = [_without(shape, self.axis) for shape in sources]
            return [self._inner.shapes(layer, [target])[0] for target in targets]
        self._expect(len(sources) == 1, sources, targets)
        (source,) = sources
        if self.kind == "split":
            sizes = [target[self.axis] for target in targets]
            self._expect(bool(source) and sum(sizes) == source[self.axis], sources, targets)
            axis = self.axis % len(source)
            return [(*source[:axis], size, *source[axis + 1 :]) for size in sizes]
        self._expect(len(targets) == 1, sources, targets)
        if self.kind == "reshape":
            self._expect(math.prod(source) == math.prod(targets[0]), sources, targets)
            return [targets[0]]
        if self.kind == "transpose":
            self._expect(sorted(self.axes) == list(range(len(source))), sources, targets)
            return [tuple(source[axis] for axis in self.axes)]
        return [source]

    def apply(self, sources: Sequence[Any], targets: Sequence[Shape]) -> list[np.ndarray]:
        """The arrays for the shapes in `targets`, made from those in `sources`; raises TransformError."""
        import numpy as np

        self.shapes([tuple(np.shape(source)) for source in sources], targets)
        arrays = [np.asarray(source) for source in sources]
        if self.kind == "concat":
            return [np.concatenate(arrays, axis=self.axis)]
        if self.kind == "stack":
            layer = [_without(targets[0], self.axis)]
            layers = [self._inner.apply(group, layer)[0] for group in self._groups(arrays, targets)]
            return [np.stack(layers, axis=self.axis)]
        if self.kind == "unstack":
            per_layer = ([np.take(a, i, axis=self.axis) for a in arrays] for i in range(len(targets)))
            return [
                self._inner.apply(layer, [target])[0]
                for layer, target in zip(per_layer, targets, strict=True)
            ]
        (array,) = arrays
        if self.kind == "split":
            ends = np.cumsum([target[self.axis] for target in targets])[:-1]
            return list(np.split(array, ends, axis=self.axis))
        if self.kind == "reshape":
            return [array.reshape(targets[0])]
        if self.kind == "transpose":
            return [np.transpose(array, self.axes)]
        return [array]

    @property
    def _inner(self) -> Transform:
        return self.inner or IDENTITY

    def _groups(self, sources: Sequence[Any], targets: Sequence[Shape]) -> list[Sequence[Any]]:
        """The sources of `stack`, layer by layer: each layer has as many leaves as `inner` joins."""
        self._expect(len(targets) == 1 and len(targets[0]) > 0, sources, targets)
        layers = targets[0][self.axis]
        self._expect(layers > 0 and len(sources) % layers == 0, sources, targets)
        size = len(sources) // layers
        return [sources[start : start + size] for start in range(0, len(sources), size)]

    def _expect(self, condition: bool, sources: Sequence[Any], targets: Sequence[Shape]) -> None:
        if not condition:
            shapes = [getattr(source, "shape", source) for source in sources]
            raise TransformError(f"{self.kind} cannot make {list(targets)} out of {shapes}")

    @classmethod
    def from_json(cls, raw: Any) -> Transform:
        """From a kind's name or an object with the fields of this class; None is identity."""
        if raw is None:
            return IDENTITY
        if isinstance(raw, str):
            return cls(raw)
        inner = raw.get("inner")
        return cls(
            kind=raw["kind"],
            axis=int(raw.get("axis", 0)),
            axes=tuple(raw.get("axes", ())),
            inner=None if inner is None else cls.from_json(inner),
        )

    def to_json(self) -> Any:
        """What `from_json` reads, in its shortest form."""
        document: dict[str, Any] = {"kind": self.kind}
        if self.kind in ("concat", "split", "stack", "unstack"):
            document["axis"] = self.axis
        if self.axes:
            document["axes"] = list(self.axes)
        if self.inner is not None and self.inner != IDENTITY:
            document["inner"] = self.inner.to_json()
        return self.kind if len(document) == 1 else document


IDENTITY = Transform()


def _without(shape: Shape, axis: int) -> Shape:
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def _with(shape: Shape, axis: int, size: int) -> Shape:
    axis %= len(shape) + 1
    return (*shape[:axis], size, *shape[axis:])


def _concatenated(shapes: Sequence[Shape], axis: int) -> Shape:
    first = shapes[0]
    if not first:
        raise TransformError("concat of scalars")
    if len({len(s) for s in shapes}) != 1 or len({_without(s, axis) for s in shapes}) != 1:
        raise TransformError(f"concat of shapes that differ off its axis: {list(shapes)}")
    axis %= len(first)
    return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])
