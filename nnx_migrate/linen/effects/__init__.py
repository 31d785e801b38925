"""What library functions, array methods, operators and Linen layers do to shapes.

`effect("jax.numpy.concatenate")([x, y], axis=-1)` takes and returns abstract values (see `linen.shapes`);
`None` means that the function isn't modelled. Whatever a transfer function does not model with certainty
comes out as `Unknown(reason)`.
"""

from nnx_migrate.linen.effects.registry import attribute, effect, method

__all__ = ["attribute", "effect", "method"]
