"""Short names of Linen's public API, and the tokens that stand for values of the class under analysis.

A token such as `x§a-1` is the text of a symbolic size while a class is analysed; the writer replaces it by a
real
expression. The sign can't occur in Python names, so tokens never collide with the user's code:

- `x§a-1`: the last dimension of the method argument `x` (`a0`: the first, `batch['image']§a-1`: of a part of
it)
- `x§f1`: the number of elements of the argument `x` behind its first axis (`f0`: all)
- `x§j-1`: the sum of the last dimensions of all arrays that the argument `x` holds, itself or in nested
dictionaries
- `x§x3`: the sizes of the argument `x` that the method's comprehension with number 3 lists, a sequence
- `x§t0`: the dtype of the argument `x`
- `f§l3`: the loop variable `f` of the loop with number 3
- `x§p4`: a size that control flow changes (a phi, number 4)
- `cfg§s5`: a local variable that the constructor can compute (number 5)
"""

from __future__ import annotations

import re

from nnx_migrate.nnx.layers.aliases import canonical as canonical_symbol

LINEN = "flax.linen"
TOKEN = re.compile(r"(?P<name>[A-Za-z_][\w.]*(?:\[[^\[\]]*\][\w.]*)*)§(?P<kind>[afjlpstx])(?P<id>-?\d+)")


def canonical(qualified: str | None) -> str | None:
    """The public name of a Linen symbol; other names come back unchanged."""
    return None if qualified is None else canonical_symbol(qualified)


def linen_name(qualified: str | None) -> str | None:
    """`Dense` for any spelling of `flax.linen.Dense`, None for what isn't Linen's."""
    name = canonical(qualified)
    if name is None or not name.startswith(LINEN + "."):
        return None
    return name[len(LINEN) + 1 :]


def numbers(text: str, kind: str) -> list[int]:
    """The numbers of the tokens of one kind in a text, in order."""
    return [int(match["id"]) for match in TOKEN.finditer(text) if match["kind"] == kind]


def readable(text: str) -> str:
    """A text for people: `x.shape[-1]` for the token of a size, and of other tokens the name."""

    def written(found: re.Match[str]) -> str:
        return f"{found['name']}.shape[{found['id']}]" if found["kind"] == "a" else found["name"]

    return TOKEN.sub(written, text)


def token(name: str, kind: str, number: int) -> str:
    """The token text for a name."""
    return f"{name}§{kind}{number}"
