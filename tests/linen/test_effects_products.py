"""Products, einsum, einops, Fourier transforms, windows and attention against JAX."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from typing import Any

import pytest

from nnx_migrate.linen.arrays.shapes import Array, Global, Unknown
from nnx_migrate.linen.dims import Dim, product
from tests.linen.oracle import Case, Dice, judge


def arrays(*shapes: list[Dim]) -> tuple[Array, ...]:
    return tuple(Array.of(*shape, dtype="float") for shape in shapes)


def products(dice: Dice) -> Iterator[Case]:
    while True:
        k, n, m = dice.dim(), dice.dim(), dice.dim()
        batch = dice.dims(0, 2)
        roll = dice.randint(0, 9)
        if roll == 0:
            yield Case("jax.numpy.matmul", arrays([*batch, n, k], [*dice.broadcastable(batch), k, m]))
        elif roll == 1:
            yield Case(
                "jax.numpy.matmul", arrays(*dice.choice([([*batch, n, k], [k]), ([k], [*batch, k, m])]))
            )
        elif roll == 2:
            yield Case(
                dice.choice(["jax.numpy.dot", ".dot"]),
                arrays([*batch, k], dice.choice([[k, m], [k], [n, k, m]])),
            )
        elif roll == 3:
            axes = dice.choice([1, ([-1], [0]), (-1, 0)])
            yield Case("jax.numpy.tensordot", arrays([*batch, k], [k, m]), {"axes": axes})
        elif roll == 4:
            yield Case("jax.numpy.outer", arrays(batch, [n]))
        elif roll == 5:
            yield Case("jax.numpy.inner", arrays([*batch, k], [n, k]))
        elif roll == 6:
            numbers = (((2,), (1,)), ((0,), (0,)))
            yield Case("jax.lax.dot_general", (*arrays([n, m, k], [n, k, m]), numbers))
        elif roll == 7:
            yield Case("jax.numpy.kron", arrays([n], batch))
        elif roll == 8:
            yield Case("jax.numpy.trace", arrays([n, n, *batch]))
        else:
            yield Case(
                dice.choice(["jax.numpy.diag", "jax.numpy.linalg.inv"]), arrays(dice.choice([[n], [n, n]]))
            )


def einsums(dice: Dice) -> Iterator[Case]:
    while True:
        sizes = {letter: dice.dim() for letter in string.ascii_lowercase[:6]}
        lead = dice.dims(1, 2)
        operands, texts = [], []
        for _ in range(dice.randint(1, 3)):
            letters = dice.sample(sorted(sizes), dice.randint(0, 3))
            at = dice.randint(0, len(letters))
            dims = [sizes[letter] for letter in letters]
            if dice.random() < 0.4:
                texts.append("".join(letters[:at]) + "..." + "".join(letters[at:]))
                operands.append(Array.of(*dims[:at], *dice.broadcastable(lead), *dims[at:], dtype="float"))
            else:
                texts.append("".join(letters))
                operands.append(Array.of(*dims, dtype="float"))
        used = sorted(set("".join(texts)) - {"."})
        out = dice.sample(used, dice.randint(0, len(used)))
        at = dice.randint(0, len(out))
        ellipsis = "..." if any("..." in text for text in texts) else ""
        output = "".join(out[:at]) + ellipsis + "".join(out[at:])
        pattern = ",".join(texts) + dice.choice(["->", " -> "]) + output
        yield Case("jax.numpy.einsum", (pattern if dice.random() < 0.9 else ",".join(texts), *operands))


def patterns(dice: Dice) -> Iterator[Case]:
    """Random einops patterns over axes a, b, c, ... with groups and an ellipsis."""
    while True:
        names = list("abcd")[: dice.randint(1, 4)]
        sizes = {name: dice.dim() for name in names}
        groups = _grouped(dice, names)
        dims = [product(sizes[name] for name in group) for group in groups]
        lengths = {name: sizes[name] for group in groups for name in group[1:]}
        right = _grouped(dice, dice.sample(names, len(names)))
        left_text, right_text = _texts(groups), _texts(right)
        if dice.random() < 0.3:
            at = dice.randint(0, len(groups))
            extra = dice.dims(0, 2)
            dims[at:at] = extra
            left_text.insert(at, "...")
            right_text.insert(dice.randint(0, len(right_text)), dice.choice(["...", "(...)"]))
        roll = dice.random()
        if roll < 0.6:
            name: str = "einops.rearrange"
            args: tuple[Any, ...] = ()
        elif roll < 0.8:
            name, args = "einops.repeat", ()
            right_text.insert(dice.randint(0, len(right_text)), dice.choice(["r", "3", "(r s)"]))
            lengths |= {"r": dice.dim(), "s": Dim.of(2)}
            lengths = {k: v for k, v in lengths.items() if any(k in text for text in left_text + right_text)}
        else:
            name, args = "einops.reduce", ("mean",)
            right_text = [text for text in right_text if dice.random() < 0.7]
        pattern = f"{' '.join(left_text)} -> {' '.join(right_text)}"
        yield Case(name, (Array.of(*dims, dtype="float"), pattern, *args), dict(lengths))


def _grouped(dice: Dice, names: list[str]) -> list[list[str]]:
    groups: list[list[str]] = []
    for name in names:
        if groups and dice.random() < 0.4:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _texts(groups: list[list[str]]) -> list[str]:
    return [group[0] if len(group) == 1 else f"({' '.join(group)})" for group in groups]


def transforms(dice: Dice) -> Iterator[Case]:
    while True:
        array = dice.array(2, 4)
        rank = len(array.shape.dims)
        roll = dice.randint(0, 6)
        if roll == 0:
            name = dice.choice(["fft", "ifft", "rfft", "irfft"])
            keywords = {"axis": dice.axis(rank), "n": dice.choice([None, None, dice.dim() + 1])}
            yield Case(f"jax.numpy.fft.{name}", (array,), keywords)
        elif roll == 1:
            name = dice.choice(["fft2", "rfft2", "irfft2"])
            axes = tuple(dice.sample(range(-rank, 0), 2))
            yield Case(f"jax.numpy.fft.{name}", (array,), dice.choice([{}, {"axes": axes}]))
        elif roll == 2:
            yield Case(f"jax.numpy.fft.{dice.choice(['fftn', 'rfftn', 'fftshift'])}", (array,))
        elif roll == 3:
            target = (*array.shape.dims[:1], *(dice.dim() for _ in range(rank - 1)))
            yield Case("jax.image.resize", (array, target, "bilinear"))
        elif roll == 4:
            yield Case("jax.numpy.fft.rfftfreq", (dice.dim(),))
        elif roll == 5:
            long, short = Dim.size("n") + 9, dice.randint(1, 4)
            mode = dice.choice(["full", "same", "valid"])
            yield Case("jax.numpy.convolve", (*arrays([long], [Dim.of(short)]), mode))
        else:
            name = dice.choice(["normal", "uniform", "bernoulli"])
            shape = tuple(dice.dims())
            args = (0.5, shape) if name == "bernoulli" else (shape,)
            yield Case(f"jax.random.{name}", (Array.of(2, dtype="uint32"), *args))


def spatial(dice: Dice, count: int) -> list[Dim]:
    """Sizes that windows of up to 7 fit into."""
    return [Dim.size(dice.choice("nmhw")) + 7 for _ in range(count)]


def windows(dice: Dice) -> Iterator[Case]:
    while True:
        count = dice.randint(1, 3)
        dims = [*dice.dims(0, 2), *spatial(dice, count), dice.dim()]
        window = tuple(dice.randint(1, 4) for _ in range(count))
        strides = tuple(dice.randint(1, 3) for _ in range(count))
        pads = tuple((dice.randint(0, 2), dice.randint(0, 2)) for _ in range(count))
        padding = dice.choice(["SAME", "VALID", "same", pads, "SAME_LOWER"])
        roll = dice.randint(0, 3)
        (array,) = arrays(dims)
        if roll <= 1:
            name = dice.choice(["max_pool", "avg_pool"])
            keywords: dict[str, Any] = {"padding": padding}
            if dice.random() < 0.7:
                keywords["strides"] = strides
            yield Case(f"flax.linen.{name}", (array, window), keywords)
        elif roll == 2:
            batch, channels, out = dice.dim(), Dim.of(2), Dim.of(4)
            layout = ["NWC", "NHWC", "NDHWC"][count - 1], ["WIO", "HWIO", "DHWIO"][count - 1]
            lhs, rhs = arrays([batch, *spatial(dice, count), channels], [*map(Dim.of, window), channels, out])
            keywords = {
                "dimension_numbers": (layout[0], layout[1], layout[0]),
                "lhs_dilation": dice.choice([None, strides[::-1]]),
                "rhs_dilation": dice.choice([None, (2,) * count]),
            }
            yield Case("jax.lax.conv_general_dilated", (lhs, rhs, strides, padding), keywords)
        else:
            lhs, rhs = arrays(
                [dice.dim(), *spatial(dice, count), Dim.of(2)], [*map(Dim.of, window), Dim.of(2), Dim.of(4)]
            )
            keywords = {"rhs_dilation": dice.choice([None, (2,) * count])}
            if dice.random() < 0.3:
                keywords["use_consistent_padding"] = True
            yield Case("jax.lax.conv_transpose", (lhs, rhs, strides, padding), keywords)


def attention(dice: Dice) -> Iterator[Case]:
    while True:
        batch = dice.dims(1, 2)
        queries, keys, heads, depth = (dice.dim() for _ in range(4))
        query, key, value = arrays(
            [*batch, queries, heads, depth], [*batch, keys, heads, depth], [*batch, keys, heads, depth]
        )
        masks = [
            None,
            Array.of(*batch, 1, queries, keys, dtype="bool"),
            Array.of(*batch, heads, 1, 1, dtype="bool"),
        ]
        roll = dice.randint(0, 4)
        if roll == 0:
            keywords = {"mask": dice.choice(masks), "deterministic": True}
            yield Case("flax.linen.dot_product_attention", (query, key, value), keywords)
        elif roll == 1:
            keywords = {"mask": dice.choice(masks), "deterministic": True}
            yield Case("flax.linen.dot_product_attention_weights", (query, key), keywords)
        elif roll == 2:
            lengths = arrays([*batch, queries], [*batch, keys])
            yield Case("flax.linen.make_attention_mask", lengths, {"extra_batch_dims": dice.choice([0, 2])})
        elif roll == 3:
            yield Case(
                "flax.linen.make_causal_mask", arrays([*batch, queries]), {"dtype": Global("jax.numpy.bool_")}
            )
        else:
            yield Case("flax.linen.combine_masks", (masks[1], None, masks[2]))


FAMILIES = {
    "products": (products, 80),
    "einsums": (einsums, 80),
    "einops": (patterns, 120),
    "transforms": (transforms, 50),
    "windows": (windows, 110),
    "attention": (attention, 30),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_effects_agree_with_jax(family: str) -> None:
    generate, count = FAMILIES[family]
    rng = random.Random(family)
    cases = generate(Dice(rng))
    tally = judge([next(cases) for _ in range(count)], rng)
    assert not tally.unknown, tally.reasons
    assert tally.known.total() > count


def test_unknown_operands_stay_unknown() -> None:
    from nnx_migrate.linen.effects import effect

    add = effect("jax.numpy.add")
    assert add is not None
    assert add(Unknown("from elsewhere"), 1.0) == Unknown("from elsewhere")
