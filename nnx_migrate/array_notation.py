"""How arrays are written wherever one is stated: `f32[2,28,28,1]`, an element type and the size of each axis.

The element types are those that JAX prints: `f16 f32 f64 bf16`, `i8 i16 i32 i64`, `u8 u16 u32 u64`, `c64 c128`,
`bool`, or the same in full (`float32`). Sizes are whole numbers; a scalar is `f32[]`. Spaces don't count.

This is the one reader of the notation: for `[tool.nnx-migrate.inputs]`, for `inputs` and `kwargs` of
`[[tool.nnx-migrate.verify]]`, and for `checkpoint check --input`. It imports no JAX, because `fix` reads settings too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZES = {"f": (16, 32, 64), "bf": (16,), "i": (8, 16, 32, 64), "u": (8, 16, 32, 64), "c": (64, 128)}
_NAMES = {"f": "float", "bf": "bfloat", "i": "int", "u": "uint", "c": "complex"}
_DTYPES = {f"{kind}{bits}": f"{_NAMES[kind]}{bits}" for kind, sizes in _SIZES.items() for bits in sizes}
_DTYPES |= {name: name for name in _DTYPES.values()} | {"bool": "bool"}

#: What somebody meant as an array, right or wrong: `f23[2]` and `f32[2,N]` too, but not `batch[0]`.
_MEANT = re.compile(r"((bf|[fiuc]|bfloat|float|int|uint|complex)\d+|bool|float|int)\s*\[.*\]", re.DOTALL)
_ARRAY = re.compile(r"(\w+)\s*\[([\d\s,]*)\]")


class NotationError(ValueError):
    """A text that is no array in this notation; the message says what is wrong and what to write."""


@dataclass(frozen=True)
class ArraySpec:
    """An array as stated. `dtype` is the name that NumPy and JAX know it by ("bfloat16")."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        short = next(name for name, dtype in _DTYPES.items() if dtype == self.dtype)
        return f"{short}[{','.join(map(str, self.shape))}]"

    def expression(self, seed: int = 0) -> str:
        """Python, in terms of `jnp` and `np`, for such an array of drawn numbers: normal ones, or 0 and 1."""
        random = f"np.random.RandomState({seed})"
        if self.dtype.startswith("complex"):
            drawn = f'{random}.standard_normal({(*self.shape, 2)}).view("complex128")[..., 0]'
        elif "float" in self.dtype:
            drawn = f"{random}.standard_normal({self.shape})"
        else:
            drawn = f"{random}.randint(0, 2, {self.shape})"
        return f'jnp.asarray({drawn}, "{self.dtype}")'


def parse_array(text: str) -> ArraySpec:
    """The array that `text` states.

    Raises:
        NotationError: it states none.
    """
    match = _ARRAY.fullmatch(text.strip())
    if match is None:
        raise NotationError(f"{text!r} states no array: write its element type and sizes, as f32[2,28,28,1]")
    if match[1] not in _DTYPES:
        known = " ".join(name for name, dtype in _DTYPES.items() if name != dtype or name == "bool")
        raise NotationError(f"{text!r} has no known element type: write one of {known}")
    sizes = [size.strip() for size in match[2].split(",")]
    if sizes[-1] == "":  # `f32[]`, `f32[3,]`
        sizes.pop()
    if not all(size.isdecimal() for size in sizes):
        raise NotationError(f"{text!r} lacks a size between two commas: write all, as f32[2,28,28,1]")
    return ArraySpec(_DTYPES[match[1]], tuple(map(int, sizes)))


def array_or_expression(text: str, seed: int = 0) -> str:
    """Python for an input: drawn numbers where `text` states an array (see `expression`), else `text` itself.

    Raises:
        NotationError: the text was meant to state an array, and doesn't.
    """
    return parse_array(text).expression(seed) if _MEANT.fullmatch(text.strip()) else text
