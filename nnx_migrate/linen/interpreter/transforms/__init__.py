"""Functions and modules under transforms: `nn.scan`, `nn.RNN`, `jax.vmap`, `jax.lax.scan`."""
