"""What Linen's layers return, and which sizes they have to be told when they are built without an input.

layer_type = layer("flax.linen.Dense")
dense = layer_type.bind(features)            # constructor arguments; Unknown if they do not fit
applied = dense.apply("__call__", x)         # applied.output, applied.sizes["in_features"]
"""

from nnx_migrate.linen.effects.layers.base import Applied, Layer, layer

__all__ = ["Applied", "Layer", "layer"]
